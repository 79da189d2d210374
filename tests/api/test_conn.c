#include "api/conn.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "api/server.h"
#include "tests/support/api_server.h"

void test_conn(TCase *tc);

static struct api_server server;
static struct api_server_client client;

static void set_up(void)
{
	api_server_init(&server);
	api_server_start(&server);
	api_server_connect(&server, &client, false);
}

static void tear_down(void)
{
	api_server_leave(&client);
	api_server_stop(&server);
}

static bool got(const char *text)
{
	return strstr(client.got, text) != NULL;
}

START_TEST(a_kept_connection_answers_one_request_after_the_other)
{
	for (unsigned i = 1; i <= 3; i++) {
		api_server_say(&client, "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
		ck_assert(api_server_until(&client, "\"action\":0}", i));
	}
	ck_assert_uint_eq(server.calls, 3);
	ck_assert(got("ETag: \"tag\"\r\n"));
}
END_TEST

START_TEST(head_unknown_methods_and_refusals_keep_the_connection_in_step)
{
	api_server_say(&client, "HEAD /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n"
	                        "FROB /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n"
	                        "HEAD /api/v1/nowhere HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n"
	                        "DELETE /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n"
	                        "GET /api/v1/traffic?x=1 HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n"
	                        "GET /api/v1/networks/9 HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	ck_assert(api_server_until(&client, "\"action\":3}", 1));
	ck_assert_uint_eq(server.calls, 2);

	const char *at = strstr(client.got, "\r\n\r\n");

	/* What follows the answer to a HEAD is the next answer's first line. */
	ck_assert_int_eq(strncmp(client.got, "HTTP/1.1 200 OK\r\n", 17), 0);
	ck_assert_int_eq(strncmp(at + 4, "HTTP/1.1 501 Not Implemented\r\n", 30), 0);
	at = strstr(client.got, "HTTP/1.1 404 Not Found\r\n");
	ck_assert_ptr_nonnull(at);
	at = strstr(at, "\r\n\r\n");
	ck_assert_int_eq(strncmp(at + 4, "HTTP/1.1 405 Method Not Allowed\r\n", 33), 0);
	ck_assert(got("Allow: GET, HEAD, POST, PATCH\r\n"));
	ck_assert(got("{\"path\":\"x\",\"message\":\"not a parameter of this request\"}"));
	ck_assert(!client.closed);
}
END_TEST

