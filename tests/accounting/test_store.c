#include <sqlite3.h>

#include "tests/accounting/fixture.h"

void test_store(TCase *tc);

START_TEST(the_first_reading_without_a_baseline_is_one)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, reading_of(1, 1, 1, 500, 700));
	ck_assert_uint_eq(f.outcome.unknown_peers, 1);
	commit_one(&f, T0 + 60, reading_of(1, 1, 1, 600, 900));
	ck_assert_uint_eq(f.outcome.unknown_peers, 0);
	expect_device(&f, T0 + 61, 1, 1, 100, "1700000060");
	ck_assert_double_eq(total(&f, T0 + 61, "tx"), 200);
	fixture_clear(&f);
}
END_TEST

START_TEST(a_baseline_of_an_interface_to_come_counts_all_of_it)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 0, 0, 0));
	commit_one(&f, T0 + 1, reading_of(1, 1, 7, 500, 1));
	ck_assert_uint_eq(f.outcome.unknown_peers, 0);
	expect_device(&f, T0 + 2, 1, 1, 500, "1700000001");
	fixture_clear(&f);
}
END_TEST

START_TEST(a_counter_that_began_anew_counts_from_zero)
{
	struct fixture     f;
	struct msg_reading removed[2] = { reading_of(1, 1, 1, 1500, 0), baseline_of(1, 1, 1, 0, 0) };

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 0, 0, 0));
	commit_one(&f, T0 + 1, reading_of(1, 1, 1, 1000, 0));
	commit_readings(&f, T0 + 2, removed, 2);	/* 500; then removed and added again */
	commit_one(&f, T0 + 3, reading_of(1, 1, 1, 2000, 0));	/* larger than the last one: 2000 */
	commit_one(&f, T0 + 4, reading_of(1, 1, 1, 300, 0));	/* began anew by itself: 300 */
	commit_one(&f, T0 + 5, reading_of(1, 1, 2, 5000, 0));	/* a new interface: 5000 */
	expect_device(&f, T0 + 6, 1, 1, 1000 + 500 + 2000 + 300 + 5000, NULL);
	fixture_clear(&f);
}
END_TEST

/* The key of a network moved to another port, and back before the first one was removed. */
START_TEST(an_interface_that_is_heard_of_again_goes_on_from_where_it_was)
{
	struct fixture     f;
	struct msg_reading moved[2] = { reading_of(1, 1, 1, 700, 0), baseline_of(1, 1, 0, 0, 0) };

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 0, 0, 0));
	commit_one(&f, T0 + 1, reading_of(1, 1, 1, 500, 0));
	commit_readings(&f, T0 + 2, moved, 2);	/* the last reading there: 200 */
	commit_readings(&f, T0 + 3, moved, 2);	/* sent again by an engine that heard no answer */
	commit_one(&f, T0 + 4, reading_of(1, 1, 2, 30, 0));	/* the other interface: 30 */
	fixture_reopen(&f);
	commit_one(&f, T0 + 5, reading_of(1, 1, 2, 40, 0));	/* 10 */
	commit_one(&f, T0 + 6, reading_of(1, 1, 1, 700, 0));	/* taken back: nothing new */
	commit_one(&f, T0 + 7, reading_of(1, 1, 2, 45, 0));	/* the other's last reading: 5 */
	commit_one(&f, T0 + 8, reading_of(1, 1, 1, 1700, 0));	/* 1000 */
	expect_device(&f, T0 + 9, 1, 1, 500 + 200 + 30 + 10 + 5 + 1000,
	              "1700000001 1700000002 1700000004 1700000005 1700000007 1700000008");
	fixture_clear(&f);
}
END_TEST

/* Removals that wait for something are read again with each document that comes between. */
START_TEST(a_network_that_moves_on_and_on_counts_no_interface_twice)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 0, 0, 0));
	for (uint32_t i = 1; i <= 4; i++)
		commit_one(&f, T0 + i, reading_of(1, 1, i, 100 * i, 0));
	for (uint32_t i = 1; i <= 4; i++)
		commit_one(&f, T0 + 10 + i, reading_of(1, 1, i, 100 * i + 1, 0));
	expect_device(&f, T0 + 20, 1, 1, 100 + 200 + 300 + 400 + 4, NULL);
	fixture_clear(&f);
}
END_TEST

