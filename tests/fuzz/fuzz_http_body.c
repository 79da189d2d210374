/* A chunked body in pieces and whole: the same bytes belong to it, and the same data is in it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/http_body.h"
#include "proxy/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(claim)             \
	do {                     \
		if (!(claim))    \
			abort(); \
	} while (0)

/* Reads on in pieces of `most`, each in memory of its own. */
static enum http_body_result read_pieces(struct http_body *body, const uint8_t *data, size_t size,
                                         size_t most, char *to, size_t *used, size_t *kept)
{
	enum http_body_result result = HTTP_BODY_MORE;

	*used = *kept = 0;
	while (result == HTTP_BODY_MORE && *used < size) {
		size_t len = size - *used < most ? size - *used : most;
		char  *piece = malloc(len);
		size_t used_now, kept_now;

		memcpy(piece, data + *used, len);
		result = http_body_strip(body, piece, len, &used_now, &kept_now);
		CHECK(used_now <= len && kept_now <= used_now);
		CHECK(result != HTTP_BODY_MORE || used_now == len);
		memcpy(to + *kept, piece, kept_now);
		*used += used_now;
		*kept += kept_now;
		free(piece);
	}
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct http_head chunked = { .chunked = true };
	struct http_body              body;
	enum http_body_result         result;
	size_t                        used, kept, used_whole, kept_whole, used_only;

	if (size < 2)
		return 0;

	size_t most = (size_t)data[0] % 40 + 1;

	data++;
	size--;

	char *whole = malloc(size);
	char *split = malloc(size);

	http_body_of_request(&body, &chunked);
	result = read_pieces(&body, data, size, size, whole, &used_whole, &kept_whole);
	http_body_of_request(&body, &chunked);
	CHECK(read_pieces(&body, data, size, most, split, &used, &kept) == result);
	CHECK(used == used_whole && kept == kept_whole && memcmp(whole, split, kept) == 0);
	http_body_of_request(&body, &chunked);
	CHECK(http_body_read(&body, (const char *)data, size, &used_only) == result && used_only == used);
	CHECK(http_body_is_done(&body) == (result == HTTP_BODY_DONE));
	/* Every byte of a whole body ends with its empty line. */
	if (result == HTTP_BODY_DONE)
		CHECK(used >= 5 && memcmp(data + used - 2, "\r\n", 2) == 0);
	free(whole);
	free(split);
	return 0;
}
