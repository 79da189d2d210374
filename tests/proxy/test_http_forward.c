#include "proxy/http_forward.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/http_head.h"

void test_http_forward(TCase *tc);

static struct http_head head;
static char             out[HTTP_HEAD_MOST + HTTP_FORWARD_GROWTH + 1];

static void read_head(enum http_kind kind, const char *text)
{
	http_head_init(&head, kind);
	ck_assert_msg(http_head_read(&head, text, strlen(text)) == HTTP_HEAD_DONE, "%s", text);
}

/* The request as upstream sees it. */
static const char *forward(const char *text, const char *host_header)
{
	struct http_forward how = { .client = "192.0.2.7", .host_header = host_header };

	read_head(HTTP_KIND_REQUEST, text);
	how.upgrade = http_forward_upgrades(&head, text);
	out[http_forward_request(out, &head, text, &how)] = '\0';
	return out;
}

static const char *respond(const char *text, enum http_connection connection, bool strip)
{
	read_head(HTTP_KIND_RESPONSE, text);
	out[http_forward_response(out, &head, text, connection, strip)] = '\0';
	return out;
}

#define TRAIL(host) "X-Forwarded-For: 192.0.2.7\r\nX-Real-IP: 192.0.2.7\r\n" \
	"X-Forwarded-Proto: http\r\nX-Forwarded-Host: " host "\r\n"

START_TEST(fields_pass_but_for_those_of_one_hop)
{
	ck_assert_str_eq(
	        forward("GET /a?b HTTP/1.1\r\nA: 1\r\nHost:  Shop.Example:80 \r\nKeep-Alive: 5\r\nB:2 \r\n"
	                "Connection: close, x-mine\r\nTE: trailers\r\nX-MINE: 3\r\nProxy-Connection: x\r\n"
	                "Proxy-Authorization: x\r\nC: \t3\r\nD:\r\n\r\n",
	                NULL),
	        "GET /a?b HTTP/1.1\r\nHost: Shop.Example:80\r\nA: 1\r\nB:2 \r\nC: \t3\r\nD:\r\n" TRAIL(
	                "Shop.Example:80") "\r\n");
}
END_TEST

START_TEST(who_the_client_is_is_not_the_clients_to_say)
{
	ck_assert_str_eq(forward("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\nx_forwarded_for: "
	                         "10.0.0.1\r\n"
	                         "X-Real-IP: 10.0.0.1\r\nX_Real_IP: 1\r\nX-FORWARDED-PROTO: https\r\n"
	                         "X-Forwarded-Port: 1\r\nForwarded: for=10.0.0.1\r\nX-Forwarded-Host: b\r\n"
	                         "Proxy: http://evil\r\n\r\n",
	                         NULL),
	                 "GET / HTTP/1.1\r\nHost: a\r\n" TRAIL("a") "\r\n");
}
END_TEST

