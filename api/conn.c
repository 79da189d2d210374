#include "api/conn.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <openssl/ssl.h>

#include "api/refuse.h"
#include "api/request.h"
#include "api/routes.h"
#include "api/server.h"
#include "base/clock.h"
#include "base/fd.h"

#define AHEAD_MOST  (16U << 10)	/* bytes read of the next requests while one is answered */
#define BODY_FIRST  (64U << 10)
#define PIECE_BYTES (16U << 10)

static unsigned state_ms(const struct conn *conn)
{
	const struct api_limits *limits = &conn->listener->api->limits;

	switch (conn->state) {
	case CONN_IDLE:
		return limits->idle_ms;
	case CONN_HEAD:
		return limits->head_ms;
	case CONN_BODY:
		return limits->body_ms;
	case CONN_SEND:
		return limits->send_ms;
	case CONN_LINGER:
		return limits->linger_ms;
	case CONN_NEW:
	case CONN_HANDED:
	case CONN_CALL:
	case CONN_CLOSE:
		return 0;
	}
	return 0;
}

static void set_timer(struct conn *conn)
{
	unsigned       ms = state_ms(conn);
	struct timeval wait = { ms / 1000, (suseconds_t)(ms % 1000) * 1000 };

	if (ms == 0)
		event_del(conn->timer);
	else
		event_add(conn->timer, &wait);
}

static void enter(struct conn *conn, enum conn_state next)
{
	conn->state = next;
	conn->state_at_ms = tg_clock_ms();
	set_timer(conn);
}

void conn_close_soon(struct conn *conn)
{
	enter(conn, CONN_CLOSE);
	event_active(conn->timer, EV_TIMEOUT, 0);
}

static void drop_request(struct conn *conn)
{
	free(conn->head);
	free(conn->body);
	conn->head = NULL;
	conn->body = NULL;
	conn->body_bytes = 0;
	conn->body_room = 0;
	conn->chunk = (struct chunk){ 0 };
	if (conn->big)
		conn->listener->api->big_bodies--;
	conn->big = false;
}

/* Ends with a refusal of its own making, past evhttp. */
static void refuse(struct conn *conn)
{
	drop_request(conn);
	conn->have = 0;
	enter(conn, CONN_LINGER);
	if (refuse_write(conn) == -1)
		conn_close_soon(conn);
}

static void refuse_with(struct conn *conn, enum api_error error, const char *message)
{
	gate_refuse(&conn->gate, error, message);
	refuse(conn);
}

/* Makes room for `more` bytes.  -1: out of memory. */
static int grow(char **buffer, size_t *room, size_t have, size_t more, size_t first)
{
	size_t wanted = *room == 0 ? first : *room;
	char  *larger;

	while (wanted < have + more)
		wanted *= 2;
	if (wanted == *room)
		return 0;
	larger = realloc(*buffer, wanted);
	if (larger == NULL)
		return -1;
	*buffer = larger;
	*room = wanted;
	return 0;
}

/* Tells evhttp of a request that is here whole: in words that mean the same to everybody. */
static void hand_over(struct conn *conn)
{
	const struct head *head = &conn->gate.head;
	struct evbuffer   *input = bufferevent_get_input(conn->bev);
	char               text[96];
	int                len;
	bool               close = !head->keep_alive || conn->gate.close;
	bool               own_bytes = conn->own_bytes;

	len = snprintf(text, sizeof(text), "%s / HTTP/1.%u\r\nConnection: %s\r\n\r\n",
	               head->method == HEAD_HEAD ? "HEAD" : "GET", head->minor, close ? "close" : "keep-alive");
	conn->own_bytes = true;
	if (evbuffer_prepend(input, text, (size_t)len) == -1)
		conn_close_soon(conn);
	else
		enter(conn, CONN_HANDED);
	conn->own_bytes = own_bytes;
}

static int add_body(struct conn *conn, const char *data, size_t bytes)
{
	struct api              *api = conn->listener->api;
	const struct api_limits *limits = &api->limits;

	if (bytes > limits->body_bytes - conn->body_bytes) {
		refuse_with(conn, API_TOO_LARGE, "the body is larger than a document may be");
		return -1;
	}
	if (!conn->big && conn->body_bytes + bytes > limits->big_body_bytes) {
		if (api->big_bodies >= limits->big_bodies) {
			refuse_with(conn, API_NOT_READY, "too many large bodies at a time");
			return -1;
		}
		api->big_bodies++;
		conn->big = true;
	}
	if (grow(&conn->body, &conn->body_room, conn->body_bytes, bytes, BODY_FIRST) == -1) {
		refuse_with(conn, API_NOT_READY, "out of memory");
		return -1;
	}
	memcpy(conn->body + conn->body_bytes, data, bytes);
	conn->body_bytes += bytes;
	return 0;
}

