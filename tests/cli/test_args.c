#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/args.h"

void test_args(TCase *tc);

static struct args     args;
static struct tg_error err;

/* Words with one space between. */
static int read_line(const char *line)
{
	static char text[256];
	char       *argv[16] = { text };
	int         argc = 0;

	strcpy(text, line);
	for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
		argv[argc++] = word;
	return args_read(&args, argc, argv, &err);
}

START_TEST(commands_and_options_come_in_any_order)
{
	unsetenv("TOLLGATE_RUN_DIR");
	ck_assert_int_eq(read_line("tollgate apply --dry-run FILE"), 0);
	ck_assert_int_eq(args.command, ARGS_APPLY);
	ck_assert_str_eq(args.operand, "FILE");
	ck_assert(args.dry_run);
	ck_assert_str_eq(args.run_dir, "/run/tollgate");
	ck_assert_int_eq(
	        read_line("tollgate --api=http://h:1 --token-file T traffic --since 5m --format csv"), 0);
	ck_assert_int_eq(args.command, ARGS_TRAFFIC);
	ck_assert_str_eq(args.api, "http://h:1");
	ck_assert_str_eq(args.token_file, "T");
	ck_assert_str_eq(args.since, "5m");
	ck_assert_str_eq(args.format, "csv");
	ck_assert_int_eq(read_line("tollgate apply -"), 0);
	ck_assert_str_eq(args.operand, "-");
	ck_assert_int_eq(read_line("tollgate status"), 0);
	ck_assert_ptr_null(args.operand);
	ck_assert_int_eq(read_line("tollgate --help"), 0);
	ck_assert_int_eq(args.command, ARGS_HELP);
	ck_assert_int_eq(read_line("tollgate --version"), 0);
	ck_assert_int_eq(args.command, ARGS_VERSION);
}
END_TEST

START_TEST(the_environment_gives_defaults)
{
	setenv("TOLLGATE_RUN_DIR", "/elsewhere", 1);
	ck_assert_int_eq(read_line("tollgate get"), 0);
	ck_assert_str_eq(args.run_dir, "/elsewhere");
	ck_assert_int_eq(read_line("tollgate get --run-dir /there"), 0);
	ck_assert_str_eq(args.run_dir, "/there");
	setenv("TOLLGATE_RUN_DIR", "", 1);
	ck_assert_int_eq(read_line("tollgate get"), 0);
	ck_assert_str_eq(args.run_dir, "/run/tollgate");
}
END_TEST

START_TEST(what_is_wrong_is_named)
{
	static const struct {
		const char *line;
		const char *says;
	} cases[] = {
		{ "tollgate", "no command" },
		{ "tollgate fly", "\"fly\"" },
		{ "tollgate apply", "usage: tollgate apply FILE" },
		{ "tollgate apply a b", "usage: tollgate apply FILE" },
		{ "tollgate get x", "usage: tollgate get" },
		{ "tollgate get --fast", "--fast" },
		{ "tollgate get --dry-run", "get has no option --dry-run" },
		{ "tollgate genkey --api x", "genkey has no option --api" },
		{ "tollgate traffic --since", "--since needs a value" },
		{ "tollgate traffic --format xml", "\"xml\"" },
		{ "tollgate traffic --resolution week", "\"week\"" },
		{ "tollgate get --api a --socket b", "exclude" },
		{ "tollgate get --api 127.0.0.1:8000", "\"127.0.0.1:8000\" is none of" },
		{ "tollgate get --api ftp://a", "\"ftp://a\" is none of" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ck_assert_msg(read_line(cases[i].line) == -1, "%s", cases[i].line);
		ck_assert_msg(strstr(err.text, cases[i].says) != NULL, "%s: %s", cases[i].line, err.text);
	}
}
END_TEST

START_TEST(times_are_seconds_or_so_long_ago)
{
	static const char *const bad[] = { "",         "-5", "5x", "5 m", "m", "1e3", "99999999999999999999",
		                           "99999999d" };
	int64_t                  at;

	ck_assert(args_time_read("1700000000", 0, &at));
	ck_assert_int_eq(at, 1700000000);
	ck_assert(args_time_read("0", 5, &at));
	ck_assert_int_eq(at, 0);
	ck_assert(args_time_read("90s", 1000, &at));
	ck_assert_int_eq(at, 910);
	ck_assert(args_time_read("2m", 1000, &at));
	ck_assert_int_eq(at, 880);
	ck_assert(args_time_read("1h", 10000, &at));
	ck_assert_int_eq(at, 6400);
	ck_assert(args_time_read("7d", 1700000000, &at));
	ck_assert_int_eq(at, 1700000000 - 7 * 86400);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(!args_time_read(bad[i], 1700000000, &at), "%s", bad[i]);
}
END_TEST

void test_args(TCase *tc)
{
	tcase_add_test(tc, commands_and_options_come_in_any_order);
	tcase_add_test(tc, the_environment_gives_defaults);
	tcase_add_test(tc, what_is_wrong_is_named);
	tcase_add_test(tc, times_are_seconds_or_so_long_ago);
}
