#include "proxy/upstream.h"

#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy/ejection.h"
#include "proxy/host.h"
#include "proxy/worker.h"
#include "tests/support/ingress.h"

void test_upstream(TCase *tc);

static struct ingress       in;
static struct host_use      use;
static struct upstream      u;
static int                  calls;
static enum upstream_result result;

static void on_gone(struct host_use *gone)
{
	host_leave(gone);
}

static void on_ready(struct wire *wire, short what)
{
	(void)wire;
	(void)what;
}

static void on_done(struct upstream *up, enum upstream_result how)
{
	ck_assert_ptr_eq(up, &u);
	ck_assert((up->wire.fd != -1) == (how == UPSTREAM_CONNECTED));
	if (how == UPSTREAM_CONNECTED)
		wire_give(&up->wire, on_ready, NULL);
	calls++;
	result = how;
}

static bool was_called(void *arg)
{
	(void)arg;
	return calls > 0;
}

static void begin(const struct tg_endpoint *upstreams, uint32_t count)
{
	struct routes_host host;

	ingress_begin(&in, 0);
	host = ingress_host(&in, ROUTES_HTTPS, "a.example", upstreams, count);
	ingress_routes(&in, &host, 1);
	use = (struct host_use){ 0 };
	ck_assert_int_eq(host_enter(in.worker, ROUTES_HTTPS, "a.example", &use, on_gone), HOST_OK);
	upstream_init(&u);
}

static void end(void)
{
	upstream_clear(&u);
	host_leave(&use);
	ingress_end(&in);
}

static enum upstream_result connect_once(void)
{
	upstream_clear(&u);
	calls = 0;
	upstream_connect(&u, in.worker, use.host, on_done);
	ck_assert_int_eq(calls, 0);	/* never from inside */
	ck_assert(ingress_until(&in, was_called, NULL));
	ck_assert_int_eq(calls, 1);
	return result;
}

/* An address where connect() neither succeeds nor fails: a listener whose queue is full. */
static struct tg_endpoint black_hole(void)
{
	struct tg_endpoint      at;
	struct sockaddr_storage address;
	int                     server = ingress_server(&at);
	socklen_t               bytes = tg_endpoint_to_sockaddr(&at, &address);

	ck_assert_int_eq(listen(server, 0), 0);
	for (int i = 0; i < 3; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		connect(fd, (struct sockaddr *)&address, bytes);	/* kept open until the test ends */
	}
	return at;
}

static void clock_add(unsigned ms)
{
	tg_clock_fake(tg_clock_ms() + ms, 0);
	timers_run(in.worker->timers);
	ingress_run(&in, 20);
}

START_TEST(upstreams_take_turns)
{
	struct tg_endpoint at[3];
	int                servers[3];

	for (int i = 0; i < 3; i++)
		servers[i] = ingress_server(&at[i]);
	begin(at, 3);
	for (int i = 0; i < 9; i++) {
		ck_assert_int_eq(connect_once(), UPSTREAM_CONNECTED);
		ck_assert(tg_endpoint_equal(&u.peer, &at[i % 3]));
	}
	end();
	for (int i = 0; i < 3; i++)
		close(servers[i]);
}
END_TEST

START_TEST(one_that_refuses_is_passed_over_and_left_out)
{
	struct tg_endpoint at[2] = { ingress_nobody() };
	int                server = ingress_server(&at[1]);

	begin(at, 2);
	ck_assert_int_eq(connect_once(), UPSTREAM_CONNECTED);
	ck_assert(tg_endpoint_equal(&u.peer, &at[1]));
	ck_assert(ejection_has(in.worker->ejection, in.cookie, &at[0]));
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(connect_once(), UPSTREAM_CONNECTED);
		ck_assert_uint_eq(u.tried & (u.tried - 1), 0);	/* only one was tried */
	}
	end();
	close(server);
}
END_TEST

START_TEST(one_that_is_left_out_gets_its_turn_again_after_ten_seconds)
{
	struct tg_endpoint at[2];
	int                a = ingress_server(&at[0]);
	int                b = ingress_server(&at[1]);
	bool               seen = false;

	begin(at, 2);
	upstream_failed(in.worker, use.host, &at[0]);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(connect_once(), UPSTREAM_CONNECTED);
		ck_assert(tg_endpoint_equal(&u.peer, &at[1]));
	}
	clock_add(EJECTION_MS);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(connect_once(), UPSTREAM_CONNECTED);
		seen = seen || tg_endpoint_equal(&u.peer, &at[0]);
	}
	ck_assert(seen);
	end();
	close(a);
	close(b);
}
END_TEST

