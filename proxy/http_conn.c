#include "proxy/http_conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <event2/event.h>

#include "proxy/http_exchange.h"

#define BIT(state) (1U << (state))

static const struct {
	unsigned after;		/* states that may come before it */
	unsigned timeout_ms;	/* 0: somebody else keeps the time */
} states[] = {
	[HTTP_STATE_IDLE]     = { BIT(HTTP_STATE_BODY), HTTP_KEEP_MS },
	[HTTP_STATE_HEAD]     = { BIT(HTTP_STATE_IDLE), HTTP_HEAD_MS },
	[HTTP_STATE_CONNECT]  = { BIT(HTTP_STATE_IDLE) | BIT(HTTP_STATE_HEAD) | BIT(HTTP_STATE_REQUEST) |
	                          BIT(HTTP_STATE_RESPONSE), 0 },
	[HTTP_STATE_REQUEST]  = { BIT(HTTP_STATE_IDLE) | BIT(HTTP_STATE_HEAD) | BIT(HTTP_STATE_CONNECT),
	                          HTTP_IDLE_MS },
	[HTTP_STATE_RESPONSE] = { BIT(HTTP_STATE_IDLE) | BIT(HTTP_STATE_HEAD) | BIT(HTTP_STATE_CONNECT) |
	                          BIT(HTTP_STATE_REQUEST), HTTP_RESPONSE_MS },
	[HTTP_STATE_BODY]     = { BIT(HTTP_STATE_IDLE) | BIT(HTTP_STATE_HEAD) | BIT(HTTP_STATE_CONNECT) |
	                          BIT(HTTP_STATE_REQUEST) | BIT(HTTP_STATE_RESPONSE), HTTP_IDLE_MS },
	[HTTP_STATE_TUNNEL]   = { BIT(HTTP_STATE_RESPONSE), 0 },
	[HTTP_STATE_LINGER]   = { BIT(HTTP_STATE_BODY), HTTP_LINGER_MS },
};

static void on_timeout(struct timer *timer)
{
	struct http_conn *c = (struct http_conn *)((char *)timer - offsetof(struct http_conn, timer));
	enum http_step    step = HTTP_STEP_GONE;

	switch (c->state) {
	case HTTP_STATE_HEAD:
		step = http_request_refuse(c, 408);
		break;
	case HTTP_STATE_REQUEST:
		/* Either the client stopped sending or upstream stopped reading. */
		c->close = true;
		step = http_conn_answer(c, http_kept_bytes(&c->up) > 0 ? 504 : 408);
		break;
	case HTTP_STATE_RESPONSE:
		step = http_conn_answer(c, 504);
		break;
	case HTTP_STATE_IDLE:
	case HTTP_STATE_LINGER:
		step = http_conn_finish(c, false);
		break;
	case HTTP_STATE_BODY:
	case HTTP_STATE_CONNECT:
	case HTTP_STATE_TUNNEL:
		step = http_conn_finish(c, true);
		break;
	}
	if (step != HTTP_STEP_GONE)
		http_conn_run(c);
}

void http_conn_enter(struct http_conn *c, enum http_state next)
{
	assert(states[next].after & BIT(c->state));
	c->state = next;
	if (states[next].timeout_ms == 0)
		timer_stop(&c->timer);
	else if (next != HTTP_STATE_HEAD || c->served)	/* the first head's time runs since accept */
		timer_start(c->worker->timers, &c->timer, states[next].timeout_ms, on_timeout);
}

void http_conn_detach(struct http_conn *c)
{
	upstream_clear(&c->upstream);
	http_kept_clear(&c->up);
	http_kept_clear(&c->back);
	c->attached = false;
	c->retry = false;
	c->reused = false;
	c->upstream_ended = false;
}

enum http_step http_conn_finish(struct http_conn *c, bool reset)
{
	struct worker     *w = c->worker;
	struct tg_endpoint peer = c->peer;

	timer_stop(&c->timer);
	if (c->tunnel != NULL)
		relay_clear(&c->tunnel->relay);
	if (reset) {
		wire_reset(&c->client);
		wire_reset(&c->upstream.wire);
	}
	wire_close(&c->client);
	http_conn_detach(c);
	host_leave(&c->use);

	http_kept_clear(&c->in);
	http_kept_clear(&c->down);
	if (c->next != NULL)
		c->next->previous = c->previous;
	if (c->previous != NULL)
		c->previous->next = c->next;
	else
		w->http->first = c->next;
	free(c->tunnel);
	free(c->partial);
	free(c->seen);
	free(c);
	worker_client_gone(w, &peer);
	return HTTP_STEP_GONE;
}

int http_conn_keep_head(struct http_conn *c, const struct http_head *head)
{
	if (c->partial != NULL)
		return 0;
	c->partial = malloc(sizeof(*c->partial));
	if (c->partial == NULL)
		return -1;
	*c->partial = *head;
	return 0;
}

