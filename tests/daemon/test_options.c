#include "daemon/options.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"

void test_options(TCase *tc);

#define ARGS_MOST 64

static struct options options;
static struct tg_error err;
static char           *copies[ARGS_MOST];	/* of the arguments: the options borrow them */
static int             copies_count;

static void free_copies(void)
{
	while (copies_count > 0)
		free(copies[--copies_count]);
}

/* Arguments end with NULL. */
static int read_options(const char *first, ...)
{
	static char program[] = "tollgated";
	char       *argv[ARGS_MOST] = { program };
	int         argc = 1;
	va_list     args;

	va_start(args, first);
	for (const char *arg = first; arg != NULL; arg = va_arg(args, const char *)) {
		ck_assert_int_lt(copies_count, ARGS_MOST);
		argv[argc] = copies[copies_count++] = strdup(arg);
		ck_assert_ptr_nonnull(argv[argc++]);
	}
	va_end(args);
	memset(&err, 0, sizeof err);
	return options_read(&options, argc, argv, &err);
}

#define ck_refused(place, part, ...)                                                                  \
	do {                                                                                          \
		ck_assert_int_eq(read_options(__VA_ARGS__, NULL), -1);                                \
		ck_assert_str_eq(err.where, place);                                                   \
		ck_assert_msg(strstr(err.text, part) != NULL, "\"%s\" lacks \"%s\"", err.text, part); \
	} while (0)

START_TEST(defaults_are_those_of_the_manual)
{
	char text[TG_ENDPOINT_TEXT];

	ck_assert_int_eq(read_options(NULL), 0);
	ck_assert_int_eq(options.action, OPTIONS_RUN);
	ck_assert_ptr_null(options.config);
	ck_assert_ptr_null(options.user);
	ck_assert_str_eq(options.state_dir, "/var/lib/tollgate");
	ck_assert_str_eq(options.run_dir, "/run/tollgate");
	ck_assert_int_eq(options.api.at.family, 0);
	ck_assert_str_eq(tg_endpoint_print(&options.http.at, text), "[::]:80");
	ck_assert_str_eq(tg_endpoint_print(&options.https.at, text), "[::]:443");
	ck_assert(options.http.standard && options.https.standard);
	ck_assert_uint_ge(options.workers, 1);
	ck_assert_uint_eq(options.wireguard, MSG_WIREGUARD_AUTO);
	ck_assert_str_eq(options.netns_prefix, "network-");
	ck_assert_uint_eq(options.sample_interval_ms, 60000);
	ck_assert_uint_eq(options.retention_ms, 7 * 86400000ULL);
	ck_assert_uint_eq(options.rollup_retention_ms, 400 * 86400000ULL);
	ck_assert_uint_eq(options.drain_timeout_ms, 30000);
	ck_assert_uint_eq(options.source_connections, 512);
	ck_assert_uint_eq(options.log_level, TG_LOG_INFO);
	ck_assert_uint_eq(options.forwards_count, 0);
}
END_TEST

START_TEST(the_flag_wins_over_the_variable_and_that_over_the_default)
{
	setenv("TOLLGATE_WORKERS", "3", 1);
	ck_assert_int_eq(read_options(NULL), 0);
	ck_assert_uint_eq(options.workers, 3);
	ck_assert_int_eq(read_options("--workers", "5", NULL), 0);
	ck_assert_uint_eq(options.workers, 5);
	ck_assert_int_eq(read_options("--workers=6", NULL), 0);
	ck_assert_uint_eq(options.workers, 6);
	setenv("TOLLGATE_WORKERS", "", 1);
	ck_assert_int_eq(read_options(NULL), 0);
	ck_assert_uint_ne(options.workers, 0);
}
END_TEST

START_TEST(a_variable_is_checked_and_named_too)
{
	setenv("TOLLGATE_SAMPLE_INTERVAL", "soon", 1);
	ck_refused("TOLLGATE_SAMPLE_INTERVAL", "is not a time", NULL);
	setenv("TOLLGATE_SAMPLE_INTERVAL", "1s", 1);
	setenv("TOLLGATE_TRUST_PROXY", "10.0.0.0/8", 1);
	ck_refused("TOLLGATE_TRUST_PROXY", "not supported", NULL);
}
END_TEST