/* Takes what belongs to the body from the front of `text`.  Returns how much that was; the state says
 * what became of it. */
static size_t read_chunked(struct conn *conn, const char *text, size_t bytes)
{
	enum chunk_result result = CHUNK_MORE;
	size_t            at = 0;

	while (at < bytes && result == CHUNK_MORE) {
		const char *data = NULL;
		size_t      taken = 0, data_bytes = 0;

		result = chunk_read(&conn->chunk, text + at, bytes - at, &taken, &data, &data_bytes);
		if (result == CHUNK_MALFORMED) {
			refuse_with(conn, API_BAD_REQUEST, "the body is not chunked as it says");
			return bytes;
		}
		if (data_bytes > 0 && add_body(conn, data, data_bytes) == -1)
			return bytes;
		at += taken;
	}
	if (result == CHUNK_DONE)
		hand_over(conn);
	return at;
}

static size_t read_body(struct conn *conn, const char *text, size_t bytes)
{
	uint64_t left;

	if (conn->gate.head.chunked)
		return read_chunked(conn, text, bytes);
	left = conn->gate.head.length - conn->body_bytes;
	if (bytes > left)
		bytes = (size_t)left;
	if (bytes > 0 && add_body(conn, text, bytes) == -1)
		return bytes;
	if (conn->body_bytes == conn->gate.head.length)
		hand_over(conn);
	return bytes;
}

/* A body this large is refused before it comes, and its place is taken before others can. */
static bool reserve(struct conn *conn)
{
	struct api *api = conn->listener->api;

	if (conn->gate.head.length <= api->limits.big_body_bytes)
		return true;
	if (api->big_bodies >= api->limits.big_bodies)
		return false;
	api->big_bodies++;
	conn->big = true;
	return true;
}

static void ask_for_body(struct conn *conn)
{
	enter(conn, CONN_BODY);
	if (conn->gate.head.expect_continue && conn->have == 0)
		refuse_continue(conn);
}

/* A whole head of `end` bytes stands at the front of what has come. */
static void read_head(struct conn *conn, size_t end)
{
	const struct api  *api = conn->listener->api;
	const struct head *head = &conn->gate.head;

	drop_request(conn);
	conn->head = malloc(end + 1);
	if (conn->head == NULL) {
		conn_close_soon(conn);
		return;
	}
	memcpy(conn->head, conn->bytes, end);
	gate_check(conn->head, end, conn->listener->local, api->tokens, &api->limits, &conn->gate);

	conn->have -= end;
	conn->seen = 0;
	memmove(conn->bytes, conn->bytes + end, conn->have);
	if (conn->gate.status != 0) {
		if (conn->gate.close)
			refuse(conn);
		else
			hand_over(conn);
		return;
	}
	if (!head->chunked && head->length == 0) {
		hand_over(conn);
		return;
	}
	if (!reserve(conn)) {
		refuse_with(conn, API_NOT_READY, "too many large bodies at a time");
		return;
	}
	ask_for_body(conn);
}

static void look_for_head(struct conn *conn)
{
	size_t           end = 0;
	enum head_result result = head_find_end(conn->bytes, conn->have, &conn->seen, &end);

	switch (result) {
	case HEAD_OK:
		read_head(conn, end);
		return;
	case HEAD_MORE:
		if (conn->state == CONN_IDLE)
			enter(conn, CONN_HEAD);
		return;
	case HEAD_MALFORMED:
	case HEAD_TOO_LARGE:
	case HEAD_BAD_VERSION:
	case HEAD_BAD_CODING:
	case HEAD_BAD_EXPECT:
		conn->gate = (struct gate){ 0 };
		gate_refuse_head(&conn->gate, result);
		refuse(conn);
		return;
	}
}

/* Goes as far as what has come allows, one request at most: the next one waits for the answer. */
static void advance(struct conn *conn)
{
	if (conn->have > 0 && (conn->state == CONN_IDLE || conn->state == CONN_HEAD))
		look_for_head(conn);
	if (conn->have > 0 && conn->state == CONN_BODY) {
		size_t taken = read_body(conn, conn->bytes, conn->have);

		/* A refusal has thrown away all there was. */
		if (conn->have >= taken) {
			conn->have -= taken;
			memmove(conn->bytes, conn->bytes + taken, conn->have);
		}
	}
}

