#include "proxy/tls_conn.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "proxy/alert.h"
#include "proxy/host.h"
#include "proxy/proxy_protocol.h"
#include "proxy/relay.h"
#include "proxy/sni.h"
#include "proxy/upstream.h"
#include "proxy/wire.h"
#include "proxy/worker.h"

#define BIT(n)	     (1U << (n))
#define REFUSED_MOST 65536	/* bytes that a client who was sent an alert may still send */

_Static_assert(WORKER_BUFFER_BYTES >= SNI_BYTES_MOST, "a hello is looked at in the worker's buffer");

enum conn_state {
	CONN_NEW,
	CONN_HELLO,	/* the hello comes; it stays in the kernel until it is relayed */
	CONN_CONNECT,	/* a socket of the network, then the upstream */
	CONN_RELAY,
	CONN_REFUSED,	/* was sent an alert, which closing at once might take from it again */
};

static const struct {
	unsigned after;		/* states that may come before it */
	unsigned timeout_ms;	/* 0: upstream or relay have their own */
} conn_states[] = {
	[CONN_NEW]     = { 0,                              0 },
	[CONN_HELLO]   = { BIT(CONN_NEW),                  10000 },
	[CONN_CONNECT] = { BIT(CONN_HELLO),                0 },
	[CONN_RELAY]   = { BIT(CONN_CONNECT),              0 },
	[CONN_REFUSED] = { BIT(CONN_HELLO) | BIT(CONN_CONNECT), 2000 },
};

struct tls_conn {
	struct worker     *worker;
	struct tls_conn   *next, *previous;
	enum conn_state    state;
	struct tg_endpoint address;
	size_t             refused_bytes;	/* read and dropped since the alert */
	struct wire        client;
	struct host_use    use;
	struct timer       timer;
	struct upstream    upstream;
	struct relay       relay;
};

#define CONN_OF(at, member) ((struct tls_conn *)((char *)(at) - offsetof(struct tls_conn, member)))

/* The only end of a connection. */
static void conn_finish(struct tls_conn *c, bool reset)
{
	struct worker *w = c->worker;

	timer_stop(&c->timer);
	relay_clear(&c->relay);
	upstream_clear(&c->upstream);
	if (reset)
		wire_reset(&c->client);
	wire_close(&c->client);
	host_leave(&c->use);

	if (c->next != NULL)
		c->next->previous = c->previous;
	if (c->previous != NULL)
		c->previous->next = c->next;
	else
		w->tls_conns = c->next;

	struct tg_endpoint address = c->address;

	free(c);
	worker_client_gone(w, &address);
}

static void on_timeout(struct timer *timer)
{
	conn_finish(CONN_OF(timer, timer), false);
}

static void conn_enter(struct tls_conn *c, enum conn_state next)
{
	assert(conn_states[next].after & BIT(c->state));
	c->state = next;
	timer_stop(&c->timer);
	if (conn_states[next].timeout_ms != 0)
		timer_start(c->worker->timers, &c->timer, conn_states[next].timeout_ms, on_timeout);
}

static void on_host_gone(struct host_use *use)
{
	conn_finish(CONN_OF(use, use), true);
}

/* What lies unread when a socket is closed makes the kernel send a reset, and the alert is lost:
 * reads it away until the client closes.  May finish. */
static void conn_drop_input(struct tls_conn *c)
{
	struct worker *w = c->worker;

	while (c->refused_bytes < REFUSED_MOST) {
		ssize_t n = recv(c->client.fd, w->buffer, WORKER_BUFFER_BYTES, 0);

		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0 && !(n == -1 && errno == EINTR))
			break;
		if (n > 0) {
			c->refused_bytes += (size_t)n;
			host_received(&c->use, (uint64_t)n);
		}
	}
	conn_finish(c, false);
}

static void conn_refuse(struct tls_conn *c, enum alert alert)
{
	size_t      count;
	const void *bytes = alert_bytes(alert, &count);
	ssize_t     sent;

	/* The first bytes on a new connection always find room. */
	host_sending(&c->use, count);
	sent = send(c->client.fd, bytes, count, MSG_NOSIGNAL);
	host_sent(&c->use, sent > 0 ? (uint64_t)sent : 0);
	/* One that was connected but is of no use must not call any more. */
	upstream_clear(&c->upstream);
	shutdown(c->client.fd, SHUT_WR);
	conn_enter(c, CONN_REFUSED);
	conn_drop_input(c);
}

