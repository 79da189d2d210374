#include "api/request.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>

#include "api/body.h"
#include "api/conn.h"
#include "api/errors.h"
#include "api/openapi.h"
#include "api/server.h"
#include "base/fd.h"

struct api_request {
	struct conn *conn;            /* borrowed; NULL once the client has left */
	struct evhttp_request *evreq; /* evhttp's; NULL with conn */
	struct event *turn;           /* calls `more` or `gone` from the loop */
	struct body body;
	unsigned *big_bodies;         /* the API's; borrowed */
	bool head;
	bool streams;
	bool gone_told;
	api_stream_fn *more;
	api_stream_fn *gone;
	void *arg;
};

static void on_turn(evutil_socket_t fd, short what, void *arg);

struct api_request *request_new(struct conn *conn, struct evhttp_request *evreq, bool head)
{
	struct api_request *request = calloc(1, sizeof(*request));

	if (request == NULL)
		return NULL;
	*request = (struct api_request){ .conn = conn, .evreq = evreq, .head = head,
		                         .big_bodies = &conn->listener->api->big_bodies };
	request->turn = event_new(conn->listener->api->base, -1, 0, on_turn, request);
	if (request->turn == NULL) {
		free(request);
		return NULL;
	}
	return request;
}

static void request_free(struct api_request *request)
{
	event_free(request->turn);
	body_clear(&request->body, request->big_bodies);
	free(request);
}

void request_keep_body(struct api_request *request, struct body *body)
{
	request->body = *body;
	*body = (struct body){ 0 };
}

static void tell_gone(struct api_request *request)
{
	if (request->gone_told)
		return;
	request->gone_told = true;
	if (request->gone != NULL)
		request->gone(request, request->arg);
}

void request_left(struct api_request *request)
{
	/* When the client ended it, evhttp leaves its request to us; else it goes with its connection. */
	if (evhttp_request_get_connection(request->evreq) == NULL)
		evhttp_request_free(request->evreq);
	request->conn = NULL;
	request->evreq = NULL;
	if (request->streams)
		tell_gone(request);
}

/* Memory ran out in the middle of an answer. */
static void give_up(struct api_request *request)
{
	request->conn->request = NULL;
	conn_close_soon(request->conn);
	request_free(request);
}

static int add_field(struct api_request *request, const char *name, const char *value)
{
	if (value == NULL)
		return 0;
	return evhttp_add_header(evhttp_request_get_output_headers(request->evreq), name, value);
}

static int add_length(struct api_request *request, size_t bytes)
{
	char text[24];

	snprintf(text, sizeof(text), "%zu", bytes);
	return add_field(request, "Content-Length", text);
}

/* Sends what is in `body`, which is taken out of it (NULL: nothing), and frees the request. */
static void send_whole(struct api_request *request, int status, struct evbuffer *body)
{
	conn_answered(request->conn, &request->body);
	evhttp_send_reply(request->evreq, status, errors_phrase(status), request->head ? NULL : body);
	conn_hold_back(request->conn);
	request_free(request);
}

static void reply_with(struct api_request *request, int status, const char *type, const char *etag,
                       struct evbuffer *body)
{
	if (add_field(request, "Content-Type", type == NULL ? "application/json" : type) == -1 ||
	    add_field(request, "ETag", etag) == -1 || add_length(request, evbuffer_get_length(body)) == -1)
		give_up(request);
	else
		send_whole(request, status, body);
}

void api_reply(struct api_request *request, int status, const char *type, const char *etag, const char *body,
               size_t bytes)
{
	struct evbuffer *buffer;

	assert(!request->streams);
	if (request->conn == NULL) {
		request_free(request);
		return;
	}
	buffer = evbuffer_new();
	if (buffer == NULL || (bytes > 0 && evbuffer_add(buffer, body, bytes) == -1))
		give_up(request);
	else
		reply_with(request, status, type, etag, buffer);
	if (buffer != NULL)
		evbuffer_free(buffer);
}

void api_reply_buffer(struct api_request *request, struct evbuffer *body)
{
	assert(!request->streams);
	if (request->conn == NULL)
		request_free(request);
	else
		reply_with(request, 200, NULL, NULL, body);
}

void api_reply_not_modified(struct api_request *request, const char *etag)
{
	assert(!request->streams);
	if (request->conn == NULL) {
		request_free(request);
		return;
	}
	if (add_field(request, "ETag", etag) == -1) {
		give_up(request);
		return;
	}
	send_whole(request, 304, NULL);
}

