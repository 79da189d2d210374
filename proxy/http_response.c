#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <event2/event.h>

#include "base/fd.h"
#include "proxy/http_exchange.h"

/* Upstream broke its promise after a part of its response went out: the client must not take that
 * part for the whole. */
static enum http_step response_broken(struct http_conn *c)
{
	return c->answered ? http_conn_finish(c, true) : http_conn_answer(c, 502);
}

static enum http_step response_ended(struct http_conn *c, bool reset)
{
	c->keeps = false;
	if (!c->answered)
		return c->partial == NULL && c->interim == 0 ? http_request_again(c, reset)
		                                             : http_conn_answer(c, 502);
	if (http_body_is_done(&c->response)) {
		http_conn_detach(c);
		return HTTP_STEP_MOVED;
	}
	if (reset || !http_body_end(&c->response))
		return http_conn_finish(c, true);
	/* It ended with the connection, as announced. */
	c->response = (struct http_body){ .kind = HTTP_BODY_NONE };
	http_conn_detach(c);
	return HTTP_STEP_MOVED;
}

/* The body's bytes at `bytes`, as the client is to see them, into `part`.  `len` may hold more than
 * the body: then upstream cannot be trusted with another request. */
static enum http_body_result body_take(struct http_conn *c, char *bytes, size_t len, struct iovec *part)
{
	enum http_body_result result;
	size_t                used;

	part->iov_base = bytes;
	if (c->http_1_0) {
		result = http_body_strip(&c->response, bytes, len, &used, &part->iov_len);
	} else {
		result = http_body_read(&c->response, bytes, len, &used);
		part->iov_len = used;
	}
	if (result == HTTP_BODY_DONE && used < len)
		c->keeps = false;
	return result;
}

/* After the client got what there was. */
static enum http_step body_sent(struct http_conn *c, enum http_body_result result)
{
	if (result == HTTP_BODY_BAD)
		return http_conn_finish(c, true);
	/* Given back early: a slow client may take long for what is still on its way. */
	if (result == HTTP_BODY_DONE && (!c->keeps || c->close))
		http_conn_detach(c);
	return HTTP_STEP_MOVED;
}

static enum http_connection connection_of(const struct http_conn *c)
{
	if (c->close)
		return HTTP_CONNECTION_CLOSE;
	return c->http_1_0 ? HTTP_CONNECTION_KEEP_ALIVE : HTTP_CONNECTION_NONE;
}

/* A final head at `bytes`, and what came with it. */
static enum http_step response_begin(struct http_conn *c, const struct http_head *head, char *bytes,
                                     size_t len)
{
	char                 *out = c->worker->http->out;
	struct iovec          parts[2] = { { .iov_base = out }, { 0 } };
	enum http_body_result result;

	http_body_of_response(&c->response, head, c->to_head);
	c->keeps = c->keeps && http_head_persists(head) && http_body_is_done(&c->request);
	/* Where the body ends with the connection, to upstream or for a client that knows no chunks, so
	 * does the client's.  So it does when upstream answers before it has all of the request: the
	 * rest may never come. */
	c->close |= c->response.kind == HTTP_BODY_CLOSE || !http_body_is_done(&c->request) ||
	            c->worker->draining || (c->http_1_0 && c->response.kind == HTTP_BODY_CHUNKED);
	parts[0].iov_len = http_forward_response(out, head, bytes, connection_of(c), c->http_1_0);
	result = body_take(c, bytes + head->bytes, len - head->bytes, &parts[1]);
	c->answered = true;
	http_conn_enter(c, HTTP_STATE_BODY);
	if (http_conn_say(c, parts, 2) == -1)
		return http_conn_finish(c, true);
	return body_sent(c, result);
}

static void on_relay_done(struct relay *relay)
{
	struct http_tunnel *tunnel = (struct http_tunnel *)relay;
	struct http_conn   *c = tunnel->conn;

	free(tunnel);
	c->tunnel = NULL;
	http_conn_finish(c, false);
}

