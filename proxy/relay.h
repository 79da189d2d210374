/* Bytes between a client and an upstream, both ways, untouched: half-closes and resets are carried
 * through, what a slow reader does not take stays in the kernel.  Short pieces go through the
 * worker's buffer; a direction that runs in bulk gets a pipe and is spliced. */
#ifndef TOLLGATE_PROXY_RELAY_H
#define TOLLGATE_PROXY_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/timer.h"

struct host_use;
struct pipe_pair;
struct relay;
struct wire;
struct worker;

#define RELAY_IDLE_MS 600000

/* Both ways have ended, or one side reset, or it idled too long; both wires are closed.  Comes once,
 * last: the callee frees what holds the relay (relay_clear() is not needed then). */
typedef void relay_done_fn(struct relay *relay);

/* One direction. */
struct relay_way {
	struct wire      *from, *to;	/* borrowed */
	struct pipe_pair *pipe;		/* NULL: through the buffer */
	uint8_t          *kept;		/* what `to` did not take yet; NULL: nothing */
	uint32_t          kept_at, kept_bytes;
	uint32_t          in_pipe;
	uint8_t           ended;	/* `from` sent its end */
	uint8_t           shut;		/* and `to` was told */
	uint8_t           full;		/* reads in a row that filled the buffer */
};

/* Lives inside the connection. */
struct relay {
	struct worker   *worker;
	struct host_use *use;		/* borrowed: counts the client's bytes; NULL: nobody */
	struct timer     timer;		/* idle time */
	relay_done_fn   *done;
	struct relay_way up, down;	/* client to upstream, upstream to client */
};

/* Takes over two connected wires, borrowed: sets their callbacks and starts the idle time. */
void relay_start(struct relay *relay, struct worker *w, struct wire *client, struct wire *upstream,
                 struct host_use *use, relay_done_fn *done);
/* Between relay_start() and relay_run(): bytes that were read from way->from already and are to be
 * sent first (copied).  -1: out of memory.  Bytes to the client are counted when they are sent; those
 * from it were when they were read. */
int relay_put_first(struct relay_way *way, const void *data, size_t bytes);
/* Moves what can be moved now; later the loop does it.  May end in done(). */
void relay_run(struct relay *relay);
/* Gives back pipes and memory, stops the timer, closes both wires with RST unless they are closed.
 * No done().  Nothing when it never began (all zero). */
void relay_clear(struct relay *relay);

#endif