START_TEST(when_all_failed_none_is_left_out)
{
	struct tg_endpoint at[2];
	int                a = ingress_server(&at[0]);
	int                b = ingress_server(&at[1]);

	begin(at, 2);
	upstream_failed(in.worker, use.host, &at[0]);
	upstream_failed(in.worker, use.host, &at[1]);
	ck_assert_int_eq(connect_once(), UPSTREAM_CONNECTED);
	ck_assert(!ejection_has(in.worker->ejection, in.cookie, &u.peer));
	end();
	close(a);
	close(b);
}
END_TEST

START_TEST(when_all_refuse_it_is_told)
{
	struct tg_endpoint at[3] = { ingress_nobody(), ingress_nobody(), ingress_nobody() };

	begin(at, 3);
	ck_assert_int_eq(connect_once(), UPSTREAM_REFUSED);
	ck_assert_uint_eq(u.tried, 7);
	end();
}
END_TEST

START_TEST(a_silent_one_has_a_second_while_another_is_left)
{
	struct tg_endpoint at[2] = { black_hole() };
	int                server = ingress_server(&at[1]);

	begin(at, 2);
	tg_clock_fake(tg_clock_ms(), 0);
	calls = 0;
	upstream_connect(&u, in.worker, use.host, on_done);
	ingress_run(&in, 30);
	clock_add(UPSTREAM_CONNECT_MS - 1);
	ck_assert_int_eq(calls, 0);
	clock_add(1);
	ck_assert(ingress_until(&in, was_called, NULL));
	ck_assert_int_eq(result, UPSTREAM_CONNECTED);
	ck_assert(tg_endpoint_equal(&u.peer, &at[1]));
	end();
	close(server);
}
END_TEST

START_TEST(the_last_one_has_five_seconds)
{
	struct tg_endpoint at[1] = { black_hole() };

	begin(at, 1);
	tg_clock_fake(tg_clock_ms(), 0);
	calls = 0;
	upstream_connect(&u, in.worker, use.host, on_done);
	ingress_run(&in, 30);
	clock_add(UPSTREAM_CONNECT_LAST_MS - 1);
	ck_assert_int_eq(calls, 0);
	clock_add(1);
	ck_assert_int_eq(calls, 1);
	ck_assert_int_eq(result, UPSTREAM_TIMED_OUT);
	end();
}
END_TEST

START_TEST(after_ten_seconds_the_next_one_is_the_last)
{
	struct tg_endpoint at[12];

	for (int i = 0; i < 12; i++)
		at[i] = black_hole();
	begin(at, 12);
	tg_clock_fake(tg_clock_ms(), 0);
	calls = 0;
	upstream_connect(&u, in.worker, use.host, on_done);
	ingress_run(&in, 30);
	for (unsigned ms = 0; ms < UPSTREAM_ALL_MS; ms += UPSTREAM_CONNECT_MS)
		clock_add(UPSTREAM_CONNECT_MS);
	clock_add(UPSTREAM_CONNECT_LAST_MS - 1);
	ck_assert_int_eq(calls, 0);
	clock_add(1);
	ck_assert_int_eq(calls, 1);
	ck_assert_int_eq(result, UPSTREAM_TIMED_OUT);
	ck_assert(tg_endpoint_equal(&u.peer, &at[10]));
	end();
}
END_TEST

START_TEST(of_very_many_the_only_one_that_answers_is_found)
{
	struct tg_endpoint at[3 * UPSTREAM_TRIES_MOST];
	size_t             count = sizeof at / sizeof at[0];
	int                server;

	for (size_t i = 0; i < count; i++)
		at[i] = (struct tg_endpoint){ AF_INET, .port = (uint16_t)(i + 1), .bytes = { 127 } };
	server = ingress_server(&at[count - 1]);
	begin(at, (uint32_t)count);
	for (size_t i = 0; i < count - 1; i++)
		upstream_failed(in.worker, use.host, &at[i]);
	ck_assert_int_eq(connect_once(), UPSTREAM_CONNECTED);
	ck_assert(tg_endpoint_equal(&u.peer, &at[count - 1]));
	end();
	close(server);
}
END_TEST

