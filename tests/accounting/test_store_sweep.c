#include <sqlite3.h>

#include "tests/accounting/fixture.h"

void test_store_sweep(TCase *tc);

#define HOUR 3600
#define DAY  86400

/* Until there is nothing left to do; in slices of `most`. */
static void sweep_all(struct fixture *f, int64_t now_s, size_t most)
{
	int more = 1;

	for (int i = 0; more == 1; i++) {
		more = store_sweep(f->store, now_s * 1000, most, &f->err);
		ck_assert_msg(more != -1, "%s", f->err.text);
		ck_assert_int_lt(i, 100000);
	}
}

/* A gateway that runs on without traffic. */
static void pass_time(struct fixture *f, int64_t from_s, int64_t to_s)
{
	for (int64_t now = from_s; now < to_s; now += HOUR)
		sweep_all(f, now, 1000);
}

static int64_t count_of(struct fixture *f, const char *sql)
{
	sqlite3      *db;
	sqlite3_stmt *row;
	int64_t       count;

	ck_assert_int_eq(sqlite3_open(f->path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(row), SQLITE_ROW);
	count = sqlite3_column_int64(row, 0);
	sqlite3_finalize(row);
	sqlite3_close(db);
	return count;
}

static cJSON *ask(struct fixture *f, int64_t since, int64_t now_s, enum traffic_resolution resolution)
{
	struct traffic_query query = query_since(since);

	query.resolution = resolution;
	return answer(f, &query, now_s);
}

/* Counters of three peers grow by 1, 2, 3 at each of `samples` samples. */
static void sample(struct fixture *f, int64_t from_s, int64_t step_s, int samples, uint64_t *counter)
{
	struct msg_reading readings[3];

	for (int i = 0; i < samples; i++) {
		++*counter;
		for (uint32_t p = 0; p < 3; p++)
			readings[p] = reading_of(1, p, 1, *counter * (p + 1), 0);
		commit_readings(f, from_s + i * step_s, readings, 3);
	}
}

static void begin(struct fixture *f)
{
	fixture_init(f);
	fixture_open(f);
	for (uint32_t p = 0; p < 3; p++)
		commit_one(f, T0, baseline_of(1, p, 1, 0, 0));
}

START_TEST(records_are_kept_for_retention_at_least_and_then_go)
{
	struct fixture f;
	uint64_t       counter = 0;
	int64_t        end = T0 + 1000 * 60;

	begin(&f);
	sample(&f, T0, 60, 1000, &counter);
	sweep_all(&f, end, 7);
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM records"), 3000);
	fixture_reopen(&f);
	pass_time(&f, end, T0 + 7 * DAY);
	sweep_all(&f, T0 + 7 * DAY, 7);	/* the oldest is 7 days old, to the second */
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM records"), 3000);
	sweep_all(&f, T0 + 7 * DAY + 61, 7);
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM records"), 2994);
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM times"), 998);

	cJSON *json = ask(&f, 0, T0 + 7 * DAY + 61, TRAFFIC_RECORDS);

	ck_assert_int_eq((int64_t)number_of(json, "oldest_time"), T0 + 60);
	ck_assert_double_eq(traffic_of(json, "rx"), 998 * 6);
	cJSON_Delete(json);
	/* All of it is in the sums still. */
	json = ask(&f, 0, T0 + 7 * DAY + 61, TRAFFIC_HOURS);
	ck_assert_double_eq(traffic_of(json, "rx"), 6000);
	cJSON_Delete(json);
	fixture_clear(&f);
}
END_TEST

START_TEST(with_the_ledger_what_is_gone_is_said_to_be)
{
	struct fixture       f;
	struct traffic      *traffic;
	struct traffic_query query = query_since(0);
	uint64_t             counter = 0;

	begin(&f);
	sample(&f, T0, 60, 10, &counter);
	snprintf(query.ledger, sizeof query.ledger, "%s", f.store->ledger);
	ck_assert_int_eq(traffic_open(f.store, &query, (T0 + 600) * 1000, &traffic, &f.err), TRAFFIC_OK);
	traffic_close(traffic);
	sweep_all(&f, T0 + 601, 100);
	fixture_reopen(&f);
	pass_time(&f, T0 + 601, T0 + 15 * DAY);
	ck_assert_int_eq(traffic_open(f.store, &query, (T0 + 15 * DAY) * 1000, &traffic, &f.err),
	                 TRAFFIC_GONE);
	ck_assert_ptr_null(traffic);
	query.since_unix_s = T0 + 540;
	ck_assert_int_eq(traffic_open(f.store, &query, (T0 + 15 * DAY) * 1000, &traffic, &f.err), TRAFFIC_OK);
	traffic_close(traffic);
	query.ledger[0] = query.ledger[0] == '0' ? '1' : '0';
	ck_assert_int_eq(traffic_open(f.store, &query, (T0 + 15 * DAY) * 1000, &traffic, &f.err),
	                 TRAFFIC_CONFLICT);
	fixture_clear(&f);
}
END_TEST

START_TEST(a_clock_that_jumps_ahead_deletes_nothing_at_once)
{
	struct fixture f;
	uint64_t       counter = 0;
	int64_t        later = T0 + 365 * DAY;

	begin(&f);
	sample(&f, T0, 60, 10, &counter);
	sample(&f, later, 60, 2, &counter);	/* a wrong clock */
	sweep_all(&f, later + 120, 100);
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM records"), 36);
	sample(&f, T0 + 900, 60, 2, &counter);	/* mended */
	sweep_all(&f, T0 + 1020, 100);
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM records"), 42);
	for (int64_t day = 0; day < 16; day++)	/* the gateway runs on, day by day */
		for (int64_t hour = 0; hour < 24; hour++)
			sweep_all(&f, T0 + 1020 + day * DAY + hour * HOUR, 100);
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM records"), 12);	/* those of the wrong time */
	fixture_clear(&f);
}
END_TEST

START_TEST(finished_hours_and_days_are_summed_exactly_once)
{
	struct fixture f;
	uint64_t       counter = 0;
	int64_t        hour = T0 - T0 % HOUR;
	int64_t        now = T0;

	begin(&f);
	for (int i = 0; i < 30 * 6; i++) {	/* 30 hours, a sample each 10 min, swept now and then */
		sample(&f, now, 600, 1, &counter);
		now += 600;
		if (i % 5 == 0)
			ck_assert_int_ge(store_sweep(f.store, now * 1000, 4, &f.err), 0);
		if (i % 50 == 0)
			fixture_reopen(&f);
	}
	sweep_all(&f, now, 4);

	cJSON       *json = ask(&f, 0, now, TRAFFIC_HOURS);
	const cJSON *device = device_of(json, 1, 0);
	const cJSON *each;
	int64_t      label = hour;
	double       sum = 0;

	cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(device, "times")) {
		ck_assert_int_eq(atoll(each->string), label);
		ck_assert_double_eq(number_of(each, "rx"), label == hour ? 5 : 6);	/* T0 is 800 s in */
		sum += number_of(each, "rx");
		label += HOUR;
	}
	ck_assert_int_eq(label, now - now % HOUR);
	ck_assert_double_eq(sum, traffic_of(device, "rx"));
	ck_assert_int_eq((int64_t)number_of(json, "stop_time"), label - HOUR);
	cJSON_Delete(json);
	/* Asked again: only what is later. */
	json = ask(&f, label - 2 * HOUR, now, TRAFFIC_HOURS);
	ck_assert_double_eq(traffic_of(json, "rx"), 36);
	cJSON_Delete(json);
	json = ask(&f, label - HOUR, now, TRAFFIC_HOURS);
	ck_assert_double_eq(traffic_of(json, "rx"), 0);
	ck_assert_int_eq((int64_t)number_of(json, "stop_time"), label - HOUR);
	cJSON_Delete(json);
	json = ask(&f, 0, now, TRAFFIC_DAYS);
	device = device_of(json, 1, 2);
	ck_assert_str_eq(times_of(device), "1699920000 1700006400");	/* the first ended after 1 h 46 min */
	cJSON_Delete(json);
	fixture_clear(&f);
}
END_TEST

