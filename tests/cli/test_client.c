#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/args.h"
#include "cli/client.h"

void test_client(TCase *tc);

/* A server that notes one request and gives one answer. */
static struct {
	pthread_t   thread;
	int         listener;
	char        directory[64];
	char        path[96];
	char        url[64];
	const char *answer;
	char        request[4096];
} server;

static void *serve(void *arg)
{
	int    fd = accept(server.listener, NULL, NULL);
	size_t len = 0;

	(void)arg;
	while (len + 1 < sizeof server.request) {
		ssize_t got = read(fd, server.request + len, sizeof server.request - 1 - len);

		if (got <= 0)
			break;
		len += (size_t)got;
		server.request[len] = '\0';

		const char *body = strstr(server.request, "\r\n\r\n");
		const char *length = strstr(server.request, "Content-Length: ");

		if (body != NULL && (length == NULL || strlen(body + 4) >= (size_t)atoi(length + 16)))
			break;
	}
	ck_assert_int_eq(write(fd, server.answer, strlen(server.answer)), (ssize_t)strlen(server.answer));
	close(fd);
	return NULL;
}

static void begin(const char *answer, bool tcp)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct sockaddr_in inet = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t          size = sizeof inet;

	server.answer = answer;
	snprintf(server.directory, sizeof server.directory, "/tmp/tollgate-client-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(server.directory));
	snprintf(server.path, sizeof server.path, "%s/api.sock", server.directory);
	snprintf(local.sun_path, sizeof local.sun_path, "%s", server.path);
	server.listener = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(server.listener, tcp ? (struct sockaddr *)&inet : (struct sockaddr *)&local,
	                      tcp ? sizeof inet : sizeof local), 0);
	ck_assert_int_eq(listen(server.listener, 1), 0);
	if (tcp) {
		ck_assert_int_eq(getsockname(server.listener, (struct sockaddr *)&inet, &size), 0);
		snprintf(server.url, sizeof server.url, "http://127.0.0.1:%u/", ntohs(inet.sin_port));
	}
	ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void end(void)
{
	pthread_join(server.thread, NULL);
	close(server.listener);
	unlink(server.path);
	rmdir(server.directory);
}

static struct client *client_here(void)
{
	struct args     args = { .run_dir = server.directory };
	struct tg_error err;
	struct client  *client = client_new(&args, &err);

	ck_assert_msg(client != NULL, "%s", err.text);
	return client;
}

START_TEST(a_get_goes_to_the_socket_and_brings_the_body)
{
	struct client_answer answer;
	struct tg_error      err;

	begin("HTTP/1.1 404 No\r\nContent-Length: 5\r\nTollgate-Stop-Time: 17\r\n\r\nhello", false);

	struct client *client = client_here();

	ck_assert_msg(client_call(client, "/networks/5", NULL, 0, &answer, &err) == 0, "%s", err.text);
	end();
	ck_assert_int_eq(answer.status, 404);
	ck_assert_str_eq(answer.body, "hello");
	ck_assert_int_eq(answer.stop_time, 17);
	ck_assert_ptr_eq(strstr(server.request, "GET /api/v1/networks/5 HTTP/1.1\r\n"), server.request);
	ck_assert_ptr_null(strstr(server.request, "Authorization"));
	client_answer_clear(&answer);
	client_free(client);
}
END_TEST

START_TEST(a_post_carries_the_document_as_it_is)
{
	struct client_answer answer;
	struct tg_error      err;

	begin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false);

	struct client *client = client_here();

	ck_assert_int_eq(client_call(client, "/apply?dry_run=true", "{\"a\": 1}", 8, &answer, &err), 0);
	end();
	ck_assert_ptr_eq(strstr(server.request, "POST /api/v1/apply?dry_run=true HTTP/1.1\r\n"),
	                 server.request);
	ck_assert_ptr_nonnull(strstr(server.request, "Content-Type: application/json\r\n"));
	ck_assert_ptr_null(strstr(server.request, "Expect"));
	ck_assert_ptr_nonnull(strstr(server.request, "\r\n\r\n{\"a\": 1}"));
	client_answer_clear(&answer);
	client_free(client);
}
END_TEST

