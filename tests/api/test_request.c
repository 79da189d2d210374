#include "api/request.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "api/conn.h"
#include "api/server.h"
#include "base/model.h"
#include "tests/support/api_server.h"

void test_request(TCase *tc);

#define CHUNK (64U << 10)

static struct api_server server;
static struct api_server_client client;

static void set_up(void)
{
	api_server_init(&server);
	server.stream = true;
	server.chunks = 3;
	api_server_start(&server);
	api_server_connect(&server, &client, false);
}

static void tear_down(void)
{
	api_server_leave(&client);
	api_server_stop(&server);
}

START_TEST(a_stream_is_chunked_and_ends)
{
	api_server_say(&client, "GET /api/v1/traffic HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	ck_assert(api_server_until(&client, "\r\n0\r\n\r\n", 1));
	ck_assert_ptr_nonnull(strstr(client.got, "Transfer-Encoding: chunked\r\n"));
	ck_assert_ptr_nonnull(strstr(client.got, "Content-Type: text/csv\r\n"));
	ck_assert_ptr_nonnull(strstr(client.got, "Tollgate-Stop-Time: 1234\r\n"));
	ck_assert_uint_gt(client.have, 3 * CHUNK);
	ck_assert_uint_eq(server.gone, 0);

	/* The connection goes on. */
	server.stream = false;
	api_server_say(&client, "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	ck_assert(api_server_until(&client, "\"action\":0}", 1));
}
END_TEST

