#include "proxy/wire.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/ingress.h"

void test_wire(TCase *tc);

static struct ingress in;
static struct wire    wire;
static int            far;
static short          told;
static int            first_calls, second_calls;

static void on_first(struct wire *which, short what)
{
	ck_assert_ptr_eq(which->owner, &first_calls);
	first_calls++;
	told |= what;
}

static void on_second(struct wire *which, short what)
{
	ck_assert_ptr_eq(which->owner, &second_calls);
	second_calls++;
	told |= what;
}

static void begin(void)
{
	struct tg_endpoint at;
	int                server;

	ingress_begin(&in, 0);
	server = ingress_server(&at);
	far = ingress_connect(&in, at.port);
	first_calls = second_calls = 0;
	told = 0;
	wire_init(&wire);
	ck_assert_int_eq(wire_open(&wire, in.base, ingress_accept(&in, server), on_first, &first_calls), 0);
	close(server);
	ingress_run(&in, 10);
}

static void end(void)
{
	wire_close(&wire);
	close(far);
	ingress_end(&in);
}

START_TEST(each_edge_is_told_once)
{
	begin();
	ck_assert_int_eq(told, EV_WRITE);
	ck_assert_int_eq(first_calls, 1);
	ck_assert_int_eq(send(far, "x", 1, 0), 1);
	ingress_run(&in, 10);
	ck_assert_int_eq(first_calls, 2);
	ck_assert_int_eq(wire.ready, EV_READ | EV_WRITE);
	ingress_run(&in, 10);	/* not read, and not told again */
	ck_assert_int_eq(first_calls, 2);
	end();
}
END_TEST

START_TEST(asked_again_it_tells_what_is_ready)
{
	begin();
	ck_assert_int_eq(send(far, "x", 1, 0), 1);
	ingress_run(&in, 10);
	told = 0;
	wire_again(&wire);
	ck_assert_int_eq(told, 0);	/* from the loop, not from inside */
	ingress_run(&in, 10);
	ck_assert_int_eq(told, EV_READ | EV_WRITE);
	end();
}
END_TEST

START_TEST(the_other_ends_fin_is_told)
{
	begin();
	ck_assert(!wire.ended);
	shutdown(far, SHUT_WR);
	ingress_run(&in, 10);
	ck_assert(wire.ended);
	ck_assert_int_eq(told & (EV_READ | EV_CLOSED), EV_READ | EV_CLOSED);
	end();
}
END_TEST

START_TEST(a_new_owner_hears_what_comes_next)
{
	begin();
	wire_give(&wire, on_second, &second_calls);
	ck_assert_int_eq(send(far, "x", 1, 0), 1);
	ingress_run(&in, 10);
	ck_assert_int_eq(first_calls, 1);
	ck_assert_int_eq(second_calls, 1);
	end();
}
END_TEST

START_TEST(closing_sends_an_end_and_resetting_a_reset)
{
	char byte;

	begin();
	wire_close(&wire);
	wire_close(&wire);
	ck_assert_int_eq(ingress_recv(&in, far, &byte, 1), 0);
	end();

	begin();
	wire_reset(&wire);
	wire_reset(&wire);
	ck_assert_int_eq(ingress_recv(&in, far, &byte, 1), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	end();
}
END_TEST

void test_wire(TCase *tc)
{
	tcase_add_test(tc, each_edge_is_told_once);
	tcase_add_test(tc, asked_again_it_tells_what_is_ready);
	tcase_add_test(tc, the_other_ends_fin_is_told);
	tcase_add_test(tc, a_new_owner_hears_what_comes_next);
	tcase_add_test(tc, closing_sends_an_end_and_resetting_a_reset);
}
