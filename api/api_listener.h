/* A listening socket of the API, and how many connections it may have. */
#ifndef TOLLGATE_API_API_LISTENER_H
#define TOLLGATE_API_API_LISTENER_H

#include <stdbool.h>
#include <sys/queue.h>

#include "api/conn.h"

struct api;
struct evconnlistener;
struct evhttp;
struct tg_error;

struct api_listener {
	LIST_ENTRY(api_listener) entry;
	struct api              *api;		/* borrowed */
	struct evhttp           *http;
	struct evconnlistener   *socket;	/* http's */
	struct event            *crowd;		/* runs while no connection is accepted */
	bool                     local;
	unsigned                 most, count;
	LIST_HEAD(conns, conn)   conns;
	struct conn             *spare;		/* evhttp must never have to make its own, unguarded */
};

/* Takes `fd`, also on failure.  NULL: `err` says why. */
struct api_listener *api_listener_new(struct api *api, int fd, bool local, struct tg_error *err);
/* Closes all its connections. */
void api_listener_free(struct api_listener *listener);
/* Makes what is ready for the next connection anew: TLS has changed. */
void api_listener_refresh(struct api_listener *listener);
/* A connection has ended. */
void api_listener_left(struct api_listener *listener);

#endif
