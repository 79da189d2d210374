#include "api/query.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "base/error.h"

void test_query(TCase *tc);

static char text[256];
static struct tg_error err;

static int read_query(const char *query, enum query_kind kind, struct api_call *to)
{
	*to = (struct api_call){ .until_unix_s = INT64_MAX };
	snprintf(text, sizeof(text), "%s", query);
	return query_read(text, kind, to, &err);
}

START_TEST(all_parameters_of_traffic_are_read)
{
	struct api_call call;

	ck_assert_int_eq(read_query("since=1700000000&until=1800000000&network=a%2Bb+c%2F%3D&ledger=5f0c&"
	                            "resolution=day",
	                            QUERY_TRAFFIC, &call),
	                 0);
	ck_assert_int_eq(call.since_unix_s, 1700000000);
	ck_assert_int_eq(call.until_unix_s, 1800000000);
	ck_assert_str_eq(call.network, "a+b+c/=");
	ck_assert_str_eq(call.ledger, "5f0c");
	ck_assert_str_eq(call.resolution, "day");
}
END_TEST

START_TEST(start_is_another_name_of_since)
{
	struct api_call call;

	ck_assert_int_eq(read_query("start=5", QUERY_TRAFFIC, &call), 0);
	ck_assert_int_eq(call.since_unix_s, 5);
	ck_assert_int_eq(read_query("start=5&since=5", QUERY_TRAFFIC, &call), -1);
	ck_assert_str_eq(err.where, "since");
}
END_TEST

START_TEST(dry_run_is_true_or_false)
{
	struct api_call call;

	ck_assert_int_eq(read_query("dry_run=true", QUERY_WRITE, &call), 0);
	ck_assert(call.dry_run);
	ck_assert_int_eq(read_query("dry_run=false", QUERY_WRITE, &call), 0);
	ck_assert(!call.dry_run);
}
END_TEST

START_TEST(nothing_is_a_query_too)
{
	struct api_call call = { .until_unix_s = INT64_MAX };

	ck_assert_int_eq(query_read(NULL, QUERY_NONE, &call, &err), 0);
	ck_assert_int_eq(read_query("", QUERY_NONE, &call), 0);
	ck_assert_int_eq(call.since_unix_s, 0);
	ck_assert_int_eq(call.until_unix_s, INT64_MAX);
}
END_TEST

static const struct {
	const char *query;
	enum query_kind kind;
	const char *where;
} refused[] = {
	{ "dry_run=yes", QUERY_WRITE, "dry_run" },
	{ "dry_run", QUERY_WRITE, "dry_run" },
	{ "dry_run=", QUERY_WRITE, "dry_run" },
	{ "dry_run=true&dry_run=true", QUERY_WRITE, "dry_run" },
	{ "dry_run=true", QUERY_NONE, "dry_run" },
	{ "dry_run=true", QUERY_TRAFFIC, "dry_run" },
	{ "since=1", QUERY_WRITE, "since" },
	{ "since=", QUERY_TRAFFIC, "since" },
	{ "since=-1", QUERY_TRAFFIC, "since" },
	{ "since=+1", QUERY_TRAFFIC, "since" },
	{ "since=1.5", QUERY_TRAFFIC, "since" },
	{ "since=1%00", QUERY_TRAFFIC, "since" },
	{ "since=9999999999999999999", QUERY_TRAFFIC, "since" },
	{ "until=soon", QUERY_TRAFFIC, "until" },
	{ "resolution=minute", QUERY_TRAFFIC, "resolution" },
	{ "ledger=", QUERY_TRAFFIC, "ledger" },
	{ "ledger=%ff", QUERY_TRAFFIC, "ledger" },
	{ "network=%zz", QUERY_TRAFFIC, "network" },
	{ "network=%4", QUERY_TRAFFIC, "network" },
	{ "Since=1", QUERY_TRAFFIC, "Since" },
	{ "frob=1", QUERY_TRAFFIC, "frob" },
	{ "fr\xffob=1", QUERY_TRAFFIC, "fr?ob" },
	{ "%=1", QUERY_TRAFFIC, "query" },
};

START_TEST(a_bad_parameter_is_named)
{
	struct api_call call;

	ck_assert_msg(read_query(refused[_i].query, refused[_i].kind, &call) == -1, "%s", refused[_i].query);
	ck_assert_str_eq(err.where, refused[_i].where);
}
END_TEST

START_TEST(escapes_are_decoded_in_place)
{
	char path[] = "/a%2Fb%2bc+d%41";
	char cut[] = "a%4";
	char nul[] = "a%00b";

	ck_assert(query_decode(path));
	ck_assert_str_eq(path, "/a/b+c+dA");
	ck_assert(!query_decode(cut));
	ck_assert(!query_decode(nul));
}
END_TEST

void test_query(TCase *tc)
{
	tcase_add_test(tc, all_parameters_of_traffic_are_read);
	tcase_add_test(tc, start_is_another_name_of_since);
	tcase_add_test(tc, dry_run_is_true_or_false);
	tcase_add_test(tc, nothing_is_a_query_too);
	tcase_add_loop_test(tc, a_bad_parameter_is_named, 0, (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_test(tc, escapes_are_decoded_in_place);
}
