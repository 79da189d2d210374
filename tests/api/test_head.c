#include "api/head.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

void test_head(TCase *tc);

/* As long as what has come, so that the address sanitizer sees a read past the end. */
static char *exact_copy(const char *text, size_t bytes)
{
	char *copy = malloc(bytes == 0 ? 1 : bytes);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, bytes);
	return copy;
}

static char buffer[2 * HEAD_BYTES_MOST];

static enum head_result read_text(const char *text, struct head *to)
{
	size_t seen = 0, end = 0;
	enum head_result found = head_find_end(text, strlen(text), &seen, &end);

	if (found != HEAD_OK)
		return found;
	memcpy(buffer, text, end);
	return head_read(buffer, end, to);
}

#define HOST "Host: gateway\r\n"

START_TEST(a_head_is_read_with_its_fields)
{
	struct head head;

	ck_assert_int_eq(
	        read_text("PATCH /api/v1/config?dry_run=true HTTP/1.1\r\n" HOST
	                  "authorization:  Bearer abc \t\r\nContent-Length: 17\r\nIF-MATCH: \"x\"\r\n"
	                  "Expect: 100-Continue\r\nX-Other: a\r\nX-Other: b\r\n\r\nbody",
	                  &head),
	        HEAD_OK);
	ck_assert_int_eq(head.method, HEAD_PATCH);
	ck_assert_str_eq(head.path, "/api/v1/config");
	ck_assert_str_eq(head.query, "dry_run=true");
	ck_assert_str_eq(head.authorization, "Bearer abc");
	ck_assert_str_eq(head.if_match, "\"x\"");
	ck_assert_uint_eq(head.length, 17);
	ck_assert(head.expect_continue);
	ck_assert(head.keep_alive);
	ck_assert(!head.chunked);
	ck_assert_ptr_null(head.token);
}
END_TEST

START_TEST(every_prefix_asks_for_more)
{
	const char *text = "\r\nGET / HTTP/1.1\r\n" HOST "Token: t\r\n\r\n";
	size_t len = strlen(text);

	for (size_t n = 0; n < len; n++) {
		char *part = exact_copy(text, n);
		size_t seen = 0, end = 0;

		ck_assert_msg(head_find_end(part, n, &seen, &end) == HEAD_MORE, "after %zu bytes", n);
		free(part);
	}
}
END_TEST

START_TEST(any_split_finds_the_same_end)
{
	const char *text = "\r\nGET / HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n";
	size_t len = strlen(text);

	for (size_t first = 0; first <= len; first++) {
		size_t seen = 0, end = 0;
		enum head_result result = head_find_end(text, first, &seen, &end);

		if (result == HEAD_MORE)
			result = head_find_end(text, len, &seen, &end);
		ck_assert_int_eq(result, HEAD_OK);
		ck_assert_uint_eq(end, strlen("\r\nGET / HTTP/1.1\r\n" HOST "\r\n"));
	}
}
END_TEST

START_TEST(a_head_of_16_KiB_passes_and_no_longer_one)
{
	size_t seen = 0, end = 0;
	char *text = malloc(HEAD_BYTES_MOST + 1);

	memset(text, 'a', HEAD_BYTES_MOST + 1);
	memcpy(text + HEAD_BYTES_MOST - 4, "\r\n\r\n", 4);
	ck_assert_int_eq(head_find_end(text, HEAD_BYTES_MOST, &seen, &end), HEAD_OK);
	ck_assert_uint_eq(end, HEAD_BYTES_MOST);

	seen = 0;
	memcpy(text + HEAD_BYTES_MOST - 4, "a\r\n\r\n", 5);
	ck_assert_int_eq(head_find_end(text, HEAD_BYTES_MOST + 1, &seen, &end), HEAD_TOO_LARGE);
	seen = 0;
	ck_assert_int_eq(head_find_end(text, HEAD_BYTES_MOST, &seen, &end), HEAD_TOO_LARGE);
	seen = 0;
	ck_assert_int_eq(head_find_end(text, HEAD_BYTES_MOST - 1, &seen, &end), HEAD_MORE);
	free(text);
}
END_TEST

