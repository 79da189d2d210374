#include "api/api_listener.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/api_server.h"

void test_api_listener(TCase *tc);

#define POSTERS     200
#define GROWTH_MOST (8U << 20)

static struct api_server server;

static void set_up(void)
{
	api_server_init(&server);
}

static void tear_down(void)
{
	api_server_stop(&server);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED
#endif

#ifdef SANITIZED
/* What is freed stays resident for a while there: ask for what is allocated instead. */
extern size_t __sanitizer_get_current_allocated_bytes(void);

static size_t memory_bytes(void)
{
	return __sanitizer_get_current_allocated_bytes();
}
#else
static size_t memory_bytes(void)
{
	char text[64] = "";
	unsigned long total, resident;
	FILE *file = fopen("/proc/self/statm", "re");

	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
	fclose(file);
	ck_assert_int_eq(sscanf(text, "%lu %lu", &total, &resident), 2);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}
#endif

/* Writes as much as the other side takes. */
static void pour(struct api_server_client *client, const char *filler, size_t bytes)
{
	while (!client->closed && send(client->fd, filler, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		continue;
}

START_TEST(posters_without_a_token_take_no_memory)
{
	static struct api_server_client clients[POSTERS];
	static char filler[64U << 10];
	static const char head[] = "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_HOST
	                           "Content-Type: application/json\r\nContent-Length: 60000000\r\n\r\n";
	unsigned answered = 0;
	size_t before, most = 0;

	api_server_start(&server);
	memset(filler, ' ', sizeof(filler));
	for (size_t i = 0; i < POSTERS; i++)
		api_server_connect(&server, &clients[i], false);
	api_server_run(&server, 20);
	before = memory_bytes();

	for (size_t i = 0; i < POSTERS; i++)
		ck_assert_int_eq(send(clients[i].fd, head, sizeof(head) - 1, MSG_NOSIGNAL), sizeof(head) - 1);
	for (unsigned turn = 0; turn < 4000 && answered < POSTERS; turn++) {
		answered = 0;
		for (size_t i = 0; i < POSTERS; i++) {
			pour(&clients[i], filler, sizeof(filler));
			api_server_read(&clients[i]);
			answered += clients[i].closed;
			if (clients[i].closed)
				shutdown(clients[i].fd, SHUT_RDWR);	/* the next one has its place */
		}
		api_server_turn(&server);
		if (memory_bytes() > most)
			most = memory_bytes();
		usleep(1000);
	}
	ck_assert_uint_eq(answered, POSTERS);
	for (size_t i = 0; i < POSTERS; i++) {
		ck_assert_int_eq(strncmp(clients[i].got, "HTTP/1.1 401 ", 13), 0);
		api_server_leave(&clients[i]);
	}
	ck_assert_uint_eq(server.calls, 0);
	ck_assert_msg(most < before + GROWTH_MOST, "grew by %zu bytes", most - before);
}
END_TEST

START_TEST(one_more_than_may_be_waits_for_its_place)
{
	struct api_server_client clients[4];

	server.limits.tcp_connections = 3;
	server.limits.crowd_ms = 10000;
	api_server_start(&server);
	for (size_t i = 0; i < 4; i++) {
		api_server_connect(&server, &clients[i], false);
		api_server_say(&clients[i], "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	}
	for (size_t i = 0; i < 3; i++)
		ck_assert(api_server_until(&clients[i], "\"action\":0}", 1));
	api_server_run(&server, 50);
	ck_assert_uint_eq(server.calls, 3);
	api_server_leave(&clients[1]);
	ck_assert(api_server_until(&clients[3], "\"action\":0}", 1));
	ck_assert_uint_eq(server.calls, 4);
	for (size_t i = 0; i < 4; i++)
		if (i != 1)
			api_server_leave(&clients[i]);
}
END_TEST

START_TEST(silent_clients_cannot_keep_others_out)
{
	struct api_server_client silent[3], client;

	server.limits.tcp_connections = 3;
	server.limits.crowd_ms = 50;
	api_server_start(&server);
	for (size_t i = 0; i < 3; i++) {
		api_server_connect(&server, &silent[i], false);
		api_server_say(&silent[i], "GET /api/v1/con");
	}
	api_server_connect(&server, &client, false);
	api_server_say(&client, "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	ck_assert(api_server_until(&client, "\"action\":0}", 1));
	for (size_t i = 0; i < 3; i++) {
		ck_assert(api_server_until_closed(&silent[i]));
		api_server_leave(&silent[i]);
	}
	api_server_leave(&client);
}
END_TEST

START_TEST(those_who_are_served_keep_their_place)
{
	struct api_server_client busy, client;

	server.limits.tcp_connections = 1;
	server.limits.crowd_ms = 20;
	server.hold = true;
	api_server_start(&server);
	api_server_connect(&server, &busy, false);
	api_server_say(&busy, "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "Connection: close\r\n\r\n");
	api_server_connect(&server, &client, false);
	api_server_say(&client, "GET /api/v1/networks HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n");
	api_server_run(&server, 200);
	ck_assert_uint_eq(server.calls, 1);
	server.hold = false;
	api_reply(server.held, 200, NULL, NULL, "{}", 2);
	ck_assert(api_server_until_closed(&busy));
	ck_assert_int_eq(strncmp(busy.got, "HTTP/1.1 200 ", 13), 0);
	ck_assert(api_server_until(&client, "\"action\":3}", 1));
	api_server_leave(&busy);
	api_server_leave(&client);
}
END_TEST

START_TEST(the_unix_socket_has_places_of_its_own)
{
	struct api_server_client tcp, local[3];

	server.limits.tcp_connections = 1;
	server.limits.local_connections = 2;
	server.limits.crowd_ms = 10000;
	api_server_start(&server);
	api_server_connect(&server, &tcp, false);
	api_server_run(&server, 10);
	for (size_t i = 0; i < 3; i++) {
		api_server_connect(&server, &local[i], true);
		api_server_say(&local[i], "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_HOST "\r\n");
		if (i < 2)
			ck_assert(api_server_until(&local[i], "\"action\":0}", 1));
	}
	api_server_run(&server, 50);
	ck_assert_uint_eq(server.calls, 2);
	api_server_leave(&local[0]);
	ck_assert(api_server_until(&local[2], "\"action\":0}", 1));
	api_server_leave(&local[1]);
	api_server_leave(&local[2]);
	api_server_leave(&tcp);
}
END_TEST

START_TEST(a_third_large_body_is_refused_by_its_head)
{
	struct api_server_client clients[3];
	static const char head[] =
	        "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN "Content-Length: 1048577\r\n\r\n";

	api_server_start(&server);
	for (size_t i = 0; i < 3; i++) {
		api_server_connect(&server, &clients[i], false);
		api_server_say(&clients[i], head);
		api_server_run(&server, 5);
	}
	ck_assert(api_server_until_closed(&clients[2]));
	ck_assert_int_eq(strncmp(clients[2].got, "HTTP/1.1 503 ", 13), 0);
	ck_assert_ptr_nonnull(strstr(clients[2].got, "Retry-After: "));
	ck_assert_ptr_nonnull(strstr(clients[2].got, "\"NOT_READY\""));
	api_server_leave(&clients[2]);

	/* The place of one that leaves is free again, and so is that of one that was answered. */
	api_server_leave(&clients[0]);
	api_server_run(&server, 5);
	for (unsigned i = 0; i < 3; i++) {
		char *body = calloc(1, (1U << 20) + 1);

		api_server_connect(&server, &clients[2], false);
		api_server_say(&clients[2], head);
		ck_assert_uint_eq(api_server_write(&clients[2], body, (1U << 20) + 1), (1U << 20) + 1);
		ck_assert(api_server_until(&clients[2], "\"action\":1}", 1));
		ck_assert_uint_eq(server.body_bytes, (1U << 20) + 1);
		api_server_leave(&clients[2]);
		free(body);
	}
	api_server_leave(&clients[1]);
}
END_TEST

START_TEST(a_third_large_chunked_body_is_refused_when_it_grows)
{
	struct api_server_client clients[3];
	char *body = calloc(1, 1U << 20);

	api_server_start(&server);
	for (size_t i = 0; i < 3; i++) {
		api_server_connect(&server, &clients[i], false);
		api_server_say(&clients[i], "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN
		                            "Transfer-Encoding: chunked\r\n\r\n100000\r\n");
		api_server_write(&clients[i], body, 1U << 20);
		api_server_run(&server, 5);
		ck_assert(!clients[i].closed);
	}
	for (size_t i = 0; i < 3; i++) {
		api_server_say(&clients[i], "\r\n1\r\nx");
		api_server_run(&server, 5);
	}
	ck_assert(api_server_until_closed(&clients[2]));
	ck_assert_int_eq(strncmp(clients[2].got, "HTTP/1.1 503 ", 13), 0);
	for (size_t i = 0; i < 2; i++) {
		api_server_say(&clients[i], "\r\n0\r\n\r\n");
		ck_assert(api_server_until(&clients[i], "\"action\":1}", 1));
		ck_assert_uint_eq(server.body_bytes, (1U << 20) + 1);
	}
	for (size_t i = 0; i < 3; i++)
		api_server_leave(&clients[i]);
	free(body);
}
END_TEST

START_TEST(a_body_of_64_MiB_passes)
{
	struct api_server_client client;
	size_t bytes = 64U << 20;
	char *body = malloc(bytes);

	memset(body, 1, bytes);
	api_server_start(&server);
	api_server_connect(&server, &client, true);
	api_server_say(&client,
	               "POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_HOST "Content-Length: 67108864\r\n\r\n");
	ck_assert_uint_eq(api_server_write(&client, body, bytes), bytes);
	ck_assert(api_server_until(&client, "\"action\":1}", 1));
	ck_assert_uint_eq(server.body_bytes, bytes);
	ck_assert_uint_eq(server.body_sum, bytes);
	api_server_leave(&client);
	free(body);
}
END_TEST

START_TEST(freeing_closes_connections_in_every_state)
{
	static const char *const texts[] = {
		"",
		"GET /api",
		"GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n",
		"POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_ADMIN "Content-Length: 9\r\n\r\nabc",
		"GET /api/v1/config HTTP/1.1\r\n" API_SERVER_HOST "\r\n",
	};
	struct api_server_client clients[6];

	api_server_start(&server);
	for (size_t i = 0; i < 5; i++) {
		api_server_connect(&server, &clients[i], i % 2 == 0);
		api_server_say(&clients[i], texts[i]);
	}
	api_server_run(&server, 10);
	server.hold = true;
	api_server_say(&clients[2], texts[2]);
	api_server_run(&server, 10);
	ck_assert_ptr_nonnull(server.held);
	api_server_connect(&server, &clients[5], false);
	api_free(server.api);
	server.api = NULL;
	/* A request outlives its connection until it is answered. */
	api_reply(server.held, 200, NULL, NULL, "{}", 2);
	for (size_t i = 0; i < 6; i++)
		api_server_leave(&clients[i]);
}
END_TEST

void test_api_listener(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, posters_without_a_token_take_no_memory);
	tcase_add_test(tc, one_more_than_may_be_waits_for_its_place);
	tcase_add_test(tc, silent_clients_cannot_keep_others_out);
	tcase_add_test(tc, those_who_are_served_keep_their_place);
	tcase_add_test(tc, the_unix_socket_has_places_of_its_own);
	tcase_add_test(tc, a_third_large_body_is_refused_by_its_head);
	tcase_add_test(tc, a_third_large_chunked_body_is_refused_when_it_grows);
	tcase_add_test(tc, a_body_of_64_MiB_passes);
	tcase_add_test(tc, freeing_closes_connections_in_every_state);
}