static void take(struct conn *conn, const char *text, size_t bytes)
{
	if (conn->state == CONN_LINGER || conn->state == CONN_CLOSE)
		return;
	if (conn->state == CONN_BODY && conn->have == 0) {
		size_t taken = read_body(conn, text, bytes);

		text += taken;
		bytes -= taken;
		if (conn->state == CONN_BODY)
			set_timer(conn);
	}
	if (bytes == 0 || conn->state == CONN_LINGER || conn->state == CONN_CLOSE)
		return;
	if (grow(&conn->bytes, &conn->room, conn->have, bytes, 1024) == -1) {
		conn_close_soon(conn);
		return;
	}
	memcpy(conn->bytes + conn->have, text, bytes);
	conn->have += bytes;
	conn->again = false;
	advance(conn);
}

/* Takes all bytes out of the bufferevent's input before evhttp is called with them. */
static void take_input(struct conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	char             piece[PIECE_BYTES];
	int              bytes;

	conn->own_bytes = true;
	/* Once a request is handed over its head stands in the input, in front of what else comes. */
	while (conn->state != CONN_HANDED && (bytes = evbuffer_remove(input, piece, sizeof(piece))) > 0)
		take(conn, piece, (size_t)bytes);
	conn->own_bytes = false;
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
		take_input(conn);
		return;
	case CONN_HANDED:
	case CONN_CALL:
	case CONN_SEND:
		return;		/* bounded by the high-water mark */
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
		set_timer(conn);
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
	set_timer(conn);
	advance(conn);
	if (conn->state == CONN_HANDED)
		bufferevent_trigger(conn->bev, EV_READ, 0);
}

static struct bufferevent *make_bev(const struct api *api, bool local)
{
	struct bufferevent *bev;
	SSL                *ssl;

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

struct conn *conn_new(struct listener *listener)
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
	drop_request(conn);
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

static void end(struct conn *conn)
{
	struct listener    *listener = conn->listener;
	struct api_request *request = conn->request;

	LIST_REMOVE(conn, entry);
	release(conn);
	listener_left(listener);
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
	enter(conn, CONN_HEAD);
	return true;
}

void conn_close(struct conn *conn)
{
	assert(conn->evcon != NULL);
	evhttp_connection_free(conn->evcon);
}

static void on_complete(struct evhttp_request *evreq, void *arg)
{
	struct conn     *conn = arg;
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	size_t           bytes = evbuffer_get_length(input);

	(void)evreq;
	assert(conn->request == NULL);
	bufferevent_setwatermark(conn->bev, EV_READ, 0, 0);
	if (bytes > 0 && grow(&conn->bytes, &conn->room, conn->have, bytes, 1024) == -1) {
		conn_close_soon(conn);
		return;
	}
	conn->own_bytes = true;
	evbuffer_remove(input, conn->bytes + conn->have, bytes);
	conn->own_bytes = false;
	conn->have += bytes;
	if (conn->have == 0) {
		enter(conn, CONN_IDLE);
		return;
	}
	/* evhttp is not ready for the next one before this call returns. */
	enter(conn, CONN_HEAD);
	conn->again = true;
	event_active(conn->timer, EV_TIMEOUT, 0);
}

void conn_request(struct conn *conn, struct evhttp_request *evreq)
{
	const struct gate  *gate = &conn->gate;
	struct api_request *request = request_new(conn, evreq, gate->head.method == HEAD_HEAD);
	struct api         *api = conn->listener->api;
	struct api_call     call = gate->call;

	if (request == NULL) {
		conn_close_soon(conn);
		return;
	}
	enter(conn, CONN_CALL);
	conn->request = request;
	bufferevent_setwatermark(conn->bev, EV_READ, 0, AHEAD_MOST);
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
	call.body = conn->body;
	call.body_bytes = conn->body_bytes;

	/* An answer during the call, which may end the connection, must not pull its texts away. */
	char *head = conn->head;
	char *body = conn->body;

	conn->head = NULL;
	conn->body = NULL;
	api->options.on_call(request, &call, api->options.arg);
	free(head);
	free(body);
}

void conn_answered(struct conn *conn)
{
	conn->request = NULL;
	conn_streams(conn);
}

void conn_streams(struct conn *conn)
{
	drop_request(conn);
	enter(conn, CONN_SEND);
	event_del(conn->timer);		/* on_output() sets it while there is something to send */
}