START_TEST(a_finished_hour_never_changes_when_the_clock_goes_back_into_it)
{
	struct fixture f;
	uint64_t       counter = 0;
	int64_t        next = T0 - T0 % HOUR + HOUR;

	begin(&f);
	sample(&f, T0, 60, 3, &counter);
	sweep_all(&f, next + 5, 100);
	sample(&f, next - 100, 10, 3, &counter);
	sweep_all(&f, next + 2 * HOUR, 100);

	cJSON *json = ask(&f, 0, next + 2 * HOUR, TRAFFIC_HOURS);
	char   expected[64];

	snprintf(expected, sizeof expected, "%lld %lld", (long long)next - HOUR, (long long)next);
	ck_assert_str_eq(times_of(device_of(json, 1, 0)), expected);
	ck_assert_double_eq(traffic_of(json, "rx"), 36);
	cJSON_Delete(json);
	fixture_clear(&f);
}
END_TEST

START_TEST(a_wrong_clock_that_only_sweeps_does_not_push_labels_far)
{
	struct fixture f;
	uint64_t       counter = 0;
	int64_t        day_end = T0 - T0 % DAY + DAY;
	char           expected[64];

	fixture_init(&f);
	fixture_open(&f);
	sweep_all(&f, T0 + 3650 * DAY, 100);	/* an empty database */
	fixture_clear(&f);
	begin(&f);
	sample(&f, T0, 60, 1, &counter);
	sweep_all(&f, T0 + 3650 * DAY, 100);
	sample(&f, T0 + 60, 60, 1, &counter);
	sample(&f, day_end + 10, 60, 1, &counter);

	cJSON *json = ask(&f, 0, day_end + 100, TRAFFIC_RECORDS);

	snprintf(expected, sizeof expected, "%lld %lld %lld", (long long)T0, (long long)day_end,
	         (long long)day_end + 10);
	ck_assert_str_eq(times_of(device_of(json, 1, 0)), expected);
	cJSON_Delete(json);
	fixture_clear(&f);
}
END_TEST

