/* What the files of an HTTP client connection share: http_conn.c has its life, states and time-outs,
 * http_request.c what comes from the client, http_response.c what comes from upstream. */
#ifndef TOLLGATE_PROXY_HTTP_EXCHANGE_H
#define TOLLGATE_PROXY_HTTP_EXCHANGE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "proxy/host.h"
#include "proxy/http_body.h"
#include "proxy/http_forward.h"
#include "proxy/http_head.h"
#include "proxy/http_kept.h"
#include "proxy/relay.h"
#include "proxy/timer.h"
#include "proxy/upstream.h"
#include "proxy/wire.h"
#include "proxy/worker.h"

struct iovec;

#define HTTP_HEAD_MS	 10000	/* of the first request from accept, of others from their first byte */
#define HTTP_RESPONSE_MS 60000
#define HTTP_KEEP_MS	 75000
#define HTTP_IDLE_MS	 600000
#define HTTP_LINGER_MS	 2000

#define HTTP_INTERIM_MOST 32		/* 1xx responses to one request */
#define HTTP_HOSTS_MOST	  256	/* hosts that one connection may ask for; then it closes */
#define HTTP_LINGER_MOST  (1U << 20)	/* bytes thrown away while a client takes in a refusal */
#define HTTP_STEPS_MOST	  16		/* moves before other connections have their turn */

enum http_state {
	HTTP_STATE_IDLE,	/* between requests: not a byte of the next one */
	HTTP_STATE_HEAD,	/* a part of a head has come */
	HTTP_STATE_CONNECT,	/* upstream.c keeps the time */
	HTTP_STATE_REQUEST,	/* the request is on its way */
	HTTP_STATE_RESPONSE,	/* it is sent: a response head is awaited */
	HTTP_STATE_BODY,	/* a response, or an answer of the gateway's own, is on its way */
	HTTP_STATE_TUNNEL,	/* relay.c has both sockets */
	HTTP_STATE_LINGER,	/* all is said: the client is to take it in before the socket closes */
};

/* A slot may go to another host while a connection lives: the slot alone does not tell them apart. */
struct http_seen {
	uint32_t slot;
	uint32_t name_hash;
};

/* An upgraded connection. */
struct http_tunnel {
	struct relay      relay;
	struct http_conn *conn;
};

struct http_conn {
	struct http_conn  *next, *previous;
	struct worker     *worker;
	struct wire        client;
	struct upstream    upstream;
	struct host_use    use;
	struct timer       timer;
	struct tg_endpoint peer;		/* the client */
	char               peer_text[INET6_ADDRSTRLEN];
	enum http_state    state;

	struct http_kept   in;		/* from the client, not yet used */
	struct http_kept   up;		/* to upstream; what was sent of it is for a second try */
	struct http_kept   back;	/* from upstream, not yet used */
	struct http_kept   down;	/* to the client */
	struct http_head  *partial;	/* of a head in `in` or `back` that is not whole; NULL: none */
	struct http_body   request;
	struct http_body   response;
	struct http_tunnel *tunnel;	/* NULL but in HTTP_STATE_TUNNEL */

	struct http_seen  *seen;	/* hosts that counted this connection */
	uint16_t           seen_count;
	uint16_t           interim;	/* 1xx responses so far */
	uint32_t           lingered;	/* bytes */

	bool client_ended;	/* its FIN was read */
	bool upstream_ended;
	bool attached;		/* upstream.wire is connected and ours */
	bool reused;		/* it had served another request before */
	bool served;		/* a request was answered before */
	bool close;		/* the client's connection ends with this answer */
	bool http_1_0;		/* the client's version */
	bool to_head;		/* the request is a HEAD */
	bool upgrade;		/* the request asks for one */
	bool retry;		/* a second connection may be tried: nothing came back, nothing is lost */
	bool dropped;		/* upstream takes no more of the request */
	bool answered;		/* a final head has gone to the client */
	bool keeps;		/* the upstream connection can take another request */
};

/* http_conn.c's part of the worker. */
struct http_conns {
	struct http_conn *first;
	struct http_head  head;		/* of the message at hand, when it came in one piece */
	/* A head to be sent, and behind it what came with it. */
	char              out[HTTP_HEAD_MOST + HTTP_FORWARD_GROWTH + WORKER_BUFFER_BYTES];
};

/* Steps of a connection: whether it is worth looking again. */
enum http_step {
	HTTP_STEP_WAIT,		/* nothing more to do until a socket or timer calls */
	HTTP_STEP_MOVED,
	HTTP_STEP_GONE,		/* the connection was freed */
};

enum http_fill {
	HTTP_FILL_BYTES,
	HTTP_FILL_NONE,		/* not now */
	HTTP_FILL_END,
	HTTP_FILL_RESET,
};

/* http_conn.c */

void http_conn_enter(struct http_conn *c, enum http_state next);
/* Closes both sides and frees; `reset`: neither may take what it got for whole. */
enum http_step http_conn_finish(struct http_conn *c, bool reset);
/* Does what can be done; the last call of every callback. */
void http_conn_run(struct http_conn *c);
/* What was kept and what the socket has, into the worker's buffer; `kept` is then empty.  Without
 * HTTP_FILL_BYTES nothing is changed, but *ended when the end has come. */
enum http_fill http_conn_fill(struct http_conn *c, struct http_kept *kept, struct wire *wire, bool *ended,
                              size_t *len);
/* As http_conn_fill() from the client: HTTP_STEP_MOVED with bytes; at the end the connection is finished,
 * as http_conn_finish() does. */
enum http_step http_conn_hear(struct http_conn *c, bool reset, size_t *len);
/* Sends to the client and counts.  -1: broken. */
int http_conn_say(struct http_conn *c, struct iovec *parts, size_t count);
/* Answers in the gateway's own name; the upstream connection, if any, is closed. */
enum http_step http_conn_answer(struct http_conn *c, unsigned status);
void http_conn_detach(struct http_conn *c);
/* Puts a copy of `head`, which is not whole, where the next read finds it. */
int http_conn_keep_head(struct http_conn *c, const struct http_head *head);

/* http_request.c */

/* Reads a head and begins its exchange. */
enum http_step http_request_head(struct http_conn *c);
/* Answers in place of a head that can't be read: what follows can't be, either. */
enum http_step http_request_refuse(struct http_conn *c, unsigned status);
/* Moves the body. */
enum http_step http_request_pump(struct http_conn *c);
/* The upstream connection died before any answer: connects again, or answers 502. */
enum http_step http_request_again(struct http_conn *c, bool reset);

/* http_response.c */

enum http_step http_response_pump(struct http_conn *c);

#endif
