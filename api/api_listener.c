#include "api/api_listener.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "api/server.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"

#define EVHTTP_HEAD_MOST 1024 /* evhttp only ever sees heads of our own */

static void pause_accept(struct api_listener *listener)
{
	const unsigned ms = listener->api->limits.crowd_ms;
	const struct timeval wait = { ms / 1000, (suseconds_t)(ms % 1000) * 1000 };

	evconnlistener_disable(listener->socket);
	if (!event_pending(listener->crowd, EV_TIMEOUT, NULL))
		event_add(listener->crowd, &wait);
}

/* Accepts while there is room, and a connection ready for the next client. */
static void resume_accept(struct api_listener *listener)
{
	if (listener->spare == NULL)
		listener->spare = conn_new(listener);
	if (listener->spare == NULL || listener->count >= listener->most) {
		pause_accept(listener);
		return;
	}
	event_del(listener->crowd);
	evconnlistener_enable(listener->socket);
}

static bool asks_nothing(const struct conn *conn, uint64_t before_ms)
{
	return conn->state_at_ms <= before_ms &&
	       (conn->state == CONN_IDLE || conn->state == CONN_HEAD || conn->state == CONN_LINGER);
}

/* Nobody is accepted any more: those who only hold a place give it up, so that a few slow or silent
 * clients can't keep all others out. */
static void on_crowd(evutil_socket_t fd, short what, void *arg)
{
	struct api_listener *listener = arg;
	struct conn *conn = LIST_FIRST(&listener->conns);
	const uint64_t before_ms = tg_clock_ms() - listener->api->limits.crowd_ms;

	(void)fd;
	(void)what;
	while (conn != NULL) {
		struct conn *next = LIST_NEXT(conn, entry);

		if (asks_nothing(conn, before_ms))
			conn_close(conn);
		conn = next;
	}
	resume_accept(listener);
}

/* Out of descriptors: trying again at once would only burn the processor. */
static void on_accept_error(struct evconnlistener *socket, void *arg)
{
	(void)socket;
	pause_accept(arg);
}

/* evhttp has accepted a connection and asks for a bufferevent. */
static struct bufferevent *on_bev(struct event_base *base, void *arg)
{
	struct api_listener *listener = arg;
	struct conn *conn = listener->spare;

	(void)base;
	listener->spare = NULL;
	listener->count++;
	LIST_INSERT_HEAD(&listener->conns, conn, entry);
	/* evhttp makes its connection when this returns, and gives it to nobody: it is asked for in the
	 * next turn of the loop, before the first byte can be read. */
	event_active(conn->timer, EV_TIMEOUT, 0);
	resume_accept(listener);
	return conn->bev;
}

static void on_request(struct evhttp_request *evreq, void *arg)
{
	struct api_listener *listener = arg;
	struct evhttp_connection *evcon = evhttp_request_get_connection(evreq);
	struct conn *conn;

	for (conn = LIST_FIRST(&listener->conns); conn != NULL; conn = LIST_NEXT(conn, entry))
		if (conn->evcon == evcon)
			break;
	if (conn == NULL)
		tg_die("evhttp has a connection that nobody gave it");
	/* When memory runs out while evhttp reads a head of ours, it goes on with the client's own bytes:
	 * those must not pass for what was checked. */
	if (conn->state != CONN_HANDED || strcmp(evhttp_request_get_uri(evreq), listener->api->path) != 0)
		conn_close_soon(conn);
	else
		conn_request(conn, evreq);
}

struct api_listener *api_listener_new(struct api *api, int fd, bool local, struct tg_error *err)
{
	TG_AUTO_FD taken = fd;
	struct api_listener *listener = calloc(1, sizeof(*listener));

	if (listener == NULL)
		goto no_memory;
	LIST_INIT(&listener->conns);
	listener->api = api;
	listener->local = local;
	listener->most = local ? api->limits.local_connections : api->limits.tcp_connections;
	if (evutil_make_socket_nonblocking(fd) == -1) {
		tg_fail_sys(err, "cannot make a socket non-blocking");
		free(listener);
		return NULL;
	}
	listener->http = evhttp_new(api->base);
	listener->crowd = evtimer_new(api->base, on_crowd, listener);
	listener->spare = conn_new(listener);
	listener->socket = evconnlistener_new(api->base, NULL, NULL,
	                                      LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (listener->socket != NULL)
		tg_take_fd(&taken);
	if (listener->http == NULL || listener->crowd == NULL || listener->spare == NULL ||
	    listener->socket == NULL)
		goto undo;
	evconnlistener_set_error_cb(listener->socket, on_accept_error);
	evhttp_set_max_headers_size(listener->http, EVHTTP_HEAD_MOST);
	evhttp_set_max_body_size(listener->http, 0);
	evhttp_set_default_content_type(listener->http, NULL);
	evhttp_set_bevcb(listener->http, on_bev, listener);
	evhttp_set_gencb(listener->http, on_request, listener);
	if (evhttp_bind_listener(listener->http, listener->socket) == NULL)
		goto undo;
	LIST_INSERT_HEAD(&api->listeners, listener, entry);
	return listener;

undo:
	if (listener->socket != NULL)
		evconnlistener_free(listener->socket);
	if (listener->http != NULL)
		evhttp_free(listener->http);
	if (listener->crowd != NULL)
		event_free(listener->crowd);
	conn_free(listener->spare);
	free(listener);
no_memory:
	tg_fail_memory(err);
	return NULL;
}

void api_listener_free(struct api_listener *listener)
{
	struct conn *conn;

	listener->most = 0;
	evconnlistener_disable(listener->socket);
	/* Those that evhttp has just made don't tell of their end yet. */
	while ((conn = LIST_FIRST(&listener->conns)) != NULL)
		if (conn->state != CONN_NEW || conn_adopt(conn))
			conn_close(conn);
	LIST_REMOVE(listener, entry);
	evhttp_free(listener->http);
	event_free(listener->crowd);
	conn_free(listener->spare);
	free(listener);
}

void api_listener_refresh(struct api_listener *listener)
{
	conn_free(listener->spare);
	listener->spare = NULL;
	resume_accept(listener);
}

void api_listener_left(struct api_listener *listener)
{
	listener->count--;
	resume_accept(listener);
}