START_TEST(sums_of_hours_go_after_35_days_and_of_days_after_theirs)
{
	struct fixture f;
	uint64_t       counter = 0;
	int64_t        now = T0;

	begin(&f);
	sample(&f, T0, 60, 3, &counter);
	for (; now < T0 + 34 * DAY; now += HOUR)
		sweep_all(&f, now, 10);
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM records"), 0);
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM hours"), 3);
	for (; now < T0 + 36 * DAY; now += HOUR)
		sweep_all(&f, now, 10);
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM hours"), 0);
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM days"), 3);
	for (; now < T0 + 402 * DAY; now += 3 * HOUR)
		sweep_all(&f, now, 10);
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM days"), 0);
	fixture_clear(&f);
}
END_TEST

START_TEST(ids_of_who_is_gone_are_used_again_and_those_of_idle_peers_are_not)
{
	struct fixture f;
	uint64_t       counter = 0;
	int64_t        now = T0;
	uint64_t       now_ms = 1000;

	begin(&f);
	sample(&f, T0, 60, 3, &counter);
	commit_one(&f, T0 + 200, baseline_of(9, 9, 1, 0, 0));	/* never seen again, no records */
	commit_one(&f, T0 + 201, baseline_of(9, 9, 2, 0, 0));	/* on another interface than before */
	for (int hour = 0; hour < 24 * 9; hour++) {	/* peer 1 is idle, peers 0 and 2 are gone */
		now += HOUR;
		now_ms += HOUR * 1000;
		tg_clock_fake(now_ms, now * 1000);
		commit_one(&f, now, reading_of(1, 1, 1, counter * 2, 0));
		sweep_all(&f, now, 1000);
		sweep_all(&f, now, 1 << 20);
	}
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM series WHERE id IS NOT NULL"), 1);
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM counters"), 1);
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM earlier"), 0);
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM series"), 3);	/* their sums are kept */
	commit_one(&f, now, reading_of(1, 1, 1, counter * 2 + 5, 0));
	ck_assert_uint_eq(f.outcome.unknown_peers, 0);

	cJSON *json = ask(&f, 0, now + 1, TRAFFIC_RECORDS);

	ck_assert_double_eq(traffic_of(device_of(json, 1, 1), "rx"), 5);
	cJSON_Delete(json);
	json = ask(&f, 0, now + 1, TRAFFIC_DAYS);
	ck_assert_double_eq(traffic_of(json, "rx"), 18);
	cJSON_Delete(json);
	fixture_clear(&f);
}
END_TEST