START_TEST(no_more_than_the_most_are_tried)
{
	struct tg_endpoint at[UPSTREAM_TRIES_MOST + 1];

	for (unsigned i = 0; i <= UPSTREAM_TRIES_MOST; i++) {
		at[i] = ingress_nobody();
		at[i].bytes[2] = (uint8_t)i;
	}
	begin(at, UPSTREAM_TRIES_MOST + 1);
	ck_assert_int_eq(connect_once(), UPSTREAM_REFUSED);
	ck_assert(!ejection_has(in.worker->ejection, in.cookie, &at[UPSTREAM_TRIES_MOST]));
	ck_assert(ejection_has(in.worker->ejection, in.cookie, &at[UPSTREAM_TRIES_MOST - 1]));
	end();
}
END_TEST

START_TEST(no_socket_within_two_seconds_is_told_and_blames_nobody)
{
	struct tg_endpoint at[2] = { ingress_nobody(), ingress_nobody() };

	begin(at, 2);
	tg_clock_fake(tg_clock_ms(), 0);
	in.mute = true;
	calls = 0;
	upstream_connect(&u, in.worker, use.host, on_done);
	clock_add(UPSTREAM_SOCKET_MS - 1);
	ck_assert_int_eq(calls, 0);
	clock_add(1);
	ck_assert_int_eq(calls, 1);
	ck_assert_int_eq(result, UPSTREAM_NO_SOCKET);
	ck_assert(!ejection_has(in.worker->ejection, in.cookie, &at[0]));
	end();
}
END_TEST

START_TEST(no_socket_at_all_is_told_at_once)
{
	struct tg_endpoint at = ingress_nobody();

	begin(&at, 1);
	in.refusal = 24;
	ck_assert_int_eq(connect_once(), UPSTREAM_NO_SOCKET);
	end();
}
END_TEST

START_TEST(an_address_without_a_route_counts_as_refused)
{
	struct tg_endpoint at = { .family = AF_INET6, .port = 9, .bytes = { 0x20, 0x01, 0x0d, 0xb8, 1 } };

	begin(&at, 1);
	in.lying = true;	/* a socket of another family fails in connect() at once */
	ck_assert_int_eq(connect_once(), UPSTREAM_REFUSED);
	/* And from inside upstream_connect(), with sockets at hand. */
	ck_assert_int_eq(connect_once(), UPSTREAM_REFUSED);
	end();
}
END_TEST

START_TEST(what_is_cleared_is_not_called)
{
	struct tg_endpoint at = ingress_nobody();

	begin(&at, 1);
	calls = 0;
	upstream_connect(&u, in.worker, use.host, on_done);
	upstream_clear(&u);
	ingress_run(&in, 30);
	ck_assert_int_eq(calls, 0);
	upstream_connect(&u, in.worker, use.host, on_done);
	upstream_clear(&u);
	ingress_run(&in, 30);
	ck_assert_int_eq(calls, 0);
	end();
}
END_TEST

void test_upstream(TCase *tc)
{
	tcase_add_test(tc, upstreams_take_turns);
	tcase_add_test(tc, one_that_refuses_is_passed_over_and_left_out);
	tcase_add_test(tc, one_that_is_left_out_gets_its_turn_again_after_ten_seconds);
	tcase_add_test(tc, when_all_failed_none_is_left_out);
	tcase_add_test(tc, when_all_refuse_it_is_told);
	tcase_add_test(tc, a_silent_one_has_a_second_while_another_is_left);
	tcase_add_test(tc, the_last_one_has_five_seconds);
	tcase_add_test(tc, after_ten_seconds_the_next_one_is_the_last);
	tcase_add_test(tc, of_very_many_the_only_one_that_answers_is_found);
	tcase_add_test(tc, no_more_than_the_most_are_tried);
	tcase_add_test(tc, no_socket_within_two_seconds_is_told_and_blames_nobody);
	tcase_add_test(tc, no_socket_at_all_is_told_at_once);
	tcase_add_test(tc, an_address_without_a_route_counts_as_refused);
	tcase_add_test(tc, what_is_cleared_is_not_called);
}
