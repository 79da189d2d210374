#include "proxy/http_head.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/http_field.h"

void test_http_head(TCase *tc);

/* A copy exactly as long as what has come, so that the address sanitizer sees a read past the end. */
static char *exact_copy(const char *bytes, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes, len);
	return copy;
}

static enum http_head_result read_whole(struct http_head *head, enum http_kind kind, const char *bytes,
                                        size_t len)
{
	char *copy = exact_copy(bytes, len);

	http_head_init(head, kind);

	enum http_head_result result = http_head_read(head, copy, len);

	free(copy);
	return result;
}

static enum http_head_result read_request(struct http_head *head, const char *text)
{
	return read_whole(head, HTTP_KIND_REQUEST, text, strlen(text));
}

static enum http_head_result read_response(struct http_head *head, const char *text)
{
	return read_whole(head, HTTP_KIND_RESPONSE, text, strlen(text));
}

static bool span_is(const char *text, struct http_span span, const char *expected)
{
	return strlen(expected) == span.len && memcmp(text + span.at, expected, span.len) == 0;
}

#define GET "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"

/* Requests that some reader somewhere takes for something else. */
static const struct {
	const char *why;
	const char *text;
	size_t      len;	/* 0: of the C string */
} refused[] = {
	{ "two lengths that differ", POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 0 },
	{ "two lengths that agree", POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 0 },
	{ "a list of lengths", POST "Content-Length: 5, 5\r\n\r\n", 0 },
	{ "a signed length", POST "Content-Length: +5\r\n\r\n", 0 },
	{ "a negative length", POST "Content-Length: -5\r\n\r\n", 0 },
	{ "a hexadecimal length", POST "Content-Length: 0x5\r\n\r\n", 0 },
	{ "a length with a space", POST "Content-Length: 5 0\r\n\r\n", 0 },
	{ "an empty length", POST "Content-Length:\r\n\r\n", 0 },
	{ "a length of 2^63", POST "Content-Length: 9223372036854775808\r\n\r\n", 0 },
	{ "a length of 2^64", POST "Content-Length: 18446744073709551616\r\n\r\n", 0 },
	{ "a length under an alias", POST "Content_Length: 5\r\n\r\n", 0 },
	{ "length and chunks", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 0 },
	{ "chunks and length", POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 0 },
	{ "chunked twice", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0 },
	{ "chunked twice in one", POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 0 },
	{ "identity", POST "Transfer-Encoding: identity\r\n\r\n", 0 },
	{ "gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 0 },
	{ "chunked, gzip", POST "Transfer-Encoding: chunked, gzip\r\n\r\n", 0 },
	{ "chunked, identity in two",
	  POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 0 },
	{ "chunked quoted", POST "Transfer-Encoding: \"chunked\"\r\n\r\n", 0 },
	{ "chunked with a parameter", POST "Transfer-Encoding: chunked;q=1\r\n\r\n", 0 },
	{ "xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n", 0 },
	{ "chunked with a vertical tab", POST "Transfer-Encoding: \vchunked\r\n\r\n", 0 },
	{ "empty coding", POST "Transfer-Encoding:\r\n\r\n", 0 },
	{ "coding under an alias", POST "Transfer_Encoding: chunked\r\n\r\n", 0 },
	{ "chunks in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 0 },
	{ "space before the colon", POST "Transfer-Encoding : chunked\r\n\r\n", 0 },
	{ "tab before the colon", POST "Content-Length\t: 5\r\n\r\n", 0 },
	{ "a folded field", POST "X: a\r\n b\r\n\r\n", 0 },
	{ "a field folded with a tab", POST "X: a\r\n\tTransfer-Encoding: chunked\r\n\r\n", 0 },
	{ "white space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 0 },
	{ "a bare line feed in the head", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 0 },
	{ "a bare line feed at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 0 },
	{ "a bare line feed after the first line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 0 },
	{ "only line feeds", "GET / HTTP/1.1\nHost: a\n\n", 0 },
	{ "a bare carriage return in a value", GET "Host: a\r\nX: a\rContent-Length: 5\r\n\r\n", 0 },
	{ "a carriage return doubled", GET "Host: a\r\r\n\r\n", 0 },
	{ "a bare carriage return in the first line", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "NUL in a value", GET "Host: a\r\nX: a\0b\r\n\r\n", sizeof(GET "Host: a\r\nX: a\0b\r\n\r\n") - 1 },
	{ "NUL in a name", GET "Host: a\r\nX\0: b\r\n\r\n", sizeof(GET "Host: a\r\nX\0: b\r\n\r\n") - 1 },
	{ "NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
	  sizeof("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n") - 1 },
	{ "a control in a value", GET "Host: a\r\nX: a\x01\r\n\r\n", 0 },
	{ "DEL in a value", GET "Host: a\r\nX: a\x7f\r\n\r\n", 0 },
	{ "no colon", GET "Host: a\r\nX\r\n\r\n", 0 },
	{ "no name", GET "Host: a\r\n: b\r\n\r\n", 0 },
	{ "a name with a bracket", GET "Host: a\r\nX[: b\r\n\r\n", 0 },
	{ "a name that is not ASCII", GET "Host: a\r\nX\xc3\xa4: b\r\n\r\n", 0 },
	{ "two hosts", GET "Host: a\r\nHost: b\r\n\r\n", 0 },
	{ "the same host twice", GET "Host: a\r\nhost: a\r\n\r\n", 0 },
	{ "no host", GET "\r\n", 0 },
	{ "no host with an absolute target", "GET http://a/ HTTP/1.1\r\n\r\n", 0 },
	{ "an authority other than the host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "an authority with another port", "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "a user in the target", "GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n", 0 },
	{ "an https target", "GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "an empty authority", "GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "a target without a slash", "GET index.html HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "an asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "a fragment", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "a target that is not ASCII", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "an empty target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "a tab for a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "white space at the end of the first line", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 0 },
	{ "a method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "no method", " / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "HTTP/0.9", "GET /\r\n\r\n", 0 },
	{ "HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0 },
	{ "a version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "a long minor version", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 0 },
	{ "two empty lines in front", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "a TLS hello", "\x16\x03\x01", 0 },
	{ "options that are no tokens", GET "Host: a\r\nConnection: close; x\r\n\r\n", 0 },
	{ "options without a comma", GET "Host: a\r\nConnection: close upgrade\r\n\r\n", 0 },
};

START_TEST(ambiguous_requests_are_refused)
{
	struct http_head head;
	size_t           len = refused[_i].len > 0 ? refused[_i].len : strlen(refused[_i].text);

	ck_assert_msg(read_whole(&head, HTTP_KIND_REQUEST, refused[_i].text, len) == HTTP_HEAD_BAD, "%s",
	              refused[_i].why);
}
END_TEST

static const char *const broken_responses[] = {
	"HTTP/1.1 2000 OK\r\n\r\n",
	"HTTP/1.1 20 OK\r\n\r\n",
	"HTTP/1.1 099 OK\r\n\r\n",
	"HTTP/1.1 600 OK\r\n\r\n",
	"HTTP/2.0 200 OK\r\n\r\n",
	"HTTP/1.1  200 OK\r\n\r\n",
	"ICY 200 OK\r\n\r\n",
	"HTTP/1.1 200 O\x01K\r\n\r\n",
	"HTTP/1.1 200 OK\n\n",
	"\r\nHTTP/1.1 200 OK\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
	"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
	"<html>",
	"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
};

START_TEST(broken_responses_are_refused)
{
	struct http_head head;

	ck_assert_msg(read_response(&head, broken_responses[_i]) == HTTP_HEAD_BAD, "%s",
	              broken_responses[_i]);
}
END_TEST

static const char full[] = "\r\nPOST /a/b?c={d}|e HTTP/1.1\r\nHost: Shop.Example:8080\r\n"
			   "connection:\tkeep-alive , Upgrade,, X-Mine\r\nX-Mine: 1\r\nX-Empty:\r\n"
			   "UPGRADE: websocket\r\nExpect: 100-Continue\r\nX-Utf: \xc3\xa4 \t\r\n"
			   "Transfer-Encoding:  Chunked \r\n\r\n";

START_TEST(a_request_is_read_to_its_parts)
{
	struct http_head head;

	ck_assert_int_eq(read_request(&head, full), HTTP_HEAD_DONE);
	ck_assert_int_eq(head.bytes, strlen(full));
	ck_assert_int_eq(head.method, HTTP_METHOD_POST);
	ck_assert(span_is(full, head.method_name, "POST"));
	ck_assert(span_is(full, head.target, "/a/b?c={d}|e"));
	ck_assert(span_is(full, head.path, "/a/b?c={d}|e"));
	ck_assert(span_is(full, head.host, "Shop.Example:8080"));
	ck_assert(span_is(full, head.upgrade_to, "websocket"));
	ck_assert(head.chunked && head.upgrade && head.expect_continue && head.keep_alive && !head.close);
	ck_assert(!head.has_length);
	ck_assert_uint_eq(head.options_count, 1);
	ck_assert(span_is(full, head.options[0], "X-Mine"));
	ck_assert_uint_eq(head.fields_count, 8);
	ck_assert(span_is(full, head.fields[3].value, ""));
	ck_assert(span_is(full, head.fields[6].value, "\xc3\xa4"));
}
END_TEST

START_TEST(every_prefix_asks_for_more)
{
	struct http_head head;

	for (size_t n = 0; n < strlen(full); n++)
		ck_assert_msg(read_whole(&head, HTTP_KIND_REQUEST, full, n) == HTTP_HEAD_MORE, "after %zu",
		              n);
	ck_assert_int_eq(read_request(&head, full), HTTP_HEAD_DONE);
}
END_TEST

/* Feeds `text` in random pieces, each in a buffer of its own. */
static enum http_head_result read_split(struct http_head *head, const char *text, size_t len, unsigned *seed)
{
	enum http_head_result result = HTTP_HEAD_MORE;
	size_t                at = 0;

	http_head_init(head, HTTP_KIND_REQUEST);
	while (at < len && result == HTTP_HEAD_MORE) {
		at += 1 + (size_t)rand_r(seed) % (1U << (unsigned)rand_r(seed) % 12);
		if (at > len)
			at = len;

		char *copy = exact_copy(text, at);

		result = http_head_read(head, copy, at);
		free(copy);
	}
	return result;
}

START_TEST(splits_change_nothing)
{
	struct http_head whole, split;
	unsigned         seed = 7;

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		size_t len = refused[i].len > 0 ? refused[i].len : strlen(refused[i].text);

		for (int n = 0; n < 20; n++)
			ck_assert_int_eq(read_split(&split, refused[i].text, len, &seed), HTTP_HEAD_BAD);
	}
	ck_assert_int_eq(read_request(&whole, full), HTTP_HEAD_DONE);
	for (int n = 0; n < 500; n++) {
		ck_assert_int_eq(read_split(&split, full, strlen(full), &seed), HTTP_HEAD_DONE);
		ck_assert_int_eq(split.bytes, whole.bytes);
		ck_assert_uint_eq(split.fields_count, whole.fields_count);
		ck_assert_mem_eq(&split.host, &whole.host, sizeof(whole.host));
	}
}
END_TEST

/* A request whose first line has `line` bytes and whose head has `whole`. */
static char *make_large(size_t line, size_t whole)
{
	char  *text = malloc(whole + 1);
	size_t at = line;

	ck_assert_ptr_nonnull(text);
	memset(text, 'a', whole);
	memcpy(text, "GET /", 5);
	memcpy(text + line - 11, " HTTP/1.1\r\n", 11);
	at += (size_t)sprintf(text + at, "Host: a\r\nX: ");
	text[at] = 'a';
	memcpy(text + whole - 4, "\r\n\r\n", 5);
	return text;
}

START_TEST(limits_hold_to_the_byte)
{
	static const struct {
		size_t                line, whole;
		enum http_head_result result;
	} cases[] = {
		{ HTTP_LINE_MOST, 9000, HTTP_HEAD_DONE },
		{ HTTP_LINE_MOST + 1, 9000, HTTP_HEAD_LONG_LINE },
		{ 100, HTTP_HEAD_MOST, HTTP_HEAD_DONE },
		{ 100, HTTP_HEAD_MOST + 1, HTTP_HEAD_LARGE },
		{ 20000, 30000, HTTP_HEAD_LONG_LINE },
	};
	unsigned seed = 3;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_head head;
		char            *text = make_large(cases[i].line, cases[i].whole);

		ck_assert_int_eq(read_request(&head, text), cases[i].result);
		for (int n = 0; n < 20; n++)
			ck_assert_int_eq(read_split(&head, text, cases[i].whole, &seed), cases[i].result);
		free(text);
	}
}
END_TEST

static enum http_head_result read_many(const char *line, const char *each, size_t count)
{
	struct http_head head;
	char             text[HTTP_HEAD_MOST];
	size_t           at = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\n%s", line);

	for (size_t i = 0; i < count; i++)
		at += (size_t)sprintf(text + at, "%s", each);
	strcpy(text + at, *line != '\0' ? "\r\n\r\n" : "\r\n");
	return read_request(&head, text);
}

START_TEST(fields_and_options_are_counted)
{
	ck_assert_int_eq(read_many("", "X: y\r\n", HTTP_FIELDS_MOST - 1), HTTP_HEAD_DONE);
	ck_assert_int_eq(read_many("", "X: y\r\n", HTTP_FIELDS_MOST), HTTP_HEAD_LARGE);
	ck_assert_int_eq(read_many("Connection: ", "x, ", HTTP_OPTIONS_MOST), HTTP_HEAD_DONE);
	ck_assert_int_eq(read_many("Connection: ", "x, ", HTTP_OPTIONS_MOST + 1), HTTP_HEAD_LARGE);
}
END_TEST

START_TEST(targets_have_forms)
{
	static const struct {
		const char *text, *path, *authority;
	} cases[] = {
		{ "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "/a", "" },
		{ "GET http://a/b HTTP/1.1\r\nHost: A\r\n\r\n", "/b", "a" },
		{ "GET HTTP://a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "", "a:80" },
		{ "GET http://a?q HTTP/1.1\r\nHost: a:\r\n\r\n", "?q", "a" },
		{ "GET http://a:81/ HTTP/1.1\r\nHost: a:81\r\n\r\n", "/", "a:81" },
		{ "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "*", "" },
		{ "GET http://a/b@c HTTP/1.0\r\n\r\n", "/b@c", "a" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_head head;

		ck_assert_msg(read_request(&head, cases[i].text) == HTTP_HEAD_DONE, "%s", cases[i].text);
		ck_assert_msg(span_is(cases[i].text, head.path, cases[i].path), "%s", cases[i].text);
		ck_assert_msg(span_is(cases[i].text, head.authority, cases[i].authority), "%s",
		              cases[i].text);
	}
}
END_TEST

START_TEST(persistence_follows_version_and_options)
{
	struct http_head head;

	ck_assert_int_eq(read_request(&head, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_HEAD_DONE);
	ck_assert(http_head_persists(&head));
	read_request(&head, "GET / HTTP/1.1\r\nHost: a\r\nConnection: foo,close\r\n\r\n");
	ck_assert(!http_head_persists(&head));
	read_request(&head, "GET / HTTP/1.0\r\n\r\n");
	ck_assert(!http_head_persists(&head));
	read_request(&head, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
	ck_assert(http_head_persists(&head));
	read_request(&head, "GET / HTTP/1.9\r\nHost: a\r\n\r\n");
	ck_assert(http_head_persists(&head));
	ck_assert_int_eq(head.minor, 1);
}
END_TEST

START_TEST(responses_are_read)
{
	struct http_head  head;
	const char *const text =
	        "HTTP/1.1 404 Not \xc3\xa4 Found\r\nContent-Length: 9223372036854775807\r\n\r\nrest";

	ck_assert_int_eq(read_response(&head, text), HTTP_HEAD_DONE);
	ck_assert_int_eq(head.status, 404);
	ck_assert(span_is(text, head.reason, "Not \xc3\xa4 Found"));
	ck_assert(head.has_length && head.length == INT64_MAX);
	ck_assert_int_eq(head.bytes, strlen(text) - 4);
	ck_assert_int_eq(read_response(&head, "HTTP/1.0 200\r\n\r\n"), HTTP_HEAD_DONE);
	ck_assert_int_eq(head.reason.len, 0);
	ck_assert_int_eq(read_response(&head, "HTTP/1.1 200 \r\n\r\n"), HTTP_HEAD_DONE);
}
END_TEST

START_TEST(names_are_found_whatever_their_case)
{
	bool exact;

	ck_assert_int_eq(http_name_find("X-FORWARDED-FOR", 15, &exact), HTTP_NAME_X_FORWARDED);
	ck_assert(exact);
	ck_assert_int_eq(http_name_find("x_forwarded_proto", 17, &exact), HTTP_NAME_X_FORWARDED);
	ck_assert(!exact);
	ck_assert_int_eq(http_name_find("X_Real-IP", 9, &exact), HTTP_NAME_X_REAL_IP);
	ck_assert_int_eq(http_name_find("Hosts", 5, &exact), HTTP_NAME_OTHER);
	ck_assert_int_eq(http_name_find("Hos", 3, &exact), HTTP_NAME_OTHER);
	ck_assert_int_eq(http_name_find("X-Forwarded-", 12, &exact), HTTP_NAME_OTHER);
	ck_assert_int_eq(http_name_find("proxy-authorization", 19, &exact), HTTP_NAME_PROXY_AUTHORIZATION);
}
END_TEST

void test_http_head(TCase *tc)
{
	tcase_add_loop_test(tc, ambiguous_requests_are_refused, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_loop_test(tc, broken_responses_are_refused, 0,
	                    sizeof(broken_responses) / sizeof(broken_responses[0]));
	tcase_add_test(tc, a_request_is_read_to_its_parts);
	tcase_add_test(tc, every_prefix_asks_for_more);
	tcase_add_test(tc, splits_change_nothing);
	tcase_add_test(tc, limits_hold_to_the_byte);
	tcase_add_test(tc, fields_and_options_are_counted);
	tcase_add_test(tc, targets_have_forms);
	tcase_add_test(tc, persistence_follows_version_and_options);
	tcase_add_test(tc, responses_are_read);
	tcase_add_test(tc, names_are_found_whatever_their_case);
}