START_TEST(a_stream_without_chunks_ends_too)
{
	server.chunks = 0;
	api_server_say(&client, "GET /api/v1/traffic HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	ck_assert(api_server_until(&client, "\r\n\r\n0\r\n\r\n", 1));
}
END_TEST

START_TEST(a_1_0_client_gets_a_stream_until_the_connection_closes)
{
	api_server_say(&client,
	               "GET /api/v1/traffic HTTP/1.0\r\n" API_SERVER_ADMIN "Connection: keep-alive\r\n\r\n");
	ck_assert(api_server_until_closed(&client));
	ck_assert_ptr_null(strstr(client.got, "chunked"));
	ck_assert_ptr_null(strstr(client.got, "Content-Length"));
	ck_assert_ptr_eq(strstr(client.got, "\r\n\r\n") + 4, client.got + client.have - 3 * CHUNK);
}
END_TEST

START_TEST(head_of_a_stream_is_its_head_and_stops_it)
{
	api_server_say(&client, "HEAD /api/v1/traffic HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n"
	                        "HEAD /api/v1/events HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	ck_assert(api_server_until(&client, "Tollgate-Stop-Time: 1234\r\n", 2));
	api_server_run(&server, 10);
	ck_assert_uint_eq(server.gone, 2);
	ck_assert_uint_eq(server.given, 0);
	ck_assert_ptr_null(strstr(client.got, "xxxx"));
	server.stream = false;
	api_server_say(&client, "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	ck_assert(api_server_until(&client, "\"action\":0}", 1));
}
END_TEST

START_TEST(a_stream_gives_no_more_than_its_reader_takes)
{
	server.chunks = 400;
	api_server_say(&client,
	               "GET /api/v1/traffic HTTP/1.1\r\n" API_SERVER_ADMIN "Connection: close\r\n\r\n");
	for (unsigned i = 0; i < 100; i++) {
		api_server_turn(&server);
		usleep(500);
	}
	ck_assert_uint_lt(server.given, 300);
	ck_assert_uint_le(server.waiting_most, 2 * CHUNK);
	ck_assert(api_server_until_closed(&client));
	ck_assert_uint_eq(server.given, 400);
	ck_assert_uint_gt(client.have, (size_t)400 * CHUNK);
}
END_TEST

START_TEST(a_reader_that_takes_nothing_is_given_up)
{
	server.chunks = 100000;
	server.api->limits.send_ms = 200;
	api_server_say(&client, "GET /api/v1/traffic HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	for (unsigned i = 0; i < 3000 && server.gone == 0; i++)
		api_server_run(&server, 1);
	ck_assert_uint_eq(server.gone, 1);
	ck_assert_uint_lt(server.given, 1000);
}
END_TEST

START_TEST(a_reader_that_leaves_is_noticed)
{
	server.chunks = 0;
	server.hold_open = true;
	server.api->limits.send_ms = 200;
	api_server_say(&client, "GET /api/v1/events HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	ck_assert(api_server_until(&client, "\r\n\r\n", 1));
	ck_assert_ptr_nonnull(server.held);
	/* A silent stream is no slow reader. */
	api_server_run(&server, 300);
	ck_assert_uint_eq(server.gone, 0);
	api_stream_chunk(server.held, "data: 1\n\n", 9);
	ck_assert(api_server_until(&client, "data: 1\n\n", 1));
	shutdown(client.fd, SHUT_RDWR);
	api_server_run(&server, 20);
	ck_assert_uint_eq(server.gone, 1);
}
END_TEST

/* The kernel keeps what it has room for. */
START_TEST(who_pushes_on_during_a_stream_is_not_read)
{
	static char filler[CHUNK];
	const struct api_listener *listener;
	const struct conn *conn;
	size_t pushed = 0, ahead = 0;

	server.chunks = 100000;
	api_server_say(&client, "GET /api/v1/traffic HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	for (unsigned i = 0; i < 200; i++) {
		ssize_t bytes = send(client.fd, filler, sizeof(filler), MSG_NOSIGNAL | MSG_DONTWAIT);

		pushed += bytes > 0 ? (size_t)bytes : 0;
		api_server_turn(&server);
		api_server_read(&client);
		client.have = 0;
		LIST_FOREACH(listener, &server.api->listeners, entry)
			LIST_FOREACH(conn, &listener->conns, entry)
				ahead = evbuffer_get_length(bufferevent_get_input(conn->bev));
		ck_assert_uint_lt(ahead, 32U << 10);
	}
	ck_assert(!client.closed);
	ck_assert_uint_eq(server.gone, 0);
	ck_assert_uint_gt(pushed, 100000);
	ck_assert_uint_gt(ahead, 0);
}
END_TEST

START_TEST(a_stream_that_is_not_whole_has_no_end)
{
	server.chunks = 1;
	server.hold_open = true;
	api_server_say(&client, "GET /api/v1/traffic HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	ck_assert(api_server_until(&client, "x\r\n", 1));
	api_stream_end(server.held, false);
	ck_assert(api_server_until_closed(&client));
	ck_assert_ptr_null(strstr(client.got, "\r\n0\r\n\r\n"));
	ck_assert_uint_eq(server.gone, 0);
}
END_TEST

START_TEST(a_stream_may_be_begun_and_ended_long_after_the_call)
{
	server.stream = false;
	server.hold = true;
	api_server_say(&client,
	               "GET /api/v1/traffic HTTP/1.1\r\n" API_SERVER_ADMIN "Connection: close\r\n\r\n");
	api_server_run(&server, 50);
	ck_assert_ptr_nonnull(server.held);
	api_stream_begin(server.held, "text/plain", -1, NULL, NULL, NULL);
	api_stream_chunk(server.held, "abc", 3);
	api_stream_end(server.held, true);
	ck_assert(api_server_until_closed(&client));
	ck_assert_ptr_nonnull(strstr(client.got, "\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
	ck_assert_ptr_null(strstr(client.got, "Stop-Time"));
}
END_TEST

START_TEST(not_modified_has_a_tag_and_no_body)
{
	server.stream = false;
	server.hold = true;
	api_server_say(&client, "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN
	                        "If-None-Match: \"tag\"\r\nConnection: close\r\n\r\n");
	api_server_run(&server, 20);
	api_reply_not_modified(server.held, "\"tag\"");
	ck_assert(api_server_until_closed(&client));
	ck_assert_int_eq(strncmp(client.got, "HTTP/1.1 304 ", 13), 0);
	ck_assert_ptr_nonnull(strstr(client.got, "ETag: \"tag\"\r\n"));
	ck_assert_ptr_eq(strstr(client.got, "\r\n\r\n") + 4, client.got + client.have);
}
END_TEST

START_TEST(an_error_has_its_status_and_its_details)
{
	struct model_fault faults[] = { { .path = strdup("/51820/mtu"), .text = "too \"small\"" } };
	struct model_faults *details = calloc(1, sizeof(*details));

	server.stream = false;
	server.hold = true;
	details->list[0] = faults[0];
	details->count = details->total = 1;
	api_server_say(&client,
	               "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "Connection: close\r\n\r\n");
	api_server_run(&server, 20);
	api_reply_error(server.held, API_CONFIG_INVALID, "no", details);
	ck_assert(api_server_until_closed(&client));
	ck_assert_int_eq(strncmp(client.got, "HTTP/1.1 400 ", 13), 0);

	cJSON *answer = cJSON_Parse(strstr(client.got, "\r\n\r\n"));
	cJSON *error = cJSON_GetObjectItem(answer, "error");
	cJSON *detail = cJSON_GetArrayItem(cJSON_GetObjectItem(error, "details"), 0);

	ck_assert_str_eq(cJSON_GetObjectItem(error, "code")->valuestring, "CONFIG_INVALID");
	ck_assert_str_eq(cJSON_GetObjectItem(error, "message")->valuestring, "no");
	ck_assert_str_eq(cJSON_GetObjectItem(detail, "path")->valuestring, "/51820/mtu");
	ck_assert_str_eq(cJSON_GetObjectItem(detail, "message")->valuestring, "too \"small\"");
	cJSON_Delete(answer);
	free(details->list[0].path);
	free(details);
}
END_TEST

START_TEST(not_ready_says_when_to_ask_again)
{
	server.stream = false;
	server.hold = true;
	api_server_say(&client, "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	api_server_run(&server, 20);
	api_reply_error(server.held, API_NOT_READY, "not yet", NULL);
	ck_assert(api_server_until(&client, "\"not yet\"", 1));
	ck_assert_int_eq(strncmp(client.got, "HTTP/1.1 503 ", 13), 0);
	ck_assert_ptr_nonnull(strstr(client.got, "Retry-After: "));
}
END_TEST

void test_request(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_stream_is_chunked_and_ends);
	tcase_add_test(tc, a_stream_without_chunks_ends_too);
	tcase_add_test(tc, a_1_0_client_gets_a_stream_until_the_connection_closes);
	tcase_add_test(tc, head_of_a_stream_is_its_head_and_stops_it);
	tcase_add_test(tc, a_stream_gives_no_more_than_its_reader_takes);
	tcase_add_test(tc, a_reader_that_takes_nothing_is_given_up);
	tcase_add_test(tc, a_reader_that_leaves_is_noticed);
	tcase_add_test(tc, who_pushes_on_during_a_stream_is_not_read);
	tcase_add_test(tc, a_stream_that_is_not_whole_has_no_end);
	tcase_add_test(tc, a_stream_may_be_begun_and_ended_long_after_the_call);
	tcase_add_test(tc, not_modified_has_a_tag_and_no_body);
	tcase_add_test(tc, an_error_has_its_status_and_its_details);
	tcase_add_test(tc, not_ready_says_when_to_ask_again);
}
