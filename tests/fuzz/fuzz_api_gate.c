/* A request's head, as a stranger over TCP sends it, in pieces and whole.  Without a token nothing but
 * GET /health passes, whatever the bytes; with one, what passes is framed in one way only. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_routes.h"
#include "api/gate.h"
#include "api/limits.h"
#include "api/tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TOKEN "unguessable-8f2f4c"

#define CHECK(claim)             \
	do {                     \
		if (!(claim))    \
			abort(); \
	} while (0)

static void check_refusal(const struct gate *gate)
{
	char *text = gate_print(gate);

	CHECK(text == NULL || strncmp(text, "{\"error\":{\"code\":\"", 18) == 0);
	for (const char *c = text; c != NULL && *c != '\0'; c++)
		CHECK((unsigned char)*c >= ' ' && (unsigned char)*c < 0x7f);
	free(text);
}

static void check_passed(const struct gate *gate, bool trusted)
{
	const struct head *head = &gate->head;
	bool reads = head->method == HEAD_GET || head->method == HEAD_HEAD;

	CHECK(gate->row != NULL && !gate->close);
	CHECK(!head->chunked || head->length == 0);
	CHECK(head->length <= api_limits_usual.body_bytes);
	CHECK(!reads || (!head->chunked && head->length == 0));
	CHECK(trusted || (reads && gate->row->open && !gate->call.secrets && !gate->call.authenticated));
}

static void check_head(const uint8_t *data, size_t end, bool trusted, const struct tokens *tokens)
{
	struct gate gate;
	char *text = malloc(end + 1);

	if (text == NULL)
		return;
	memcpy(text, data, end);
	gate_check(text, end, trusted, tokens, &api_limits_usual, &gate);
	if (gate.status != 0)
		check_refusal(&gate);
	else
		check_passed(&gate, trusted);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tokens *tokens = tokens_read(TOKEN, strlen(TOKEN), NULL);
	size_t seen = 0, end = 0, seen_by_bytes = 0, end_by_bytes = 0;
	enum head_result whole = head_find_end((const char *)data, size, &seen, &end);
	enum head_result by_bytes = HEAD_MORE;
	bool has_token = memmem(data, size, TOKEN, strlen(TOKEN)) != NULL;

	for (size_t n = 1; n <= size && by_bytes == HEAD_MORE; n++) {
		/* Of its own length, so that a read past the end is seen. */
		uint8_t *prefix = malloc(n);

		if (prefix == NULL)
			break;
		memcpy(prefix, data, n);
		by_bytes = head_find_end((const char *)prefix, n, &seen_by_bytes, &end_by_bytes);
		free(prefix);
	}
	CHECK(by_bytes == whole && end == end_by_bytes);
	if (whole == HEAD_OK && !has_token) {
		check_head(data, end, false, tokens);
		check_head(data, end, true, tokens);
	}
	tokens_free(tokens);
	return 0;
}