enum http_fill http_conn_fill(struct http_conn *c, struct http_kept *kept, struct wire *wire, bool *ended,
                              size_t *len)
{
	uint8_t *buffer = c->worker->buffer;
	size_t   have = http_kept_bytes(kept);
	bool     readable = (wire->ready & EV_READ) != 0;

	/* What was kept of a head that is not whole has been looked at. */
	if (!readable && (have == 0 || c->partial != NULL))
		return *ended ? HTTP_FILL_END : HTTP_FILL_NONE;
	assert(have < WORKER_BUFFER_BYTES || c->partial == NULL);
	memcpy(buffer, have > 0 ? kept->data + kept->at : "", have);

	size_t  room = WORKER_BUFFER_BYTES - have;
	ssize_t n = 0;

	if (readable && room > 0) {
		n = recv(wire->fd, buffer + have, room, MSG_DONTWAIT);
		if (n == -1 && errno == EINTR)
			return HTTP_FILL_NONE;	/* unheard of for a socket that does not block */
		if (n == -1 && errno != EAGAIN)
			return HTTP_FILL_RESET;
		*ended = n == 0;
		/* A short read says as much as EAGAIN, unless the end may stand behind the bytes. */
		if (n <= 0 || ((size_t)n < room && !wire->ended))
			wire->ready &= (short)~EV_READ;
	}
	*len = have + (n > 0 ? (size_t)n : 0);
	if (n <= 0 && (have == 0 || c->partial != NULL))
		return *ended ? HTTP_FILL_END : HTTP_FILL_NONE;
	http_kept_clear(kept);
	return HTTP_FILL_BYTES;
}

enum http_step http_conn_hear(struct http_conn *c, bool reset, size_t *len)
{
	switch (http_conn_fill(c, &c->in, &c->client, &c->client_ended, len)) {
	case HTTP_FILL_NONE:
		return HTTP_STEP_WAIT;
	case HTTP_FILL_BYTES:
		return HTTP_STEP_MOVED;
	case HTTP_FILL_END:
	case HTTP_FILL_RESET:
		break;
	}
	return http_conn_finish(c, reset);
}

int http_conn_say(struct http_conn *c, struct iovec *parts, size_t count)
{
	size_t most = 0;
	size_t sent;
	int    result;

	for (size_t i = 0; i < count; i++)
		most += parts[i].iov_len;
	host_sending(&c->use, most);
	result = http_kept_write(&c->down, c->client.fd, parts, count, &sent);
	host_sent(&c->use, sent);
	return result;
}

enum http_step http_conn_answer(struct http_conn *c, unsigned status)
{
	char        *out = c->worker->http->out;
	struct iovec part = { .iov_base = out };

	http_conn_detach(c);
	free(c->partial);
	c->partial = NULL;
	/* What is left of the request's body would be taken for the next request. */
	c->close |= !http_body_is_done(&c->request) || c->worker->draining;
	part.iov_len = http_forward_answer(out, status,
	                                   c->close ? HTTP_CONNECTION_CLOSE :
	                                   c->http_1_0 ? HTTP_CONNECTION_KEEP_ALIVE : HTTP_CONNECTION_NONE,
	                                   c->to_head);
	c->answered = true;
	c->keeps = false;
	c->response = (struct http_body){ .kind = HTTP_BODY_NONE };
	http_conn_enter(c, HTTP_STATE_BODY);
	if (http_conn_say(c, &part, 1) == -1)
		return http_conn_finish(c, true);
	return HTTP_STEP_MOVED;
}

/* The client's connection is to end.  To close it while it still sends would reset it, and the client
 * might lose the answer (RFC 9112 §9.6). */
static enum http_step conn_linger(struct http_conn *c)
{
	bool more = !http_body_is_done(&c->request) || http_kept_bytes(&c->in) > 0 ||
	            (c->client.ready & EV_READ) != 0;

	http_conn_detach(c);
	host_received(&c->use, http_kept_bytes(&c->in));
	if (!more || c->client_ended)
		return http_conn_finish(c, false);
	http_kept_clear(&c->in);
	if (shutdown(c->client.fd, SHUT_WR) == -1)
		return http_conn_finish(c, false);
	http_conn_enter(c, HTTP_STATE_LINGER);
	return HTTP_STEP_MOVED;
}

static enum http_step linger_step(struct http_conn *c)
{
	size_t         len;
	enum http_step step = http_conn_hear(c, false, &len);

	if (step != HTTP_STEP_MOVED)
		return step;
	host_received(&c->use, len);
	c->lingered += (uint32_t)len;
	return c->lingered > HTTP_LINGER_MOST ? http_conn_finish(c, true) : HTTP_STEP_MOVED;
}

