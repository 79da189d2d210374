#include "base/log.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void test_log(TCase *tc);

START_TEST(strangers_bytes_cannot_leave_their_value)
{
	char to[64];

	ck_assert_str_eq(tg_quote(to, sizeof to, "a \"b\" \\ \n\x01\xff"),
	                 "\"a \\\"b\\\" \\\\ \\n\\x01\\xff\"");
}
END_TEST

START_TEST(a_quoted_value_is_closed_however_small_its_room)
{
	char text[300], to[300];

	memset(text, '"', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	for (size_t size = 0; size < sizeof to; size++) {
		memset(to, 'x', sizeof to);
		tg_quote(to, size, text);
		if (size > 0)
			ck_assert_msg(memchr(to, '\0', size) != NULL, "%zu bytes", size);
		if (size > 8)
			ck_assert_int_eq(to[strlen(to) - 1], '"');
		ck_assert_int_eq(to[size], 'x');
	}
}
END_TEST

/* What one call writes to standard error. */
static void logged(char *to, size_t size, enum tg_log_level level, const char *msg, const char *value)
{
	int     ends[2];
	int     kept = dup(STDERR_FILENO);
	ssize_t got;

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_ne(dup2(ends[1], STDERR_FILENO), -1);
	tg_log(level, msg, "value=%s", value);
	ck_assert_int_ne(dup2(kept, STDERR_FILENO), -1);
	close(kept);
	close(ends[1]);
	got = read(ends[0], to, size - 1);
	to[got > 0 ? got : 0] = '\0';
	close(ends[0]);
}

START_TEST(a_line_is_logfmt_of_its_role_and_level)
{
	char line[2048];

	tg_log_role("engine");
	logged(line, sizeof line, TG_LOG_WARN, "made a \"network\"", "51820");
	ck_assert_str_eq(line, "level=warn role=engine msg=\"made a \\\"network\\\"\" value=51820\n");
	logged(line, sizeof line, TG_LOG_DEBUG, "unseen", "1");
	ck_assert_str_eq(line, "");
}
END_TEST

START_TEST(a_long_line_is_cut_and_still_ends)
{
	char value[4000], line[4096];

	memset(value, 'v', sizeof value - 1);
	value[sizeof value - 1] = '\0';
	logged(line, sizeof line, TG_LOG_ERROR, "long", value);
	ck_assert_uint_le(strlen(line), 1024);
	ck_assert_int_eq(line[strlen(line) - 1], '\n');
}
END_TEST

void test_log(TCase *tc)
{
	tcase_add_test(tc, strangers_bytes_cannot_leave_their_value);
	tcase_add_test(tc, a_quoted_value_is_closed_however_small_its_room);
	tcase_add_test(tc, a_line_is_logfmt_of_its_role_and_level);
	tcase_add_test(tc, a_long_line_is_cut_and_still_ends);
}