START_TEST(what_is_no_option_is_refused)
{
	ck_refused("--bogus", "is no option", "--bogus");
	ck_refused("--work=3", "is no option", "--work=3");
	ck_refused("-x", "is no option", "-x");
	ck_refused("stray", "is no option", "stray");
	ck_refused("--workers", "needs a value", "--workers");
	ck_refused("--check=yes", "takes no value", "--check=yes");
	ck_refused("--state-dir", "is empty", "--state-dir", "");
}
END_TEST

START_TEST(options_of_later_versions_are_refused_by_name)
{
	static const char *const later[] = { "--trust-proxy", "--access-log" };

	for (size_t i = 0; i < sizeof later / sizeof later[0]; i++)
		ck_refused(later[i], "is not supported by this version", later[i], "x");
	ck_refused("--metrics-per-peer", "is not supported by this version", "--metrics-per-peer");
}
END_TEST

START_TEST(the_api_on_tcp_needs_a_token)
{
	ck_refused("--api", "needs --token-file", "--api", "127.0.0.1:8000");
	ck_assert_int_eq(read_options("--api", "127.0.0.1:8000", "--token-file", "/t", NULL), 0);
	setenv("TOLLGATE_TOKEN", "secret", 1);
	ck_assert_int_eq(read_options("--api", "[::1]:8000", NULL), 0);
	ck_assert_str_eq(options.token, "secret");
}
END_TEST

START_TEST(the_api_off_loopback_needs_tls_or_to_be_called_insecure)
{
	setenv("TOLLGATE_TOKEN", "secret", 1);
	ck_refused("--api", "not a loopback address", "--api", "0.0.0.0:8000");
	ck_refused("--api", "not a loopback address", "--api", "[::]:8000");
	ck_refused("--api", "not a loopback address", "--api", "192.0.2.1:8000");
	ck_assert_int_eq(read_options("--api", "192.0.2.1:8000", "--api-insecure", NULL), 0);
	ck_assert_int_eq(read_options("--api", "192.0.2.1:8000", "--api-cert", "c", "--api-key", "k", NULL),
	                 0);
}
END_TEST

START_TEST(certificate_key_and_ca_come_together)
{
	ck_refused("--api-cert", "without --api-key", "--api-cert", "c");
	ck_refused("--api-key", "without --api-cert", "--api-key", "k");
	ck_refused("--api-client-ca", "without --api-cert", "--api-client-ca", "ca");
	ck_assert_int_eq(read_options("--api-cert", "c", "--api-key", "k", "--api-client-ca", "ca", NULL), 0);
	ck_assert_str_eq(options.api_client_ca, "ca");
}
END_TEST

START_TEST(one_source_of_tokens_is_enough)
{
	setenv("TOLLGATE_TOKEN", "secret", 1);
	setenv("TOLLGATE_TOKEN_FILE", "/file", 1);
	ck_refused("TOLLGATE_TOKEN", "is set", NULL);
	ck_assert_int_eq(read_options("--token-file", "/flag", NULL), 0);
	ck_assert_str_eq(options.token_file, "/flag");
	ck_assert_ptr_null(options.token);
}
END_TEST

START_TEST(one_address_serves_one_purpose)
{
	ck_refused("--https", "same address", "--http", "[::]:81", "--https", "[::]:81");
	setenv("TOLLGATE_TOKEN", "secret", 1);
	ck_refused("--api", "same address", "--api", "127.0.0.1:81", "--http", "127.0.0.1:81");
	ck_assert_int_eq(read_options("--http", "none", "--https", "none", NULL), 0);
	ck_assert_int_eq(options.http.at.family, 0);
}
END_TEST

START_TEST(forwards_are_a_list)
{
	ck_assert_int_eq(read_options("--forward", "https://Panel.example.com:443/=127.0.0.1:8443",
	                              "--forward", "http://panel.example.com=[::1]:80", NULL),
	                 0);
	ck_assert_uint_eq(options.forwards_count, 2);
	ck_assert_str_eq(options.forwards[0].host, "panel.example.com");
	ck_assert_uint_eq(options.forwards[0].https, 1);
	ck_assert_uint_eq(options.forwards[0].upstream.port, 8443);
	ck_assert_uint_eq(options.forwards[1].https, 0);

	setenv("TOLLGATE_FORWARD", "http://a.example=10.0.0.1:1,http://b.example=10.0.0.2:2", 1);
	ck_assert_int_eq(read_options(NULL), 0);
	ck_assert_uint_eq(options.forwards_count, 2);
	ck_assert_str_eq(options.forwards[1].host, "b.example");
	ck_assert_int_eq(read_options("--forward", "http://c.example=10.0.0.1:1", NULL), 0);
	ck_assert_uint_eq(options.forwards_count, 1);
}
END_TEST

