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
	tcase_add_test(tc, a_body_that_comes_faster_than_it_is_taken_leaves_the_others_their_turns);
}