START_TEST(a_head_has_the_length_of_the_body_it_stands_for)
{
	api_server_say(&client,
	               "HEAD /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "Connection: close\r\n\r\n");
	ck_assert(api_server_until_closed(&client));
	ck_assert(got("Content-Length: 21\r\n"));
	ck_assert_ptr_eq(strstr(client.got, "\r\n\r\n") + 4, client.got + client.have);
}
END_TEST

START_TEST(requests_may_come_byte_by_byte)
{
	static const char text[] = "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN
	                           "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
	                           "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN
	                           "Content-Length: 2\r\nConnection: close\r\n\r\nxy";

	for (size_t i = 0; i < sizeof(text) - 1; i++)
		api_server_write(&client, text + i, 1);
	ck_assert(api_server_until_closed(&client));
	ck_assert_uint_eq(server.calls, 2);
	ck_assert_uint_eq(server.body_sum, 'x' + 'y');
	ck_assert(got("{\"call\":2,"));
}
END_TEST

START_TEST(pipelined_requests_with_bodies_are_told_apart)
{
	api_server_say(&client,
	               "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN "Content-Length: 3\r\n\r\nabc"
	               "PUT /api/v1/networks/1/peers/xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg%3D "
	               "HTTP/1.1\r\n" API_SERVER_ADMIN "Transfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n"
	               "GET /metrics HTTP/1.1\r\n" API_SERVER_ADMIN "Connection: close\r\n\r\n");
	ck_assert(api_server_until_closed(&client));
	ck_assert_uint_eq(server.calls, 3);
	ck_assert(got("{\"call\":1,\"action\":1}"));
	ck_assert(got("{\"call\":2,\"action\":5}"));
	ck_assert(got("{\"call\":3,\"action\":10}"));
}
END_TEST

START_TEST(what_is_asked_ahead_waits_for_a_held_answer)
{
	char filler[1024];

	server.api->limits.head_ms = 150;
	server.hold = true;
	api_server_say(&client, "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	api_server_run(&server, 20);
	ck_assert_ptr_nonnull(server.held);
	memset(filler, 'x', sizeof(filler));
	api_server_say(&client,
	               "GET /api/v1/networks HTTP/1.1\r\n" API_SERVER_ADMIN "Connection: close\r\nX: ");
	api_server_write(&client, filler, sizeof(filler));
	api_server_say(&client, "\r\n\r\n");
	api_server_run(&server, 200);
	ck_assert_uint_eq(server.calls, 1);

	server.hold = false;
	api_reply(server.held, 200, NULL, NULL, "{}", 2);
	ck_assert(api_server_until_closed(&client));
	ck_assert_uint_eq(server.calls, 2);
	ck_assert(got("\"action\":3}"));
}
END_TEST

/* In one turn of the loop the answer goes out, and more of the next head, which is not whole yet, comes. */
START_TEST(a_head_may_come_while_the_answer_before_it_goes)
{
	server.hold = true;
	api_server_say(&client, "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\nGET /api/v1/");
	api_server_run(&server, 20);
	ck_assert_ptr_nonnull(server.held);
	server.hold = false;
	api_reply(server.held, 200, NULL, NULL, "{}", 2);
	api_server_say(&client, "networks HTTP/1.1\r\n");
	api_server_run(&server, 20);
	api_server_say(&client, API_SERVER_ADMIN "\r\n");
	ck_assert(api_server_until(&client, "\"action\":3}", 1));
}
END_TEST

/* However fast they come: what is kept of them does not grow with each answer. */
START_TEST(requests_without_end_wait_in_the_kernel)
{
	static const char one[] = "GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n";
	const size_t count = 8000, bytes = count * (sizeof(one) - 1);
	const struct api_listener *listener;
	const struct conn *conn;
	char *text = malloc(bytes);
	size_t sent = 0, most = 0;

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < count; i++)
		memcpy(text + i * (sizeof(one) - 1), one, sizeof(one) - 1);
	for (unsigned turns = 0; server.calls < count && turns < 100 * count && !client.closed; turns++) {
		ssize_t n = send(client.fd, text + sent, bytes - sent, MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		api_server_turn(&server);
		api_server_read(&client);
		LIST_FOREACH(listener, &server.api->listeners, entry)
			LIST_FOREACH(conn, &listener->conns, entry)
				most = conn->room > most ? conn->room : most;
	}
	free(text);
	ck_assert_uint_eq(server.calls, count);
	ck_assert_uint_gt(most, 0);
	ck_assert_uint_le(most, 32U << 10);
}
END_TEST

START_TEST(a_body_that_is_expected_is_asked_for)
{
	api_server_say(&client, "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN
	                        "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	ck_assert(api_server_until(&client, "HTTP/1.1 100 Continue\r\n\r\n", 1));
	ck_assert_uint_eq(server.calls, 0);
	api_server_say(&client, "{}");
	ck_assert(api_server_until(&client, "\"action\":1}", 1));
	/* And on a connection that has answered before, where evhttp's callbacks are others. */
	api_server_say(&client, "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN
	                        "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	ck_assert(api_server_until(&client, "HTTP/1.1 100 Continue\r\n\r\n", 2));
	api_server_say(&client, "{}");
	ck_assert(api_server_until(&client, "\"action\":1}", 2));
}
END_TEST

START_TEST(a_body_that_is_refused_is_not_asked_for)
{
	api_server_say(&client, "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_HOST
	                        "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	ck_assert(api_server_until_closed(&client));
	ck_assert_int_eq(strncmp(client.got, "HTTP/1.1 401 ", 13), 0);
}
END_TEST

START_TEST(http_1_0_is_answered_and_closed)
{
	api_server_say(&client,
	               "GET /api/v1/config HTTP/1.0\r\nToken: secret\r\nConnection: keep-alive\r\n\r\n");
	ck_assert(api_server_until_closed(&client));
	ck_assert_int_eq(strncmp(client.got, "HTTP/1.0 200 ", 13), 0);
	ck_assert(got("\"action\":0}"));
}
END_TEST

static const struct {
	const char *head;
	const char *answer;
	const char *code;
} refused[] = {
	{ "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_HOST "\r\n", "401", "UNAUTHENTICATED" },
	{ "GET /api/v1/nowhere HTTP/1.1\r\n" API_SERVER_HOST "\r\n", "401", "UNAUTHENTICATED" },
	{ "GET /api/v1/health HTTP/1.1\r\n" API_SERVER_HOST "Token: wrong\r\n\r\n", "401",
	  "UNAUTHENTICATED" },
	{ "POST /api/v1/health HTTP/1.1\r\n" API_SERVER_HOST "\r\n", "401", "UNAUTHENTICATED" },
	{ "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_HOST "Content-Length: 9\r\n\r\n", "401",
	  "UNAUTHENTICATED" },
	{ "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_HOST "Token: looker\r\nContent-Length: 9\r\n\r\n",
	  "403", "FORBIDDEN" },
	{ "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN
	  "Content-Length: 9\r\nContent-Type: text/xml\r\n\r\n",
	  "415", "UNSUPPORTED_MEDIA_TYPE" },
	{ "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN "Content-Length: 67108865\r\n\r\n", "413",
	  "TOO_LARGE" },
	{ "POST /api/v1/apply?dry=1 HTTP/1.1\r\n" API_SERVER_ADMIN "Content-Length: 9\r\n\r\n", "400",
	  "BAD_REQUEST" },
	{ "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "Content-Length: 9\r\n\r\n", "400",
	  "BAD_REQUEST" },
	{ "FROB /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "Content-Length: 9\r\n\r\n", "501",
	  "NOT_IMPLEMENTED" },
	{ "GET /\n\n", "400", "BAD_REQUEST" },
	{ "\x16\x03\x01\x02\x01\x01\x01\x01\xfc\x03\x03\r\n\r\n", "400", "BAD_REQUEST" },
	{ "GET / HTTP/3.0\r\n\r\n", "505", "BAD_VERSION" },
	{ "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN "Transfer-Encoding: chunked\r\n\r\nx\r\n", "400",
	  "BAD_REQUEST" },
};

START_TEST(a_refusal_says_why_and_closes)
{
	char expected[64];

	api_server_write(&client, refused[_i].head, strlen(refused[_i].head));
	/* The rest of the body still comes: it must not break what the client has to read. */
	api_server_say(&client, "body body body");
	ck_assert(api_server_until_closed(&client));
	snprintf(expected, sizeof(expected), "HTTP/1.1 %s ", refused[_i].answer);
	ck_assert_msg(strncmp(client.got, expected, strlen(expected)) == 0, "%s", client.got);
	snprintf(expected, sizeof(expected), "{\"error\":{\"code\":\"%s\",", refused[_i].code);
	ck_assert_msg(got(expected), "%s", client.got);
	ck_assert(got("Connection: close\r\n"));
	ck_assert(!client.reset);
	ck_assert_uint_eq(server.calls, 0);
}
END_TEST

START_TEST(a_head_over_16_KiB_is_refused)
{
	char *filler = malloc(HEAD_BYTES_MOST);

	memset(filler, 'x', HEAD_BYTES_MOST);
	api_server_say(&client, "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "X: ");
	api_server_write(&client, filler, HEAD_BYTES_MOST);
	ck_assert(api_server_until_closed(&client));
	ck_assert_int_eq(strncmp(client.got, "HTTP/1.1 431 ", 13), 0);
	free(filler);
}
END_TEST

START_TEST(a_chunked_body_has_the_same_limit)
{
	char *chunk = malloc(1U << 20);

	memset(chunk, ' ', 1U << 20);
	api_server_say(&client, "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN
	                        "Transfer-Encoding: chunked\r\n\r\n");
	for (unsigned i = 0; i < 65 && !client.closed; i++) {
		api_server_say(&client, "100000\r\n");
		api_server_write(&client, chunk, 1U << 20);
		api_server_say(&client, "\r\n");
	}
	ck_assert(api_server_until_closed(&client));
	ck_assert_int_eq(strncmp(client.got, "HTTP/1.1 413 ", 13), 0);
	ck_assert(got("TOO_LARGE"));
	ck_assert_uint_eq(server.calls, 0);
	free(chunk);
}
END_TEST

START_TEST(a_slow_head_is_given_up)
{
	uint64_t bytes = 0;

	server.api->limits.head_ms = 150;
	for (; !client.closed && bytes < 200; bytes++) {
		api_server_write(&client, &"GET /aaaaaaaaaaaaaaaaaaaaaaaaa"[bytes % 20], 1);
		api_server_run(&server, 20);
	}
	ck_assert(client.closed);
	ck_assert_uint_lt(bytes, 20);
}
END_TEST

START_TEST(silence_after_a_request_is_given_up_later)
{
	server.api->limits.head_ms = 100;
	api_server_say(&client, "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	ck_assert(api_server_until(&client, "\"action\":0}", 1));
	api_server_run(&server, 250);
	ck_assert(api_server_read(&client));
	server.api->limits.idle_ms = 100;
	api_server_say(&client, "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	ck_assert(api_server_until_closed(&client));
	ck_assert_uint_eq(server.calls, 2);
}
END_TEST

/* The bytes take longer than may pass without one, which is long for a machine that stalls. */
START_TEST(a_body_that_stops_coming_is_given_up)
{
	server.api->limits.body_ms = 1500;
	api_server_say(&client,
	               "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN "Content-Length: 100\r\n\r\n");
	for (int i = 0; i < 35; i++) {
		api_server_say(&client, "x");
		api_server_run(&server, 50);
	}
	ck_assert_msg(api_server_read(&client), "slow, but not that slow");
	ck_assert(api_server_until_closed(&client));
	ck_assert_uint_eq(server.calls, 0);
	ck_assert_uint_eq(client.have, 0);
}
END_TEST

START_TEST(a_client_that_leaves_early_leaves_nothing)
{
	static const char text[] =
	        "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN "Content-Length: 9\r\n\r\nabc";

	for (size_t n = 0; n < sizeof(text); n += 7) {
		struct api_server_client other;

		api_server_connect(&server, &other, n % 2 == 0);
		api_server_write(&other, text, n);
		api_server_leave(&other);
		api_server_run(&server, 2);
	}
	ck_assert_uint_eq(server.calls, 0);
}
END_TEST

START_TEST(an_answer_to_who_has_left_goes_nowhere)
{
	server.hold = true;
	api_server_say(&client, "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	api_server_run(&server, 20);
	ck_assert_ptr_nonnull(server.held);
	shutdown(client.fd, SHUT_RDWR);
	api_server_run(&server, 20);
	api_reply(server.held, 200, NULL, NULL, "{}", 2);
	api_server_run(&server, 20);
}
END_TEST

START_TEST(on_the_unix_socket_everybody_is_admin)
{
	struct api_server_client local;

	api_server_connect(&server, &local, true);
	api_server_say(&local,
	               "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_HOST "Content-Length: 2\r\n\r\n{}");
	ck_assert(api_server_until(&local, "\"action\":1}", 1));
	ck_assert(server.call.authenticated);
	ck_assert(server.call.secrets);
	api_server_leave(&local);
}
END_TEST

START_TEST(a_read_token_sees_no_secrets)
{
	api_server_say(&client, "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_HOST
	                        "Authorization: Bearer looker\r\n\r\n");
	ck_assert(api_server_until(&client, "\"action\":0}", 1));
	ck_assert(server.call.authenticated);
	ck_assert(!server.call.secrets);
}
END_TEST

START_TEST(health_is_open_to_all)
{
	api_server_say(&client, "GET /api/v1/health HTTP/1.1\r\n" API_SERVER_HOST "\r\n");
	ck_assert(api_server_until(&client, "\"action\":9}", 1));
	ck_assert(!server.call.authenticated);
}
END_TEST

void test_conn(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_kept_connection_answers_one_request_after_the_other);
	tcase_add_test(tc, head_unknown_methods_and_refusals_keep_the_connection_in_step);
	tcase_add_test(tc, a_head_has_the_length_of_the_body_it_stands_for);
	tcase_add_test(tc, requests_may_come_byte_by_byte);
	tcase_add_test(tc, pipelined_requests_with_bodies_are_told_apart);
	tcase_add_test(tc, what_is_asked_ahead_waits_for_a_held_answer);
	tcase_add_test(tc, a_head_may_come_while_the_answer_before_it_goes);
	tcase_add_test(tc, requests_without_end_wait_in_the_kernel);
	tcase_add_test(tc, a_body_that_is_expected_is_asked_for);
	tcase_add_test(tc, a_body_that_is_refused_is_not_asked_for);
	tcase_add_test(tc, http_1_0_is_answered_and_closed);
	tcase_add_loop_test(tc, a_refusal_says_why_and_closes, 0,
	                    (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_test(tc, a_head_over_16_KiB_is_refused);
	tcase_add_test(tc, a_chunked_body_has_the_same_limit);
	tcase_add_test(tc, a_slow_head_is_given_up);
	tcase_add_test(tc, silence_after_a_request_is_given_up_later);
	tcase_add_test(tc, a_body_that_stops_coming_is_given_up);
	tcase_add_test(tc, a_client_that_leaves_early_leaves_nothing);
	tcase_add_test(tc, an_answer_to_who_has_left_goes_nowhere);
	tcase_add_test(tc, on_the_unix_socket_everybody_is_admin);
	tcase_add_test(tc, a_read_token_sees_no_secrets);
	tcase_add_test(tc, health_is_open_to_all);
}
