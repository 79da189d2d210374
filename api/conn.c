#include "api/conn.h"

#include <assert.h>
#include <stdlib.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "api/api_routes.h"
#include "api/intake.h"
#include "api/request.h"
#include "api/server.h"
#include "base/clock.h"
#include "base/fd.h"

#define AHEAD_MOST (16U << 10) /* bytes read of the next requests while one is answered */

static unsigned state_ms(const struct conn *conn)
{
	const struct api_limits *limits = &conn->listener->api->limits;

	switch (conn->state) {
	case CONN_IDLE:
		return limits->idle_ms;
	case CONN_HEAD:
	case CONN_HANDED: /* it stays so only when evhttp's memory ran out */
		return limits->head_ms;
	case CONN_BODY:
		return limits->body_ms;
	case CONN_SEND:
		return limits->send_ms;
	case CONN_LINGER:
		return limits->linger_ms;
	case CONN_NEW:
	case CONN_CALL:
	case CONN_CLOSE:
		return 0;
	}
	return 0;
}

void conn_set_timer(struct conn *conn)
{
	unsigned ms = state_ms(conn);
	struct timeval wait = { ms / 1000, (suseconds_t)(ms % 1000) * 1000 };

	if (ms == 0)
		event_del(conn->timer);
	else
		event_add(conn->timer, &wait);
}

void conn_enter(struct conn *conn, enum conn_state next)
{
	conn->state = next;
	conn->state_at_ms = tg_clock_ms();
	conn_set_timer(conn);
}

void conn_close_soon(struct conn *conn)
{
	conn_enter(conn, CONN_CLOSE);
	event_active(conn->timer, EV_TIMEOUT, 0);
}

void conn_drop_request(struct conn *conn)
{
	free(conn->head);
	conn->head = NULL;
	body_clear(&conn->body, &conn->listener->api->big_bodies);
}

/* (A high-water mark would do, but libevent sets it with memory that it does not check.) */
void conn_hold_back(struct conn *conn)
{
	if (conn->have + evbuffer_get_length(bufferevent_get_input(conn->bev)) >= AHEAD_MOST)
		bufferevent_disable(conn->bev, EV_READ);
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
	struct conn *conn = arg;

	(void)input;
	if (conn->own_bytes || info->n_added == 0)
		return;
	switch (conn->state) {
	case CONN_NEW:
	case CONN_IDLE:
	case CONN_HEAD:
	case CONN_BODY:
	case CONN_LINGER:
	case CONN_CLOSE:
		intake_read(conn);
		return;
	case CONN_HANDED:
	case CONN_CALL:
	case CONN_SEND:
		conn_hold_back(conn);
		return;
	}
}

/* A client that takes nothing for too long is given up; one that has taken all owes nothing. */
static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
	struct conn *conn = arg;

	if (conn->state != CONN_SEND)
		return;
	if (evbuffer_get_length(output) == 0)
		event_del(conn->timer);
	else if (info->n_deleted > 0 || info->orig_size == 0)
		conn_set_timer(conn);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;

	(void)fd;
	(void)what;
	if (conn->state == CONN_NEW) {
		conn_adopt(conn);
		return;
	}
	if (!conn->again) {
		conn_close(conn);
		return;
	}
	conn->again = false;
	conn_set_timer(conn);
	intake_next(conn);
	if (conn->state == CONN_HANDED) {
		conn_hold_back(conn);
		bufferevent_trigger(conn->bev, EV_READ, 0);
	}
}

static struct bufferevent *make_bev(const struct api *api, bool local)
{
	struct bufferevent *bev;
	SSL *ssl;

	if (api->tls == NULL || local)
		return bufferevent_socket_new(api->base, -1, BEV_OPT_CLOSE_ON_FREE);
	ssl = SSL_new(api->tls);
	if (ssl == NULL)
		return NULL;
	bev = bufferevent_openssl_socket_new(api->base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
	                                     BEV_OPT_CLOSE_ON_FREE);
	if (bev == NULL)
		SSL_free(ssl);
	else
		bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	return bev;
}

struct conn *conn_new(struct api_listener *listener)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (conn == NULL)
		return NULL;
	conn->listener = listener;
	conn->timer = evtimer_new(listener->api->base, on_timer, conn);
	conn->bev = make_bev(listener->api, listener->local);
	if (conn->timer == NULL || conn->bev == NULL)
		goto undo;
	/* Ours beside evhttp's: that of a connection which evhttp failed to set up stays good to ask. */
	bufferevent_incref(conn->bev);
	if (evbuffer_add_cb(bufferevent_get_input(conn->bev), on_input, conn) == NULL ||
	    evbuffer_add_cb(bufferevent_get_output(conn->bev), on_output, conn) == NULL) {
		bufferevent_free(conn->bev);
		goto undo;
	}
	return conn;

