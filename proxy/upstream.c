#include "proxy/upstream.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "proxy/ejection.h"
#include "proxy/host.h"
#include "proxy/sockpool.h"
#include "proxy/worker.h"

static void upstream_next(struct upstream *u);

void upstream_init(struct upstream *u)
{
	*u = (struct upstream){ 0 };
	wire_init(&u->wire);
}

static struct upstream *upstream_of(struct timer *timer)
{
	return (struct upstream *)((char *)timer - offsetof(struct upstream, timer));
}

/* Ends the connecting; may free `u`. */
static void upstream_finish(struct upstream *u, enum upstream_result result)
{
	timer_stop(&u->timer);
	u->done(u, result);
}

static void on_failed_at_once(struct timer *timer)
{
	struct upstream *u = upstream_of(timer);

	upstream_finish(u, u->result);
}

static void upstream_give_up(struct upstream *u)
{
	if (u->calling)
		timer_start(u->worker->timers, &u->timer, 0, on_failed_at_once);
	else
		upstream_finish(u, u->result);
}

static void upstream_fail_this(struct upstream *u, enum upstream_result how)
{
	wire_close(&u->wire);
	timer_stop(&u->timer);
	upstream_failed(u->worker, u->host, &u->peer);
	u->result = (uint8_t)how;
}

static void on_connect_timeout(struct timer *timer)
{
	struct upstream *u = upstream_of(timer);

	upstream_fail_this(u, UPSTREAM_TIMED_OUT);
	upstream_next(u);
}

static void on_connect_ready(struct wire *wire, short what)
{
	struct upstream *u = wire->owner;
	int              failure = 0;
	socklen_t        bytes = sizeof(failure);

	if ((what & EV_WRITE) == 0)
		return;
	/* A failure shows as readable too; then it may also be an upstream that speaks first. */
	if ((what & EV_READ) != 0 && getsockopt(wire->fd, SOL_SOCKET, SO_ERROR, &failure, &bytes) == -1)
		failure = errno;
	if (failure != 0) {
		upstream_fail_this(u, UPSTREAM_REFUSED);
		upstream_next(u);
		return;
	}
	ejection_remove(u->worker->ejection, u->host->netns_cookie, &u->peer);
	upstream_finish(u, UPSTREAM_CONNECTED);
}

static unsigned upstream_window(const struct upstream *u)
{
	return u->host->upstreams_count < UPSTREAM_TRIES_MOST ? u->host->upstreams_count
	                                                      : UPSTREAM_TRIES_MOST;
}

static const struct tg_endpoint *upstream_at(const struct upstream *u, unsigned offset)
{
	return &u->host->upstreams[(u->turn % u->host->upstreams_count + offset) % u->host->upstreams_count];
}

/* Of more than the window holds, all in it may be left out while others are not. */
static void upstream_skip(struct upstream *u)
{
	if (u->host->upstreams_count <= UPSTREAM_TRIES_MOST)
		return;
	for (unsigned i = 0; i < u->host->upstreams_count; i++) {
		if (!ejection_has(u->worker->ejection, u->host->netns_cookie, upstream_at(u, i))) {
			u->turn = u->turn % u->host->upstreams_count + i;
			return;
		}
	}
}

/* The next one in turn, those that failed lately last; false when none is left. */
static bool upstream_pick(struct upstream *u)
{
	unsigned window = upstream_window(u);
	unsigned chosen = UPSTREAM_TRIES_MOST;

	for (unsigned i = 0; i < window; i++) {
		if ((u->tried >> i & 1) != 0)
			continue;
		if (!ejection_has(u->worker->ejection, u->host->netns_cookie, upstream_at(u, i))) {
			chosen = i;
			break;
		}
		if (chosen == UPSTREAM_TRIES_MOST)
			chosen = i;
	}
	if (chosen == UPSTREAM_TRIES_MOST)
		return false;
	u->tried |= UINT64_C(1) << chosen;
	u->peer = *upstream_at(u, chosen);
	return true;
}

static bool upstream_is_last(const struct upstream *u)
{
	unsigned window = upstream_window(u);
	uint64_t all = window == 64 ? UINT64_MAX : (UINT64_C(1) << window) - 1;

	return u->tried == all || tg_clock_ms() >= u->began_at_ms + UPSTREAM_ALL_MS;
}

/* Takes `fd`.  false: this upstream failed at once. */
static bool upstream_try(struct upstream *u, int fd)
{
	static const int        on = 1;
	struct sockaddr_storage to;
	socklen_t               bytes = tg_endpoint_to_sockaddr(&u->peer, &to);

	u->last = upstream_is_last(u);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&to, bytes) == -1 && errno != EINPROGRESS) {
		close(fd);
		upstream_fail_this(u, UPSTREAM_REFUSED);
		return false;
	}
	if (wire_open(&u->wire, u->worker->base, fd, on_connect_ready, u) == -1) {
		u->last = 1;	/* no memory: others would fare no better */
		u->result = UPSTREAM_NO_SOCKET;
		return false;
	}
	timer_start(u->worker->timers, &u->timer, u->last ? UPSTREAM_CONNECT_LAST_MS : UPSTREAM_CONNECT_MS,
	            on_connect_timeout);
	return true;
}

static void on_socket(int fd, void *arg)
{
	struct upstream *u = arg;

	timer_stop(&u->timer);
	if (fd == -1) {
		u->result = UPSTREAM_NO_SOCKET;
		upstream_give_up(u);
	} else if (!upstream_try(u, fd)) {
		upstream_next(u);
	}
}

static void on_socket_timeout(struct timer *timer)
{
	struct upstream *u = upstream_of(timer);

	sockpool_cancel(u->worker->sockets, u);
	u->result = UPSTREAM_NO_SOCKET;
	upstream_give_up(u);
}

/* May end in done(). */
static void upstream_next(struct upstream *u)
{
	uint64_t netns_cookie = u->host->netns_cookie;

	while (!u->last && upstream_pick(u)) {
		int fd = -1;

		switch (sockpool_take(u->worker->sockets, netns_cookie, u->peer.family, &fd, on_socket, u)) {
		case SOCKPOOL_READY:
			if (upstream_try(u, fd))
				return;
			continue;
		case SOCKPOOL_WAIT:
			timer_start(u->worker->timers, &u->timer, UPSTREAM_SOCKET_MS, on_socket_timeout);
			return;
		case SOCKPOOL_REFUSED:
			u->result = UPSTREAM_NO_SOCKET;
			upstream_give_up(u);
			return;
		}
	}
	upstream_give_up(u);
}

void upstream_connect(struct upstream *u, struct worker *w, struct host *host, upstream_done_fn *done)
{
	assert(host->up && u->wire.fd == -1 && !timer_runs(&u->timer));
	u->worker = w;
	u->host = host;
	u->done = done;
	u->began_at_ms = tg_clock_ms();
	u->tried = 0;
	u->last = 0;
	u->turn = host->turn++;
	upstream_skip(u);
	u->result = UPSTREAM_REFUSED;
	u->calling = 1;
	upstream_next(u);
	u->calling = 0;
}

void upstream_clear(struct upstream *u)
{
	if (timer_runs(&u->timer)) {
		sockpool_cancel(u->worker->sockets, u);
		timer_stop(&u->timer);
	}
	wire_close(&u->wire);
}

void upstream_failed(struct worker *w, const struct host *host, const struct tg_endpoint *peer)
{
	ejection_add(w->ejection, host->netns_cookie, peer);
}
