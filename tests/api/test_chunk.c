#include "api/chunk.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

void test_chunk(TCase *tc);

/* Reads `text` in pieces of `piece` bytes, each in memory of exactly its length.  The data goes to
 * `data`, what was taken in all to *used. */
static enum chunk_result read_pieces(const char *text, size_t bytes, size_t piece, char *data, size_t *used)
{
	struct chunk chunk = { 0 };
	enum chunk_result result = CHUNK_MORE;
	size_t have = 0;

	*used = 0;
	while (*used < bytes && result == CHUNK_MORE) {
		size_t len = bytes - *used < piece ? bytes - *used : piece;
		char *copy = malloc(len);
		size_t at = 0;

		memcpy(copy, text + *used, len);
		while (at < len && result == CHUNK_MORE) {
			const char *run = NULL;
			size_t taken = 0, run_bytes = 0;

			result = chunk_read(&chunk, copy + at, len - at, &taken, &run, &run_bytes);
			if (result == CHUNK_MALFORMED)
				break;
			if (run_bytes > 0)
				memcpy(data + have, run, run_bytes);
			have += run_bytes;
			at += taken;
		}
		*used += at;
		free(copy);
	}
	data[have] = '\0';
	return result;
}

static const char whole[] = "5\r\nhello\r\n00a;x=\"y\"\r\n, world, i\r\n1\r\ns\r\n0\r\nA: b\r\nC: d\r\n\r\n";

START_TEST(any_split_gives_the_same_data)
{
	char text[sizeof(whole) + 8];
	char data[64];
	size_t used;

	memcpy(text, whole, sizeof(whole) - 1);
	memcpy(text + sizeof(whole) - 1, "GET /", 6);
	for (size_t piece = 1; piece < sizeof(whole) + 5; piece++) {
		ck_assert_int_eq(read_pieces(text, strlen(text), piece, data, &used), CHUNK_DONE);
		ck_assert_str_eq(data, "hello, world, is");
		ck_assert_uint_eq(used, sizeof(whole) - 1);
	}
}
END_TEST

START_TEST(every_prefix_asks_for_more)
{
	char data[64];
	size_t used;

	for (size_t n = 0; n < sizeof(whole) - 1; n++) {
		ck_assert_msg(read_pieces(whole, n, n + 1, data, &used) == CHUNK_MORE, "after %zu bytes", n);
		ck_assert_uint_eq(used, n);
	}
}
END_TEST

static const char *const malformed[] = {
	"\r\n",       "x\r\n",       "-1\r\n",          " 1\r\na\r\n",     "0x1\r\n",
	"1\n",        "1\r\nab\r\n", "1\r\na\n",        "1 \r\n",          "fffffffffffffffff\r\n",
	"1\r\na\r\r", "0\r\n\n",     "0\r\nA: b\n\r\n", "20000000000\r\n", "1;a\nb\r\n",
};

START_TEST(what_is_not_chunked_is_refused)
{
	char data[64];
	size_t used;

	ck_assert_msg(read_pieces(malformed[_i], strlen(malformed[_i]), 1, data, &used) == CHUNK_MALFORMED,
	              "%s", malformed[_i]);
}
END_TEST

START_TEST(trailers_and_extensions_have_a_limit)
{
	char text[CHUNK_EXTRA_MOST + 16] = "0\r\n";
	char data[64];
	size_t used;

	memset(text + 3, 'a', CHUNK_EXTRA_MOST);
	ck_assert_int_eq(read_pieces(text, 3 + CHUNK_EXTRA_MOST, 4096, data, &used), CHUNK_MORE);
	text[3 + CHUNK_EXTRA_MOST] = 'a';
	ck_assert_int_eq(read_pieces(text, 4 + CHUNK_EXTRA_MOST, 4096, data, &used), CHUNK_MALFORMED);
	text[1] = ';';
	ck_assert_int_eq(read_pieces(text, 4 + CHUNK_EXTRA_MOST, 4096, data, &used), CHUNK_MALFORMED);
}
END_TEST

void test_chunk(TCase *tc)
{
	tcase_add_test(tc, any_split_gives_the_same_data);
	tcase_add_test(tc, every_prefix_asks_for_more);
	tcase_add_loop_test(tc, what_is_not_chunked_is_refused, 0,
	                    (int)(sizeof(malformed) / sizeof(malformed[0])));
	tcase_add_test(tc, trailers_and_extensions_have_a_limit);
}
