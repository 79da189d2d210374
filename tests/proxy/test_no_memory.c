#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>
#include <event2/event.h>

#include "base/error.h"
#include "proxy/routes.h"
#include "proxy/worker.h"
#include "tests/support/failing.h"
#include "tests/support/ingress.h"
#include "tests/support/web.h"

void test_no_memory(TCase *tc);

/* Each allocation of ours and of libevent fails in turn, once: that connection may end, and no other. */

#define TRIES_MOST 200
#define PIECE	   20
#define UPGRADE	   "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
#define SWITCHED   "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
#define ANSWER	   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

static struct ingress     in;
static struct tg_endpoint upstream;
static int                server;
static uint16_t           port;

static void begin(enum msg_listener kind)
{
	enum routes_scheme scheme = kind == MSG_LISTENER_HTTPS ? ROUTES_HTTPS : ROUTES_HTTP;
	struct routes_host host;

	ingress_begin(&in, 0);
	server = ingress_server(&upstream);
	host = ingress_host(&in, scheme, "a.example", &upstream, 1);
	ingress_routes(&in, &host, 1);
	port = ingress_listen(&in, kind);
}

static void end(void)
{
	close(server);
	ingress_end(&in);
}

/* libevent's memory comes from here, too. */
static void *event_malloc(size_t bytes)
{
	return malloc(bytes);
}

static void *event_realloc(void *memory, size_t bytes)
{
	return realloc(memory, bytes);
}

static bool nobody_left(void *arg)
{
	(void)arg;
	return in.worker->clients == 0;
}

struct waiting {
	int  fd, other;
	bool came, closed;
};

static bool comes(void *arg)
{
	struct waiting *waiting = arg;
	struct pollfd   ends[2] = { { waiting->fd, POLLIN, 0 }, { waiting->other, POLLIN, 0 } };

	if (poll(ends, 2, 0) <= 0)
		return false;
	waiting->came = ends[0].revents != 0;
	waiting->closed = ends[1].revents != 0;
	return true;
}

/* What the worker makes of a client, up to the upstream's accepting: -1 when the client was sent away. */
static int accepted(int client)
{
	struct waiting waiting = { .fd = server, .other = client };

	ck_assert_msg(ingress_until(&in, comes, &waiting), "neither an upstream's connection nor an end");
	return waiting.came ? ingress_accept(&in, server) : -1;
}

/* Reads until `text` ends with `last`, or the connection does: false. */
static bool hears(int fd, const char *last)
{
	char   text[1024] = "";
	size_t len = 0;

	while (strstr(text, last) == NULL) {
		struct waiting waiting = { .fd = fd, .other = -1 };
		ssize_t        n;

		ck_assert_msg(ingress_until(&in, comes, &waiting), "nothing comes after: %s", text);
		n = recv(fd, text + len, sizeof text - 1 - len, 0);
		if (n <= 0)
			return false;
		len += (size_t)n;
		text[len] = '\0';
	}
	return true;
}

static void leaves(int client, int at)
{
	close(client);
	if (at != -1)
		close(at);
	ck_assert(ingress_until(&in, nobody_left, NULL));
	ck_assert_uint_eq(in.active[7], 0);
}

/* Whole, or nothing at all: what both ends hear must be what was sent. */
static bool exchange_tls(void)
{
	static uint8_t hello[HELLO_MAX];
	size_t         bytes = hello_make(hello, "a.example", 1600);
	int            client = ingress_connect(&in, port);
	uint8_t        got[HELLO_MAX];
	int            at;
	bool           whole;

	send(client, hello, bytes, MSG_NOSIGNAL);
	at = accepted(client);
	whole = at != -1 && ingress_recv(&in, at, got, bytes) == (long)bytes;
	if (whole) {
		ck_assert_mem_eq(got, hello, bytes);
		ingress_send(&in, at, "server hello", 12);
		whole = hears(client, "server hello");
	}
	leaves(client, at);
	return whole;
}

