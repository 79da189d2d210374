#include "proxy/relay.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "proxy/host.h"
#include "proxy/pipes.h"
#include "proxy/timer.h"
#include "proxy/wire.h"
#include "proxy/worker.h"
#include "tests/support/ingress.h"
#include "tests/support/sends.h"

void test_relay(TCase *tc);

/* A relay between two loopback connections, whose far ends the test holds. */
static struct ingress  in;
static struct relay    relay;
static struct wire     client_wire, upstream_wire;
static struct host_use use;
static int             client, upstream;	/* the far ends */
static int             done;

static void on_done(struct relay *r)
{
	ck_assert_ptr_eq(r, &relay);
	done++;
}

static void on_gone(struct host_use *gone)
{
	host_leave(gone);
}

static void on_nothing(struct wire *wire, short what)
{
	(void)wire;
	(void)what;
}

static bool is_done(void *arg)
{
	(void)arg;
	return done > 0;
}

/* A connection: *far is the test's end. */
static int connection(int *far)
{
	struct tg_endpoint at;
	int                server = ingress_server(&at);
	int                near;

	*far = ingress_connect(&in, at.port);
	near = ingress_accept(&in, server);
	close(server);
	return near;
}

static uint16_t local_port(int fd)
{
	struct sockaddr_in at;
	socklen_t          bytes = sizeof at;

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &bytes), 0);
	return ntohs(at.sin_port);
}

static void begin(void)
{
	struct tg_endpoint  nobody = { .family = AF_INET, .port = 1 };
	struct routes_host  host;

	ingress_begin(&in, 0);
	host = ingress_host(&in, ROUTES_HTTPS, "a.example", &nobody, 1);
	ingress_routes(&in, &host, 1);
	use = (struct host_use){ 0 };
	host_enter(in.worker, ROUTES_HTTPS, "a.example", &use, on_gone);
	done = 0;
	ck_assert_int_eq(wire_open(&client_wire, in.base, connection(&client), on_nothing, NULL), 0);
	ck_assert_int_eq(wire_open(&upstream_wire, in.base, connection(&upstream), on_nothing, NULL), 0);
	relay_start(&relay, in.worker, &client_wire, &upstream_wire, &use, on_done);
	sends_watch(local_port(client_wire.fd), in.slots);
}

static void end(void)
{
	relay_clear(&relay);
	host_leave(&use);
	close(client);
	close(upstream);
	ingress_end(&in);
}

static void expect(int fd, const char *text)
{
	char got[64] = "";

	ck_assert_int_eq(ingress_recv(&in, fd, got, strlen(text)), (long)strlen(text));
	ck_assert_str_eq(got, text);
}

static void expect_end(int fd)
{
	char byte;

	ck_assert_int_eq(ingress_recv(&in, fd, &byte, 1), 0);
}

static void expect_reset(int fd)
{
	char byte;

	ck_assert_int_eq(ingress_recv(&in, fd, &byte, 1), -1);
	ck_assert_int_eq(errno, ECONNRESET);
}

