#include "tests/support/ingress.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/error.h"
#include "proxy/counters.h"
#include "proxy/sockpool.h"
#include "proxy/worker.h"
#include "tests/support/sends.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void on_wanted(struct channel *channel, const struct msg *msg, int *fds, size_t count, void *arg)
{
	struct ingress                  *in = arg;
	const struct msg_sockets_wanted *wanted = &msg->body.sockets_wanted;
	int                              made[MSG_FDS_MOST];
	struct msg_sockets               body = {
		.netns_cookie = wanted->netns_cookie,
		.family = wanted->family,
		.sys = in->refusal,
	};

	(void)fds;
	(void)count;
	in->asks++;
	if (in->mute)
		return;
	while (in->refusal == 0 && body.count < wanted->count) {
		int family = in->lying ? AF_UNIX : (int)wanted->family;

		made[body.count] = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		/* It answers that there is no connection, and remembers all the same. */
		if (in->dumb)
			shutdown(made[body.count], SHUT_WR);
		body.count++;
	}
	channel_send(channel, MSG_SOCKETS, &body, made, body.count);
	for (size_t i = 0; i < body.count; i++)
		close(made[i]);
}

static void on_sockets(struct channel *channel, const struct msg *msg, int *fds, size_t count, void *arg)
{
	struct ingress *in = arg;

	(void)channel;
	sockpool_answer(in->worker->sockets, &msg->body.sockets, fds, count);
}

static void on_closed(struct channel *channel, void *arg)
{
	(void)channel;
	(void)arg;
}

static void on_drained(void *arg)
{
	struct ingress *in = arg;

	in->drained = true;
}

static int memory_file(size_t bytes)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

void ingress_begin(struct ingress *in, uint32_t source_connections)
{
	const struct worker_options options = { source_connections, on_drained, in };
	int       segment = memory_file(MSG_SEGMENT_BYTES);
	int       active = memory_file(2 * MSG_SLOTS * sizeof(uint32_t));
	int       probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t bytes = sizeof(in->cookie);
	int       ends[2];

	signal(SIGPIPE, SIG_IGN);
	*in = (struct ingress){ .base = event_base_new() };
	ck_assert_int_eq(getsockopt(probe, SOL_SOCKET, SO_NETNS_COOKIE, &in->cookie, &bytes), 0);
	close(probe);
	in->worker = worker_new(in->base, &options);
	ck_assert_ptr_nonnull(in->worker);
	worker_set_counters(in->worker, counters_new(segment, active, 0, 2, NULL));
	ck_assert_ptr_nonnull(in->worker->counters);
	in->slots = mmap(NULL, MSG_SEGMENT_BYTES, PROT_READ, MAP_SHARED, segment, 0);
	in->active =
	        mmap(NULL, 2 * MSG_SLOTS * sizeof(uint32_t), PROT_READ | PROT_WRITE, MAP_SHARED, active, 0);
	close(segment);
	close(active);

	ck_assert_int_eq(channel_pair(ends, NULL), 0);
	in->broker =
	        channel_new(in->base, ends[0], MSG_ROLE_WORKER, MSG_ROLE_BROKER, on_sockets, on_closed, in);
	in->fake = channel_new(in->base, ends[1], MSG_ROLE_BROKER, MSG_ROLE_WORKER, on_wanted, on_closed, in);
	worker_set_broker(in->worker, in->broker);
}

void ingress_end(struct ingress *in)
{
	sends_watch(0, NULL);
	worker_free(in->worker);
	channel_free(in->broker);
	channel_free(in->fake);
	munmap(in->slots, MSG_SEGMENT_BYTES);
	munmap(in->active, 2 * MSG_SLOTS * sizeof(uint32_t));
	event_base_free(in->base);
}

int ingress_server(struct tg_endpoint *at)
{
	struct sockaddr_storage address;
	socklen_t               bytes;
	int                     fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*at = (struct tg_endpoint){ .family = AF_INET, .bytes = { 127, 0, 0, 1 } };
	bytes = tg_endpoint_to_sockaddr(at, &address);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, bytes), 0);
	ck_assert_int_eq(listen(fd, 100), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
	tg_endpoint_from_sockaddr((struct sockaddr *)&address, at);
	return fd;
}

struct tg_endpoint ingress_nobody(void)
{
	struct tg_endpoint at;

	close(ingress_server(&at));
	return at;
}

uint16_t ingress_listen(struct ingress *in, enum msg_listener kind)
{
	struct tg_endpoint at;
	int                fd = ingress_server(&at);

	ck_assert_int_eq(worker_listen(in->worker, fd, kind, NULL), 0);
	worker_accept(in->worker);
	return at.port;
}