START_TEST(an_open_answer_keeps_its_records_but_not_for_ever)
{
	struct fixture       f;
	struct traffic      *traffic;
	struct traffic_query query = query_since(0);
	uint64_t             counter = 0;
	char                 text[4096];

	begin(&f);
	sample(&f, T0, 60, 10, &counter);
	for (int64_t hour = 1; hour <= 7 * 24; hour++)
		sweep_all(&f, T0 + hour * HOUR, 100);
	ck_assert_int_eq(traffic_open(f.store, &query, (T0 + 7 * DAY) * 1000, &traffic, &f.err), TRAFFIC_OK);
	sweep_all(&f, T0 + 7 * DAY + HOUR, 100);
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM records"), 30);
	ck_assert_int_gt(traffic_read(traffic, text, sizeof text, &f.err), 0);
	tg_clock_fake(1000 + 700 * 1000, (T0 + 7 * DAY + HOUR) * 1000);
	sweep_all(&f, T0 + 7 * DAY + HOUR, 100);
	ck_assert_int_lt(count_of(&f, "SELECT count(*) FROM records"), 30);
	ck_assert_int_eq(traffic_read(traffic, text, sizeof text, &f.err), -1);
	traffic_close(traffic);
	fixture_clear(&f);
}
END_TEST

START_TEST(saturated_records_do_not_stop_the_sums)
{
	struct fixture f;

	begin(&f);
	commit_one(&f, T0 + 1, reading_of(1, 1, 2, INT64_MAX, 1));
	commit_one(&f, T0 + 2, reading_of(1, 1, 3, INT64_MAX, 1));
	sweep_all(&f, T0 + 2 * HOUR, 100);

	struct traffic_query query = query_since(0);

	query.resolution = TRAFFIC_HOURS;

	char *text = answer_text(&f, &query, T0 + 2 * HOUR, 4096, NULL);

	ck_assert_ptr_nonnull(strstr(text, "{\"rx\":9223372036854775807,\"tx\":2}"));
	free(text);
	fixture_clear(&f);
}
END_TEST

/* What was counted on them longer ago is counted anew when it is heard of again. */
START_TEST(no_more_than_some_interfaces_of_a_peer_are_remembered)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 1, 0, 0));
	for (uint32_t i = 1; i <= 2 * STORE_EARLIER_MOST; i++)
		commit_one(&f, T0 + i, reading_of(1, 1, i, 1, 1));
	ck_assert_int_eq(count_of(&f, "SELECT count(*) FROM earlier"), STORE_EARLIER_MOST);
	fixture_clear(&f);
}
END_TEST

void test_store_sweep(TCase *tc)
{
	tcase_add_test(tc, records_are_kept_for_retention_at_least_and_then_go);
	tcase_add_test(tc, with_the_ledger_what_is_gone_is_said_to_be);
	tcase_add_test(tc, a_clock_that_jumps_ahead_deletes_nothing_at_once);
	tcase_add_test(tc, finished_hours_and_days_are_summed_exactly_once);
	tcase_add_test(tc, a_finished_hour_never_changes_when_the_clock_goes_back_into_it);
	tcase_add_test(tc, a_wrong_clock_that_only_sweeps_does_not_push_labels_far);
	tcase_add_test(tc, sums_of_hours_go_after_35_days_and_of_days_after_theirs);
	tcase_add_test(tc, ids_of_who_is_gone_are_used_again_and_those_of_idle_peers_are_not);
	tcase_add_test(tc, an_open_answer_keeps_its_records_but_not_for_ever);
	tcase_add_test(tc, saturated_records_do_not_stop_the_sums);
	tcase_add_test(tc, no_more_than_some_interfaces_of_a_peer_are_remembered);
}
