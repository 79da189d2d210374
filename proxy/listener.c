#include "proxy/listener.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/address.h"
#include "proxy/timer.h"
#include "proxy/worker.h"

#define BATCH	       16	/* connections accepted before others have their turn */
#define DRAIN_MOST     4096	/* accepted when draining: a queue is not longer (somaxconn) */
#define PAUSE_MS       100

struct listener {
	struct worker      *worker;	/* borrowed */
	struct event       *readable;
	struct timer        pause;	/* runs while nothing is accepted for want of descriptors */
	listener_accept_fn *on_accept;
	int                 fd;
	int                 fd_most;	/* the first descriptor that belongs to the reserve */
	size_t              refusal_bytes;
	char                refusal[LISTENER_REFUSAL_MOST];
};

enum batch_result { BATCH_EMPTY, BATCH_MORE, BATCH_SCARCE };

static void accepted(struct listener *listener, int fd, const struct sockaddr *from)
{
	struct tg_endpoint client;

	tg_endpoint_from_sockaddr(from, &client);
	if (worker_client_came(listener->worker, &client)) {
		listener->on_accept(listener->worker, fd, &client);
		return;
	}
	/* What it asks is not waited for: nothing is kept of it but what the kernel does. */
	send(fd, listener->refusal, listener->refusal_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static enum batch_result accept_batch(struct listener *listener, unsigned most)
{
	for (unsigned i = 0; i < most; i++) {
		struct sockaddr_storage from = { .ss_family = AF_UNSPEC };
		socklen_t               bytes = sizeof(from);
		int                     fd = accept4(listener->fd, (struct sockaddr *)&from, &bytes,
		                                     SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd != -1)
			accepted(listener, fd, (struct sockaddr *)&from);
		else if (errno == EAGAIN)
			return BATCH_EMPTY;
		else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			return BATCH_SCARCE;
		/* Other errors are those of the one connection (accept(2)). */
		if (fd >= listener->fd_most)
			return BATCH_SCARCE;	/* the kernel gives the lowest that is free */
	}
	return BATCH_MORE;
}

static void on_pause_over(struct timer *timer)
{
	struct listener *listener = (struct listener *)((char *)timer - offsetof(struct listener, pause));
	int              lowest = fcntl(listener->fd, F_DUPFD_CLOEXEC, 0);

	if (lowest != -1)
		close(lowest);
	if (lowest == -1 || lowest >= listener->fd_most)
		timer_start(listener->worker->timers, &listener->pause, PAUSE_MS, on_pause_over);
	else
		event_add(listener->readable, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	(void)fd;
	(void)what;
	if (accept_batch(listener, BATCH) == BATCH_SCARCE) {
		event_del(listener->readable);
		timer_start(listener->worker->timers, &listener->pause, PAUSE_MS, on_pause_over);
	}
}

static int fd_most(void)
{
	struct rlimit limit = { .rlim_cur = 1024 };

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur > 1 << 30)
		return 1 << 30;
	if (limit.rlim_cur < 4 * WORKER_FD_RESERVE)
		return (int)(limit.rlim_cur - limit.rlim_cur / 4); /* a small limit has a smaller reserve */
	return (int)limit.rlim_cur - WORKER_FD_RESERVE;
}

struct listener *listener_new(struct worker *w, int fd, listener_accept_fn *on_accept, const void *refusal,
                              size_t refusal_bytes)
{
	static const int on = 1;
	struct listener *listener = calloc(1, sizeof(*listener));

	assert(refusal_bytes <= LISTENER_REFUSAL_MOST);
	if (listener == NULL) {
		close(fd);
		return NULL;
	}
	listener->worker = w;
	listener->fd = fd;
	listener->fd_most = fd_most();
	listener->on_accept = on_accept;
	memcpy(listener->refusal, refusal, refusal_bytes);
	listener->refusal_bytes = refusal_bytes;
	/* What is accepted inherits it: one system call less for each connection. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	listener->readable = event_new(w->base, fd, EV_READ | EV_PERSIST, on_readable, listener);
	if (listener->readable == NULL || evutil_make_socket_nonblocking(fd) == -1) {
		listener_free(listener);
		return NULL;
	}
	return listener;
}

void listener_start(struct listener *listener)
{
	event_add(listener->readable, NULL);
}

void listener_drain(struct listener *listener)
{
	accept_batch(listener, DRAIN_MOST);
	listener_free(listener);
}

void listener_free(struct listener *listener)
{
	if (listener == NULL)
		return;
	timer_stop(&listener->pause);
	if (listener->readable != NULL)
		event_free(listener->readable);
	close(listener->fd);
	free(listener);
}
