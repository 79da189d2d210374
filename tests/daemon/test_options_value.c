#include "daemon/options_value.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "daemon/options.h"

void test_options_value(TCase *tc);

static struct tg_error err;

START_TEST(durations_have_a_number_and_a_unit)
{
	static const struct {
		const char *text;
		uint64_t    ms;
	} good[] = {
		{ "100ms", 100 }, { "0s", 0 },		{ "60s", 60000 },
		{ "5m", 300000 }, { "24h", 86400000 }, { "7d", 604800000 },
	};
	static const char *const bad[] = {
		"",	"5",  "s",  "-1s",  "+1s",		       " 1s",			"1s ", "1 s",
		"1.5s", "1S", "1w", "0x1s", "99999999999999999999s", "18446744073709551615d",
	};
	uint64_t ms;

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		ck_assert_int_eq(options_value_duration(&ms, good[i].text, 0, UINT64_MAX, &err), 0);
		ck_assert_uint_eq(ms, good[i].ms);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(options_value_duration(&ms, bad[i], 0, UINT64_MAX, &err) == -1, "%s", bad[i]);
}
END_TEST

START_TEST(durations_keep_to_their_limits_and_say_which)
{
	uint64_t ms;

	ck_assert_int_eq(options_value_duration(&ms, "100ms", 100, 3600000, &err), 0);
	ck_assert_int_eq(options_value_duration(&ms, "1h", 100, 3600000, &err), 0);
	ck_assert_int_eq(options_value_duration(&ms, "99ms", 100, 3600000, &err), -1);
	ck_assert_str_eq(err.text, "99ms is not from 100ms to 1h");
	ck_assert_int_eq(options_value_duration(&ms, "61m", 100, 3600000, &err), -1);
	ck_assert_int_eq(options_value_duration(&ms, "2d", 0, 86400000, &err), -1);
	ck_assert_str_eq(err.text, "2d is not from 0s to 1d");
}
END_TEST

START_TEST(counts_are_decimal_and_within_limits)
{
	static const char *const bad[] = { "", "-1", "+1", "1 ", "0x10", "1e3", "257", "0",
	                                   "18446744073709551616" };
	uint64_t                 number;

	ck_assert_int_eq(options_value_count(&number, "256", 1, 256, &err), 0);
	ck_assert_uint_eq(number, 256);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(options_value_count(&number, bad[i], 1, 256, &err) == -1, "%s", bad[i]);
}
END_TEST

START_TEST(a_listener_is_an_address_or_none)
{
	static const char *const bad[] = { "", "80", ":80", "localhost:80", "1.2.3.4", "1.2.3.4:0",
	                                   "1.2.3.4:65536", "::1:80", "[::1]", "NONE" };
	struct options_listen    at = { .standard = true };

	ck_assert_int_eq(options_value_listen(&at, "[fd00::1]:8443", &err), 0);
	ck_assert_int_eq(at.at.family, AF_INET6);
	ck_assert_uint_eq(at.at.port, 8443);
	ck_assert(!at.standard);
	ck_assert_int_eq(options_value_listen(&at, "none", &err), 0);
	ck_assert_int_eq(at.at.family, 0);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(options_value_listen(&at, bad[i], &err) == -1, "%s", bad[i]);
}
END_TEST

START_TEST(a_forward_is_a_url_and_an_address)
{
	static const char *const bad[] = {
		"",
		"http://a.example",
		"ftp://a.example=10.0.0.1:80",
		"a.example=10.0.0.1:80",
		"http://=10.0.0.1:80",
		"http:///=10.0.0.1:80",
		"http://a.example/path=10.0.0.1:80",
		"http://a.example:8080=10.0.0.1:80",
		"https://a.example:80=10.0.0.1:80",
		"https://*.a.example=10.0.0.1:80",
		"http://a.example=10.0.0.1",
		"http://a.example=b.example:80",
		"http://a.example=",
	};
	struct options *options = calloc(1, sizeof *options);

	ck_assert_ptr_nonnull(options);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(options_value_forward(options, bad[i], &err) == -1, "%s", bad[i]);
	ck_assert_uint_eq(options->forwards_count, 0);
	ck_assert_int_eq(options_value_forward(options, "http://a.example:80/=10.0.0.1:8080", &err), 0);
	ck_assert_str_eq(options->forwards[0].host, "a.example");
	ck_assert_int_eq(options_value_forward(options, "http://A.EXAMPLE=10.0.0.2:8080", &err), -1);
	ck_assert_int_eq(options_value_forward(options, "https://a.example=10.0.0.2:8080", &err), 0);
	free(options);
}
END_TEST

START_TEST(a_prefix_makes_a_file_name)
{
	static const char *const good[] = { "network-", "n", "A_b.c-", "0123456789012345678901234567890" };
	static const char *const bad[] = { "", "a/b", "../x", ".", "-a", "a b", "a\n", "\xc3\xa4",
					   "01234567890123456789012345678901" };
	const char              *prefix;

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		ck_assert_msg(options_value_prefix(&prefix, good[i], &err) == 0, "%s", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(options_value_prefix(&prefix, bad[i], &err) == -1, "%s", bad[i]);
}
END_TEST

void test_options_value(TCase *tc)
{
	tcase_add_test(tc, durations_have_a_number_and_a_unit);
	tcase_add_test(tc, durations_keep_to_their_limits_and_say_which);
	tcase_add_test(tc, counts_are_decimal_and_within_limits);
	tcase_add_test(tc, a_listener_is_an_address_or_none);
	tcase_add_test(tc, a_forward_is_a_url_and_an_address);
	tcase_add_test(tc, a_prefix_makes_a_file_name);
}