void request_refuse(struct api_request *request, int status, const char *allow, const char *body)
{
	if (request->conn != NULL &&
	    (body == NULL || add_field(request, "Allow", allow) == -1 ||
	     (status == 503 && add_field(request, "Retry-After", REQUEST_RETRY_AFTER) == -1))) {
		give_up(request);
		return;
	}
	api_reply(request, status, NULL, NULL, body, body == NULL ? 0 : strlen(body));
}

void api_reply_error(struct api_request *request, enum api_error error, const char *message,
                     const struct model_faults *details)
{
	TG_AUTO_FREE char *body = errors_print_faults(errors_code(error), message, details);

	request_refuse(request, errors_status(error), NULL, body);
}

void request_describe(struct api_request *request)
{
	TG_AUTO_FREE char *body = openapi_print();

	request_refuse(request, 200, NULL, body);
}

/* A stream's first and last call come from the loop: whoever began it has returned by then. */
static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct api_request *request = arg;

	(void)fd;
	(void)what;
	if (request->conn == NULL)
		tell_gone(request);
	else if (request->more != NULL)
		request->more(request, request->arg);
}

static void on_sent(struct evhttp_connection *evcon, void *arg)
{
	struct api_request *request = arg;

	(void)evcon;
	if (request->more != NULL)
		request->more(request, request->arg);
}

/* The client of a HEAD has all it wants: for who streams, it is as if it had left. */
static void stream_head_only(struct api_request *request)
{
	struct conn *conn = request->conn;
	struct evhttp_request *evreq = request->evreq;

	conn_answered(conn, &request->body);
	request->conn = NULL;
	request->evreq = NULL;
	evhttp_send_reply(evreq, 200, errors_phrase(200), NULL);
	conn_hold_back(conn);
	event_active(request->turn, EV_TIMEOUT, 0);
}

void api_stream_begin(struct api_request *request, const char *type, int64_t stop_time, api_stream_fn *more,
                      api_stream_fn *gone, void *arg)
{
	char stop[24];

	assert(!request->streams);
	request->streams = true;
	request->more = more;
	request->gone = gone;
	request->arg = arg;
	if (request->conn == NULL) {
		event_active(request->turn, EV_TIMEOUT, 0);
		return;
	}
	snprintf(stop, sizeof(stop), "%lld", (long long)stop_time);
	if (add_field(request, "Content-Type", type) == -1 ||
	    add_field(request, "Cache-Control", "no-store") == -1 ||
	    (stop_time >= 0 && add_field(request, "Tollgate-Stop-Time", stop) == -1)) {
		/* Its end tells the request that the client is gone. */
		conn_close_soon(request->conn);
		return;
	}
	if (request->head) {
		stream_head_only(request);
		return;
	}
	conn_streams(request->conn);
	evhttp_send_reply_start(request->evreq, 200, errors_phrase(200));
	conn_hold_back(request->conn);
	event_active(request->turn, EV_TIMEOUT, 0);
}

void api_stream_chunk(struct api_request *request, const char *data, size_t bytes)
{
	struct evbuffer *buffer;

	assert(request->streams);
	if (request->conn == NULL || request->conn->state != CONN_SEND)
		return;
	buffer = evbuffer_new();
	if (buffer == NULL || evbuffer_add(buffer, data, bytes) == -1) {
		conn_close_soon(request->conn);
	} else {
		evhttp_send_reply_chunk_with_cb(request->evreq, buffer, on_sent, request);
		conn_hold_back(request->conn);
	}
	if (buffer != NULL)
		evbuffer_free(buffer);
}

void api_stream_end(struct api_request *request, bool whole)
{
	struct conn *conn = request->conn;
	struct evhttp_request *evreq = request->evreq;

	assert(request->streams);
	request_free(request);
	if (conn == NULL)
		return;
	conn->request = NULL;
	if (!whole || conn->state != CONN_SEND) {
		conn_close_soon(conn);
		return;
	}

	/* What is not kept may end within the call. */
	bool kept = conn->gate.head.keep_alive;

	evhttp_send_reply_end(evreq);
	if (kept)
		conn_hold_back(conn);
}

size_t api_stream_waiting(const struct api_request *request)
{
	if (request->conn == NULL)
		return 0;
	return evbuffer_get_length(bufferevent_get_output(request->conn->bev));
}
