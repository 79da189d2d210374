#include "api/intake.h"

#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/conn.h"
#include "api/server.h"
#include "tests/support/api_server.h"

void test_intake(TCase *tc);

#define TURN_MOST (1U << 20)	/* of a body, past libevent */
#define BODY_TEXT "5000000"
#define BODY      5000000U

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

/* Else a queue of applies would hold as many large bodies as there are places in it. */
START_TEST(a_large_body_keeps_its_place_until_the_answer)
{
	static const char head[] =
	        "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN "Content-Length: 1100000\r\n\r\n";
	static char       body[1100000];
	struct api_server_client others[2];

	memset(body, ' ', sizeof(body));
	server.hold = true;
	server.api->limits.big_bodies = 1;
	api_server_say(&client, head);
	api_server_write(&client, body, sizeof(body));
	api_server_run(&server, 50);
	ck_assert_ptr_nonnull(server.held);
	ck_assert_uint_eq(server.body_bytes, sizeof(body));

	api_server_ask(&server, &others[0], head);
	ck_assert(strstr(others[0].got, "HTTP/1.1 503 ") == others[0].got);
	ck_assert_ptr_nonnull(strstr(others[0].got, "Retry-After: "));

	server.hold = false;
	api_reply(server.held, 200, NULL, NULL, "{}", 2);
	api_server_connect(&server, &others[1], false);
	api_server_say(&others[1], head);
	api_server_write(&others[1], body, sizeof(body));
	ck_assert(api_server_until(&others[1], "HTTP/1.1 200 ", 1));
	api_server_leave(&others[0]);
	api_server_leave(&others[1]);
}
END_TEST

/* It is cleared behind the answer, and as long as nobody takes that, it is there. */
START_TEST(a_large_body_keeps_its_place_until_the_answer_is_taken)
{
	static const char head[] =
	        "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN "Content-Length: 1100000\r\n\r\n";
	static char       body[1100000];
	static char       answer[16U << 20];
	struct api_server_client other;

	memset(body, ' ', sizeof(body));
	memset(answer, ' ', sizeof(answer));
	server.hold = true;
	server.api->limits.big_bodies = 1;
	server.api->limits.send_ms = 60000;
	api_server_say(&client, head);
	api_server_write(&client, body, sizeof(body));
	api_server_run(&server, 50);
	ck_assert_ptr_nonnull(server.held);
	api_reply(server.held, 200, NULL, NULL, answer, sizeof(answer));
	server.hold = false;

	api_server_ask(&server, &other, head);
	ck_assert(strstr(other.got, "HTTP/1.1 503 ") == other.got);
	api_server_leave(&other);

	while (client.have < sizeof(answer)) {
		ck_assert(api_server_read(&client));
		api_server_turn(&server);
	}
	api_server_connect(&server, &other, false);
	api_server_say(&other, head);
	api_server_write(&other, body, sizeof(body));
	ck_assert(api_server_until(&other, "HTTP/1.1 200 ", 1));
	api_server_leave(&other);
}
END_TEST

/* Much of it is read past libevent: neither more nor less than it is. */
static void check_large_body(size_t piece)
{
	static const char head[] =
	        "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN "Content-Length: 300000\r\n\r\n";
	static const char next[] = "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n";
	static char       text[sizeof(head) + 300000 + sizeof(next)];
	size_t            bytes = 0;
	unsigned          sum = 0;

	memcpy(text, head, sizeof(head) - 1);
	bytes += sizeof(head) - 1;
	for (unsigned i = 0; i < 300000; i++) {
		text[bytes] = (char)(' ' + i % 61);
		sum += (unsigned char)text[bytes++];
	}
	server.hold = true;
	memcpy(text + bytes, next, sizeof(next) - 1);
	bytes += sizeof(next) - 1;
	for (size_t at = 0; at < bytes; at += piece)
		api_server_write(&client, text + at, bytes - at < piece ? bytes - at : piece);
	for (unsigned i = 0; i < 1000 && server.held == NULL; i++)
		api_server_turn(&server);
	ck_assert_uint_eq(server.calls, 1);
	ck_assert_uint_eq(server.body_bytes, 300000);
	ck_assert_uint_eq(server.body_sum, sum);
	server.hold = false;
	api_reply(server.held, 200, NULL, NULL, "{}", 2);
	ck_assert(api_server_until(&client, "\"action\":0}", 1));
	ck_assert_uint_eq(server.calls, 2);
}