static void reset(int fd)
{
	struct linger at_once = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

START_TEST(bytes_go_both_ways_and_are_counted)
{
	begin();
	ingress_send(&in, client, "hello", 5);
	expect(upstream, "hello");
	ingress_send(&in, upstream, "world!", 6);
	expect(client, "world!");
	ck_assert_uint_eq(in.slots[7].rx, 5);
	ck_assert_uint_eq(in.slots[7].tx, 6);
	end();
}
END_TEST

START_TEST(what_came_before_it_began_is_relayed)
{
	begin();
	ck_assert_int_eq(send(client, "early", 5, 0), 5);
	ck_assert_int_eq(send(upstream, "bird", 4, 0), 4);
	usleep(1000);
	event_base_loop(in.base, EVLOOP_NONBLOCK);
	relay_run(&relay);
	expect(upstream, "early");
	expect(client, "bird");
	end();
}
END_TEST

START_TEST(bytes_that_were_read_before_go_first)
{
	begin();
	ck_assert_int_eq(relay_put_first(&relay.up, "first ", 6), 0);
	ck_assert_int_eq(relay_put_first(&relay.down, "", 0), 0);
	relay_run(&relay);
	ingress_send(&in, client, "second", 6);
	expect(upstream, "first second");
	end();
}
END_TEST

START_TEST(a_half_close_leaves_the_other_way_open)
{
	begin();
	ingress_send(&in, client, "request", 7);
	shutdown(client, SHUT_WR);
	expect(upstream, "request");
	expect_end(upstream);
	ck_assert_int_eq(done, 0);
	ingress_send(&in, upstream, "answer", 6);
	expect(client, "answer");
	close(upstream);
	expect_end(client);
	ck_assert(ingress_until(&in, is_done, NULL));
	upstream = -1;
	end();
}
END_TEST

START_TEST(a_half_close_of_the_upstream_is_carried_through_too)
{
	begin();
	ingress_send(&in, upstream, "banner", 6);
	shutdown(upstream, SHUT_WR);
	expect(client, "banner");
	expect_end(client);
	ingress_send(&in, client, "late", 4);
	expect(upstream, "late");
	ck_assert_int_eq(done, 0);
	shutdown(client, SHUT_WR);
	expect_end(upstream);
	ck_assert(ingress_until(&in, is_done, NULL));
	ck_assert_int_eq(done, 1);
	end();
}
END_TEST

START_TEST(a_reset_of_the_client_resets_the_upstream)
{
	begin();
	ingress_send(&in, client, "x", 1);
	expect(upstream, "x");
	reset(client);
	close(client);
	expect_reset(upstream);
	ck_assert(ingress_until(&in, is_done, NULL));
	client = -1;
	end();
}
END_TEST

START_TEST(a_reset_of_the_upstream_resets_the_client)
{
	begin();
	reset(upstream);
	close(upstream);
	expect_reset(client);
	ck_assert(ingress_until(&in, is_done, NULL));
	upstream = -1;
	end();
}
END_TEST

#define BLOCK 65536

/* A byte of a long stream: no power of two divides its period. */
static void fill(uint8_t *block, size_t from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		block[i] = (uint8_t)((from + i) % 251);
}

/* Moves `bytes` from one end to the other, reading in pieces of at most `piece`, now and then not at
 * all, and compares. */
static void stream(int from, int to, size_t bytes, size_t piece)
{
	static uint8_t out[BLOCK], got[BLOCK], expected[BLOCK];
	size_t         sent = 0, received = 0;
	time_t         end_at = time(NULL) + 15;

	for (unsigned round = 0; received < bytes; round++) {
		size_t  want = bytes - sent < BLOCK ? bytes - sent : BLOCK;
		ssize_t n;

		ck_assert_msg(time(NULL) < end_at, "%zu bytes of %zu came", received, bytes);
		fill(out, sent, want);
		n = want == 0 ? 0 : send(from, out, want, MSG_NOSIGNAL);
		if (n > 0)
			sent += (size_t)n;
		event_base_loop(in.base, EVLOOP_NONBLOCK);
		if (round % 8 == 0)
			continue;
		n = recv(to, got, piece, 0);
		ck_assert_int_ne(n, 0);
		if (n < 0)
			continue;
		fill(expected, received, (size_t)n);
		ck_assert_int_eq(memcmp(got, expected, (size_t)n), 0);
		received += (size_t)n;
	}
}

START_TEST(a_bulk_stream_arrives_whole_in_either_direction)
{
	begin();
	stream(client, upstream, 8000000, BLOCK);
	stream(upstream, client, 8000000, BLOCK);
	ck_assert_uint_eq(in.slots[7].rx, 8000000);
	ck_assert_uint_eq(in.slots[7].tx, 8000000);
	ck_assert_uint_eq(sends_seen(), 8000000);
	end();
}
END_TEST

START_TEST(a_slow_reader_gets_all_and_holds_the_sender_back)
{
	int small = 32768;

	begin();
	setsockopt(client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	stream(upstream, client, 1000000, 4000);
	end();
}
END_TEST

START_TEST(the_end_comes_after_all_bytes_of_a_slow_reader)
{
	static char block[BLOCK];
	static char got[BLOCK];
	size_t      sent = 0, received = 0;
	ssize_t     n;

	begin();
	/* Until nothing more fits anywhere. */
	for (int idle = 0; idle < 50; idle++) {
		while ((n = send(upstream, block, sizeof block, MSG_NOSIGNAL)) > 0) {
			sent += (size_t)n;
			idle = 0;
		}
		ingress_run(&in, 1);
	}
	ck_assert_uint_gt(sent, sizeof block);
	close(upstream);
	upstream = -1;
	while ((n = ingress_recv(&in, client, got, sizeof got)) > 0)
		received += (size_t)n;
	ck_assert_int_eq(n, 0);
	ck_assert_uint_eq(received, sent);
	ck_assert_uint_eq(in.slots[7].tx, sent);
	ck_assert_uint_eq(sends_seen(), sent);
	end();
}
END_TEST

START_TEST(without_pipes_bulk_goes_through_the_buffer)
{
	struct pipe_pair *taken[PIPES_MOST];

	begin();
	for (size_t i = 0; i < PIPES_MOST; i++)
		taken[i] = pipes_take(in.worker->pipes);
	ck_assert_ptr_null(pipes_take(in.worker->pipes));
	stream(client, upstream, 4000000, BLOCK);
	for (size_t i = 0; i < PIPES_MOST; i++) {
		if (taken[i] != NULL)
			pipes_give(in.worker->pipes, taken[i], true);
	}
	end();
}
END_TEST

START_TEST(an_idle_relay_holds_no_pipe)
{
	begin();
	stream(client, upstream, 4000000, BLOCK);
	ingress_run(&in, 10);
	ck_assert_ptr_null(relay.up.pipe);
	ck_assert_ptr_null(relay.up.kept);
	end();
}
END_TEST

START_TEST(an_idle_relay_ends_after_600_s)
{
	begin();
	ingress_send(&in, client, "x", 1);
	expect(upstream, "x");
	tg_clock_fake(tg_clock_ms() + RELAY_IDLE_MS - 100, 0);
	ingress_send(&in, client, "y", 1);
	expect(upstream, "y");
	tg_clock_fake(tg_clock_ms() + RELAY_IDLE_MS - 1, 0);
	timers_run(in.worker->timers);
	ck_assert_int_eq(done, 0);
	tg_clock_fake(tg_clock_ms() + 1, 0);
	timers_run(in.worker->timers);
	ck_assert_int_eq(done, 1);
	expect_reset(client);
	expect_reset(upstream);
	end();
}
END_TEST

void test_relay(TCase *tc)
{
	tcase_add_test(tc, bytes_go_both_ways_and_are_counted);
	tcase_add_test(tc, what_came_before_it_began_is_relayed);
	tcase_add_test(tc, bytes_that_were_read_before_go_first);
	tcase_add_test(tc, a_half_close_leaves_the_other_way_open);
	tcase_add_test(tc, a_half_close_of_the_upstream_is_carried_through_too);
	tcase_add_test(tc, a_reset_of_the_client_resets_the_upstream);
	tcase_add_test(tc, a_reset_of_the_upstream_resets_the_client);
	tcase_add_test(tc, a_bulk_stream_arrives_whole_in_either_direction);
	tcase_add_test(tc, a_slow_reader_gets_all_and_holds_the_sender_back);
	tcase_add_test(tc, the_end_comes_after_all_bytes_of_a_slow_reader);
	tcase_add_test(tc, without_pipes_bulk_goes_through_the_buffer);
	tcase_add_test(tc, an_idle_relay_holds_no_pipe);
	tcase_add_test(tc, an_idle_relay_ends_after_600_s);
}
