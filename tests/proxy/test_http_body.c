#include "proxy/http_body.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/http_head.h"

void test_http_body(TCase *tc);

static const struct http_head chunked = { .chunked = true, .status = 200 };

/* Reads in pieces of at most `most` bytes, each in a buffer of its own.  *used is their sum. */
static enum http_body_result read_pieces(struct http_body *body, const char *text, size_t len, size_t most,
                                         size_t *used, char *data, size_t *data_len)
{
	enum http_body_result result = http_body_is_done(body) ? HTTP_BODY_DONE : HTTP_BODY_MORE;

	*used = *data_len = 0;
	while (result == HTTP_BODY_MORE && *used < len) {
		size_t n = len - *used < most ? len - *used : most;
		size_t now, kept;
		char  *piece = malloc(n);

		ck_assert_ptr_nonnull(piece);
		memcpy(piece, text + *used, n);
		result = http_body_strip(body, piece, n, &now, &kept);
		ck_assert_uint_le(now, n);
		ck_assert_uint_le(kept, now);
		ck_assert(result != HTTP_BODY_MORE || now == n);
		memcpy(data + *data_len, piece, kept);
		*data_len += kept;
		*used += now;
		free(piece);
	}
	return result;
}

static enum http_body_result read_chunked(const char *text, size_t *used)
{
	struct http_body body;
	size_t           len = strlen(text);
	char            *copy = malloc(len);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, len);
	http_body_of_request(&body, &chunked);

	enum http_body_result result = http_body_read(&body, copy, len, used);

	free(copy);
	return result;
}

static const char whole[] = "4\r\nWiki\r\n06;a=b;c=\"d e\"\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n"
			    "0;last\r\nX-Sum: abc\r\nY:\r\n\r\n";

START_TEST(chunks_end_with_the_empty_line)
{
	struct http_body body;
	char             text[200], data[200];
	size_t           used, kept;

	strcpy(text, whole);
	strcat(text, "GET / HTTP/1.1\r\n");
	for (size_t most = 1; most < 100; most++) {
		http_body_of_request(&body, &chunked);
		ck_assert_int_eq(read_pieces(&body, text, strlen(text), most, &used, data, &kept),
		                 HTTP_BODY_DONE);
		ck_assert_uint_eq(used, strlen(whole));
		ck_assert_uint_eq(kept, strlen("Wikipedia in \r\n\r\nchunks."));
		ck_assert_mem_eq(data, "Wikipedia in \r\n\r\nchunks.", kept);
		ck_assert(http_body_end(&body));
	}
	ck_assert_int_eq(read_chunked(text, &used), HTTP_BODY_DONE);
	ck_assert_uint_eq(used, strlen(whole));
}
END_TEST

START_TEST(every_prefix_of_chunks_asks_for_more)
{
	for (size_t n = 0; n < strlen(whole); n++) {
		struct http_body body;
		char             data[200];
		size_t           used, kept;

		http_body_of_request(&body, &chunked);
		ck_assert_int_eq(read_pieces(&body, whole, n, 200, &used, data, &kept), HTTP_BODY_MORE);
		ck_assert_uint_eq(used, n);
		ck_assert(!http_body_end(&body));
	}
}
END_TEST

static const struct {
	const char *text;
	size_t      fine;	/* bytes before the fault */
} broken[] = {
	{ "\r\n", 0 },				/* no size */
	{ "g\r\n", 0 },				/* no digit */
	{ "0x5\r\nabcde\r\n", 1 },
	{ "-1\r\n", 0 },
	{ "+1\r\n", 0 },
	{ " 5\r\nabcde\r\n", 0 },
	{ "5 \r\nabcde\r\n", 1 },		/* white space after the size */
	{ "5 ;a\r\nabcde\r\n", 1 },
	{ "5\nabcde\r\n", 1 },			/* bare LF */
	{ "5\rabcde\r\n", 2 },			/* bare CR */
	{ "5;a\nabcde\r\n", 3 },		/* bare LF in an extension */
	{ "5;a\rb\r\nabcde\r\n", 4 },
	{ "5;\x01\r\nabcde\r\n", 2 },
	{ "5\r\nabcdef\r\n", 8 },		/* longer than it says */
	{ "5\r\nabcde\n0\r\n\r\n", 8 },
	{ "5\r\nabcde0\r\n\r\n", 8 },
	{ "8000000000000000\r\n", 15 },		/* 2^63 */
	{ "ffffffffffffffff\r\n", 15 },
	{ "10000000000000000\r\n", 16 },		/* 2^64: would be 0 */
	{ "00000000000000005\r\n", 16 },		/* too many digits */
	{ "0\r\n\n", 3 },
	{ "0\r\nX: a\n\r\n", 7 },
	{ "0\r\n X: a\r\n\r\n", 3 },
	{ "0\r\nX : a\r\n\r\n", 4 },
	{ "0\r\nX\r\n\r\n", 4 },
	{ "0\r\n: a\r\n\r\n", 3 },
	{ "0\r\nX: a\r\n b\r\n\r\n", 9 },
	{ "0\r\nContent-Length: 5\r\n\r\n", 17 },
	{ "0\r\nTransfer_Encoding: chunked\r\n\r\n", 20 },
	{ "0\r\nHost: b\r\n\r\n", 7 },
	{ "0\r\nx-forwarded-for: 1.2.3.4\r\n\r\n", 18 },
	{ "0\r\nAuthorization: x\r\n\r\n", 16 },
	{ "0\r\nCookie: x\r\n\r\n", 9 },
};

