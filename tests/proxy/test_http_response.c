#include <check.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "proxy/http_exchange.h"
#include "tests/proxy/http_fixture.h"
#include "tests/support/sends.h"

void test_http_response(TCase *tc);

static const char *const broken[] = {
	"rubbish\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
	"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
};

START_TEST(a_broken_response_is_a_502)
{
	int upstream;
	int client = begin(a, GET_A, &upstream);

	web_say(&in, upstream, broken[_i]);
	hear_head(client);
	ck_assert_msg(strncmp(text, "HTTP/1.1 502 ", 13) == 0, "%s", text);
	ck_assert_int_eq(web_end(&in, upstream), 0);
}
END_TEST

START_TEST(a_body_cut_short_is_never_whole)
{
	static const char *const cut[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nx\r\n",
	};

	for (size_t i = 0; i < 3; i++) {
		int upstream;
		int client =
		        begin(a, i == 1 ? "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n" : GET_A, &upstream);

		web_say(&in, upstream, cut[i]);
		web_hear(&in, client, text, sizeof(text), "ok");
		close(upstream);
		if (i == 2)
			web_hear(&in, client, text, sizeof(text), "\r\n");
		ck_assert_int_eq(web_end(&in, client), ECONNRESET);
	}
}
END_TEST

START_TEST(a_response_may_end_with_its_connection)
{
	int upstream;
	int client = begin(a, GET_A, &upstream);

	web_say(&in, upstream, "HTTP/1.0 200 OK\r\n\r\n1234");
	hear_head(client);
	ck_assert_ptr_nonnull(strstr(text, "Connection: close\r\n"));
	web_hear(&in, client, text, sizeof(text), "1234");
	web_say(&in, upstream, "5678");
	close(upstream);
	web_hear(&in, client, text, sizeof(text), "5678");
	ck_assert_int_eq(web_end(&in, client), 0);
}
END_TEST

START_TEST(an_http_1_0_client_sees_no_chunks)
{
	int upstream;
	int client =
	        begin(a, "GET / HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n", &upstream);

	ck_assert_ptr_nonnull(strstr(text, "GET / HTTP/1.1\r\n"));
	web_say(&in, upstream, "HTTP/1.1 103 Early Hints\r\n\r\n" OK);
	hear_ok(client);
	ck_assert_ptr_nonnull(strstr(text, "Connection: keep-alive\r\n"));
	web_say(&in, client, "GET / HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n");
	hear_head(upstream);
	web_say(&in, upstream,
	        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n2\r\nok\r\n0\r\n\r\n");
	web_hear(&in, client, text, sizeof(text), "\r\n\r\nabcdok");
	ck_assert_ptr_null(strstr(text, "chunked"));
	ck_assert_int_eq(web_end(&in, client), 0);
}
END_TEST

START_TEST(responses_without_a_body_end_with_their_head)
{
	static const char *const responses[] = {
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	};
	int upstream;
	int client = begin(a, GET_A, &upstream);

	for (size_t i = 0; i < 4; i++) {
		web_say(&in, upstream, responses[i]);
		hear_head(client);
		web_say(&in, client, i == 0 ? GET_A : "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n");
		hear_head(upstream);
	}
	web_nobody_comes(&in, a);
}
END_TEST

START_TEST(surplus_bytes_end_the_upstream_connection)
{
	int first, second;
	int client = begin(a, GET_A, &first);

	web_say(&in, first, OK "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
	hear_ok(client);
	web_say(&in, client, GET_A);
	second = ingress_accept(&in, a);
	hear_head(second);
	web_say(&in, second, OK);
	hear_ok(client);
	/* The same when they come late. */
	web_say(&in, second, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
	web_say(&in, client, GET_A);
	first = ingress_accept(&in, a);
	hear_head(first);
	web_silence(&in, client);
}
END_TEST

START_TEST(interim_responses_are_passed_on)
{
	int upstream;
	int client = begin(a, POST_A "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", &upstream);

	sends_watch(port, in.slots);
	ck_assert_ptr_nonnull(strstr(text, "Expect: 100-continue\r\n"));
	web_say(&in, upstream, "HTTP/1.1 100 Continue\r\n\r\n");
	hear_head(client);
	ck_assert_str_eq(text, "HTTP/1.1 100 Continue\r\n\r\n");
	web_say(&in, client, "hello");
	web_hear(&in, upstream, text, sizeof(text), "hello");
	web_say(&in, upstream, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK);
	hear_head(client);
	ck_assert_str_eq(text, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
	hear_ok(client);
	/* But not for ever. */
	web_say(&in, client, GET_A);
	hear_head(upstream);
	for (int i = 0; i < HTTP_INTERIM_MOST; i++) {
		web_say(&in, upstream, "HTTP/1.1 102 Processing\r\n\r\n");
		hear_head(client);
	}
	web_say(&in, upstream, "HTTP/1.1 102 Processing\r\n\r\n");
	hear_head(client);
	ck_assert_msg(strncmp(text, "HTTP/1.1 502 ", 13) == 0, "%s", text);
}
END_TEST

START_TEST(an_early_final_response_ends_the_connection)
{
	int upstream;
	int client = begin(a, POST_A "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", &upstream);

	web_say(&in, upstream, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
	hear_head(client);
	ck_assert_ptr_nonnull(strstr(text, "HTTP/1.1 413 No\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "Connection: close\r\n"));
	ck_assert_int_eq(web_end(&in, client), 0);
	ck_assert_int_eq(web_end(&in, upstream), 0);
}
END_TEST

void test_http_response(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, a_broken_response_is_a_502, 0, sizeof(broken) / sizeof(broken[0]));
	tcase_add_test(tc, a_body_cut_short_is_never_whole);
	tcase_add_test(tc, a_response_may_end_with_its_connection);
	tcase_add_test(tc, an_http_1_0_client_sees_no_chunks);
	tcase_add_test(tc, responses_without_a_body_end_with_their_head);
	tcase_add_test(tc, surplus_bytes_end_the_upstream_connection);
	tcase_add_test(tc, interim_responses_are_passed_on);
	tcase_add_test(tc, an_early_final_response_ends_the_connection);
}
