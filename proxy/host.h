/* Host names in use: what a route says of one host under one scheme, copied out of the table when a
 * connection is first routed to it, so that no connection needs an old table; who uses it, so that a
 * swap of tables can reset the connections of what is gone; and its counters. */
#ifndef TOLLGATE_PROXY_HOST_H
#define TOLLGATE_PROXY_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "proxy/routes.h"

struct host;
struct host_use;
struct hosts;
struct worker;

/* Host or network were removed: reset every socket of it (wire_reset()) and call host_leave() before
 * returning, which leaves other uses alone. */
typedef void host_gone_fn(struct host_use *use);

/* One connection's use of a host; lives inside the connection.  All zero: none. */
struct host_use {
	struct worker   *worker;
	struct host     *host;		/* borrowed; NULL: none.  Valid until host_leave() */
	struct host_use *next, *previous;
	host_gone_fn    *on_gone;
	bool             active;	/* counts against max_connections */
};

/* What a connection may read. */
struct host {
	const char               *name;		/* as in the document: a wildcard begins with "*." */
	const char               *host_header;	/* NULL: as the client sent it */
	const struct tg_endpoint *upstreams;
	uint64_t                  netns_cookie;	/* 0: the host's own namespace */
	uint32_t                  slot;		/* may change when tables are swapped */
	uint32_t                  name_hash;	/* of this worker's own */
	uint32_t                  max_connections;
	uint32_t                  upstreams_count;
	uint32_t                  turn;		/* of the round robin: upstream.c's */
	uint8_t                   scheme;	/* enum routes_scheme */
	uint8_t                   proxy_protocol;	/* 0, 1 or 2 */
	uint8_t                   redirect_to_https;
	uint8_t                   up;		/* its network is up */
};

enum host_result {
	HOST_OK,
	HOST_UNKNOWN,	/* no such name under that scheme */
	HOST_DOWN,	/* `use` is set, but its network is not up */
	HOST_FULL,	/* `use` is set, but max_connections are open already */
	HOST_NO_MEMORY,
};

struct hosts *hosts_new(void);
/* Every use must have left. */
void hosts_free(struct hosts *hosts);
/* Finds `name` (from model_host_read()) in the newest table and makes `use` (which must be none) a use
 * of it; HOST_OK counts it as an active connection until host_leave().  With HOST_DOWN and HOST_FULL
 * `use` tells the name and the redirection, and must leave too. */
enum host_result host_enter(struct worker *w, enum routes_scheme scheme, const char *name,
                            struct host_use *use, host_gone_fn *on_gone);
/* Nothing when it is none. */
void host_leave(struct host_use *use);
/* Whether the newest table finds `name` under this very host: a kept-alive connection need not leave
 * and enter again for its next request. */
bool host_is(const struct host_use *use, enum routes_scheme scheme, const char *name);
/* Counts a client connection, once for each host that it is routed to. */
void host_count_connection(const struct host_use *use);
/* Counts payload: received from the client (before it is passed on), and sent to it: around each call
 * that sends, with the most that it may send, and with what it sent. */
void host_received(const struct host_use *use, uint64_t bytes);
void host_sending(const struct host_use *use, uint64_t most);
void host_sent(const struct host_use *use, uint64_t bytes);
/* The table in w->routes is new: resets the uses of what it lacks. */
void hosts_swapped(struct worker *w);

#endif
