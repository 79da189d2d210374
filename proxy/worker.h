/* What all connections of one worker process share, and how it begins, swaps routes and ends.  The
 * struct is open to the files of proxy/; nobody else looks into it.  Used from one event loop only. */
#ifndef TOLLGATE_PROXY_WORKER_H
#define TOLLGATE_PROXY_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/msg.h"
#include "proxy/timer.h"

struct channel;
struct counters;
struct ejection;
struct event_base;
struct hosts;
struct http_conns;
struct listener;
struct pipes;
struct routes;
struct sockpool;
struct sources;
struct tg_endpoint;
struct tg_error;
struct timers;
struct tls_conn;

#define WORKER_BUFFER_BYTES   32768	/* cheaper per byte than 16 KiB and 64 KiB, and as splice is */
#define WORKER_LISTENERS_MOST 8
#define WORKER_FD_RESERVE     1000	/* descriptors kept free: accepting stops this far below the limit */

/* The last client connection of a draining worker is gone. */
typedef void worker_drained_fn(void *arg);

struct worker {
	struct event_base *base;		/* borrowed */
	struct timers     *timers;
	struct routes     *routes;		/* NULL until the first table came: no name is known */
	struct hosts      *hosts;
	struct sockpool   *sockets;
	struct ejection   *ejection;
	struct counters   *counters;		/* NULL: nothing is counted (no segment came) */
	struct sources    *sources;
	struct pipes      *pipes;
	struct listener   *listeners[WORKER_LISTENERS_MOST];
	size_t             listeners_count;
	struct tls_conn   *tls_conns;		/* first of a list */
	struct http_conns *http;		/* http_conn.c's own; NULL until http_conn_begin() */
	uint8_t           *buffer;		/* WORKER_BUFFER_BYTES, anybody's between two callbacks */
	struct timer       tidy;		/* of the pool */
	size_t             clients;		/* open client connections, both kinds */
	bool               draining;		/* answers say Connection: close, nothing is accepted */
	worker_drained_fn *on_drained;
	void              *arg;
};

struct worker_options {
	uint32_t           source_connections;	/* for one client address in this process; 0: no limit */
	worker_drained_fn *on_drained;
	void              *arg;
};

/* NULL when out of memory. */
struct worker *worker_new(struct event_base *base, const struct worker_options *options);
/* Resets and frees every connection. */
void worker_free(struct worker *w);
/* The channel to the broker, or NULL while there is none: borrowed. */
void worker_set_broker(struct worker *w, struct channel *broker);
/* Takes a listening socket; nothing is accepted before worker_accept(). */
int worker_listen(struct worker *w, int fd, enum msg_listener kind, struct tg_error *err);
/* Begins to accept. */
void worker_accept(struct worker *w);
/* Takes counters (from counters_new()). */
void worker_set_counters(struct worker *w, struct counters *counters);
/* Obeys the table in `fd` (borrowed): from here on names are found in it alone; connections of hosts
 * and networks that it lacks are reset and their sockets closed before this returns.  On -1 the old
 * table stays. */
int worker_set_routes(struct worker *w, int fd, struct tg_error *err);
/* Accepts nothing more; idle kept-alive connections close, others finish.  on_drained() comes once,
 * from here or later. */
void worker_drain(struct worker *w);

/* For the two kinds of connections: each calls worker_client_gone() once when it has closed its
 * client's descriptor (worker_client_came() was called before http_conn_accept() was). */
bool worker_client_came(struct worker *w, const struct tg_endpoint *client);
void worker_client_gone(struct worker *w, const struct tg_endpoint *client);

#endif