START_TEST(the_token_is_the_last_word_of_the_files_first_line)
{
	static const char *const texts[] = { "secret\n", "admin secret\n", "read secret\nother\n", "secret" };

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct client_answer answer;
		struct tg_error      err;
		char                 path[128];

		begin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", true);
		snprintf(path, sizeof path, "%s/token", server.directory);

		FILE *file = fopen(path, "w");

		fputs(texts[i], file);
		fclose(file);

		struct args    args = { .api = server.url, .token_file = path };
		struct client *client = client_new(&args, &err);

		ck_assert_msg(client != NULL, "%s", err.text);
		ck_assert_int_eq(client_call(client, "/config", NULL, 0, &answer, &err), 0);
		unlink(path);
		end();
		ck_assert_ptr_nonnull(strstr(server.request, "Authorization: Bearer secret\r\n"));
		ck_assert_ptr_eq(strstr(server.request, "GET /api/v1/config "), server.request);
		client_answer_clear(&answer);
		client_free(client);
	}
}
END_TEST

START_TEST(what_cannot_be_used_is_named)
{
	struct tg_error err;
	struct args     missing = { .api = "http://127.0.0.1:1", .token_file = "/nonexistent" };
	struct args     lines = { .api = "http://127.0.0.1:1", .token = "a\r\nX: y" };

	ck_assert_ptr_null(client_new(&missing, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent"));
	ck_assert_ptr_null(client_new(&lines, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "token"));
}
END_TEST

START_TEST(nobody_there_is_said_with_the_path)
{
	struct args          args = { .api = "unix:/nonexistent/api.sock" };
	struct tg_error      err;
	struct client_answer answer;
	struct client       *client = client_new(&args, &err);

	ck_assert_int_eq(client_call(client, "/config", NULL, 0, &answer, &err), -1);
	ck_assert_str_eq(err.text, "no daemon answers on /nonexistent/api.sock: No such file or directory");
	client_free(client);
}
END_TEST

static bool collect(const char *piece, size_t bytes, void *arg)
{
	strncat(arg, piece, bytes);
	return strstr(arg, "stop") == NULL;
}

static int stream(const char *response, char *text, struct client_answer *answer, struct tg_error *err)
{
	text[0] = '\0';
	begin(response, false);

	struct client *client = client_here();
	int result = client_stream(client, "/traffic?since=0", "text/csv", collect, text, answer, err);

	end();
	client_free(client);
	return result;
}

START_TEST(a_stream_that_is_cut_short_is_a_failure)
{
	static const char *const cut[] = {
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
	};
	struct client_answer answer;
	struct tg_error      err;
	char                 text[256];

	ck_assert_int_eq(
	        stream("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTollgate-Stop-Time: 9\r\n\r\n"
	               "5\r\nhello\r\n0\r\n\r\n",
	               text, &answer, &err),
	        0);
	ck_assert_str_eq(text, "hello");
	ck_assert_int_eq(answer.stop_time, 9);
	ck_assert_ptr_nonnull(strstr(server.request, "Accept: text/csv\r\n"));
	for (size_t i = 0; i < sizeof cut / sizeof *cut; i++)
		ck_assert_msg(stream(cut[i], text, &answer, &err) == -1 && err.text[0] != '\0', "%zu", i);
	ck_assert_int_eq(stream("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nstop", text, &answer, &err), -1);
}
END_TEST

START_TEST(a_refusal_of_a_stream_is_kept_apart)
{
	struct client_answer answer;
	struct tg_error      err;
	char                 text[256];

	ck_assert_int_eq(stream("HTTP/1.1 410 Gone\r\nContent-Length: 4\r\n\r\ngone", text, &answer, &err),
	                 0);
	ck_assert_str_eq(text, "");
	ck_assert_int_eq(answer.status, 410);
	ck_assert_str_eq(answer.body, "gone");
	client_answer_clear(&answer);
}
END_TEST

void test_client(TCase *tc)
{
	tcase_add_test(tc, a_get_goes_to_the_socket_and_brings_the_body);
	tcase_add_test(tc, a_post_carries_the_document_as_it_is);
	tcase_add_test(tc, the_token_is_the_last_word_of_the_files_first_line);
	tcase_add_test(tc, what_cannot_be_used_is_named);
	tcase_add_test(tc, nobody_there_is_said_with_the_path);
	tcase_add_test(tc, a_stream_that_is_cut_short_is_a_failure);
	tcase_add_test(tc, a_refusal_of_a_stream_is_kept_apart);
}
