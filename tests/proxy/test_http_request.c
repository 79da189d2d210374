#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/http_exchange.h"
#include "tests/support/ingress.h"
#include "tests/support/sends.h"
#include "tests/support/web.h"

void test_http_request(TCase *tc);

static struct ingress     in;
static struct tg_endpoint at[2];	/* a listener, and another that some tests close */
static int                server, other;
static uint16_t           port;
static char               text[65536];

static void setup(void)
{
	ingress_begin(&in, 0);
	port = ingress_listen(&in, MSG_LISTENER_HTTP);
	server = ingress_server(&at[0]);
	other = ingress_server(&at[1]);
}

static void teardown(void)
{
	ingress_end(&in);
	close(server);
	close(other);
}

#define GET "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct routes_host host_a(void)
{
	return ingress_host(&in, ROUTES_HTTP, "a.example", at, 1);
}

static void route(struct routes_host host)
{
	ingress_routes(&in, &host, 1);
}

static void hear_status(int fd, unsigned status)
{
	web_hear_status(&in, fd, text, sizeof(text), status);
}

static int ask(const char *request)
{
	return web_ask(&in, port, request);
}

static int take(int listener)
{
	int upstream = ingress_accept(&in, listener);

	web_hear(&in, upstream, text, sizeof(text), "\r\n\r\n");
	return upstream;
}

START_TEST(a_redirection_spares_acme)
{
	struct routes_host host = host_a();
	int                client;

	host.scheme[ROUTES_HTTP].redirect_to_https = 1;
	route(host);
	sends_watch(port, in.slots);
	client = ask("GET /x?y HTTP/1.1\r\nHost: A.example\r\n\r\n");
	hear_status(client, 308);
	ck_assert_ptr_nonnull(strstr(text, "\r\nLocation: https://a.example/x?y\r\n"));
	ck_assert_uint_eq(in.slots[7].tx, strlen(text));
	web_say(&in, client, "GET /.well-known/acme-challenge/t HTTP/1.1\r\nHost: a.example\r\n\r\n");
	take(server);
	/* A body that nobody reads ends the connection. */
	client = ask("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc");
	hear_status(client, 308);
	ck_assert_ptr_nonnull(strstr(text, "Connection: close\r\n"));
	ck_assert_int_eq(web_end(&in, client), 0);
}
END_TEST

START_TEST(a_redirection_needs_no_upstream)
{
	struct routes_host host = ingress_host(&in, ROUTES_HTTP, "a.example", NULL, 0);
	int                client;

	host.scheme[ROUTES_HTTP].redirect_to_https = 1;
	route(host);
	client = ask(GET GET);
	hear_status(client, 308);
	hear_status(client, 308);
	web_say(&in, client, "GET /.well-known/acme-challenge/t HTTP/1.1\r\nHost: a.example\r\n\r\n");
	hear_status(client, 404);
}
END_TEST

START_TEST(a_body_that_comes_with_a_redirected_request_is_counted)
{
	static const char  request[] = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\n\r\nabc";
	struct routes_host host = host_a();
	int                client;

	host.scheme[ROUTES_HTTP].redirect_to_https = 1;
	route(host);
	client = ask(request);
	hear_status(client, 308);
	web_say(&in, client, "def");
	ck_assert_int_eq(web_end(&in, client), 0);
	ingress_run(&in, 20);
	ck_assert_uint_eq(in.slots[7].rx, strlen(request) + 3);
}
END_TEST