START_TEST(a_large_body_comes_whole_and_what_follows_it_too)
{
	static const size_t pieces[] = { 1U << 20, 100000, 5000, 4096, 1021 };

	check_large_body(pieces[_i]);
}
END_TEST

START_TEST(a_large_body_comes_whole_by_the_unix_socket_too)
{
	static const size_t pieces[] = { 1U << 20, 5000 };

	api_server_leave(&client);
	api_server_connect(&server, &client, true);
	check_large_body(pieces[_i]);
}
END_TEST

START_TEST(a_client_that_leaves_within_a_large_body_leaves_nothing)
{
	static char body[100000];

	memset(body, ' ', sizeof(body));
	api_server_say(&client, "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN
	                        "Content-Length: 1100000\r\n\r\n");
	api_server_write(&client, body, sizeof(body));
	api_server_run(&server, 20);
	ck_assert_uint_eq(server.api->big_bodies, 1);
	shutdown(client.fd, SHUT_WR);
	ck_assert(api_server_until_closed(&client));
	ck_assert_uint_eq(server.api->big_bodies, 0);
	ck_assert_uint_eq(server.calls, 0);
}
END_TEST

/* As much has come, wherever our files read, as they ask for. */
static bool endless;

/* The linker leads our files here. */
ssize_t __real_read(int fd, void *to, size_t bytes);
ssize_t __wrap_read(int fd, void *to, size_t bytes);

ssize_t __wrap_read(int fd, void *to, size_t bytes)
{
	if (!endless)
		return __real_read(fd, to, bytes);
	memset(to, ' ', bytes);
	return (ssize_t)bytes;
}

/* What has come of the body of the only request. */
static size_t come(void)
{
	const struct api_listener *listener;
	const struct conn         *conn;
	size_t                     bytes = 0;

	LIST_FOREACH(listener, &server.api->listeners, entry)
		LIST_FOREACH(conn, &listener->conns, entry)
			bytes += conn->body.have;
	return bytes;
}

START_TEST(a_body_that_comes_faster_than_it_is_taken_leaves_the_others_their_turns)
{
	size_t turns = 0;

	api_server_say(&client, "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN
	                        "Content-Length: " BODY_TEXT "\r\n\r\n");
	api_server_run(&server, 20);
	endless = true;
	while (server.calls == 0) {
		size_t before = come();

		ck_assert_uint_lt(turns, BODY);
		ck_assert_int_eq(send(client.fd, "x", 1, MSG_NOSIGNAL), 1);
		api_server_turn(&server);
		if (server.calls == 0)
			ck_assert_uint_le(come() - before, TURN_MOST + 1);
		turns++;
	}
	endless = false;
	ck_assert_uint_eq(server.body_bytes, BODY);
	ck_assert_uint_ge(turns, BODY / TURN_MOST + 1);
	/* It is read straight, or it would take a turn for each 4,096 bytes. */
	ck_assert_uint_lt(turns, BODY / 4096);
}
END_TEST

void test_intake(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_large_body_keeps_its_place_until_the_answer);
	tcase_add_test(tc, a_large_body_keeps_its_place_until_the_answer_is_taken);
	tcase_add_loop_test(tc, a_large_body_comes_whole_and_what_follows_it_too, 0, 5);
	tcase_add_loop_test(tc, a_large_body_comes_whole_by_the_unix_socket_too, 0, 2);
	tcase_add_test(tc, a_client_that_leaves_within_a_large_body_leaves_nothing);
	tcase_add_test(tc, a_body_that_comes_faster_than_it_is_taken_leaves_the_others_their_turns);
}
