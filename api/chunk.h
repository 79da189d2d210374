/* Takes the data out of a chunked body (RFC 9112 §7.1) as it comes. */
#ifndef TOLLGATE_API_CHUNK_H
#define TOLLGATE_API_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#define CHUNK_EXTRA_MOST 4096	/* bytes of all extensions and trailer lines, which nobody reads */

enum chunk_result { CHUNK_MORE, CHUNK_DONE, CHUNK_MALFORMED };

enum chunk_state {
	CHUNK_SIZE_FIRST,	/* before the first digit of a size */
	CHUNK_SIZE,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_LINE_FIRST,	/* first byte of a trailer line, or of the empty one */
	CHUNK_LINE,
	CHUNK_LINE_LF,
	CHUNK_END_LF,
};

/* Zeroed, it stands at the beginning. */
struct chunk {
	enum chunk_state state;
	uint64_t         left;		/* of this chunk */
	size_t           extra_bytes;
};

/* Takes *taken of the next `bytes`: all of them (CHUNK_MORE), up to the body's end (CHUNK_DONE), or
 * up to where a run of data ends.  *data is that run inside `text`, *data_bytes its length or 0. */
enum chunk_result chunk_read(struct chunk *chunk, const char *text, size_t bytes, size_t *taken,
                             const char **data, size_t *data_bytes);

#endif
