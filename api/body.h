/* A request's body as it is gathered, within the limits. */
#ifndef TOLLGATE_API_BODY_H
#define TOLLGATE_API_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/chunk.h"

struct api_limits;

/* Zeroed, it is empty. */
struct body {
	char        *bytes;
	size_t       have, room;
	struct chunk chunk;
	bool         big;	/* holds one of the places for large bodies */
};

enum body_result {
	BODY_MORE,
	BODY_DONE,
	BODY_MALFORMED,
	BODY_TOO_LARGE,
	BODY_CROWDED,	/* all places for large bodies are taken */
	BODY_NO_MEMORY,
};

/* Takes *taken bytes of `text` into a body of `length` bytes, or a chunked one.  *big_bodies counts
 * the places for large bodies that are taken, by this and others. */
enum body_result body_read(struct body *body, bool chunked, uint64_t length, const char *text, size_t bytes,
                           const struct api_limits *limits, unsigned *big_bodies, size_t *taken);
/* For a body whose length is known to be large: takes the place at once. */
enum body_result body_reserve(struct body *body, const struct api_limits *limits, unsigned *big_bodies);
/* Where the next bytes of a body of `length` bytes go, for who puts them there without a copy and adds them
 * to `have`: *room is how many may come.  NULL: there is no room, and body_read() says why. */
char *body_room(struct body *body, uint64_t length, const struct api_limits *limits, size_t *room);
void body_clear(struct body *body, unsigned *big_bodies);
/* Makes room for `more` bytes behind `have`.  -1: out of memory. */
int body_grow(char **buffer, size_t *room, size_t have, size_t more, size_t first);

#endif
