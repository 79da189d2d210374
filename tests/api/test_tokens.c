#include "api/tokens.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

void test_tokens(TCase *tc);

static struct tokens *read_text(const char *text, struct tg_error *err)
{
	size_t bytes = strlen(text);
	char *copy = malloc(bytes == 0 ? 1 : bytes); /* without a NUL, for the address sanitizer */
	struct tokens *tokens;

	memcpy(copy, text, bytes);
	tokens = tokens_read(copy, bytes, err);
	free(copy);
	return tokens;
}

START_TEST(lines_with_and_without_a_scope_are_read)
{
	struct tokens *tokens =
	        read_text("# people\nalpha\r\n\n  read\tbeta  \nadmin gamma\n #x\nreadx", NULL);

	ck_assert_ptr_nonnull(tokens);
	ck_assert_int_eq(tokens_check(tokens, "Bearer alpha", NULL), TOKENS_ADMIN);
	ck_assert_int_eq(tokens_check(tokens, NULL, "alpha"), TOKENS_ADMIN);
	ck_assert_int_eq(tokens_check(tokens, "bearer  beta", NULL), TOKENS_READ);
	ck_assert_int_eq(tokens_check(tokens, NULL, "gamma"), TOKENS_ADMIN);
	ck_assert_int_eq(tokens_check(tokens, NULL, "readx"), TOKENS_ADMIN);
	tokens_free(tokens);
}
END_TEST

START_TEST(nothing_else_is_let_in)
{
	struct tokens *tokens = read_text("alpha\nread beta\n", NULL);
	const char *const wrong[] = { "",
		                      " ",
		                      "Bearer",
		                      "Bearer ",
		                      "Bearer alph",
		                      "Bearer alphaa",
		                      "Bearer read",
		                      "Basic alpha",
		                      "alpha" };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(tokens_check(tokens, wrong[i], NULL) == TOKENS_NONE, "%s", wrong[i]);
	ck_assert_int_eq(tokens_check(tokens, NULL, "Alpha"), TOKENS_NONE);
	ck_assert_int_eq(tokens_check(tokens, NULL, ""), TOKENS_NONE);
	ck_assert_int_eq(tokens_check(tokens, NULL, NULL), TOKENS_NONE);
	ck_assert_int_eq(tokens_check(NULL, NULL, "alpha"), TOKENS_NONE);
	/* Bearer goes first: a wrong one is not made good by the other. */
	ck_assert_int_eq(tokens_check(tokens, "Bearer x", "alpha"), TOKENS_NONE);
	ck_assert_int_eq(tokens_check(tokens, "Basic x", "beta"), TOKENS_READ);
	tokens_free(tokens);
}
END_TEST

static const struct {
	const char *text;
	const char *says;
} refused[] = {
	{ "", "no token" },          { "# only\n\n", "no token" }, { "ok\nread\n", "line 2" },
	{ "admin", "line 1" },       { "write x\n", "line 1" },    { "a\n\nread x y\n", "line 3" },
	{ "a\nread a\n", "line 2" }, { "a\nb\x01\n", "line 2" },   { "a\n\xc3\xa4\n", "line 2" },
};

START_TEST(a_bad_file_names_its_line)
{
	struct tg_error err;

	ck_assert_ptr_null(read_text(refused[_i].text, &err));
	ck_assert_msg(strstr(err.text, refused[_i].says) != NULL, "%s", err.text);
}
END_TEST

START_TEST(length_and_number_of_tokens_have_limits)
{
	struct tg_error err;
	char *text = malloc((TOKENS_MOST + 1) * 16);
	char longest[TOKENS_BYTES_MOST + 2];
	struct tokens *tokens;
	size_t len = 0;

	memset(longest, 'a', sizeof(longest));
	tokens = tokens_read(longest, TOKENS_BYTES_MOST, &err);
	ck_assert_ptr_nonnull(tokens);
	tokens_free(tokens);
	ck_assert_ptr_null(tokens_read(longest, TOKENS_BYTES_MOST + 1, &err));

	for (unsigned i = 0; i < TOKENS_MOST; i++)
		len += (size_t)sprintf(text + len, "t%u\n", i);
	tokens = tokens_read(text, len, &err);
	ck_assert_ptr_nonnull(tokens);
	ck_assert_int_eq(tokens_check(tokens, NULL, "t1023"), TOKENS_ADMIN);
	tokens_free(tokens);
	len += (size_t)sprintf(text + len, "one-more\n");
	ck_assert_ptr_null(tokens_read(text, len, &err));
	ck_assert_msg(strstr(err.text, "line 1025") != NULL, "%s", err.text);
	free(text);
}
END_TEST

void test_tokens(TCase *tc)
{
	tcase_add_test(tc, lines_with_and_without_a_scope_are_read);
	tcase_add_test(tc, nothing_else_is_let_in);
	tcase_add_loop_test(tc, a_bad_file_names_its_line, 0, (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_test(tc, length_and_number_of_tokens_have_limits);
}
