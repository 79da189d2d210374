#include "api/intake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>

#include "api/conn.h"
#include "api/refuse.h"
#include "api/server.h"

#define BYTES_FIRST 1024
#define PIECE_BYTES (16U << 10)
#define STRAIGHT_BYTES (1U << 20) /* of a body, in one turn of the loop */

/* Ends with a refusal of its own making, past evhttp. */
static void refuse(struct conn *conn)
{
	conn_drop_request(conn);
	conn->have = 0;
	conn_enter(conn, CONN_LINGER);
	if (refuse_write(conn) == -1)
		conn_close_soon(conn);
}

static void refuse_with(struct conn *conn, enum api_error error, const char *message)
{
	gate_refuse(&conn->gate, error, message);
	refuse(conn);
}

/* Tells evhttp of a request that is here whole: in words that mean the same to everybody. */
static void hand_over(struct conn *conn)
{
	const struct head *head = &conn->gate.head;
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	char text[96];
	int len;
	bool close = !head->keep_alive || conn->gate.close;
	bool own_bytes = conn->own_bytes;

	len = snprintf(text, sizeof(text), "%s %s HTTP/1.%u\r\nConnection: %s\r\n\r\n",
	               head->method == HEAD_HEAD ? "HEAD" : "GET", conn->listener->api->path, head->minor,
	               close ? "close" : "keep-alive");
	conn->own_bytes = true;
	if (evbuffer_prepend(input, text, (size_t)len) == -1)
		conn_close_soon(conn);
	else
		conn_enter(conn, CONN_HANDED);
	conn->own_bytes = own_bytes;
}

/* Takes what belongs to the body from the front of `text`.  Returns how much that was; the state says
 * what became of it. */
static size_t read_body(struct conn *conn, const char *text, size_t bytes)
{
	struct api *api = conn->listener->api;
	const struct head *head = &conn->gate.head;
	size_t taken = 0;

	switch (body_read(&conn->body, head->chunked, head->length, text, bytes, &api->limits,
	                  &api->big_bodies, &taken)) {
	case BODY_MORE:
		break;
	case BODY_DONE:
		hand_over(conn);
		break;
	case BODY_MALFORMED:
		refuse_with(conn, API_BAD_REQUEST, "the body is not chunked as its head says");
		return bytes;
	case BODY_TOO_LARGE:
		refuse_with(conn, API_TOO_LARGE, "the body is larger than a document may be");
		return bytes;
	case BODY_CROWDED:
		refuse_with(conn, API_NOT_READY, "too many large bodies at a time");
		return bytes;
	case BODY_NO_MEMORY:
		refuse_with(conn, API_NOT_READY, "out of memory");
		return bytes;
	}
	return taken;
}

static void ask_for_body(struct conn *conn)
{
	conn_enter(conn, CONN_BODY);
	if (conn->gate.head.expect_continue && conn->have == 0)
		refuse_continue(conn);
}

/* A whole head of `end` bytes stands at the front of what has come. */
static void read_head(struct conn *conn, size_t end)
{
	struct api *api = conn->listener->api;
	const struct head *head = &conn->gate.head;

	conn_drop_request(conn);
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
	/* A place is taken before the body comes: there is no use in beginning it without. */
	if (head->length > api->limits.big_body_bytes &&
	    body_reserve(&conn->body, &api->limits, &api->big_bodies) == BODY_CROWDED) {
		refuse_with(conn, API_NOT_READY, "too many large bodies at a time");
		return;
	}
	ask_for_body(conn);
}

static void look_for_head(struct conn *conn)
{
	size_t end = 0;
	enum head_result result = head_find_end(conn->bytes, conn->have, &conn->seen, &end);

	switch (result) {
	case HEAD_OK:
		read_head(conn, end);
		return;
	case HEAD_MORE:
		if (conn->state == CONN_IDLE)
			conn_enter(conn, CONN_HEAD);
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

void intake_next(struct conn *conn)
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
			conn_set_timer(conn);
	}
	if (bytes == 0 || conn->state == CONN_LINGER || conn->state == CONN_CLOSE)
		return;
	if (body_grow(&conn->bytes, &conn->room, conn->have, bytes, BYTES_FIRST) == -1) {
		conn_close_soon(conn);
		return;
	}
	memcpy(conn->bytes + conn->have, text, bytes);
	conn->have += bytes;
	if (conn->again) {
		/* Set anew, the timer does not go off: without a look to take it ends the connection. */
		conn->again = false;
		conn_set_timer(conn);
	}
	intake_next(conn);
}

/* Of what comes libevent reads 4,096 bytes in a turn of the loop, which are then copied twice.  What else
 * there is of a body goes straight to its place.  An end or an error is left to libevent: it reads again. */
static void read_straight(struct conn *conn)
{
	const struct api_limits *limits = &conn->listener->api->limits;
	const struct head *head = &conn->gate.head;
	size_t room = 0;
	ssize_t bytes;
	char *to;

	if (conn->state != CONN_BODY || conn->have > 0 || head->chunked ||
	    bufferevent_openssl_get_ssl(conn->bev) != NULL)
		return;
	to = body_room(&conn->body, head->length, limits, &room);
	if (to == NULL)
		return;
	bytes = read(bufferevent_getfd(conn->bev), to, room < STRAIGHT_BYTES ? room : STRAIGHT_BYTES);
	if (bytes <= 0)
		return;
	conn->body.have += (size_t)bytes;
	if (conn->body.have == head->length)
		hand_over(conn);
	else
		conn_set_timer(conn);
}

void intake_read(struct conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	char piece[PIECE_BYTES];
	int bytes;

	conn->own_bytes = true;
	/* Once a request is handed over its head stands in the input, in front of what else comes. */
	while (conn->state != CONN_HANDED && (bytes = evbuffer_remove(input, piece, sizeof(piece))) > 0)
		take(conn, piece, (size_t)bytes);
	read_straight(conn);
	conn->own_bytes = false;
}
