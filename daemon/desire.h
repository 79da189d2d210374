/* What the engine is told of the active document: all of it at first, then only what is new in the next. */
#ifndef TOLLGATE_DAEMON_DESIRE_H
#define TOLLGATE_DAEMON_DESIRE_H

#include <stddef.h>
#include <stdint.h>

struct channel;
struct document;
struct model_diff;

struct desire {
	struct document *told;	/* held: what the engine was told last; NULL: nothing */
	uint64_t         round;	/* of that MSG_DESIRED */
	size_t           whole_bytes;	/* of the last whole one, packed */
	size_t           since_bytes;	/* of all that was told since */
};

/* Sends MSG_DESIRED.  `diff` leads from `before` to `document`; it is used when `before` is what the engine
 * was told last, and may be NULL.  The engine keeps what it was told as long as one network is in use: when
 * as much as the whole has come in parts, it is told the whole again.  Ends the process when the document
 * cannot be handed on: nothing would ever come of it, and the next life begins with the same document. */
void desire_send(struct desire *desire, struct channel *engine, uint64_t round, struct document *document,
                 const struct document *before, const struct model_diff *diff);
/* The engine is gone, and what it was told with it. */
void desire_forget(struct desire *desire);

#endif