static bool exchange_http(void)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: a.example\r\nX-Some: 1\r\nX-Other: 2\r\n\r\n";

	int  client = ingress_connect(&in, port);
	bool whole = true;
	int  at = -1;

	for (int i = 0; i < 2 && whole; i++) {	/* the second on what is kept of the first */
		/* In pieces, so that each has to be remembered. */
		for (size_t sent = 0; sent < strlen(request); sent += PIECE) {
			send(client, request + sent, strnlen(request + sent, PIECE), MSG_NOSIGNAL);
			ingress_run(&in, 1);
		}
		if (at == -1)
			at = accepted(client);
		whole = at != -1 && hears(at, "\r\n\r\n");
		if (whole && send(at, ANSWER, strlen(ANSWER), MSG_NOSIGNAL) > 0)
			whole = hears(client, "hello");
	}
	leaves(client, at);
	return whole;
}

static bool exchange_upgrade(void)
{
	int  client = web_ask(&in, port, UPGRADE);
	int  at = accepted(client);
	bool whole = at != -1 && hears(at, "\r\n\r\n");

	/* In one segment with what follows it. */
	if (whole && send(at, SWITCHED "welcome", strlen(SWITCHED "welcome"), MSG_NOSIGNAL) > 0)
		whole = hears(client, "welcome");
	if (whole && send(client, "thanks", 6, MSG_NOSIGNAL) == 6)
		whole = hears(at, "thanks");
	leaves(client, at);
	return whole;
}

static const struct {
	bool (*exchange)(void);
	enum msg_listener kind;
} exchanges[] = {
	{ exchange_tls, MSG_LISTENER_HTTPS },
	{ exchange_http, MSG_LISTENER_HTTP },
	{ exchange_upgrade, MSG_LISTENER_HTTP },
};

START_TEST(a_connection_without_memory_ends_alone)
{
	size_t failures = 0;

	event_set_mem_functions(event_malloc, event_realloc, free);
	for (size_t good = 0; good < TRIES_MOST; good++) {
		bool whole, failed;

		begin(exchanges[_i].kind);
		failing_own_begin(good);
		whole = exchanges[_i].exchange();
		failed = failing_own_end();
		ck_assert_msg(exchanges[_i].exchange(), "the next one after %zu allocations", good);
		end();
		if (!failed) {
			ck_assert(whole);
			ck_assert_uint_gt(failures, 0);
			return;
		}
		failures++;
	}
	ck_abort_msg("it never ends");
}
END_TEST

START_TEST(a_worker_without_memory_does_not_begin)
{
	const struct worker_options options = { .source_connections = 3 };

	for (size_t good = 0; good < TRIES_MOST; good++) {
		struct event_base *base = event_base_new();
		struct worker     *worker;
		bool               failed;

		failing_own_begin(good);
		worker = worker_new(base, &options);
		failed = failing_own_end();
		ck_assert(failed == (worker == NULL));
		worker_free(worker);
		event_base_free(base);
		if (!failed)
			return;
	}
	ck_abort_msg("it never ends");
}
END_TEST

/* The old one stays. */
START_TEST(a_table_without_memory_is_refused)
{
	struct routes_host hosts[2];
	unsigned           refused = 0;
	bool               failed = true;

	begin(MSG_LISTENER_HTTPS);
	hosts[0] = ingress_host(&in, ROUTES_HTTPS, "a.example", &upstream, 1);
	hosts[1] = ingress_host(&in, ROUTES_HTTPS, "b.example", &upstream, 1);
	for (size_t good = 0; failed && good < TRIES_MOST; good++) {
		struct tg_error err = { .code = TG_CODE_NONE };
		int             fd;

		failing_own_begin(good);
		fd = routes_build(hosts, 2, &err);
		if (fd != -1)
			ck_assert_int_eq(worker_set_routes(in.worker, fd, &err), failing_own_end() ? -1 : 0);
		failed = failing_own_end();
		ck_assert_int_eq(err.code, failed ? TG_CODE_MEMORY : TG_CODE_NONE);
		refused += failed;
		if (fd != -1)
			close(fd);
		ck_assert(exchange_tls());
	}
	ck_assert(!failed);
	ck_assert_uint_gt(refused, 1);
	end();
}
END_TEST

void test_no_memory(TCase *tc)
{
	tcase_add_loop_test(tc, a_connection_without_memory_ends_alone, 0, 3);
	tcase_add_test(tc, a_worker_without_memory_does_not_begin);
	tcase_add_test(tc, a_table_without_memory_is_refused);
}