START_TEST(a_peer_that_is_added_again_begins_at_its_new_baseline_also_on_an_earlier_interface)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 1, 0, 0));
	commit_one(&f, T0 + 1, reading_of(1, 1, 1, 100, 0));
	commit_one(&f, T0 + 2, baseline_of(1, 1, 2, 0, 0));
	commit_one(&f, T0 + 3, reading_of(1, 1, 2, 7, 0));
	commit_one(&f, T0 + 4, baseline_of(1, 1, 1, 0, 0));
	commit_one(&f, T0 + 5, reading_of(1, 1, 1, 150, 0));
	commit_one(&f, T0 + 6, baseline_of(1, 1, 2, 50, 0));
	commit_one(&f, T0 + 7, reading_of(1, 1, 2, 51, 0));
	expect_device(&f, T0 + 8, 1, 1, 100 + 7 + 150 + 1, NULL);
	fixture_clear(&f);
}
END_TEST

START_TEST(both_directions_begin_anew_when_one_does)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 1, 100, 100));
	commit_one(&f, T0 + 1, reading_of(1, 1, 1, 150, 20));
	expect_device(&f, T0 + 2, 1, 1, 150, NULL);
	ck_assert_double_eq(total(&f, T0 + 2, "tx"), 20);
	fixture_clear(&f);
}
END_TEST

START_TEST(nothing_new_writes_no_record_and_takes_no_label)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 1, 0, 0));
	commit_one(&f, T0 + 1, reading_of(1, 1, 1, 9, 9));
	commit_one(&f, T0 + 2, reading_of(1, 1, 1, 9, 9));
	commit_one(&f, T0 + 3, reading_of(1, 1, 1, 9, 9));
	expect_device(&f, T0 + 9, 1, 1, 9, "1700000001");
	fixture_clear(&f);
}
END_TEST

START_TEST(networks_are_told_apart_by_key)
{
	struct fixture     f;
	struct msg_reading first[2] = { baseline_of(1, 5, 1, 0, 0), baseline_of(2, 5, 2, 0, 0) };
	struct msg_reading then[2] = { reading_of(1, 5, 1, 10, 0), reading_of(2, 5, 2, 20, 0) };

	fixture_init(&f);
	fixture_open(&f);
	commit_readings(&f, T0, first, 2);
	commit_readings(&f, T0 + 1, then, 2);
	expect_device(&f, T0 + 2, 1, 5, 10, "1700000001");
	expect_device(&f, T0 + 2, 2, 5, 20, "1700000001");
	ck_assert_double_eq(total(&f, T0 + 2, "rx"), 30);
	fixture_clear(&f);
}
END_TEST

START_TEST(samples_of_one_second_are_one_record_seen_once_it_is_over)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 1, 0, 0));
	for (int i = 1; i <= 10; i++) {
		struct msg_reading reading = reading_of(1, 1, 1, (uint64_t)i * 10, 0);
		struct store_batch batch = { .readings = &reading, .readings_count = 1 };

		ck_assert_int_eq(store_commit(f.store, (T0 + 5) * 1000 + i * 99, &batch, &f.outcome, &f.err),
		                 0);
	}
	expect_device(&f, T0 + 5, 1, 1, 0, NULL);
	expect_device(&f, T0 + 6, 1, 1, 100, "1700000005");
	fixture_clear(&f);
}
END_TEST

START_TEST(while_the_clock_is_behind_labels_go_on_by_one_second)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 1, 0, 0));
	commit_one(&f, T0 + 100, reading_of(1, 1, 1, 1, 0));
	for (int i = 0; i < 3; i++)	/* an hour back */
		commit_one(&f, T0 - 3600 + i * 60, reading_of(1, 1, 1, 2 + (uint64_t)i, 0));
	expect_device(&f, T0 - 3600 + 180, 1, 1, 4, "1700000100 1700000101 1700000102 1700000103");
	commit_one(&f, T0 + 200, reading_of(1, 1, 1, 10, 0));
	expect_device(&f, T0 + 201, 1, 1, 10, "1700000100 1700000101 1700000102 1700000103 1700000200");
	fixture_clear(&f);
}
END_TEST

START_TEST(what_was_returned_is_never_added_to)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 1, 0, 0));
	commit_one(&f, T0 + 10, reading_of(1, 1, 1, 1, 0));
	expect_device(&f, T0 + 11, 1, 1, 1, "1700000010");
	commit_one(&f, T0 + 10, reading_of(1, 1, 1, 3, 0));	/* the clock is back in that second */
	expect_device(&f, T0 + 13, 1, 1, 3, "1700000010 1700000011");
	commit_one(&f, T0 + 11, reading_of(1, 1, 1, 7, 0));	/* and passes the next */
	expect_device(&f, T0 + 13, 1, 1, 7, "1700000010 1700000011 1700000012");
	fixture_reopen(&f);
	commit_one(&f, T0 + 12, reading_of(1, 1, 1, 8, 0));
	expect_device(&f, T0 + 14, 1, 1, 8, "1700000010 1700000011 1700000012 1700000013");
	fixture_clear(&f);
}
END_TEST

