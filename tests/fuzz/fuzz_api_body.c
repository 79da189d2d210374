/* A body, chunked or not, in pieces and whole: the same bytes belong to it and the same data is in it,
 * never more than the limit, and every place for a large one is given back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "api/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(claim)             \
	do {                     \
		if (!(claim))    \
			abort(); \
	} while (0)

static const struct api_limits limits = { .big_bodies = 1, .big_body_bytes = 64, .body_bytes = 256 };

static enum body_result read_pieces(struct body *body, bool chunked, uint64_t length, const uint8_t *data,
                                    size_t size, size_t most, unsigned *places, size_t *used)
{
	enum body_result result = BODY_MORE;

	*used = 0;
	while (result == BODY_MORE && *used < size) {
		size_t len = size - *used < most ? size - *used : most;
		char *piece = malloc(len);
		size_t taken = 0;

		if (piece == NULL)
			break;
		memcpy(piece, data + *used, len);
		result = body_read(body, chunked, length, piece, len, &limits, places, &taken);
		CHECK(taken <= len && (result != BODY_MORE || taken == len));
		*used += taken;
		free(piece);
	}
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3)
		return 0;

	bool chunked = data[0] % 4 != 0;
	uint64_t length = data[1];
	size_t most = data[2] % 16 + 1U;
	unsigned places = 0, places_by_pieces = 0;
	struct body whole = { 0 }, by_pieces = { 0 };
	size_t used, used_by_pieces;
	enum body_result result =
	        read_pieces(&whole, chunked, length, data + 3, size - 3, size, &places, &used);
	enum body_result again = read_pieces(&by_pieces, chunked, length, data + 3, size - 3, most,
	                                     &places_by_pieces, &used_by_pieces);

	CHECK(result == again);
	CHECK(whole.have <= limits.body_bytes);
	CHECK(whole.big == (places == 1) && (whole.have <= limits.big_body_bytes || whole.big));
	if (result == BODY_MORE || result == BODY_DONE) {
		CHECK(used == used_by_pieces && whole.have == by_pieces.have);
		CHECK(whole.have == 0 || memcmp(whole.bytes, by_pieces.bytes, whole.have) == 0);
	}
	body_clear(&whole, &places);
	body_clear(&by_pieces, &places_by_pieces);
	CHECK(places == 0 && places_by_pieces == 0);
	return 0;
}
