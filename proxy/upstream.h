/* A connection to one of a host's upstreams: whose turn it is, who is left out after a failure, a
 * socket of the network's namespace, connect, time-outs, the next one. */
#ifndef TOLLGATE_PROXY_UPSTREAM_H
#define TOLLGATE_PROXY_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "proxy/timer.h"
#include "proxy/wire.h"

struct host;
struct upstream;
struct worker;

#define UPSTREAM_SOCKET_MS	2000	/* to wait for a socket from the broker */
#define UPSTREAM_CONNECT_MS	1000	/* while another upstream is left */
#define UPSTREAM_CONNECT_LAST_MS 5000
#define UPSTREAM_ALL_MS		10000	/* after these, the next one is the last */
#define UPSTREAM_TRIES_MOST	64		/* in a row from one that is not left out */

enum upstream_result {
	UPSTREAM_CONNECTED,	/* u->wire is connected, u->peer says to whom */
	UPSTREAM_REFUSED,	/* all refused, or were unreachable: HTTP 502 */
	UPSTREAM_TIMED_OUT,	/* the last one did not answer in time: HTTP 504 */
	UPSTREAM_NO_SOCKET,	/* none came from the broker, or too many wait */
};

/* Comes once, from the loop, never from inside upstream_connect().  On success the callee gives u->wire
 * its own callback before it returns (wire_give(), relay_start()); else u->wire is none.  u->timer
 * is stopped. */
typedef void upstream_done_fn(struct upstream *u, enum upstream_result result);

/* Lives inside the connection, as long as the wire is used. */
struct upstream {
	struct wire        wire;
	struct timer       timer;
	struct worker     *worker;
	struct host       *host;	/* borrowed: the use must outlast the connecting */
	upstream_done_fn  *done;
	struct tg_endpoint peer;
	uint64_t           began_at_ms;
	uint64_t           tried;	/* bit i: upstreams[(turn + i) % count], the window */
	uint32_t           turn;
	uint8_t            last;	/* no other is tried after this one */
	uint8_t            calling;	/* inside upstream_connect() */
	uint8_t            result;	/* enum upstream_result: of the newest failure */
};

/* All zero but for the wire's -1. */
void upstream_init(struct upstream *u);
/* Begins; `u` must hold no wire. */
void upstream_connect(struct upstream *u, struct worker *w, struct host *host, upstream_done_fn *done);
/* Stops connecting if it does (done() will not come) and stops the timer.  The wire, if any, is
 * closed. */
void upstream_clear(struct upstream *u);
/* The connection failed later in a way that speaks of the upstream (reset before an answer): it is
 * left out like one that refused. */
void upstream_failed(struct worker *w, const struct host *host, const struct tg_endpoint *peer);

#endif