struct routes_host ingress_host(const struct ingress *in, enum routes_scheme scheme, const char *name,
                                const struct tg_endpoint *upstreams, uint32_t count)
{
	struct routes_host host = {
		.name = name,
		.netns_cookie = in->cookie,
		.network_id = in->cookie,
		.slot = 7,
	};

	host.scheme[scheme] = (struct routes_target){
		.upstreams = upstreams,
		.upstreams_count = count,
		.max_connections = UINT32_MAX,
		.present = 1,
	};
	return host;
}

void ingress_routes(struct ingress *in, const struct routes_host *hosts, size_t count)
{
	struct tg_error err = { 0 };
	int             fd = routes_build(hosts, count, &err);

	ck_assert_msg(fd != -1, "%s", err.text);
	ck_assert_int_eq(worker_set_routes(in->worker, fd, &err), 0);
	close(fd);
}

static void turn(struct ingress *in)
{
	event_base_loop(in->base, EVLOOP_NONBLOCK);
	usleep(200);
}

bool ingress_until(struct ingress *in, ingress_done_fn *done, void *arg)
{
	for (uint64_t end = now_ms() + INGRESS_WAIT_MS; now_ms() < end;) {
		if (done(arg))
			return true;
		turn(in);
	}
	return done(arg);
}

void ingress_run(struct ingress *in, unsigned ms)
{
	uint64_t end = now_ms() + ms;

	for (unsigned turns = 0; turns < ms || now_ms() < end; turns++)
		turn(in);
}

int ingress_connect(struct ingress *in, uint16_t port)
{
	struct tg_endpoint      at = { .family = AF_INET, .port = port, .bytes = { 127, 0, 0, 1 } };
	struct sockaddr_storage address;
	socklen_t               bytes = tg_endpoint_to_sockaddr(&at, &address);
	int                     fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, bytes), 0);
	ck_assert_int_eq(evutil_make_socket_nonblocking(fd), 0);
	turn(in);
	return fd;
}

int ingress_accept(struct ingress *in, int listener)
{
	for (uint64_t end = now_ms() + INGRESS_WAIT_MS; now_ms() < end;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd != -1)
			return fd;
		turn(in);
	}
	ck_abort_msg("nobody connected");
	return -1;
}

void ingress_send(struct ingress *in, int fd, const void *data, size_t bytes)
{
	const char *from = data;
	uint64_t    end = now_ms() + INGRESS_WAIT_MS;

	while (bytes > 0) {
		ssize_t n = send(fd, from, bytes, MSG_NOSIGNAL);

		ck_assert_msg(n > 0 || errno == EAGAIN, "send: %s", strerror(errno));
		ck_assert_msg(now_ms() < end, "nobody reads");
		if (n > 0) {
			from += n;
			bytes -= (size_t)n;
		}
		turn(in);
	}
}

long ingress_recv(struct ingress *in, int fd, void *data, size_t bytes)
{
	char    *to = data;
	size_t   got = 0;
	uint64_t end = now_ms() + INGRESS_WAIT_MS;

	while (got < bytes) {
		ssize_t n = recv(fd, to + got, bytes - got, 0);

		if (n == 0)
			break;
		if (n == -1 && errno != EAGAIN)
			return -1;
		ck_assert_msg(now_ms() < end, "%zu bytes of %zu came", got, bytes);
		if (n > 0)
			got += (size_t)n;
		turn(in);
	}
	return (long)got;
}

static uint8_t *put(uint8_t *to, size_t value, unsigned bytes)
{
	while (bytes-- > 0)
		*to++ = (uint8_t)(value >> (8 * bytes));
	return to;
}

size_t hello_make(uint8_t *to, const char *name, size_t more)
{
	size_t   name_bytes = name == NULL ? 0 : strlen(name);
	size_t   extensions = (name == NULL ? 0 : 9 + name_bytes) + (more == 0 ? 0 : 4 + more);
	size_t   body = 2 + 32 + 1 + 32 + 2 + 4 + 1 + 1 + 2 + extensions;
	uint8_t *at = to;

	ck_assert_uint_le(body + 9, HELLO_MAX);
	at = put(put(put(at, 22, 1), 0x0301, 2), body + 4, 2);
	at = put(put(at, 1, 1), body, 3);
	at = put(at, 0x0303, 2);
	memset(at, 0xab, 32);
	at = put(at + 32, 32, 1);
	memset(at, 0xcd, 32);
	at = put(put(put(at + 32, 4, 2), 0x1301, 2), 0x1302, 2);
	at = put(put(at, 1, 1), 0, 1);
	at = put(at, extensions, 2);
	if (more > 0) {
		at = put(put(at, 51, 2), more, 2);
		memset(at, 0xef, more);
		at += more;
	}
	if (name != NULL) {
		at = put(put(put(at, 0, 2), name_bytes + 5, 2), name_bytes + 3, 2);
		at = put(put(at, 0, 1), name_bytes, 2);
		memcpy(at, name, name_bytes);
		at += name_bytes;
	}
	return (size_t)(at - to);
}
