#include "proxy/http_conn.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/http_exchange.h"
#include "proxy/worker.h"
#include "tests/proxy/http_fixture.h"
#include "tests/support/sends.h"

void test_http_conn(TCase *tc);

START_TEST(requests_go_to_the_host_they_name)
{
	int first, second;
	int client = begin(a, GET_A, &first);

	ck_assert_ptr_nonnull(strstr(text, "GET /1 HTTP/1.1\r\nHost: a.example\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "\r\nX-Forwarded-For: 127.0.0.1\r\n"));
	web_say(&in, first, OK);
	hear_ok(client);
	web_say(&in, client, GET_B);
	second = ingress_accept(&in, b);
	hear_head(second);
	ck_assert_ptr_nonnull(strstr(text, "GET /2 HTTP/1.1\r\nHost: x.b.example\r\n"));
	/* The other tenant's connection is not kept beside it. */
	ck_assert_int_eq(web_end(&in, first), 0);
	web_say(&in, second, OK);
	hear_ok(client);
	web_say(&in, client, GET_A);
	first = ingress_accept(&in, a);
	hear_head(first);
}
END_TEST

START_TEST(an_upstream_connection_is_kept_for_its_host)
{
	int upstream;
	int client = begin(a, GET_A, &upstream);

	for (int i = 0; i < 100; i++) {
		web_say(&in, upstream, OK);
		hear_ok(client);
		web_say(&in, client, GET_A);
		hear_head(upstream);
	}
	web_nobody_comes(&in, a);
	ck_assert_uint_eq(in.slots[1].connections, 1);
}
END_TEST

START_TEST(another_client_gets_another_upstream_connection)
{
	int upstream, other;
	int client = begin(a, GET_A, &upstream);

	web_say(&in, upstream, OK);
	hear_ok(client);
	begin(a, GET_A, &other);
	web_silence(&in, upstream);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_turn)
{
	int first, second;
	int client = begin(a, GET_A GET_A GET_B "GET / HTTP", &first);

	web_silence(&in, first);
	web_say(&in, first, OK);
	hear_ok(client);
	hear_head(first);
	web_say(&in, first, OK);
	hear_ok(client);
	second = ingress_accept(&in, b);
	hear_head(second);
	web_say(&in, second, OK);
	hear_ok(client);
	web_say(&in, client, "/1.1\r\nHost: x.b.example\r\n\r\n");
	hear_head(second);
}
END_TEST

START_TEST(a_request_may_come_byte_by_byte)
{
	int upstream, client = ingress_connect(&in, port);

	for (const char *at = POST_A "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"; *at != '\0';
	     at++)
		web_send(&in, client, at, 1);
	upstream = ingress_accept(&in, a);
	web_hear(&in, upstream, text, sizeof(text), "\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
	for (const char *at = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
	     *at; at++)
		web_send(&in, upstream, at, 1);
	web_hear(&in, client, text, sizeof(text), "\r\n\r\n2\r\nok\r\n0\r\n\r\n");
	web_say(&in, client, GET_A);
	hear_head(upstream);
}
END_TEST

static const struct {
	const char *request;
	unsigned    status;
	bool        closes;
} answers[] = {
	{ "GET / HTTP/1.1\r\nHost: c.example\r\n\r\n", 404, false },
	{ "GET / HTTP/1.1\r\nHost: x.y.b.example\r\n\r\n", 404, false },
	{ "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n", 404, false },
	{ "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 404, false },
	{ "GET / HTTP/1.0\r\n\r\n", 404, true },
	{ "GET / HTTP/1.1\r\nHost: \r\n\r\n", 400, true },
	{ "GET / HTTP/1.1\r\nHost: a.example:x\r\n\r\n", 400, true },
	{ "GET / HTTP/1.1\r\nHost: a.example:65536\r\n\r\n", 400, true },
	{ "GET / HTTP/1.1\r\nHost: a..example\r\n\r\n", 400, true },
	{ "GET / HTTP/1.1\r\nHost: a.example/\r\n\r\n", 400, true },
	{ "GET / HTTP/1.1\r\nHost: *.b.example\r\n\r\n", 400, true },
	{ "GET / HTTP/1.1\r\n\r\n", 400, true },
	{ "GET / HTTP/1.1\r\nHost: a.example\r\nHost: x.b.example\r\n\r\n", 400, true },
	{ "POST / HTTP/1.1\r\nHost: c.example\r\nContent-Length: 3\r\n\r\nabc", 404, true },
	{ POST_A "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, true },
	{ POST_A "Transfer-Encoding: chunked\r\n\r\nx\r\n", 400, true },
	{ "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", 405, true },
	{ "\x16\x03\x01\x02", 400, true },
};

START_TEST(what_cannot_be_forwarded_is_answered)
{
	int  client = ingress_connect(&in, port);
	char status[32];

	web_say(&in, client, answers[_i].request);
	hear_head(client);
	snprintf(status, sizeof(status), "HTTP/1.1 %u ", answers[_i].status);
	ck_assert_msg(strncmp(text, status, strlen(status)) == 0, "%s: %s", answers[_i].request, text);
	ck_assert(answers[_i].closes == (strstr(text, "Connection: close") != NULL));
	web_hear(&in, client, text, sizeof(text), ".\n");
	if (answers[_i].closes) {
		ck_assert_int_eq(web_end(&in, client), 0);
	} else {
		web_say(&in, client, GET_A);
		hear_head(ingress_accept(&in, a));
	}
	web_nobody_comes(&in, a);
	web_nobody_comes(&in, b);
}
END_TEST

static void fill(char *to, size_t len)
{
	memset(to, 'a', len);
	to[len] = '\0';
}

START_TEST(heads_that_are_too_large_are_refused)
{
	char *large = malloc(HTTP_HEAD_MOST + 100);
	int   client = ingress_connect(&in, port);

	strcpy(large, "GET /");
	fill(large + 5, HTTP_LINE_MOST);
	web_say(&in, client, large);
	hear_head(client);
	ck_assert_msg(strncmp(text, "HTTP/1.1 414 ", 13) == 0, "%s", text);

	client = ingress_connect(&in, port);
	strcpy(large, "GET / HTTP/1.1\r\nHost: a.example\r\nX: ");
	fill(large + strlen(large), HTTP_HEAD_MOST);
	web_say(&in, client, large);
	hear_head(client);
	ck_assert_msg(strncmp(text, "HTTP/1.1 431 ", 13) == 0, "%s", text);
	free(large);
}
END_TEST

START_TEST(bytes_and_connections_are_counted_for_their_host)
{
	static const char post[] = POST_A "Content-Length: 5\r\n\r\nhello";
	int               upstream, client = ingress_connect(&in, port);
	size_t            tx;

	web_say(&in, client, post);
	upstream = ingress_accept(&in, a);
	web_hear(&in, upstream, text, sizeof(text), "hello");
	web_say(&in, upstream, OK);
	hear_ok(client);
	tx = strlen(text);
	ck_assert_uint_eq(in.slots[1].rx, strlen(post));
	ck_assert_uint_eq(in.slots[1].tx, tx);

	/* Nobody's: an unknown host.  Then the other host, and the first again. */
	web_say(&in, client, "GET / HTTP/1.1\r\nHost: c.example\r\n\r\n");
	web_hear(&in, client, text, sizeof(text), ".\n");
	web_say(&in, client, GET_B);
	upstream = ingress_accept(&in, b);
	close(upstream);
	web_hear(&in, client, text, sizeof(text), ".\n");
	ck_assert_msg(strncmp(text, "HTTP/1.1 502 ", 13) == 0, "%s", text);
	ck_assert_uint_eq(in.slots[2].rx, strlen(GET_B));
	ck_assert_uint_eq(in.slots[2].tx, strlen(text));
	web_say(&in, client, GET_A);
	upstream = ingress_accept(&in, a);
	ck_assert_uint_eq(in.slots[1].rx, strlen(post) + strlen(GET_A));
	ck_assert_uint_eq(in.slots[1].tx, tx);
	ck_assert_uint_eq(in.slots[1].connections, 1);
	ck_assert_uint_eq(in.slots[2].connections, 1);
}
END_TEST

/* Control gives a slot away only after a table without its host. */
START_TEST(who_gets_a_slot_that_was_counted_in_is_counted_anew)
{
	struct routes_host hosts[2];
	int                upstream, client = begin(a, GET_A, &upstream);

	web_say(&in, upstream, OK);
	hear_ok(client);
	web_say(&in, client, GET_B);
	upstream = ingress_accept(&in, b);
	hear_head(upstream);
	web_say(&in, upstream, OK);
	hear_ok(client);
	ck_assert_uint_eq(in.slots[1].connections, 1);

	hosts[0] = ingress_host(&in, ROUTES_HTTP, "*.b.example", &at_b, 1);
	hosts[1] = ingress_host(&in, ROUTES_HTTP, "c.example", &at_a, 1);
	hosts[0].slot = 2;
	hosts[1].slot = 1;
	ingress_routes(&in, hosts, 1);
	ingress_routes(&in, hosts, 2);
	for (int i = 0; i < 2; i++) {
		web_say(&in, client, "GET / HTTP/1.1\r\nHost: c.example\r\n\r\n");
		upstream = i == 0 ? ingress_accept(&in, a) : upstream;
		hear_head(upstream);
		web_say(&in, upstream, OK);
		hear_ok(client);
		ck_assert_uint_eq(in.slots[1].connections, 2);
	}
	ck_assert_uint_eq(in.slots[2].connections, 1);
}
END_TEST

START_TEST(a_kept_connection_that_died_is_replaced)
{
	int first, second;
	int client = begin(a, GET_A, &first);

	web_say(&in, first, OK);
	hear_ok(client);
	/* Seen while idle. */
	close(first);
	ingress_run(&in, 5);
	web_say(&in, client, GET_A);
	first = ingress_accept(&in, a);
	hear_head(first);
	web_say(&in, first, OK);
	hear_ok(client);
	/* Seen only after the next request went out. */
	web_say(&in, client, GET_A);
	hear_head(first);
	close(first);
	second = ingress_accept(&in, a);
	hear_head(second);
	web_say(&in, second, OK);
	hear_ok(client);
}
END_TEST

START_TEST(what_may_have_been_done_is_not_done_twice)
{
	static const char *const requests[] = {
		"POST / HTTP/1.1\r\nHost: a.example\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx",
	};

	for (size_t i = 0; i < 2; i++) {
		int upstream;
		int client = begin(a, GET_A, &upstream);

		web_say(&in, upstream, OK);
		hear_ok(client);
		web_say(&in, client, requests[i]);
		hear_head(upstream);
		close(upstream);
		hear_head(client);
		ck_assert_msg(strncmp(text, "HTTP/1.1 502 ", 13) == 0, "%s", text);
		web_nobody_comes(&in, a);
	}
	/* Nor once a byte of an answer came. */
	int upstream;
	int client = begin(a, GET_A, &upstream);

	web_say(&in, upstream, OK);
	hear_ok(client);
	web_say(&in, client, GET_A);
	hear_head(upstream);
	web_say(&in, upstream, "H");
	close(upstream);
	hear_head(client);
	ck_assert_msg(strncmp(text, "HTTP/1.1 502 ", 13) == 0, "%s", text);
	web_nobody_comes(&in, a);
}
END_TEST

START_TEST(an_upgrade_becomes_a_tunnel)
{
	int upstream;
	int client = begin(a, UPGRADE_A "early", &upstream);

	sends_watch(port, in.slots);
	ck_assert_ptr_nonnull(strstr(text, "Connection: upgrade\r\nUpgrade: websocket\r\n"));
	web_silence(&in, upstream);
	web_say(&in, upstream, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	                          "Connection: upgrade\r\nSec-X: 1\r\n\r\nhello");
	web_hear(&in, client, text, sizeof(text), "hello");
	ck_assert_ptr_nonnull(strstr(text, "Connection: upgrade\r\nUpgrade: websocket\r\n"));
	web_hear(&in, upstream, text, sizeof(text), "early");
	web_say(&in, client, GET_B);
	web_hear(&in, upstream, text, sizeof(text), GET_B);
	web_say(&in, upstream, "back");
	web_hear(&in, client, text, sizeof(text), "back");
	shutdown(client, SHUT_WR);
	ck_assert_int_eq(web_end(&in, upstream), 0);
	web_say(&in, upstream, "last");
	web_hear(&in, client, text, sizeof(text), "last");
	close(upstream);
	ck_assert_int_eq(web_end(&in, client), 0);
	ck_assert_uint_eq(in.worker->clients, 0);
	ck_assert_uint_eq(in.slots[1].tx, sends_seen());
	/* What came before the answer is counted, too. */
	ck_assert_uint_eq(in.slots[1].rx, strlen(UPGRADE_A "early" GET_B));
}
END_TEST

START_TEST(an_upgrade_that_upstream_declines_is_a_request)
{
	int upstream;
	int client = begin(
	        a, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" GET_A,
	        &upstream);

	web_say(&in, upstream, OK);
	hear_ok(client);
	hear_head(upstream);
}
END_TEST

START_TEST(http_2_is_no_upgrade)
{
	int upstream;

	begin(a,
	      "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
	      "HTTP2-Settings: x\r\n\r\n",
	      &upstream);
	ck_assert_ptr_null(strstr(text, "pgrade"));
	ck_assert_ptr_null(strstr(text, "HTTP2-Settings"));
}
END_TEST

void test_http_conn(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, requests_go_to_the_host_they_name);
	tcase_add_test(tc, an_upstream_connection_is_kept_for_its_host);
	tcase_add_test(tc, another_client_gets_another_upstream_connection);
	tcase_add_test(tc, pipelined_requests_are_answered_in_turn);
	tcase_add_test(tc, a_request_may_come_byte_by_byte);
	tcase_add_loop_test(tc, what_cannot_be_forwarded_is_answered, 0,
	                    sizeof(answers) / sizeof(answers[0]));
	tcase_add_test(tc, heads_that_are_too_large_are_refused);
	tcase_add_test(tc, bytes_and_connections_are_counted_for_their_host);
	tcase_add_test(tc, who_gets_a_slot_that_was_counted_in_is_counted_anew);
	tcase_add_test(tc, a_kept_connection_that_died_is_replaced);
	tcase_add_test(tc, what_may_have_been_done_is_not_done_twice);
	tcase_add_test(tc, an_upgrade_becomes_a_tunnel);
	tcase_add_test(tc, an_upgrade_that_upstream_declines_is_a_request);
	tcase_add_test(tc, http_2_is_no_upgrade);
}