undo:
	if (conn->bev != NULL)
		bufferevent_decref(conn->bev);
	if (conn->timer != NULL)
		event_free(conn->timer);
	free(conn);
	return NULL;
}

static void release(struct conn *conn)
{
	conn_drop_request(conn);
	evbuffer_remove_cb(bufferevent_get_input(conn->bev), on_input, conn);
	evbuffer_remove_cb(bufferevent_get_output(conn->bev), on_output, conn);
	bufferevent_decref(conn->bev);
	event_free(conn->timer);
	free(conn->bytes);
	free(conn);
}

void conn_free(struct conn *conn)
{
	if (conn == NULL)
		return;
	bufferevent_free(conn->bev);
	release(conn);
}

/* Over TLS, an end without these words would be that of an answer which somebody cut off. */
static void say_goodbye(struct conn *conn)
{
	SSL *ssl = bufferevent_openssl_get_ssl(conn->bev);
	bool whole = conn->state == CONN_IDLE || (conn->state == CONN_SEND && conn->request == NULL);

	if (ssl == NULL || !whole || evbuffer_get_length(bufferevent_get_output(conn->bev)) > 0)
		return;
	SSL_shutdown(ssl);
	ERR_clear_error();
}

static void end(struct conn *conn)
{
	struct api_listener *listener = conn->listener;
	struct api_request *request = conn->request;

	say_goodbye(conn);
	LIST_REMOVE(conn, entry);
	release(conn);
	api_listener_left(listener);
	if (request != NULL)
		request_left(request);
}

static void on_closed(struct evhttp_connection *evcon, void *arg)
{
	(void)evcon;
	end(arg);
}

bool conn_adopt(struct conn *conn)
{
	void *evcon = NULL;

	bufferevent_getcb(conn->bev, NULL, NULL, NULL, &evcon);
	if (evcon == NULL) {
		end(conn);
		return false;
	}
	conn->evcon = evcon;
	evhttp_connection_set_closecb(conn->evcon, on_closed, conn);
	conn_enter(conn, CONN_HEAD);
	return true;
}

void conn_close(struct conn *conn)
{
	assert(conn->evcon != NULL);
	evhttp_connection_free(conn->evcon);
}

static void on_complete(struct evhttp_request *evreq, void *arg)
{
	struct conn *conn = arg;
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	size_t bytes = evbuffer_get_length(input);

	(void)evreq;
	assert(conn->request == NULL);
	conn_drop_request(conn);
	if (bytes > 0 && body_grow(&conn->bytes, &conn->room, conn->have, bytes, 1024) == -1) {
		conn_close_soon(conn);
		return;
	}
	conn->own_bytes = true;
	evbuffer_remove(input, conn->bytes + conn->have, bytes);
	conn->own_bytes = false;
	conn->have += bytes;
	if (conn->have == 0) {
		conn_enter(conn, CONN_IDLE);
		return;
	}
	/* evhttp is not ready for the next one before this call returns. */
	conn_enter(conn, CONN_HEAD);
	conn->again = true;
	event_active(conn->timer, EV_TIMEOUT, 0);
}

void conn_request(struct conn *conn, struct evhttp_request *evreq)
{
	const struct gate *gate = &conn->gate;
	struct api_request *request = request_new(conn, evreq, gate->head.method == HEAD_HEAD);
	struct api *api = conn->listener->api;
	struct api_call call = gate->call;

	if (request == NULL) {
		conn_close_soon(conn);
		return;
	}
	conn_enter(conn, CONN_CALL);
	conn->request = request;
	evhttp_request_set_on_complete_cb(evreq, on_complete, conn);
	if (gate->status != 0) {
		TG_AUTO_FREE char *text = gate_print(gate);

		request_refuse(request, gate->status, gate->allow[0] == '\0' ? NULL : gate->allow, text);
		return;
	}
	if (gate->row->openapi) {
		request_describe(request);
		return;
	}
	call.body = conn->body.bytes;
	call.body_bytes = conn->body.have;

	/* An answer during the call, which may end the connection, must not pull its texts away. */
	char *head = conn->head;

	conn->head = NULL;
	request_keep_body(request, &conn->body);
	api->options.on_call(request, &call, api->options.arg);
	free(head);
}

void conn_answered(struct conn *conn, struct body *body)
{
	conn->request = NULL;
	conn_streams(conn);
	conn->body = *body;
	*body = (struct body){ 0 };
}

void conn_streams(struct conn *conn)
{
	conn_drop_request(conn);
	conn_enter(conn, CONN_SEND);
	event_del(conn->timer); /* on_output() sets it while there is something to send */
}