static const struct {
	const char *text;
	enum head_result result;
} refused[] = {
	{ "GET / HTTP/1.1\nHost: x\r\n\r\n", HEAD_MALFORMED },
	{ "GET /\r\n\r\n", HEAD_MALFORMED },
	{ "GET  / HTTP/1.1\r\n" HOST "\r\n", HEAD_MALFORMED },
	{ "GET / HTTP/1.1 \r\n" HOST "\r\n", HEAD_BAD_VERSION },
	{ " GET / HTTP/1.1\r\n" HOST "\r\n", HEAD_MALFORMED },
	{ "G(T / HTTP/1.1\r\n" HOST "\r\n", HEAD_MALFORMED },
	{ "GET nowhere HTTP/1.1\r\n" HOST "\r\n", HEAD_MALFORMED },
	{ "GET * HTTP/1.1\r\n" HOST "\r\n", HEAD_MALFORMED },
	{ "GET /a#b HTTP/1.1\r\n" HOST "\r\n", HEAD_MALFORMED },
	{ "GET /\x80 HTTP/1.1\r\n" HOST "\r\n", HEAD_MALFORMED },
	{ "GET /\t HTTP/1.1\r\n" HOST "\r\n", HEAD_MALFORMED },
	{ "GET / HTTP/2.0\r\n" HOST "\r\n", HEAD_BAD_VERSION },
	{ "GET / HTTP/1.2\r\n" HOST "\r\n", HEAD_BAD_VERSION },
	{ "GET / http/1.1\r\n" HOST "\r\n", HEAD_MALFORMED },
	{ "GET / HTTP/1.1\r\n\r\n", HEAD_MALFORMED },
	{ "GET / HTTP/1.1\r\n" HOST HOST "\r\n", HEAD_MALFORMED },
	{ "GET / HTTP/1.1\r\n" HOST "Token: a\r\nTOKEN: b\r\n\r\n", HEAD_MALFORMED },
	{ "GET / HTTP/1.1\r\n" HOST "Token : a\r\n\r\n", HEAD_MALFORMED },
	{ "GET / HTTP/1.1\r\n" HOST "Token: a\r\n b\r\n\r\n", HEAD_MALFORMED },
	{ "GET / HTTP/1.1\r\n" HOST "Token\r\n\r\n", HEAD_MALFORMED },
	{ "GET / HTTP/1.1\r\n" HOST ": a\r\n\r\n", HEAD_MALFORMED },
	{ "GET / HTTP/1.1\r\n" HOST "Token: a\x01\r\n\r\n", HEAD_MALFORMED },
	{ "GET / HTTP/1.1\r\n" HOST "Token: a\rb\r\n\r\n", HEAD_MALFORMED },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", HEAD_MALFORMED },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n", HEAD_MALFORMED },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n", HEAD_MALFORMED },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", HEAD_MALFORMED },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n", HEAD_MALFORMED },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	  HEAD_MALFORMED },
	{ "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", HEAD_MALFORMED },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", HEAD_BAD_CODING },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n", HEAD_BAD_CODING },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nExpect: fish\r\n\r\n", HEAD_BAD_EXPECT },
};

START_TEST(what_could_be_read_two_ways_is_refused)
{
	struct head head;

	ck_assert_msg(read_text(refused[_i].text, &head) == refused[_i].result, "%s", refused[_i].text);
}
END_TEST

START_TEST(a_nul_is_refused)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n";
	size_t seen = 0, end = 0;

	ck_assert_int_eq(head_find_end(text, sizeof(text) - 1, &seen, &end), HEAD_MALFORMED);
}
END_TEST

START_TEST(an_absolute_target_is_its_path)
{
	struct head head;

	ck_assert_int_eq(read_text("GET http://other:80/api/v1/x?y HTTP/1.1\r\n" HOST "\r\n", &head),
	                 HEAD_OK);
	ck_assert_str_eq(head.path, "/api/v1/x");
	ck_assert_str_eq(head.query, "y");
}
END_TEST

START_TEST(a_connection_is_kept_in_1_1_unless_told_otherwise)
{
	struct head head;

	ck_assert_int_eq(read_text("GET / HTTP/1.1\r\n" HOST "Connection: x, Close\r\n\r\n", &head), HEAD_OK);
	ck_assert(!head.keep_alive);
	ck_assert_int_eq(read_text("GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n", &head), HEAD_OK);
	ck_assert(head.keep_alive);
	ck_assert_int_eq(read_text("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &head), HEAD_OK);
	ck_assert(!head.keep_alive);
}
END_TEST

START_TEST(an_unknown_method_is_told_from_a_malformed_one)
{
	struct head head;

	ck_assert_int_eq(read_text("FROB / HTTP/1.1\r\n" HOST "\r\n", &head), HEAD_OK);
	ck_assert_int_eq(head.method, HEAD_UNKNOWN);
	ck_assert_int_eq(read_text("get / HTTP/1.1\r\n" HOST "\r\n", &head), HEAD_OK);
	ck_assert_int_eq(head.method, HEAD_UNKNOWN);
}
END_TEST

void test_head(TCase *tc)
{
	tcase_add_test(tc, a_head_is_read_with_its_fields);
	tcase_add_test(tc, every_prefix_asks_for_more);
	tcase_add_test(tc, any_split_finds_the_same_end);
	tcase_add_test(tc, a_head_of_16_KiB_passes_and_no_longer_one);
	tcase_add_loop_test(tc, what_could_be_read_two_ways_is_refused, 0,
	                    (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_test(tc, a_nul_is_refused);
	tcase_add_test(tc, an_absolute_target_is_its_path);
	tcase_add_test(tc, a_connection_is_kept_in_1_1_unless_told_otherwise);
	tcase_add_test(tc, an_unknown_method_is_told_from_a_malformed_one);
}