START_TEST(the_document_may_set_the_host)
{
	struct routes_host host = host_a();

	host.scheme[ROUTES_HTTP].host_header = "inner.local";
	route(host);
	ask(GET);
	take(server);
	ck_assert_ptr_nonnull(strstr(text, "\r\nHost: inner.local\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "\r\nX-Forwarded-Host: a.example\r\n"));
}
END_TEST

START_TEST(a_network_that_is_down_is_a_502)
{
	struct routes_host host = host_a();
	int                client;

	host.network_id = 0;
	route(host);
	client = ask(GET);
	hear_status(client, 502);
	web_hear(&in, client, text, sizeof(text), ".\n");
	/* The same connection serves once it is up. */
	route(host_a());
	web_say(&in, client, GET);
	take(server);
}
END_TEST

START_TEST(connections_of_a_host_are_limited)
{
	struct routes_host host = host_a();
	int                first, second, upstream;

	host.scheme[ROUTES_HTTP].max_connections = 1;
	route(host);
	first = ask(GET);
	upstream = take(server);
	second = ask(GET);
	hear_status(second, 503);
	web_hear(&in, second, text, sizeof(text), ".\n");
	/* Its refusal gives it no right to the next one. */
	web_say(&in, second, GET);
	hear_status(second, 503);
	web_hear(&in, second, text, sizeof(text), ".\n");
	web_say(&in, upstream, OK);
	web_hear(&in, first, text, sizeof(text), "\r\n\r\nok");
	close(first);
	ingress_run(&in, 20);
	web_say(&in, second, GET);
	take(server);
	ck_assert_uint_eq(in.active[7], 1);
}
END_TEST

START_TEST(upstreams_that_refuse_are_passed_over)
{
	struct routes_host host = ingress_host(&in, ROUTES_HTTP, "a.example", at, 2);
	int                client;

	close(server);
	server = -1;
	route(host);
	for (int i = 0; i < 2; i++) {
		client = ask("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello");
		int upstream = ingress_accept(&in, other);

		web_hear(&in, upstream, text, sizeof(text), "\r\n\r\nhello");
		close(client);
	}
	close(other);
	other = -1;
	client = ask(GET);
	hear_status(client, 502);
}
END_TEST

START_TEST(no_socket_is_a_503)
{
	int client;

	route(host_a());
	in.refusal = EMFILE;
	client = ask(GET);
	hear_status(client, 503);
	web_hear(&in, client, text, sizeof(text), ".\n");
	in.refusal = 0;
	web_say(&in, client, GET);
	take(server);
}
END_TEST

START_TEST(an_upstream_that_does_not_answer_is_a_504)
{
	struct sockaddr_storage to;
	socklen_t               bytes = tg_endpoint_to_sockaddr(&at[0], &to);
	int                     client;

	/* A full queue: what comes now is dropped. */
	listen(server, 0);
	for (int i = 0; i < 3; i++)
		connect(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), (struct sockaddr *)&to, bytes);
	route(host_a());
	client = ask(GET);
	web_pass(&in, 4000);
	web_silence(&in, client);
	web_pass(&in, 1000);
	hear_status(client, 504);
}
END_TEST

START_TEST(an_answer_before_the_end_of_the_request_is_read)
{
	static char block[100000];
	int         client, upstream;

	route(host_a());
	client = ask("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000000\r\n\r\n");
	upstream = take(server);
	web_say(&in, upstream, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
	shutdown(upstream, SHUT_RDWR);
	for (int i = 0; i < 5; i++)
		(void)!send(client, block, sizeof(block), MSG_NOSIGNAL);
	hear_status(client, 413);
	ck_assert_ptr_nonnull(strstr(text, "Connection: close\r\n"));
	ck_assert_int_eq(web_end(&in, client), 0);

	/* And when there is none, that is said. */
	client = ask("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000000\r\n\r\n");
	close(take(server));
	for (int i = 0; i < 5; i++)
		(void)!send(client, block, sizeof(block), MSG_NOSIGNAL);
	hear_status(client, 502);
}
END_TEST

START_TEST(a_removed_host_resets_its_connections)
{
	int upstream, idle, upstream2, client;

	route(host_a());
	client = ask(GET);
	upstream = take(server);
	idle = ask(GET);
	upstream2 = take(server);
	web_say(&in, upstream2, OK);
	web_hear(&in, idle, text, sizeof(text), "\r\n\r\nok");
	ingress_routes(&in, NULL, 0);
	ck_assert_int_eq(web_end(&in, client), ECONNRESET);
	ck_assert_int_eq(web_end(&in, upstream), ECONNRESET);
	ck_assert_int_eq(web_end(&in, upstream2), ECONNRESET);
	ck_assert_int_eq(web_end(&in, idle), ECONNRESET);
	ck_assert_uint_eq(in.worker->clients, 0);
}
END_TEST

START_TEST(each_request_obeys_the_table_of_its_moment)
{
	struct routes_host moved = ingress_host(&in, ROUTES_HTTP, "a.example", &at[1], 1);
	int                client, upstream;

	route(host_a());
	client = ask(GET);
	upstream = take(server);
	/* What runs lives on as it began. */
	route(moved);
	web_say(&in, upstream, OK);
	web_hear(&in, client, text, sizeof(text), "\r\n\r\nok");
	web_say(&in, client, GET);
	take(other);
	ck_assert_int_eq(web_end(&in, upstream), 0);
}
END_TEST

START_TEST(upstream_is_told_the_client_by_the_proxy_protocol)
{
	struct routes_host host = host_a();
	int                client, upstream;

	host.scheme[ROUTES_HTTP].proxy_protocol = 1;
	route(host);
	client = ask(GET);
	upstream = take(server);
	ck_assert_msg(strncmp(text, "PROXY TCP4 127.0.0.1 127.0.0.1 ", 31) == 0, "%s", text);
	ck_assert_ptr_nonnull(strstr(text, "\r\nGET / HTTP/1.1\r\n"));
	web_say(&in, upstream, OK);
	web_hear(&in, client, text, sizeof(text), "\r\n\r\nok");
	web_say(&in, client, GET);
	web_hear(&in, upstream, text, sizeof(text), "\r\n\r\n");
	ck_assert_msg(strncmp(text, "GET / ", 6) == 0, "%s", text);
}
END_TEST

START_TEST(a_client_may_close_its_half)
{
	int client, upstream;

	route(host_a());
	client = ask(GET);
	shutdown(client, SHUT_WR);
	upstream = take(server);
	ingress_run(&in, 20);
	web_say(&in, upstream, OK);
	web_hear(&in, client, text, sizeof(text), "\r\n\r\nok");
	ck_assert_int_eq(web_end(&in, client), 0);
	ck_assert_int_eq(web_end(&in, upstream), 0);
}
END_TEST

START_TEST(a_client_that_resets_frees_its_upstream)
{
	static const struct linger now = { .l_onoff = 1 };
	int client, upstream;

	route(host_a());
	client = ask(GET);
	upstream = take(server);
	setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(client);
	ck_assert_int_eq(web_end(&in, upstream), ECONNRESET);
	ck_assert_uint_eq(in.worker->clients, 0);
}
END_TEST

START_TEST(a_body_that_breaks_off_never_looks_whole)
{
	int client, upstream;

	route(host_a());
	client = ask("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nab");
	upstream = ingress_accept(&in, server);
	web_hear(&in, upstream, text, sizeof(text), "\r\n\r\nab");
	shutdown(client, SHUT_WR);
	ck_assert_int_eq(web_end(&in, upstream), ECONNRESET);

	client = ask("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
	upstream = ingress_accept(&in, server);
	web_hear(&in, upstream, text, sizeof(text), "\r\n2\r\nab\r\n");
	web_say(&in, client, "0\r\nContent-Length: 5\r\n\r\n");
	hear_status(client, 400);
	web_hear(&in, client, text, sizeof(text), ".\n");
	ck_assert_int_eq(web_end(&in, client), 0);
	ck_assert_int_eq(web_end(&in, upstream), 0);
}
END_TEST

START_TEST(one_connection_goes_through_so_many_hosts_only)
{
	struct routes_host *hosts = calloc(HTTP_HOSTS_MOST + 1, sizeof(*hosts));
	char              (*names)[16] = calloc(HTTP_HOSTS_MOST + 1, sizeof(*names));
	int                 client = ingress_connect(&in, port);

	for (unsigned i = 0; i <= HTTP_HOSTS_MOST; i++) {
		snprintf(names[i], sizeof(names[i]), "h%u.example", i);
		hosts[i] = ingress_host(&in, ROUTES_HTTP, names[i], NULL, 0);
		hosts[i].scheme[ROUTES_HTTP].redirect_to_https = 1;
		hosts[i].slot = i;
	}
	ingress_routes(&in, hosts, HTTP_HOSTS_MOST + 1);
	for (unsigned i = 0; i <= HTTP_HOSTS_MOST; i++) {
		/* Each twice, and counted once. */
		for (int n = 0; n < (i < HTTP_HOSTS_MOST ? 2 : 1); n++) {
			snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", names[i]);
			web_say(&in, client, text);
			hear_status(client, 308);
			ck_assert((strstr(text, "Connection: close") != NULL) == (i == HTTP_HOSTS_MOST));
		}
		ck_assert_uint_eq(in.slots[i].connections, 1);
	}
	ck_assert_int_eq(web_end(&in, client), 0);
	free(names);
	free(hosts);
}
END_TEST

/* Three requests and their bodies, cut at random places: upstream gets what it would get whole. */
START_TEST(splits_change_nothing_upstream)
{
	static const char requests[] =
		"POST /1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\n0123456789"
		"PUT /2 HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
		"4\r\nWiki\r\n5;x=y\r\npedia\r\n0\r\nSum: 1\r\n\r\n"
		"\r\nGET /3 HTTP/1.1\r\nHost: a.example\r\n\r\n";
	static const char *const bodies[] = { "0123456789",
		                              "4\r\nWiki\r\n5;x=y\r\npedia\r\n0\r\nSum: 1\r\n\r\n", "" };
	unsigned seed = 5;

	route(host_a());
	for (int n = 0; n < 30; n++) {
		int client = ingress_connect(&in, port);

		for (size_t sent = 0, more; sent < strlen(requests); sent += more) {
			more = 1 + (size_t)rand_r(&seed) % 80;
			if (more > strlen(requests) - sent)
				more = strlen(requests) - sent;
			web_send(&in, client, requests + sent, more);
		}

		int upstream = ingress_accept(&in, server);

		for (int i = 0; i < 3; i++) {
			web_hear(&in, upstream, text, sizeof(text), "\r\n\r\n");
			ck_assert_int_eq(text[strcspn(text, "/") + 1], '1' + i);
			if (i < 2) {
				web_hear(&in, upstream, text, sizeof(text), bodies[i]);
				ck_assert_str_eq(text, bodies[i]);
			}
			web_say(&in, upstream, OK);
			web_hear(&in, client, text, sizeof(text), "\r\n\r\nok");
		}
		close(client);
		close(upstream);
	}
	ck_assert_uint_eq(in.slots[7].rx, 30 * strlen(requests));
}
END_TEST

void test_http_request(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_redirection_spares_acme);
	tcase_add_test(tc, a_redirection_needs_no_upstream);
	tcase_add_test(tc, a_body_that_comes_with_a_redirected_request_is_counted);
	tcase_add_test(tc, the_document_may_set_the_host);
	tcase_add_test(tc, a_network_that_is_down_is_a_502);
	tcase_add_test(tc, connections_of_a_host_are_limited);
	tcase_add_test(tc, upstreams_that_refuse_are_passed_over);
	tcase_add_test(tc, no_socket_is_a_503);
	tcase_add_test(tc, an_upstream_that_does_not_answer_is_a_504);
	tcase_add_test(tc, an_answer_before_the_end_of_the_request_is_read);
	tcase_add_test(tc, a_removed_host_resets_its_connections);
	tcase_add_test(tc, each_request_obeys_the_table_of_its_moment);
	tcase_add_test(tc, upstream_is_told_the_client_by_the_proxy_protocol);
	tcase_add_test(tc, a_client_may_close_its_half);
	tcase_add_test(tc, a_client_that_resets_frees_its_upstream);
	tcase_add_test(tc, a_body_that_breaks_off_never_looks_whole);
	tcase_add_test(tc, one_connection_goes_through_so_many_hosts_only);
	tcase_add_test(tc, splits_change_nothing_upstream);
}