START_TEST(connection_cannot_take_away_what_frames_or_routes)
{
	ck_assert_str_eq(
	        forward("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
	                "Connection: host, content-length, x-forwarded-for, cookie\r\nCookie: c\r\n\r\n",
	                NULL),
	        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n" TRAIL("a") "\r\n");
	ck_assert_str_eq(forward("POST / HTTP/1.1\r\nHost: a\r\nConnection: Transfer-Encoding\r\n"
	                         "Transfer-Encoding: CHUNKED\r\n\r\n", NULL),
	                 "POST / HTTP/1.1\r\nHost: a\r\n" TRAIL("a") "Transfer-Encoding: chunked\r\n\r\n");
}
END_TEST

START_TEST(targets_become_paths)
{
	ck_assert_str_eq(forward("GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", NULL),
	                 "GET /x HTTP/1.1\r\nHost: a\r\n" TRAIL("a") "\r\n");
	ck_assert_str_eq(forward("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", NULL),
	                 "GET / HTTP/1.1\r\nHost: a\r\n" TRAIL("a") "\r\n");
	ck_assert_str_eq(forward("GET http://a?x HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", NULL),
	                 "GET /?x HTTP/1.1\r\nHost: a\r\n" TRAIL("a") "\r\n");
	ck_assert_str_eq(forward("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", NULL),
	                 "OPTIONS * HTTP/1.1\r\nHost: a\r\n" TRAIL("a") "\r\n");
	ck_assert_str_eq(
	        forward("PROPFIND / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "inner:8080"),
	        "PROPFIND / HTTP/1.1\r\nHost: inner:8080\r\nExpect: 100-continue\r\n" TRAIL("a") "\r\n");
}
END_TEST

START_TEST(upgrades_pass_but_to_http)
{
	static const struct {
		const char *fields;
		bool        passes;
	} cases[] = {
		{ "Connection: Upgrade\r\nUpgrade: websocket\r\n", true },
		{ "Connection: keep-alive, upgrade\r\nUpgrade: a, b/1\r\n", true },
		{ "Upgrade: websocket\r\n", false },
		{ "Connection: Upgrade\r\n", false },
		{ "Connection: Upgrade\r\nUpgrade:\r\n", false },
		{ "Connection: Upgrade\r\nUpgrade: h2c\r\n", false },
		{ "Connection: Upgrade\r\nUpgrade: websocket, H2C\r\n", false },
		{ "Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n", false },
		{ "Connection: Upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n", false },
		{ "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n", false },
		{ "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[400];

		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", cases[i].fields);
		ck_assert_msg((strstr(forward(text, NULL), "\r\nUpgrade: ") != NULL) == cases[i].passes, "%s",
		              text);
		ck_assert((strstr(out, "\r\nConnection: upgrade\r\n") != NULL) == cases[i].passes);
	}
	forward("GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", NULL);
	ck_assert_ptr_null(strstr(out, "pgrade"));
}
END_TEST

START_TEST(responses_lose_the_fields_of_one_hop)
{
	ck_assert_str_eq(
	        respond("HTTP/1.0 404 Nope\r\nA: 1\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\n"
	                "Keep-Alive: timeout=5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 3\r\n"
	                "Proxy-Authenticate: x\r\nUpgrade: h2c\r\n\r\n",
	                HTTP_CONNECTION_NONE, false),
	        "HTTP/1.1 404 Nope\r\nA: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 3\r\n\r\n");
	ck_assert_str_eq(
	        respond("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_CONNECTION_CLOSE, false),
	        "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
	ck_assert_str_eq(respond("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	                         HTTP_CONNECTION_KEEP_ALIVE, true),
	                 "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n");
	ck_assert_str_eq(respond("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", HTTP_CONNECTION_NONE, false),
	                 "HTTP/1.1 204 No\r\n\r\n");
	ck_assert_str_eq(
	        respond("HTTP/1.1 100 Go\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_CONNECTION_NONE, false),
	        "HTTP/1.1 100 Go\r\n\r\n");
	ck_assert_str_eq(
	        respond("HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n", HTTP_CONNECTION_NONE, false),
	        "HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n");
}
END_TEST

START_TEST(hosts_are_read_without_their_port)
{
	static const struct {
		const char           *value;
		enum http_host_result result;
		const char           *name;
	} cases[] = {
		{ "shop.example", HTTP_HOST_NAME, "shop.example" },
		{ "SHOP.Example.:8080", HTTP_HOST_NAME, "shop.example" },
		{ "shop.example:", HTTP_HOST_NAME, "shop.example" },
		{ "192.0.2.1:80", HTTP_HOST_NAME, "192.0.2.1" },
		{ "[::1]", HTTP_HOST_ADDRESS, NULL },
		{ "[2001:db8::1]:80", HTTP_HOST_ADDRESS, NULL },
		{ "[::1", HTTP_HOST_BAD, NULL },
		{ "[x]", HTTP_HOST_BAD, NULL },
		{ "", HTTP_HOST_BAD, NULL },
		{ ":80", HTTP_HOST_BAD, NULL },
		{ "a:b", HTTP_HOST_BAD, NULL },
		{ "a:80:80", HTTP_HOST_BAD, NULL },
		{ "a:99999", HTTP_HOST_BAD, NULL },
		{ "a:000080", HTTP_HOST_BAD, NULL },
		{ "a b", HTTP_HOST_BAD, NULL },
		{ "a,b", HTTP_HOST_BAD, NULL },
		{ "a@b", HTTP_HOST_BAD, NULL },
		{ "a/b", HTTP_HOST_BAD, NULL },
		{ "*.example", HTTP_HOST_BAD, NULL },
		{ "a\xc3\xa4", HTTP_HOST_BAD, NULL },
		{ "a%2eb", HTTP_HOST_BAD, NULL },
		{ ".a", HTTP_HOST_BAD, NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[200], name[MSG_HOST_MOST];

		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", cases[i].value);
		read_head(HTTP_KIND_REQUEST, text);
		ck_assert_msg(http_forward_host(&head, text, name) == cases[i].result, "%s", cases[i].value);
		if (cases[i].name != NULL)
			ck_assert_str_eq(name, cases[i].name);
	}
}
END_TEST

START_TEST(only_what_is_below_the_acme_path_is_left_alone)
{
	static const struct {
		const char *path;
		bool        is;
	} cases[] = {
		{ "/.well-known/acme-challenge/abc_DEF-123", true },
		{ "/.well-known/acme-challenge/", true },
		{ "/.well-known/acme-challenge/a.txt", true },
		{ "/.well-known/acme-challenge/a/b?c=../%2e", true },
		{ "/.well-known/acme-challenge", false },
		{ "/.well-known/acme-challenge/../../admin", false },
		{ "/.well-known/acme-challenge/%2e%2e/admin", false },
		{ "/.well-known/acme-challenge/a/../../b", false },
		{ "/.well-known/acme-challenge/..\\b", false },
		{ "/.well-known/acme-challenge/a%2f..", false },
		{ "/x/.well-known/acme-challenge/a", false },
		{ "/", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[200];

		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", cases[i].path);
		read_head(HTTP_KIND_REQUEST, text);
		ck_assert_msg(http_forward_is_acme(&head, text) == cases[i].is, "%s", cases[i].path);
	}
}
END_TEST

START_TEST(redirects_keep_path_and_query)
{
	static const char *const cases[][2] = {
		{ "GET /a?b=c HTTP/1.1\r\nHost: Shop:80\r\n\r\n", "https://shop.example/a?b=c\r\n" },
		{ "GET http://shop HTTP/1.1\r\nHost: shop\r\n\r\n", "https://shop.example/\r\n" },
		{ "GET http://shop?q HTTP/1.1\r\nHost: shop\r\n\r\n", "https://shop.example/?q\r\n" },
		{ "OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n", "https://shop.example/\r\n" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char expected[200];

		read_head(HTTP_KIND_REQUEST, cases[i][0]);
		out[http_forward_redirect(out, &head, cases[i][0], "shop.example", HTTP_CONNECTION_NONE)] =
		        '\0';
		snprintf(expected, sizeof(expected),
		         "HTTP/1.1 308 Permanent Redirect\r\nLocation: %sContent-Length: 0\r\n\r\n",
		         cases[i][1]);
		ck_assert_str_eq(out, expected);
	}
}
END_TEST

START_TEST(answers_are_as_long_as_they_say)
{
	static const unsigned statuses[] = { 400, 404, 405, 408, 414, 431, 502, 503, 504 };

	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		size_t len = http_forward_answer(out, statuses[i], HTTP_CONNECTION_KEEP_ALIVE, false);

		out[len] = '\0';
		read_head(HTTP_KIND_RESPONSE, out);
		ck_assert_uint_eq(head.status, statuses[i]);
		ck_assert_uint_eq(head.length, len - head.bytes);
		ck_assert_uint_eq(http_forward_answer(out, statuses[i], HTTP_CONNECTION_KEEP_ALIVE, true),
		                  head.bytes);
		ck_assert((strstr(out, "\r\nAllow: ") != NULL) == (statuses[i] == 405));
	}
}
END_TEST

START_TEST(the_largest_head_fits_when_forwarded)
{
	char  *text = malloc(HTTP_HEAD_MOST + 1);
	char   name[254], host_header[254];
	size_t len;

	memset(name, 'a', 253);
	for (int i = 63; i < 253; i += 64)
		name[i] = '.';
	name[253] = '\0';
	memcpy(host_header, name, sizeof(name));
	len = (size_t)sprintf(text, "GET http://%s:65535 HTTP/1.1\r\nHost: %s:65535\r\nX: ", name, name);
	memset(text + len, 'x', HTTP_HEAD_MOST - len);
	strcpy(text + HTTP_HEAD_MOST - 4, "\r\n\r\n");
	forward(text, host_header);
	ck_assert_uint_le(strlen(out), HTTP_HEAD_MOST + HTTP_FORWARD_GROWTH);
	free(text);
}
END_TEST

void test_http_forward(TCase *tc)
{
	tcase_add_test(tc, fields_pass_but_for_those_of_one_hop);
	tcase_add_test(tc, who_the_client_is_is_not_the_clients_to_say);
	tcase_add_test(tc, connection_cannot_take_away_what_frames_or_routes);
	tcase_add_test(tc, targets_become_paths);
	tcase_add_test(tc, upgrades_pass_but_to_http);
	tcase_add_test(tc, responses_lose_the_fields_of_one_hop);
	tcase_add_test(tc, hosts_are_read_without_their_port);
	tcase_add_test(tc, only_what_is_below_the_acme_path_is_left_alone);
	tcase_add_test(tc, redirects_keep_path_and_query);
	tcase_add_test(tc, answers_are_as_long_as_they_say);
	tcase_add_test(tc, the_largest_head_fits_when_forwarded);
}
