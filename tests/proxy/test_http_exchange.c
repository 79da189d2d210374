#include "proxy/http_exchange.h"

#include <check.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/ingress.h"
#include "tests/support/sends.h"
#include "tests/support/web.h"

void test_http_exchange(TCase *tc);

static struct ingress     in;
static struct tg_endpoint at;
static int                server;
static uint16_t           port;
static char               text[65536];

static void setup(void)
{
	struct routes_host host;

	ingress_begin(&in, 0);
	port = ingress_listen(&in, MSG_LISTENER_HTTP);
	server = ingress_server(&at);
	host = ingress_host(&in, ROUTES_HTTP, "a.example", &at, 1);
	ingress_routes(&in, &host, 1);
}

static void teardown(void)
{
	ingress_end(&in);
	close(server);
}

#define GET "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void hear_status(int fd, unsigned status)
{
	web_hear_status(&in, fd, text, sizeof(text), status);
}

static int ask(const char *request)
{
	return web_ask(&in, port, request);
}

static int take(void)
{
	int upstream = ingress_accept(&in, server);

	web_hear(&in, upstream, text, sizeof(text), "\r\n\r\n");
	return upstream;
}

/* Nothing for one second less, then what `ms` brings. */
static void pass_all_of(int fd, unsigned ms)
{
	web_pass(&in, ms - 1000);
	web_silence(&in, fd);
	web_pass(&in, 1000);
}

START_TEST(a_client_that_says_nothing_is_closed)
{
	int client = ingress_connect(&in, port);

	pass_all_of(client, 10000);
	ck_assert_int_eq(web_end(&in, client), 0);
}
END_TEST

START_TEST(a_head_that_drips_is_a_408)
{
	int client = ask("GET / HTTP/1.1\r\n");

	for (int i = 0; i < 9; i++) {
		web_pass(&in, 1000);
		web_say(&in, client, "X: y\r\n");
	}
	web_silence(&in, client);
	web_pass(&in, 1000);
	hear_status(client, 408);
	web_hear(&in, client, text, sizeof(text), ".\n");
	ck_assert_int_eq(web_end(&in, client), 0);
	web_pass(&in, HTTP_LINGER_MS);
	ck_assert_uint_eq(in.worker->clients, 0);
}
END_TEST

START_TEST(a_first_head_has_ten_seconds_from_accept_and_a_later_one_from_its_first_byte)
{
	int client = ingress_connect(&in, port);
	int upstream;

	web_pass(&in, 9000);
	web_say(&in, client, "GET / HTTP/1.1\r\n");
	web_pass(&in, 900);
	web_silence(&in, client);
	web_pass(&in, 100);
	hear_status(client, 408);
	close(client);

	client = ask(GET);
	upstream = take();
	web_say(&in, upstream, OK);
	web_hear(&in, client, text, sizeof(text), "ok");
	web_pass(&in, 9000);
	web_say(&in, client, "GET / HTTP/1.1\r\n");
	pass_all_of(client, 10000);
	hear_status(client, 408);
}
END_TEST

START_TEST(a_response_that_does_not_begin_is_a_504)
{
	int client = ask(GET);
	int upstream = take();

	pass_all_of(client, 60000);
	hear_status(client, 504);
	ck_assert_int_eq(web_end(&in, upstream), 0);
	web_hear(&in, client, text, sizeof(text), ".\n");
	web_say(&in, client, GET);
	take();
}
END_TEST

START_TEST(a_kept_client_is_closed_after_a_while)
{
	int client = ask(GET);
	int upstream = take();

	web_say(&in, upstream, OK);
	web_hear(&in, client, text, sizeof(text), "\r\n\r\nok");
	pass_all_of(client, 75000);
	ck_assert_int_eq(web_end(&in, client), 0);
	ck_assert_int_eq(web_end(&in, upstream), 0);
}
END_TEST