static void on_relay_done(struct relay *relay)
{
	conn_finish(CONN_OF(relay, relay), false);
}

static void on_upstream(struct upstream *u, enum upstream_result result)
{
	struct tls_conn *c = CONN_OF(u, upstream);
	char             header[PROXY_PROTOCOL_MOST];
	size_t           length;

	if (result != UPSTREAM_CONNECTED) {
		conn_refuse(c, ALERT_INTERNAL_ERROR);
		return;
	}
	length = proxy_protocol_print_of(c->use.host->proxy_protocol, &c->address, c->client.fd, header);
	/* MSG_MORE: in one segment with the hello. */
	if (length != 0 &&
	    send(u->wire.fd, header, length, MSG_NOSIGNAL | MSG_MORE) != (ssize_t)length) {
		conn_refuse(c, ALERT_INTERNAL_ERROR);
		return;
	}
	conn_enter(c, CONN_RELAY);
	relay_start(&c->relay, c->worker, &c->client, &u->wire, &c->use, on_relay_done);
	relay_run(&c->relay);
}

static void conn_route(struct tls_conn *c, const char *name)
{
	switch (host_enter(c->worker, ROUTES_HTTPS, name, &c->use, on_host_gone)) {
	case HOST_OK:
		host_count_connection(&c->use);
		conn_enter(c, CONN_CONNECT);
		upstream_connect(&c->upstream, c->worker, c->use.host, on_upstream);
		return;
	case HOST_UNKNOWN:
		conn_refuse(c, ALERT_UNRECOGNIZED_NAME);
		return;
	case HOST_DOWN:
	case HOST_FULL:
		host_count_connection(&c->use);
		conn_refuse(c, ALERT_INTERNAL_ERROR);
		return;
	case HOST_NO_MEMORY:
		conn_refuse(c, ALERT_INTERNAL_ERROR);
		return;
	}
}

static void conn_read_hello(struct tls_conn *c)
{
	uint8_t *buffer = c->worker->buffer;
	/* Only looked at: what came stays in the kernel and costs no memory here.  A client that sends
	 * its end with a part of the hello told of it before this. */
	bool     ended = c->client.ended;
	ssize_t  n = recv(c->client.fd, buffer, WORKER_BUFFER_BYTES, MSG_PEEK);
	char     host[SNI_HOST_MOST + 1];

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_finish(c, n == -1);
		return;
	}
	switch (sni_read(buffer, (size_t)n, host)) {
	case SNI_FOUND:
		conn_route(c, host);
		return;
	case SNI_NONE:
		conn_refuse(c, ALERT_UNRECOGNIZED_NAME);
		return;
	case SNI_MORE:
		if (ended)
			conn_refuse(c, ALERT_DECODE_ERROR);
		return;
	case SNI_MALFORMED:
	case SNI_TOO_LARGE:
		conn_refuse(c, ALERT_DECODE_ERROR);
		return;
	case SNI_HTTP:
		conn_refuse(c, ALERT_PLAIN_HTTP);
		return;
	}
}

static void on_client(struct wire *wire, short what)
{
	struct tls_conn *c = wire->owner;

	if ((what & EV_READ) == 0)
		return;
	switch (c->state) {
	case CONN_HELLO:
		conn_read_hello(c);
		return;
	case CONN_REFUSED:
		conn_drop_input(c);
		return;
	case CONN_NEW:
	case CONN_CONNECT:
	case CONN_RELAY:	/* the relay has its own callbacks */
		return;		/* what came early waits in the kernel */
	}
}

void tls_conn_accept(struct worker *w, int fd, const struct tg_endpoint *client)
{
	struct tls_conn *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		close(fd);
		worker_client_gone(w, client);
		return;
	}
	c->worker = w;
	c->address = *client;
	upstream_init(&c->upstream);
	if (wire_open(&c->client, w->base, fd, on_client, c) == -1) {
		free(c);
		worker_client_gone(w, client);
		return;
	}
	c->next = w->tls_conns;
	if (c->next != NULL)
		c->next->previous = c;
	w->tls_conns = c;
	conn_enter(c, CONN_HELLO);
}

void tls_conns_free(struct worker *w)
{
	while (w->tls_conns != NULL)
		conn_finish(w->tls_conns, true);
}
