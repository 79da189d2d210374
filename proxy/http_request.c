#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <event2/event.h>

#include "base/fd.h"
#include "proxy/http_exchange.h"
#include "proxy/proxy_protocol.h"

/* Host or network were removed. */
static void on_host_gone(struct host_use *use)
{
	http_conn_finish((struct http_conn *)((char *)use - offsetof(struct http_conn, use)), true);
}

static void on_upstream_done(struct upstream *u, enum upstream_result result);
static void on_upstream(struct wire *wire, short what);

static void upstream_begin(struct http_conn *c)
{
	c->retry = false;
	c->dropped = false;
	http_conn_enter(c, HTTP_STATE_CONNECT);
	upstream_connect(&c->upstream, c->worker, c->use.host, on_upstream_done);
}

/* The request is with upstream, or on its way. */
static void request_sent(struct http_conn *c)
{
	bool whole = c->dropped || (http_body_is_done(&c->request) && http_kept_bytes(&c->up) == 0);

	if (c->state == HTTP_STATE_REQUEST ? whole : c->state != HTTP_STATE_BODY)
		http_conn_enter(c, whole ? HTTP_STATE_RESPONSE : HTTP_STATE_REQUEST);
}

/* Upstream does not read on: it may have answered already. */
static void request_drop(struct http_conn *c)
{
	http_kept_clear(&c->up);
	c->dropped = true;
	c->keeps = false;
	c->upstream.wire.ready |= EV_READ;
}

static void request_flush(struct http_conn *c)
{
	size_t sent;

	if (http_kept_send(&c->up, c->upstream.wire.fd, c->retry, &sent) == -1)
		request_drop(c);
	else if (sent > 0 && c->state == HTTP_STATE_REQUEST)
		timer_put_off(c->worker->timers, &c->timer, HTTP_IDLE_MS);
	request_sent(c);
}

/* The PROXY protocol's header goes before the request. */
static int proxy_header_send(struct http_conn *c)
{
	char   header[PROXY_PROTOCOL_MOST];
	size_t bytes;

	if (c->use.host->proxy_protocol == 0)
		return 0;
	bytes = proxy_protocol_print_of(c->use.host->proxy_protocol, &c->peer, c->client.fd, header);
	/* A socket that was just made has room for it.  MSG_MORE: in one segment with the request. */
	if (send(c->upstream.wire.fd, header, bytes, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE) !=
	    (ssize_t)bytes)
		return -1;
	return 0;
}

static void on_upstream_done(struct upstream *u, enum upstream_result result)
{
	struct http_conn *c = (struct http_conn *)((char *)u - offsetof(struct http_conn, upstream));
	enum http_step    step = HTTP_STEP_MOVED;

	switch (result) {
	case UPSTREAM_CONNECTED:
		wire_give(&u->wire, on_upstream, c);
		c->attached = true;
		if (proxy_header_send(c) == -1) {
			step = http_conn_answer(c, 502);
			break;
		}
		http_conn_enter(c, HTTP_STATE_REQUEST);
		request_flush(c);
		break;
	case UPSTREAM_REFUSED:
		step = http_conn_answer(c, 502);
		break;
	case UPSTREAM_TIMED_OUT:
		step = http_conn_answer(c, 504);
		break;
	case UPSTREAM_NO_SOCKET:
		step = http_conn_answer(c, 503);
		break;
	}
	if (step != HTTP_STEP_GONE)
		http_conn_run(c);
}

static void on_upstream(struct wire *wire, short what)
{
	struct http_conn *c = wire->owner;

	/* Between two requests upstream has nothing to say but goodbye. */
	if ((what & EV_READ) != 0 && (c->state == HTTP_STATE_IDLE || c->state == HTTP_STATE_HEAD)) {
		http_conn_detach(c);
		return;
	}
	if ((what & EV_WRITE) != 0 && http_kept_bytes(&c->up) > 0)
		request_flush(c);
	http_conn_run(c);
}