START_TEST(a_body_that_stalls_is_given_up)
{
	int client = ask(GET);
	int upstream = take();

	web_say(&in, upstream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1");
	web_hear(&in, client, text, sizeof(text), "\r\n\r\n1");
	web_pass(&in, 500000);
	web_say(&in, upstream, "2");
	web_hear(&in, client, text, sizeof(text), "2");
	pass_all_of(client, 600000);
	ck_assert_int_eq(web_end(&in, client), ECONNRESET);
	ck_assert_int_eq(web_end(&in, upstream), ECONNRESET);
}
END_TEST

START_TEST(a_request_body_that_stalls_is_a_408)
{
	int client = ask("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nab");
	int upstream = take();

	pass_all_of(client, 600000);
	hear_status(client, 408);
	web_hear(&in, client, text, sizeof(text), ".\n");
	ck_assert_int_eq(web_end(&in, client), 0);
	web_hear(&in, upstream, text, sizeof(text), "ab");
	ck_assert_int_eq(web_end(&in, upstream), 0);
}
END_TEST

/* Sends blocks of `block` until nothing more is taken; returns how many bytes were. */
static size_t push(int fd, const char *block, size_t bytes)
{
	size_t sent = 0;

	for (int quiet = 0; quiet < 50;) {
		ssize_t n = send(fd, block, bytes, MSG_NOSIGNAL);

		quiet = n > 0 ? 0 : quiet + 1;
		sent += n > 0 ? (size_t)n : 0;
		ingress_run(&in, 1);
	}
	return sent;
}

static void pull(int fd, size_t bytes)
{
	while (bytes > 0) {
		size_t now = bytes < sizeof(text) ? bytes : sizeof(text);

		ck_assert_int_eq(ingress_recv(&in, fd, text, now), (long)now);
		bytes -= now;
	}
}

START_TEST(a_reader_that_stops_stops_the_writer)
{
	static char block[65536];
	int         client = ask(GET);
	int         upstream = take();
	size_t      before, sent;

	sends_watch(port, in.slots);
	web_say(&in, upstream, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
	web_hear(&in, client, text, sizeof(text), "\r\n\r\n");
	before = mallinfo2().uordblks;
	sent = push(upstream, block, sizeof(block));
	ck_assert_uint_lt(sent, 64U << 20);
	ck_assert_uint_lt(mallinfo2().uordblks - before, HTTP_KEPT_MOST);
	pull(client, sent);
	ck_assert_uint_gt(sends_seen(), sent);
	ck_assert_uint_eq(sends_seen(), in.slots[7].tx);
	ck_assert_uint_gt(push(upstream, block, sizeof(block)), 0);
}
END_TEST

START_TEST(an_upload_waits_for_its_reader)
{
	static char block[65536];
	int         client = ask("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000000000\r\n\r\n");
	int         upstream = take();
	size_t      before = mallinfo2().uordblks;
	size_t      sent = push(client, block, sizeof(block));

	ck_assert_uint_lt(sent, 64U << 20);
	ck_assert_uint_lt(mallinfo2().uordblks - before, HTTP_KEPT_MOST);
	pull(upstream, sent);
	ck_assert_uint_gt(push(client, block, sizeof(block)), 0);
	/* Upstream does not want the rest. */
	web_say(&in, upstream, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
	hear_status(client, 413);
	ck_assert_ptr_nonnull(strstr(text, "Connection: close\r\n"));
}
END_TEST

START_TEST(pipelined_requests_wait_in_the_kernel)
{
	static char block[65536];
	int         client = ask(GET);
	size_t      before = mallinfo2().uordblks;

	take();
	for (size_t i = 0; i + sizeof(GET) < sizeof(block); i += sizeof(GET) - 1)
		memcpy(block + i, GET, sizeof(GET) - 1);
	push(client, block, sizeof(block) / (sizeof(GET) - 1) * (sizeof(GET) - 1));
	ck_assert_uint_lt(mallinfo2().uordblks - before, HTTP_KEPT_MOST);
}
END_TEST

START_TEST(a_large_body_arrives_whole)
{
	enum { BYTES = 20 << 20, PIECE = 50000 };
	static char piece[PIECE];
	int         client = ask(GET);
	int         upstream = take();
	size_t      got = 0;
	uint64_t    tx;

	web_say(&in, upstream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	web_hear(&in, client, text, sizeof(text), "\r\n\r\n");
	tx = strlen(text);
	for (size_t sent = 0; sent < BYTES; sent += PIECE) {
		memset(piece, (int)('a' + sent / PIECE % 26), PIECE);
		snprintf(text, sizeof(text), "%x\r\n", PIECE);
		web_say(&in, upstream, text);
		web_send(&in, upstream, piece, PIECE);
		web_say(&in, upstream, "\r\n");
		ck_assert_int_eq(ingress_recv(&in, client, text, 6 + PIECE + 2), 6 + PIECE + 2);
		ck_assert_mem_eq(text, "c350\r\n", 6);
		ck_assert_mem_eq(text + 6, piece, PIECE);
		got += 6 + PIECE + 2;
	}
	web_say(&in, upstream, "0\r\n\r\n");
	web_hear(&in, client, text, sizeof(text), "0\r\n\r\n");
	ck_assert_uint_eq(in.slots[7].tx, tx + got + 5);
	web_say(&in, client, GET);
	web_hear(&in, upstream, text, sizeof(text), "\r\n\r\n");
}
END_TEST

START_TEST(an_idle_connection_holds_no_buffer)
{
	enum { CLIENTS = 50 };
	int    clients[CLIENTS];
	size_t before = 0;

	for (int i = 0; i < CLIENTS; i++) {
		if (i == 1)
			before = mallinfo2().uordblks;
		clients[i] = ask(GET);

		int upstream = take();

		web_say(&in, upstream, OK);
		web_hear(&in, clients[i], text, sizeof(text), "\r\n\r\nok");
	}
	/* The connection itself, what libevent and the limits of sources know of it. */
	ck_assert_uint_lt((mallinfo2().uordblks - before) / (CLIENTS - 1), 2048);
}
END_TEST

START_TEST(draining_ends_connections_after_their_answer)
{
	int idle = ask(GET);
	int upstream = take();
	int busy, upstream2;

	web_say(&in, upstream, OK);
	web_hear(&in, idle, text, sizeof(text), "\r\n\r\nok");
	busy = ask(GET);
	upstream2 = take();
	worker_drain(in.worker);
	ck_assert_int_eq(web_end(&in, idle), 0);
	ck_assert(!in.drained);
	web_say(&in, upstream2, OK);
	web_hear(&in, busy, text, sizeof(text), "\r\n\r\nok");
	ck_assert_ptr_nonnull(strstr(text, "Connection: close\r\n"));
	ck_assert_int_eq(web_end(&in, busy), 0);
	ck_assert(in.drained);
}
END_TEST

START_TEST(a_refused_client_gets_its_answer_though_it_sends_on)
{
	static char block[65536];
	int client = ask("POST / HTTP/1.1\r\nHost: unknown.example\r\nContent-Length: 1000000\r\n\r\n");

	ingress_run(&in, 20);
	for (int i = 0; i < 10; i++)
		web_send(&in, client, block, sizeof(block));
	hear_status(client, 404);
	web_hear(&in, client, text, sizeof(text), ".\n");
	ck_assert_int_eq(web_end(&in, client), 0);
	/* But not for ever. */
	for (unsigned i = 0; i < HTTP_LINGER_MOST / sizeof(block) + 8; i++)
		if (send(client, block, sizeof(block), MSG_NOSIGNAL) == -1 && errno != EAGAIN)
			break;
		else
			ingress_run(&in, 1);
	ck_assert_uint_eq(in.worker->clients, 0);
}
END_TEST

/* Whether it came with the request or later. */
START_TEST(what_a_client_says_after_its_last_request_is_counted)
{
	static const char last[] = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\nsurplus";
	int               client = ask(last);
	int               upstream = take();

	web_say(&in, upstream, OK);
	web_hear(&in, client, text, sizeof(text), "ok");
	web_say(&in, client, "more");
	ingress_run(&in, 20);
	ck_assert_uint_eq(in.slots[7].rx, strlen(last) + 4);
	close(client);
	close(upstream);
}
END_TEST

/* What either end may say or do, in any order. */
static const char *const client_says[] = {
	GET, GET GET,
	"HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n",
	"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhe", "llo", "GET / HT",
	"PUT / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "0\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "\r\n",
	"GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
};
static const char *const upstream_says[] = {
	OK, OK, OK OK,
	"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nabc", "HTTP/1.1 204 No\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "0\r\n\r\n", "HTTP/1.1 20",
	"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc", "rubbish\r\n",
	"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
};

#define ENDS 24

struct ends {
	int      fds[ENDS];	/* clients in the first half, upstreams in the second; -1: none */
	unsigned seed;
};

static unsigned pick(struct ends *ends, unsigned most)
{
	return (unsigned)rand_r(&ends->seed) % most;
}

static void end_close(struct ends *ends, unsigned i, bool reset)
{
	const struct linger now = { .l_onoff = 1 };

	if (reset)
		setsockopt(ends->fds[i], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(ends->fds[i]);
	ends->fds[i] = -1;
}

/* One thing that one end does. */
static void end_act(struct ends *ends)
{
	unsigned    i = pick(ends, ENDS);
	bool        client = i < ENDS / 2;
	unsigned    count = client ? sizeof(client_says) / sizeof(client_says[0])
	                           : sizeof(upstream_says) / sizeof(upstream_says[0]);
	const char *says = client ? client_says[pick(ends, count)] : upstream_says[pick(ends, count)];

	if (ends->fds[i] == -1) {
		ends->fds[i] = client ? ingress_connect(&in, port)
		                      : accept4(server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		return;
	}
	switch (pick(ends, 16)) {
	case 0:
		end_close(ends, i, false);
		return;
	case 1:
		end_close(ends, i, true);
		return;
	case 2:
		shutdown(ends->fds[i], SHUT_WR);
		return;
	case 3:
	case 4:
	case 5:
		(void)!recv(ends->fds[i], text, sizeof(text), 0);
		return;
	default:
		(void)!send(ends->fds[i], says, strlen(says), MSG_NOSIGNAL);
	}
}

START_TEST(whatever_both_ends_do_every_connection_ends)
{
	struct ends        ends = { .seed = (unsigned)_i + 1 };
	struct routes_host host = ingress_host(&in, ROUTES_HTTP, "a.example", &at, 1);

	memset(ends.fds, -1, sizeof(ends.fds));
	for (int n = 0; n < 3000; n++) {
		end_act(&ends);
		if (pick(&ends, 4) == 0)
			ingress_run(&in, 1);
		if (pick(&ends, 300) == 0)
			web_pass(&in, pick(&ends, 100000));
		if (pick(&ends, 500) == 0) {
			ingress_routes(&in, &host, 0);
			ingress_routes(&in, &host, 1);
		}
	}
	for (unsigned i = 0; i < ENDS; i++)
		if (ends.fds[i] != -1)
			end_close(&ends, i, false);
	for (int fd; (fd = accept4(server, NULL, NULL, SOCK_CLOEXEC)) != -1;)
		close(fd);
	/* What still waits for somebody waits no longer than it may. */
	web_pass(&in, HTTP_IDLE_MS);
	web_pass(&in, HTTP_KEEP_MS);
	ck_assert_uint_eq(in.worker->clients, 0);
	ck_assert_uint_eq(in.active[7], 0);
}
END_TEST

void test_http_exchange(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_client_that_says_nothing_is_closed);
	tcase_add_test(tc, a_head_that_drips_is_a_408);
	tcase_add_test(tc, a_first_head_has_ten_seconds_from_accept_and_a_later_one_from_its_first_byte);
	tcase_add_test(tc, a_response_that_does_not_begin_is_a_504);
	tcase_add_test(tc, a_kept_client_is_closed_after_a_while);
	tcase_add_test(tc, a_body_that_stalls_is_given_up);
	tcase_add_test(tc, a_request_body_that_stalls_is_a_408);
	tcase_add_test(tc, a_reader_that_stops_stops_the_writer);
	tcase_add_test(tc, an_upload_waits_for_its_reader);
	tcase_add_test(tc, pipelined_requests_wait_in_the_kernel);
	tcase_add_test(tc, a_large_body_arrives_whole);
	tcase_add_test(tc, an_idle_connection_holds_no_buffer);
	tcase_add_test(tc, draining_ends_connections_after_their_answer);
	tcase_add_test(tc, a_refused_client_gets_its_answer_though_it_sends_on);
	tcase_add_test(tc, what_a_client_says_after_its_last_request_is_counted);
	tcase_add_loop_test(tc, whatever_both_ends_do_every_connection_ends, 0, 5);
}