START_TEST(forwards_end_at_their_limit)
{
	static char buffer[MSG_FORWARDS_MOST + 1][64];
	static char program[] = "tollgated", flag[] = "--forward";
	char       *argv[2 * (MSG_FORWARDS_MOST + 1) + 2] = { program };
	int         argc = 1;

	for (int i = 0; i <= MSG_FORWARDS_MOST; i++) {
		snprintf(buffer[i], sizeof buffer[i], "http://h%d.example=10.0.0.1:80", i);
		argv[argc++] = flag;
		argv[argc++] = buffer[i];
	}
	ck_assert_int_eq(options_read(&options, argc - 2, argv, &err), 0);
	ck_assert_uint_eq(options.forwards_count, MSG_FORWARDS_MOST);
	ck_assert_int_eq(options_read(&options, argc, argv, &err), -1);
	ck_assert_int_eq(err.code, TG_CODE_LIMIT);
}
END_TEST

START_TEST(actions_are_told_apart)
{
	ck_assert_int_eq(read_options("--check", "--config", "x", NULL), 0);
	ck_assert_int_eq(options.action, OPTIONS_CHECK);
	ck_assert_int_eq(read_options("--teardown", NULL), 0);
	ck_assert_int_eq(options.action, OPTIONS_TEARDOWN);
	ck_assert_int_eq(read_options("--help", NULL), 0);
	ck_assert_int_eq(options.action, OPTIONS_HELP);
	ck_assert_int_eq(read_options("--version", NULL), 0);
	ck_assert_int_eq(options.action, OPTIONS_VERSION);
}
END_TEST

START_TEST(choices_are_of_the_list)
{
	ck_assert_int_eq(read_options("--log-level", "debug", "--wireguard", "userspace", NULL), 0);
	ck_assert_uint_eq(options.log_level, TG_LOG_DEBUG);
	ck_assert_uint_eq(options.wireguard, MSG_WIREGUARD_USERSPACE);
	ck_refused("--log-level", "is not one of", "--log-level", "loud");
	ck_refused("--wireguard", "is not one of", "--wireguard", "Kernel");
}
END_TEST

/* Every variable that could be set where the tests run. */
static void clear_variables(void)
{
	static const char *const names[] = {
		"TOLLGATE_WORKERS", "TOLLGATE_TOKEN",	"TOLLGATE_TOKEN_FILE",	     "TOLLGATE_FORWARD",
		"TOLLGATE_API",	    "TOLLGATE_HTTP",	"TOLLGATE_HTTPS",	     "TOLLGATE_TRUST_PROXY",
		"TOLLGATE_CONFIG",  "TOLLGATE_RUN_DIR", "TOLLGATE_SAMPLE_INTERVAL",  "TOLLGATE_STATE_DIR",
		"TOLLGATE_USER",    "TOLLGATE_LOG_LEVEL", "TOLLGATE_WIREGUARD",	     "TOLLGATE_NETNS_PREFIX",
	};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		unsetenv(names[i]);
}

void test_options(TCase *tc)
{
	tcase_add_checked_fixture(tc, clear_variables, free_copies);
	tcase_add_test(tc, defaults_are_those_of_the_manual);
	tcase_add_test(tc, the_flag_wins_over_the_variable_and_that_over_the_default);
	tcase_add_test(tc, a_variable_is_checked_and_named_too);
	tcase_add_test(tc, what_is_no_option_is_refused);
	tcase_add_test(tc, options_of_later_versions_are_refused_by_name);
	tcase_add_test(tc, the_api_on_tcp_needs_a_token);
	tcase_add_test(tc, the_api_off_loopback_needs_tls_or_to_be_called_insecure);
	tcase_add_test(tc, certificate_key_and_ca_come_together);
	tcase_add_test(tc, one_source_of_tokens_is_enough);
	tcase_add_test(tc, one_address_serves_one_purpose);
	tcase_add_test(tc, forwards_are_a_list);
	tcase_add_test(tc, forwards_end_at_their_limit);
	tcase_add_test(tc, actions_are_told_apart);
	tcase_add_test(tc, choices_are_of_the_list);
}
