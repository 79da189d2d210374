#include "api/chunk.h"

#include <stdbool.h>

#include "base/hex.h"

#define SIZE_MOST (UINT64_C(1) << 40) /* of one chunk: far over any limit, far under an overflow */

static bool add_digit(struct chunk *chunk, char c)
{
	int digit = tg_hex_digit(c);

	if (digit == -1)
		return false;
	chunk->left = chunk->left * 16 + (uint64_t)digit;
	chunk->state = CHUNK_SIZE;
	return chunk->left <= SIZE_MOST;
}

static bool skip_extra(struct chunk *chunk, char c, enum chunk_state at_cr)
{
	if (c == '\r') {
		chunk->state = at_cr;
		return true;
	}
	return c != '\n' && c != '\0' && ++chunk->extra_bytes <= CHUNK_EXTRA_MOST;
}

static bool expect(struct chunk *chunk, char c, char wanted, enum chunk_state next)
{
	chunk->state = next;
	return c == wanted;
}

/* One byte that is not data. */
static bool step(struct chunk *chunk, char c)
{
	switch (chunk->state) {
	case CHUNK_SIZE_FIRST:
		chunk->left = 0;
		return add_digit(chunk, c);
	case CHUNK_SIZE:
		if (c == ';')
			return expect(chunk, c, ';', CHUNK_EXTENSION);
		return c == '\r' ? expect(chunk, c, '\r', CHUNK_SIZE_LF) : add_digit(chunk, c);
	case CHUNK_EXTENSION:
		return skip_extra(chunk, c, CHUNK_SIZE_LF);
	case CHUNK_SIZE_LF:
		return expect(chunk, c, '\n', chunk->left == 0 ? CHUNK_LINE_FIRST : CHUNK_DATA);
	case CHUNK_DATA:
		return false;
	case CHUNK_DATA_CR:
		return expect(chunk, c, '\r', CHUNK_DATA_LF);
	case CHUNK_DATA_LF:
		return expect(chunk, c, '\n', CHUNK_SIZE_FIRST);
	case CHUNK_LINE_FIRST:
		chunk->state = CHUNK_LINE;
		return skip_extra(chunk, c, CHUNK_END_LF);
	case CHUNK_LINE:
		return skip_extra(chunk, c, CHUNK_LINE_LF);
	case CHUNK_LINE_LF:
		return expect(chunk, c, '\n', CHUNK_LINE_FIRST);
	case CHUNK_END_LF:
		return c == '\n';
	}
	return false;
}

enum chunk_result chunk_read(struct chunk *chunk, const char *text, size_t bytes, size_t *taken,
                             const char **data, size_t *data_bytes)
{
	size_t at = 0;

	*data_bytes = 0;
	while (at < bytes && chunk->state != CHUNK_DATA) {
		bool last = chunk->state == CHUNK_END_LF;

		if (!step(chunk, text[at++]))
			return CHUNK_MALFORMED;
		if (last) {
			*taken = at;
			return CHUNK_DONE;
		}
	}
	if (at < bytes) {
		*data = text + at;
		*data_bytes = bytes - at < chunk->left ? bytes - at : (size_t)chunk->left;
		chunk->left -= *data_bytes;
		at += *data_bytes;
		if (chunk->left == 0)
			chunk->state = CHUNK_DATA_CR;
	}
	*taken = at;
	return CHUNK_MORE;
}
