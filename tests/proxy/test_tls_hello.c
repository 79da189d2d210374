#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy/timer.h"
#include "proxy/worker.h"
#include "tests/proxy/tls_fixture.h"

void test_tls_hello(TCase *tc);

#define UNRECOGNIZED_NAME "\x15\x03\x03\x00\x02\x02\x70"
#define DECODE_ERROR	  "\x15\x03\x03\x00\x02\x02\x32"

START_TEST(a_hello_may_come_byte_by_byte)
{
	int client, at;
	uint8_t got[HELLO_MAX];

	begin();
	hello_bytes = hello_make(hello, "a.example", 300);
	client = ingress_connect(&in, port);
	for (size_t i = 0; i < hello_bytes; i++)
		ingress_send(&in, client, hello + i, 1);
	at = ingress_accept(&in, server);
	ck_assert_int_eq(ingress_recv(&in, at, got, hello_bytes), (long)hello_bytes);
	ck_assert_mem_eq(got, hello, hello_bytes);
	close(client);
	close(at);
	end();
}
END_TEST

START_TEST(an_unknown_name_or_none_is_unrecognized)
{
	begin();
	refused(hello, hello_make(hello, "b.example", 1600), UNRECOGNIZED_NAME, 7);
	refused(hello, hello_make(hello, "x.a.example", 0), UNRECOGNIZED_NAME, 7);
	refused(hello, hello_make(hello, NULL, 0), UNRECOGNIZED_NAME, 7);
	ck_assert_uint_eq(in.slots[7].connections, 0);
	end();
}
END_TEST

START_TEST(what_is_not_tls_is_a_decode_error)
{
	static const char noise[] = "\x16\x03\x01\x00\x05\x02xxxx";

	begin();
	refused("SSH-2.0-OpenSSH\r\n", 17, DECODE_ERROR, 7);
	refused(noise, sizeof noise - 1, DECODE_ERROR, 7);
	end();
}
END_TEST

START_TEST(a_hello_over_16_kib_is_a_decode_error)
{
	begin();
	hello_make(hello, "a.example", 16384);
	hello[3] = 0x40;	/* a record of 16384 bytes, the message of more */
	hello[4] = 0;
	refused(hello, 16389, DECODE_ERROR, 7);
	end();
}
END_TEST

START_TEST(a_plain_request_gets_a_400)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
	char              answer[512] = "";
	int               client;

	begin();
	client = ingress_connect(&in, port);
	ingress_send(&in, client, request, sizeof request - 1);
	ck_assert_int_gt(ingress_recv(&in, client, answer, sizeof answer - 1), 0);
	ck_assert_int_eq(strncmp(answer, "HTTP/1.1 400 ", 13), 0);
	ck_assert_ptr_nonnull(strstr(answer, "\r\n\r\n"));
	close(client);
	end();
}
END_TEST

/* It has two seconds to take the alert in, but not to go on sending. */
START_TEST(who_sends_on_after_an_alert_is_cut_off)
{
	static const char block[16384];
	int               client;

	/* The clock stands: it is the bytes that cut this one off, however slow the machine. */
	tg_clock_fake(tg_clock_ms(), 0);
	begin();
	client = ingress_connect(&in, port);
	ingress_send(&in, client, "SSH-2.0-OpenSSH\r\n", 17);
	expect(client, DECODE_ERROR, 7);
	for (int i = 0; i < 3; i++)
		ingress_send(&in, client, block, sizeof block);
	ingress_run(&in, 20);
	ck_assert_uint_eq(in.worker->clients, 1);
	ingress_send(&in, client, block, sizeof block);
	ck_assert(ingress_until(&in, nobody_left, NULL));
	close(client);

	client = ingress_connect(&in, port);
	ingress_send(&in, client, "SSH-2.0-OpenSSH\r\n", 17);
	expect(client, DECODE_ERROR, 7);
	tg_clock_fake(tg_clock_ms() + 1999, 0);
	timers_run(in.worker->timers);
	ck_assert_uint_eq(in.worker->clients, 1);
	tg_clock_fake(tg_clock_ms() + 1, 0);
	timers_run(in.worker->timers);
	ck_assert_uint_eq(in.worker->clients, 0);
	close(client);
	end();
}
END_TEST

START_TEST(half_a_hello_and_the_end_is_a_decode_error)
{
	int client;

	begin();
	client = ingress_connect(&in, port);
	ingress_send(&in, client, hello, 100);
	shutdown(client, SHUT_WR);
	expect_last(client, DECODE_ERROR, 7);
	ck_assert(ingress_until(&in, nobody_left, NULL));
	client = ingress_connect(&in, port);	/* and at once */
	send(client, hello, 100, 0);
	shutdown(client, SHUT_WR);
	expect_last(client, DECODE_ERROR, 7);
	ck_assert(ingress_until(&in, nobody_left, NULL));
	end();
}
END_TEST

START_TEST(a_client_that_says_nothing_leaves_no_trace)
{
	begin();
	close(ingress_connect(&in, port));
	ck_assert(ingress_until(&in, nobody_left, NULL));
	end();
}
END_TEST

START_TEST(a_byte_a_second_is_cut_after_ten_seconds)
{
	int      client;
	uint64_t began_ms = 50000;

	begin();
	tg_clock_fake(began_ms, 0);
	client = ingress_connect(&in, port);
	ingress_run(&in, 20);
	for (unsigned s = 0; s < 10; s++) {
		tg_clock_fake(began_ms + s * 1000, 0);
		timers_run(in.worker->timers);
		ingress_send(&in, client, hello + s, 1);
		ingress_run(&in, 5);
		ck_assert_uint_eq(in.worker->clients, 1);
	}
	tg_clock_fake(began_ms + 10000, 0);
	timers_run(in.worker->timers);
	ck_assert_uint_eq(in.worker->clients, 0);
	close(client);
	end();
}
END_TEST

void test_tls_hello(TCase *tc)
{
	tcase_add_test(tc, a_hello_may_come_byte_by_byte);
	tcase_add_test(tc, an_unknown_name_or_none_is_unrecognized);
	tcase_add_test(tc, what_is_not_tls_is_a_decode_error);
	tcase_add_test(tc, a_hello_over_16_kib_is_a_decode_error);
	tcase_add_test(tc, a_plain_request_gets_a_400);
	tcase_add_test(tc, who_sends_on_after_an_alert_is_cut_off);
	tcase_add_test(tc, half_a_hello_and_the_end_is_a_decode_error);
	tcase_add_test(tc, a_client_that_says_nothing_leaves_no_trace);
	tcase_add_test(tc, a_byte_a_second_is_cut_after_ten_seconds);
}