/* 101: from here on the bytes are no longer HTTP's. */
static enum http_step response_tunnel(struct http_conn *c, const struct http_head *head, const char *bytes,
                                      size_t len)
{
	struct http_tunnel *tunnel;
	char               *out = c->worker->http->out;
	size_t              out_len = http_forward_response(out, head, bytes, HTTP_CONNECTION_UPGRADE, false);

	assert(out_len + len - head->bytes <= sizeof(c->worker->http->out));
	memcpy(out + out_len, bytes + head->bytes, len - head->bytes);
	out_len += len - head->bytes;

	c->tunnel = tunnel = calloc(1, sizeof(*tunnel));
	if (tunnel == NULL)
		return http_conn_finish(c, true);
	tunnel->conn = c;
	http_conn_enter(c, HTTP_STATE_TUNNEL);
	c->client.ready |= EV_READ;
	c->upstream.wire.ready |= EV_READ;
	relay_start(&tunnel->relay, c->worker, &c->client, &c->upstream.wire, &c->use, on_relay_done);
	if (relay_put_first(&tunnel->relay.down, out, out_len) == -1 ||
	    relay_put_first(&tunnel->relay.up, c->in.data + c->in.at, http_kept_bytes(&c->in)) == -1)
		return http_conn_finish(c, true);
	host_received(&c->use, http_kept_bytes(&c->in));
	http_kept_clear(&c->in);
	http_kept_clear(&c->up);
	relay_run(&tunnel->relay);
	return HTTP_STEP_GONE;	/* or as good as: the relay ends it */
}

/* A head that is not the last one: passed on to clients that know of such. */
static enum http_step response_interim(struct http_conn *c, const struct http_head *head, const char *bytes)
{
	struct iovec part = { .iov_base = c->worker->http->out };

	if (++c->interim > HTTP_INTERIM_MOST)
		return response_broken(c);
	if (c->http_1_0)
		return HTTP_STEP_MOVED;
	part.iov_len = http_forward_response(part.iov_base, head, bytes, HTTP_CONNECTION_NONE, false);
	return http_conn_say(c, &part, 1) == -1 ? http_conn_finish(c, true) : HTTP_STEP_MOVED;
}

/* A whole head. */
static enum http_step response_take(struct http_conn *c, const struct http_head *head, char *bytes,
                                    size_t len)
{
	enum http_step step;

	if (head->status == 101 && c->upgrade && c->state == HTTP_STATE_RESPONSE)
		return response_tunnel(c, head, bytes, len);
	if (head->status == 101)
		return response_broken(c);
	if (head->status >= 200)
		return response_begin(c, head, bytes, len);

	step = response_interim(c, head, bytes);
	if (step == HTTP_STEP_MOVED && c->attached &&
	    http_kept_put(&c->back, bytes + head->bytes, len - head->bytes) == -1)
		return http_conn_finish(c, true);
	return step;
}

static enum http_step response_head(struct http_conn *c, char *bytes, size_t len)
{
	struct http_head     *head = c->partial;
	enum http_head_result result;
	enum http_step        step;

	/* Upstream has begun to answer: a second try might do twice what was asked once. */
	if (c->retry) {
		http_kept_clear(&c->up);
		c->retry = false;
	}
	if (head == NULL) {
		head = &c->worker->http->head;
		http_head_init(head, HTTP_KIND_RESPONSE);
	}
	result = http_head_read(head, bytes, len);
	if (result == HTTP_HEAD_MORE) {
		if (http_conn_keep_head(c, head) == -1 || http_kept_put(&c->back, bytes, len) == -1)
			return http_conn_finish(c, true);
		return HTTP_STEP_MOVED;
	}

	/* What follows may free the connection, but needs the head. */
	struct http_head *partial = tg_take_ptr(&c->partial);

	step = result == HTTP_HEAD_DONE ? response_take(c, head, bytes, len) : http_conn_answer(c, 502);
	free(partial);
	return step;
}

enum http_step http_response_pump(struct http_conn *c)
{
	char                 *bytes = (char *)c->worker->buffer;
	struct iovec          part;
	enum http_body_result result;
	size_t                len;

	if (!c->attached || http_kept_bytes(&c->down) > 0 || (c->answered && http_body_is_done(&c->response)))
		return HTTP_STEP_WAIT;
	switch (http_conn_fill(c, &c->back, &c->upstream.wire, &c->upstream_ended, &len)) {
	case HTTP_FILL_NONE:
		return HTTP_STEP_WAIT;
	case HTTP_FILL_END:
		return response_ended(c, false);
	case HTTP_FILL_RESET:
		return response_ended(c, true);
	case HTTP_FILL_BYTES:
		break;
	}
	if (!c->answered)
		return response_head(c, bytes, len);

	result = body_take(c, bytes, len, &part);
	if (http_conn_say(c, &part, 1) == -1)
		return http_conn_finish(c, true);
	timer_put_off(c->worker->timers, &c->timer, HTTP_IDLE_MS);
	return body_sent(c, result);
}