START_TEST(a_clock_before_1970_or_after_2500_loses_nothing)
{
	struct fixture     f;
	struct msg_reading reading = reading_of(1, 1, 1, 8, 0);

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 1, 0, 0));
	commit_one(&f, -5000, reading_of(1, 1, 1, 3, 0));
	expect_device(&f, -4000, 1, 1, 3, "1");
	ck_assert_int_eq(try_readings(&f, (int64_t)1 << 40, &reading, 1), -1);
	ck_assert_int_eq(f.err.code, TG_CODE_INVALID);
	commit_one(&f, T0, reading);
	expect_device(&f, T0 + 1, 1, 1, 8, "1 1700000000");
	fixture_clear(&f);
}
END_TEST

START_TEST(counters_saturate_at_2_to_the_63)
{
	struct fixture       f;
	struct traffic_query query = query_since(0);

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 1, 0, 0));
	commit_one(&f, T0 + 1, reading_of(1, 1, 1, UINT64_MAX, 9007199254740993));
	commit_one(&f, T0 + 1, reading_of(1, 1, 2, INT64_MAX, 0));	/* twice in one record */
	commit_one(&f, T0 + 2, reading_of(1, 1, 3, INT64_MAX, 2));
	commit_one(&f, T0 + 3, reading_of(1, 1, 4, INT64_MAX, 0));	/* the sum is past 2^64 */

	char *text = answer_text(&f, &query, T0 + 4, 4096, NULL);

	ck_assert_ptr_nonnull(
	        strstr(text, "\"1700000001\":{\"rx\":9223372036854775807,\"tx\":9007199254740993}"));
	ck_assert_ptr_nonnull(
	        strstr(text, "},\"traffic\":{\"rx\":18446744073709551615,\"tx\":9007199254740995}}"));
	free(text);
	fixture_clear(&f);
}
END_TEST

START_TEST(the_last_id_is_given_and_the_next_is_refused_clearly)
{
	struct fixture     f;
	sqlite3           *db;
	struct msg_reading more = baseline_of(2, 1, 1, 0, 0);

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 1, 0, 0));
	store_close(f.store);
	ck_assert_int_eq(sqlite3_open(f.path, &db), SQLITE_OK);
	/* All but one of 2^20. */
	ck_assert_int_eq(sqlite3_exec(db,
	                              "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
	                              " WHERE i < 1048574) INSERT INTO series (id, network, kind, name)"
	                              " SELECT i, zeroblob(32), 0, CAST(printf('%032d', i) AS BLOB) FROM n",
	                              0, 0, 0),
	                 SQLITE_OK);
	sqlite3_close(db);
	fixture_open(&f);
	commit_one(&f, T0 + 1, baseline_of(1, 2, 1, 0, 0));
	commit_one(&f, T0 + 2, reading_of(1, 2, 1, 5, 0));
	ck_assert_int_eq(try_readings(&f, T0 + 3, &more, 1), -1);
	ck_assert_int_eq(f.err.code, TG_CODE_LIMIT);
	ck_assert_ptr_nonnull(strstr(f.err.text, "1048576"));
	commit_one(&f, T0 + 4, reading_of(1, 2, 1, 9, 0));	/* who is known is counted on */
	expect_device(&f, T0 + 5, 1, 2, 9, NULL);
	fixture_clear(&f);
}
END_TEST

void test_store(TCase *tc)
{
	tcase_add_test(tc, the_first_reading_without_a_baseline_is_one);
	tcase_add_test(tc, a_baseline_of_an_interface_to_come_counts_all_of_it);
	tcase_add_test(tc, a_counter_that_began_anew_counts_from_zero);
	tcase_add_test(tc, an_interface_that_is_heard_of_again_goes_on_from_where_it_was);
	tcase_add_test(tc, a_network_that_moves_on_and_on_counts_no_interface_twice);
	tcase_add_test(tc,
	               a_peer_that_is_added_again_begins_at_its_new_baseline_also_on_an_earlier_interface);
	tcase_add_test(tc, both_directions_begin_anew_when_one_does);
	tcase_add_test(tc, nothing_new_writes_no_record_and_takes_no_label);
	tcase_add_test(tc, networks_are_told_apart_by_key);
	tcase_add_test(tc, samples_of_one_second_are_one_record_seen_once_it_is_over);
	tcase_add_test(tc, while_the_clock_is_behind_labels_go_on_by_one_second);
	tcase_add_test(tc, what_was_returned_is_never_added_to);
	tcase_add_test(tc, a_clock_before_1970_or_after_2500_loses_nothing);
	tcase_add_test(tc, counters_saturate_at_2_to_the_63);
	tcase_add_test(tc, the_last_id_is_given_and_the_next_is_refused_clearly);
}