/* Whether the kept connection is still good: for a request that must not be sent twice. */
static bool upstream_is_alive(const struct http_conn *c)
{
	char byte;

	return recv(c->upstream.wire.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == -1 && errno == EAGAIN;
}

static bool method_is_idempotent(enum http_method method)
{
	switch (method) {
	case HTTP_METHOD_GET:
	case HTTP_METHOD_HEAD:
	case HTTP_METHOD_PUT:
	case HTTP_METHOD_DELETE:
	case HTTP_METHOD_OPTIONS:
	case HTTP_METHOD_TRACE:
		return true;
	case HTTP_METHOD_POST:
	case HTTP_METHOD_CONNECT:
	case HTTP_METHOD_OTHER:
		return false;
	}
	return false;
}

/* Sends a head in http->out and the body's bytes behind it, over the kept connection or a new one. */
static enum http_step request_send(struct http_conn *c, bool may_retry, struct iovec parts[2])
{
	size_t sent = 0;

	if (c->attached && !may_retry && !upstream_is_alive(c))
		http_conn_detach(c);
	c->reused = c->attached;
	if (c->attached && http_kept_write(&c->up, c->upstream.wire.fd, parts, 2, &sent) == 0) {
		if (may_retry && http_kept_bytes(&c->up) == 0 && http_kept_put(&c->up, parts[0].iov_base,
		                                                               parts[0].iov_len) == 0) {
			c->up.at = c->up.end;
			c->retry = true;
		}
		request_sent(c);
		return HTTP_STEP_MOVED;
	}
	if (sent > 0)
		return http_conn_answer(c, 502);
	/* No connection, or it took not a byte: nothing is lost. */
	http_conn_detach(c);
	if (http_kept_put(&c->up, parts[0].iov_base, parts[0].iov_len) == -1 ||
	    http_kept_put(&c->up, parts[1].iov_base, parts[1].iov_len) == -1)
		return http_conn_answer(c, 503);
	upstream_begin(c);
	return HTTP_STEP_MOVED;
}

enum http_step http_request_again(struct http_conn *c, bool reset)
{
	struct http_kept request;

	if (!c->retry) {
		if (reset && !c->reused)
			upstream_failed(c->worker, c->use.host, &c->upstream.peer);
		return http_conn_answer(c, 502);
	}
	request = c->up;
	c->up = (struct http_kept){ 0 };
	http_conn_detach(c);
	c->up = request;
	c->up.at = 0;
	upstream_begin(c);
	return HTTP_STEP_MOVED;
}

/* Counts the connection when it comes to this host for the first time. */
static void host_count_first(struct http_conn *c)
{
	const struct http_seen host = { .slot = c->use.host->slot, .name_hash = c->use.host->name_hash };

	for (unsigned i = 0; i < c->seen_count; i++)
		if (c->seen[i].slot == host.slot && c->seen[i].name_hash == host.name_hash)
			return;
	host_count_connection(&c->use);
	/* In powers of two.  When there is no memory or no room, the connection ends before it could be
	 * counted twice. */
	if ((c->seen_count & (c->seen_count - 1)) == 0) {
		size_t            room = c->seen_count == 0 ? 1 : c->seen_count * 2U;
		struct http_seen *grown = room > HTTP_HOSTS_MOST ? NULL
		                                                 : realloc(c->seen, room * sizeof(*grown));

		if (grown == NULL) {
			c->close = true;
			return;
		}
		c->seen = grown;
	}
	c->seen[c->seen_count++] = host;
}

/* Finds the host of this request and makes it the connection's.  0, or the status to answer. */
static unsigned request_route(struct http_conn *c, const struct http_head *head, const char *bytes,
                              char name[MSG_HOST_MOST])
{
	enum host_result result = HOST_OK;

	switch (http_forward_host(head, bytes, name)) {
	case HTTP_HOST_BAD:
		c->close = true;
		return 400;
	case HTTP_HOST_ADDRESS:
		result = HOST_UNKNOWN;
		break;
	case HTTP_HOST_NAME:
		if (host_is(&c->use, ROUTES_HTTP, name))
			return 0;
		break;
	}
	/* Another host, or another upstream of it: nothing of the old one may be reused. */
	http_conn_detach(c);
	host_leave(&c->use);
	if (result == HOST_OK)
		result = host_enter(c->worker, ROUTES_HTTP, name, &c->use, on_host_gone);
	switch (result) {
	case HOST_OK:
		return 0;
	case HOST_UNKNOWN:
		return 404;
	case HOST_DOWN:
		return 502;
	case HOST_FULL:
	case HOST_NO_MEMORY:
		return 503;
	}
	return 503;
}

static enum http_step request_redirect(struct http_conn *c, const struct http_head *head, const char *bytes,
                                       const char *name)
{
	char        *out = c->worker->http->out;
	struct iovec part = { .iov_base = out };

	c->close |= !http_body_is_done(&c->request) || c->worker->draining;
	part.iov_len = http_forward_redirect(out, head, bytes, name,
	                                     c->close ? HTTP_CONNECTION_CLOSE :
	                                     c->http_1_0 ? HTTP_CONNECTION_KEEP_ALIVE : HTTP_CONNECTION_NONE);
	c->response = (struct http_body){ .kind = HTTP_BODY_NONE };
	c->answered = true;
	http_conn_enter(c, HTTP_STATE_BODY);
	return http_conn_say(c, &part, 1) == -1 ? http_conn_finish(c, true) : HTTP_STEP_MOVED;
}

/* What is left of an earlier exchange goes; what this request says of itself comes. */
static void request_begin(struct http_conn *c, const struct http_head *head, const char *bytes)
{
	http_body_of_request(&c->request, head);
	c->close = !http_head_persists(head);
	c->http_1_0 = head->minor == 0;
	c->to_head = head->method == HTTP_METHOD_HEAD;
	c->upgrade = http_forward_upgrades(head, bytes);
	c->interim = 0;
	c->retry = false;
	c->dropped = false;
	c->answered = false;
	c->keeps = true;
}

/* A head, whole, and what followed it: `len` bytes together. */
static enum http_step request_take(struct http_conn *c, const struct http_head *head, const char *bytes,
                                   size_t len)
{
	char         name[MSG_HOST_MOST];
	char        *out = c->worker->http->out;
	struct iovec parts[2] = { { .iov_base = out }, { 0 } };
	size_t       used = 0;
	unsigned     status;

	request_begin(c, head, bytes);
	if (head->method == HTTP_METHOD_CONNECT) {
		c->close = true;
		return http_conn_answer(c, 405);
	}
	status = request_route(c, head, bytes, name);
	if (c->use.host != NULL)
		host_count_first(c);
	host_received(&c->use, head->bytes);

	if (c->use.host != NULL && c->use.host->redirect_to_https && status != 503) {
		if (!http_forward_is_acme(head, bytes)) {
			if (http_kept_put(&c->in, bytes + head->bytes, len - head->bytes) == -1)
				return http_conn_finish(c, true);
			return request_redirect(c, head, bytes, name);
		}
		if (status == 0 && c->use.host->upstreams_count == 0)
			status = 404;
	}
	if (status == 0 &&
	    http_body_read(&c->request, bytes + head->bytes, len - head->bytes, &used) == HTTP_BODY_BAD) {
		c->close = true;
		status = 400;
	}
	host_received(&c->use, used);
	if (http_kept_put(&c->in, bytes + head->bytes + used, len - head->bytes - used) == -1)
		return http_conn_finish(c, true);
	if (status != 0)
		return http_conn_answer(c, status);

	struct http_forward how = {
		.client = c->peer_text,
		.host_header = c->use.host->host_header,
		.upgrade = c->upgrade,
	};

	parts[0].iov_len = http_forward_request(out, head, bytes, &how);
	/* Const is cast away for struct iovec's sake: nobody writes there. */
	parts[1] = (struct iovec){ .iov_base = c->worker->buffer + head->bytes, .iov_len = used };
	return request_send(c, method_is_idempotent(head->method) && c->request.kind == HTTP_BODY_NONE,
	                    parts);
}

static enum http_step request_more(struct http_conn *c, const struct http_head *head, size_t len)
{
	if (http_conn_keep_head(c, head) == -1 || http_kept_put(&c->in, c->worker->buffer, len) == -1)
		return http_conn_finish(c, true);
	if (c->state == HTTP_STATE_IDLE)
		http_conn_enter(c, HTTP_STATE_HEAD);
	return HTTP_STEP_MOVED;
}

enum http_step http_request_refuse(struct http_conn *c, unsigned status)
{
	http_conn_detach(c);
	/* The bytes are no host's. */
	host_leave(&c->use);
	c->request = (struct http_body){ .kind = HTTP_BODY_CLOSE };
	c->close = true;
	c->to_head = false;
	return http_conn_answer(c, status);
}

static enum http_step request_decide(struct http_conn *c, const struct http_head *head,
                                     enum http_head_result result, const char *bytes, size_t len)
{
	switch (result) {
	case HTTP_HEAD_DONE:
		return request_take(c, head, bytes, len);
	case HTTP_HEAD_MORE:
	case HTTP_HEAD_BAD:
		break;
	case HTTP_HEAD_LONG_LINE:
		return http_request_refuse(c, 414);
	case HTTP_HEAD_LARGE:
		return http_request_refuse(c, 431);
	}
	return http_request_refuse(c, 400);
}

enum http_step http_request_head(struct http_conn *c)
{
	struct http_head     *head = c->partial;
	const char           *bytes = (const char *)c->worker->buffer;
	enum http_head_result result;
	enum http_step        step;
	size_t                len;

	step = http_conn_hear(c, false, &len);
	if (step != HTTP_STEP_MOVED)
		return step;
	if (head == NULL) {
		head = &c->worker->http->head;
		http_head_init(head, HTTP_KIND_REQUEST);
	}
	result = http_head_read(head, bytes, len);
	if (result == HTTP_HEAD_MORE)
		return request_more(c, head, len);

	/* What follows may free the connection, but needs the head. */
	struct http_head *partial = tg_take_ptr(&c->partial);

	step = request_decide(c, head, result, bytes, len);
	free(partial);
	return step;
}

static enum http_step request_broken(struct http_conn *c)
{
	if (c->answered)
		return http_conn_finish(c, true);
	c->close = true;
	return http_conn_answer(c, 400);
}

enum http_step http_request_pump(struct http_conn *c)
{
	struct iovec          part = { .iov_base = c->worker->buffer };
	enum http_body_result result;
	enum http_step        step;
	size_t                len, sent;

	if (http_body_is_done(&c->request) || !c->attached || c->dropped || http_kept_bytes(&c->up) > 0)
		return HTTP_STEP_WAIT;
	step = http_conn_hear(c, true, &len);
	if (step != HTTP_STEP_MOVED)
		return step;
	result = http_body_read(&c->request, (const char *)c->worker->buffer, len, &part.iov_len);
	host_received(&c->use, part.iov_len);
	if (http_kept_put(&c->in, c->worker->buffer + part.iov_len, len - part.iov_len) == -1)
		return http_conn_finish(c, true);
	if (result == HTTP_BODY_BAD)
		return request_broken(c);
	if (http_kept_write(&c->up, c->upstream.wire.fd, &part, 1, &sent) == -1)
		request_drop(c);
	if (c->state == HTTP_STATE_REQUEST || c->state == HTTP_STATE_BODY)
		timer_put_off(c->worker->timers, &c->timer, HTTP_IDLE_MS);
	request_sent(c);
	return HTTP_STEP_MOVED;
}
