/* One client's connection.  evhttp owns its socket and does the answering; a callback on the
 * bufferevent's input takes every byte before evhttp sees it, so that head, token and limits are
 * checked first.  evhttp is then told of a request in a head of our own, without fields or body, once
 * the body is here: there is one reader of the client's bytes, not two that might disagree. */
#ifndef TOLLGATE_API_CONN_H
#define TOLLGATE_API_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "api/body.h"
#include "api/gate.h"

struct api_request;
struct bufferevent;
struct event;
struct evhttp_connection;
struct evhttp_request;
struct api_listener;

enum conn_state {
	CONN_NEW,	/* evhttp is still setting it up */
	CONN_IDLE,	/* between requests */
	CONN_HEAD,
	CONN_BODY,
	CONN_HANDED,	/* evhttp is about to call conn_request() */
	CONN_CALL,	/* the answer is being made */
	CONN_SEND,
	CONN_LINGER,	/* refused: what still comes is thrown away */
	CONN_CLOSE,	/* to be closed from the loop */
};

struct conn {
	LIST_ENTRY(conn)          entry;
	struct api_listener      *listener;	/* borrowed */
	struct bufferevent       *bev;		/* counted */
	struct evhttp_connection *evcon;	/* borrowed; NULL while CONN_NEW */
	struct event             *timer;
	enum conn_state           state;
	uint64_t                  state_at_ms;
	bool                      own_bytes;	/* it is us who change the input */
	bool                      again;	/* the timer was set off to look at `bytes` */
	char                     *bytes;	/* come, not yet understood */
	size_t                    have, room;
	size_t                    seen;		/* looked at for the end of a head */
	char                     *head;		/* of this request; `gate` points into it */
	struct gate               gate;
	struct body               body;
	struct api_request       *request;	/* not answered yet; borrowed */
};

/* With a bufferevent (bev) that has no socket yet.  NULL when out of memory. */
struct conn *conn_new(struct api_listener *listener);
/* Of one that evhttp does not know. */
void conn_free(struct conn *conn);
/* evhttp has made its own connection of `bev`, or failed to (false: the conn is gone). */
bool conn_adopt(struct conn *conn);
/* From the loop, not from a callback of a buffer. */
void conn_close(struct conn *conn);
/* evhttp has the request: takes its answering up. */
void conn_request(struct conn *conn, struct evhttp_request *evreq);
/* The answer begins to be sent: the head is needed no more, `request` is forgotten.  Takes its body, to
 * clear it behind the answer: that may take a while. */
void conn_answered(struct conn *conn, struct body *body);
/* The same for a stream, which is still to be told when the client leaves. */
void conn_streams(struct conn *conn);
/* What is asked ahead of an answer waits in the kernel, past the first bytes.  For after each call that has
 * evhttp send: it reads again then. */
void conn_hold_back(struct conn *conn);
/* For intake.c: the next state and its time-out; the time-out alone, anew; the memory of a request. */
void conn_enter(struct conn *conn, enum conn_state next);
void conn_set_timer(struct conn *conn);
void conn_drop_request(struct conn *conn);
/* Closes it from the loop: something failed. */
void conn_close_soon(struct conn *conn);

#endif