START_TEST(broken_chunks_are_refused_where_they_break)
{
	struct http_body body;
	char             data[200];
	size_t           used, kept;

	ck_assert_msg(read_chunked(broken[_i].text, &used) == HTTP_BODY_BAD, "%s", broken[_i].text);
	ck_assert_msg(used == broken[_i].fine, "%s: %zu", broken[_i].text, used);
	for (size_t most = 1; most < 20; most++) {
		http_body_of_request(&body, &chunked);
		ck_assert_int_eq(read_pieces(&body, broken[_i].text, strlen(broken[_i].text), most, &used,
		                             data, &kept),
		                 HTTP_BODY_BAD);
		ck_assert_uint_eq(used, broken[_i].fine);
	}
}
END_TEST

/* `front`, `count` times 'a', `back`. */
static enum http_body_result read_filled(const char *front, size_t count, const char *back)
{
	char  *text = malloc(strlen(front) + count + strlen(back) + 1);
	size_t used;

	ck_assert_ptr_nonnull(text);
	strcpy(text, front);
	memset(text + strlen(front), 'a', count);
	strcpy(text + strlen(front) + count, back);

	enum http_body_result result = read_chunked(text, &used);

	free(text);
	return result;
}

START_TEST(limits_of_chunks_hold_to_the_byte)
{
	ck_assert_int_eq(read_filled("0;", HTTP_BODY_EXTENSION_MOST, "\r\n\r\n"), HTTP_BODY_DONE);
	ck_assert_int_eq(read_filled("0;", HTTP_BODY_EXTENSION_MOST + 1, "\r\n\r\n"), HTTP_BODY_BAD);
	ck_assert_int_eq(read_filled("0\r\nX:", HTTP_BODY_TRAILER_MOST - 2, "\r\n\r\n"), HTTP_BODY_DONE);
	ck_assert_int_eq(read_filled("0\r\nX:", HTTP_BODY_TRAILER_MOST - 1, "\r\n\r\n"), HTTP_BODY_BAD);
	ck_assert_int_eq(read_filled("0\r\n", HTTP_BODY_NAME_MOST, ":\r\n\r\n"), HTTP_BODY_DONE);
	ck_assert_int_eq(read_filled("0\r\n", HTTP_BODY_NAME_MOST + 1, ":\r\n\r\n"), HTTP_BODY_BAD);
}
END_TEST

START_TEST(the_largest_chunk_is_counted_right)
{
	struct http_body body;
	size_t           used;

	http_body_of_request(&body, &chunked);
	ck_assert_int_eq(http_body_read(&body, "7fffffffffffffff\r\nab", 20, &used), HTTP_BODY_MORE);
	ck_assert_uint_eq(used, 20);
	ck_assert_uint_eq(body.left, (uint64_t)INT64_MAX - 2);
}
END_TEST

START_TEST(a_length_takes_its_bytes_and_no_more)
{
	struct http_head head = { .has_length = true, .length = 10, .status = 200 };
	struct http_body body;
	size_t           used;

	http_body_of_response(&body, &head, false);
	ck_assert_int_eq(http_body_read(&body, "abcd", 4, &used), HTTP_BODY_MORE);
	ck_assert_uint_eq(used, 4);
	ck_assert(!http_body_end(&body));
	ck_assert_int_eq(http_body_read(&body, "efghijGET /", 11, &used), HTTP_BODY_DONE);
	ck_assert_uint_eq(used, 6);
	ck_assert(http_body_end(&body));
	ck_assert_int_eq(http_body_read(&body, "GET /", 5, &used), HTTP_BODY_DONE);
	ck_assert_uint_eq(used, 0);
}
END_TEST

START_TEST(some_responses_have_no_body)
{
	static const struct {
		unsigned status;
		bool     to_head, none;
	} cases[] = {
		{ 200, false, false }, { 200, true, true }, { 204, false, true },
		{ 304, false, true }, { 101, false, true }, { 404, false, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_head with = { .has_length = true,
			                  .length = 3,
			                  .status = (uint16_t)cases[i].status };
		struct http_head without = { .status = (uint16_t)cases[i].status };
		struct http_body body;

		http_body_of_response(&body, &with, cases[i].to_head);
		ck_assert(http_body_is_done(&body) == cases[i].none);
		http_body_of_response(&body, &without, cases[i].to_head);
		ck_assert(http_body_is_done(&body) == cases[i].none);
		ck_assert_int_eq(body.kind, cases[i].none ? HTTP_BODY_NONE : HTTP_BODY_CLOSE);
		ck_assert(http_body_end(&body));
	}
}
END_TEST

START_TEST(a_request_without_framing_has_no_body)
{
	struct http_head head = { .kind = HTTP_KIND_REQUEST };
	struct http_body body;
	size_t           used;

	http_body_of_request(&body, &head);
	ck_assert(http_body_is_done(&body));
	ck_assert_int_eq(http_body_read(&body, "abc", 3, &used), HTTP_BODY_DONE);
	ck_assert_uint_eq(used, 0);
}
END_TEST

void test_http_body(TCase *tc)
{
	tcase_add_test(tc, chunks_end_with_the_empty_line);
	tcase_add_test(tc, every_prefix_of_chunks_asks_for_more);
	tcase_add_loop_test(tc, broken_chunks_are_refused_where_they_break, 0,
	                    sizeof(broken) / sizeof(broken[0]));
	tcase_add_test(tc, limits_of_chunks_hold_to_the_byte);
	tcase_add_test(tc, the_largest_chunk_is_counted_right);
	tcase_add_test(tc, a_length_takes_its_bytes_and_no_more);
	tcase_add_test(tc, some_responses_have_no_body);
	tcase_add_test(tc, a_request_without_framing_has_no_body);
}