/* The answer is with the client: what comes next. */
static enum http_step conn_next(struct http_conn *c)
{
	c->served = true;
	if (c->close || c->worker->draining || !http_body_is_done(&c->request))
		return conn_linger(c);
	if (!c->keeps || c->upstream_ended || (c->upstream.wire.ready & EV_READ) != 0)
		http_conn_detach(c);
	/* A refused use must not serve the next request unasked. */
	if (!c->use.active)
		host_leave(&c->use);
	http_conn_enter(c, HTTP_STATE_IDLE);
	return HTTP_STEP_MOVED;
}

static enum http_step conn_step(struct http_conn *c)
{
	enum http_step up, down;

	switch (c->state) {
	case HTTP_STATE_IDLE:
	case HTTP_STATE_HEAD:
		return http_request_head(c);
	case HTTP_STATE_REQUEST:
	case HTTP_STATE_RESPONSE:
	case HTTP_STATE_BODY:
		up = http_request_pump(c);
		if (up == HTTP_STEP_GONE)
			return up;
		down = http_response_pump(c);
		if (down == HTTP_STEP_GONE)
			return down;
		if (c->state == HTTP_STATE_BODY && http_body_is_done(&c->response) &&
		    http_kept_bytes(&c->down) == 0)
			return conn_next(c);
		return up == HTTP_STEP_MOVED ? up : down;
	case HTTP_STATE_LINGER:
		return linger_step(c);
	case HTTP_STATE_CONNECT:
	case HTTP_STATE_TUNNEL:
		return HTTP_STEP_WAIT;
	}
	return HTTP_STEP_WAIT;
}

void http_conn_run(struct http_conn *c)
{
	for (int i = 0; i < HTTP_STEPS_MOST; i++)
		if (conn_step(c) != HTTP_STEP_MOVED)
			return;
	wire_again(&c->client);
}

/* Whether the client gave up: it reset the connection while its answer was awaited. */
static bool client_is_gone(const struct http_conn *c)
{
	char byte;

	return recv(c->client.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == -1 && errno != EAGAIN &&
	       errno != EINTR;
}

static void on_client(struct wire *wire, short what)
{
	struct http_conn *c = wire->owner;

	if ((what & EV_READ) != 0 && (c->state == HTTP_STATE_CONNECT || c->state == HTTP_STATE_RESPONSE) &&
	    client_is_gone(c)) {
		http_conn_finish(c, true);
		return;
	}
	if ((what & EV_WRITE) != 0 && http_kept_bytes(&c->down) > 0) {
		size_t sent;

		host_sending(&c->use, http_kept_bytes(&c->down));

		int result = http_kept_send(&c->down, wire->fd, false, &sent);

		host_sent(&c->use, sent);
		if (result == -1) {
			http_conn_finish(c, true);
			return;
		}
		if (c->state == HTTP_STATE_BODY)
			timer_put_off(c->worker->timers, &c->timer, HTTP_IDLE_MS);
	}
	http_conn_run(c);
}

static struct http_conns *conns_of(struct worker *w)
{
	if (w->http == NULL)
		w->http = calloc(1, sizeof(*w->http));
	return w->http;
}

void http_conn_accept(struct worker *w, int fd, const struct tg_endpoint *client)
{
	struct http_conns *conns = conns_of(w);
	struct http_conn  *c = conns == NULL ? NULL : calloc(1, sizeof(*c));

	if (c == NULL) {
		evutil_closesocket(fd);
		worker_client_gone(w, client);
		return;
	}
	c->worker = w;
	c->peer = *client;
	if (inet_ntop(client->family, client->bytes, c->peer_text, sizeof(c->peer_text)) == NULL)
		strcpy(c->peer_text, "unknown");
	upstream_init(&c->upstream);
	wire_init(&c->client);
	c->next = conns->first;
	if (conns->first != NULL)
		conns->first->previous = c;
	conns->first = c;

	if (wire_open(&c->client, w->base, fd, on_client, c) == -1) {
		http_conn_finish(c, true);
		return;
	}
	timer_start(w->timers, &c->timer, HTTP_HEAD_MS, on_timeout);
}

void http_conns_drain(struct worker *w)
{
	struct http_conn *next;

	if (w->http == NULL)
		return;
	for (struct http_conn *c = w->http->first; c != NULL; c = next) {
		next = c->next;
		/* One that was just accepted may have sent its first request already. */
		if (c->state == HTTP_STATE_IDLE && c->served && (c->client.ready & EV_READ) == 0)
			http_conn_finish(c, false);
	}
}

void http_conns_free(struct worker *w)
{
	if (w->http == NULL)
		return;
	while (w->http->first != NULL)
		http_conn_finish(w->http->first, true);
	free(w->http);
	w->http = NULL;
}
