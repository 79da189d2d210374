#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/accounting/fixture.h"

void test_store(TCase *tc);

static double total(struct fixture *f, int64_t now_s, const char *name)
{
	struct traffic_query query = query_since(0);
	cJSON               *json = answer(f, &query, now_s);
	double               value = traffic_of(json, name);

	cJSON_Delete(json);
	return value;
}

static void expect_device(struct fixture *f, int64_t now_s, uint32_t network, uint32_t peer, double rx,
                          const char *times)
{
	struct traffic_query query = query_since(0);
	cJSON               *json = answer(f, &query, now_s);
	const cJSON         *device = device_of(json, network, peer);

	ck_assert_double_eq(traffic_of(device, "rx"), rx);
	if (times != NULL)
		ck_assert_str_eq(times_of(device), times);
	cJSON_Delete(json);
}

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

static void commit_host(struct fixture *f, int64_t now_s, const char *segment, uint32_t slot, uint64_t rx,
                        uint64_t connections, bool done)
{
	struct store_host  host = { segment, slot, { rx, 2 * rx, connections } };
	const char        *names[1] = { segment };
	struct store_batch batch = { .hosts = &host, .hosts_count = 1, .segments_done = names,
	                             .segments_done_count = done ? 1 : 0 };

	ck_assert_msg(store_commit(f->store, now_s * 1000, &batch, &f->outcome, &f->err) == 0, "%s",
	              f->err.text);
}

static void commit_slot(struct fixture *f, uint32_t slot, uint32_t network, const char *host)
{
	struct store_slot  meaning = { .slot = slot, .network = key_of(network) };
	struct store_batch batch = { .slots = &meaning, .slots_count = 1 };

	snprintf(meaning.host, sizeof meaning.host, "%s", host);
	ck_assert_msg(store_commit(f->store, T0 * 1000, &batch, &f->outcome, &f->err) == 0, "%s",
	              f->err.text);
}

static void expect_host(struct fixture *f, uint32_t network, const char *host, double rx, double connections)
{
	struct traffic_query query = query_since(0);
	cJSON               *json = answer(f, &query, T0 + 10000);
	const cJSON         *found = host_of(json, network, host);

	ck_assert_double_eq(traffic_of(found, "rx"), rx);
	if (found != NULL) {
		ck_assert_double_eq(traffic_of(found, "tx"), 2 * rx);
		ck_assert_double_eq(traffic_of(found, "connections"), connections);
	}
	ck_assert_double_eq(traffic_of(json, "rx"), 0);	/* hosts are no part of the sums */
	cJSON_Delete(json);
}

START_TEST(hosts_add_up_over_workers_and_their_deaths)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	commit_slot(&f, 3, 1, "*.apps.example.com");
	commit_host(&f, T0 + 1, "worker-1", 3, 100, 1, false);
	commit_host(&f, T0 + 2, "worker-2", 3, 50, 1, false);
	commit_host(&f, T0 + 3, "worker-1", 3, 150, 2, false);
	expect_host(&f, 1, "*.apps.example.com", 200, 3);
	commit_host(&f, T0 + 4, "worker-1", 3, 160, 2, true);	/* it died */
	expect_host(&f, 1, "*.apps.example.com", 210, 3);
	fixture_reopen(&f);
	commit_host(&f, T0 + 5, "worker-1", 3, 160, 2, true);	/* its file was still there */
	commit_host(&f, T0 + 6, "worker-3", 3, 5, 1, false);
	expect_host(&f, 1, "*.apps.example.com", 215, 4);
	fixture_clear(&f);
}
END_TEST

START_TEST(a_slot_with_a_new_meaning_goes_on_from_where_it_was)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	commit_slot(&f, 0, 1, "a.example");
	commit_host(&f, T0 + 1, "worker", 0, 100, 1, false);
	commit_slot(&f, 0, 2, "b.example");
	commit_host(&f, T0 + 2, "worker", 0, 130, 2, false);
	expect_host(&f, 1, "a.example", 100, 1);
	expect_host(&f, 2, "b.example", 30, 1);
	fixture_clear(&f);
}
END_TEST

START_TEST(what_a_slot_without_a_meaning_counted_is_its_baseline)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	commit_host(&f, T0 + 1, "worker", 7, 1000, 1, false);
	ck_assert_uint_eq(f.outcome.unknown_slots, 1);
	commit_slot(&f, 7, 1, "a.example");
	commit_host(&f, T0 + 2, "worker", 7, 1001, 2, false);
	expect_host(&f, 1, "a.example", 1, 1);
	commit_slot(&f, 7, 1, "");	/* means nothing again */
	commit_host(&f, T0 + 3, "worker", 7, 5000, 2, false);
	expect_host(&f, 1, "a.example", 1, 1);
	fixture_clear(&f);
}
END_TEST

static void note_slot(const struct store_slot *slot, void *arg)
{
	char *text = arg;

	sprintf(text + strlen(text), "%u=%s ", slot->slot, slot->host);
}

START_TEST(slots_are_remembered)
{
	struct fixture f;
	char           text[256] = "";

	fixture_init(&f);
	fixture_open(&f);
	commit_slot(&f, 5, 1, "five.example");
	commit_slot(&f, 0, 1, "zero.example");
	commit_slot(&f, 5, 2, "other.example");
	commit_slot(&f, MSG_SLOTS - 1, 2, "last.example");
	commit_slot(&f, 1, 2, "gone.example");
	commit_slot(&f, 1, 2, "");
	fixture_reopen(&f);
	ck_assert_int_eq(store_slots(f.store, note_slot, text, &f.err), 0);
	ck_assert_str_eq(text, "0=zero.example 5=other.example 1048575=last.example ");
	fixture_clear(&f);
}
END_TEST

START_TEST(segments_of_a_machine_that_died_are_forgotten)
{
	struct fixture    f;
	const char *const there[] = { "two" };

	fixture_init(&f);
	fixture_open(&f);
	commit_slot(&f, 0, 1, "a.example");
	commit_host(&f, T0 + 1, "one", 0, 10, 1, false);
	commit_host(&f, T0 + 1, "two", 0, 10, 1, false);
	ck_assert_int_eq(store_segments(f.store, there, 1, &f.err), 0);
	commit_host(&f, T0 + 2, "two", 0, 11, 1, false);
	commit_host(&f, T0 + 3, "one", 0, 10, 1, false);	/* another one of that name: from zero */
	expect_host(&f, 1, "a.example", 31, 3);
	fixture_clear(&f);
}
END_TEST

/* Finishes so many segments, named by numbers from `first` on. */
static void finish_segments(struct fixture *f, unsigned first, size_t count)
{
	static char        names[STORE_SEGMENTS_REMEMBERED][16];
	const char        *done[STORE_SEGMENTS_REMEMBERED];
	struct store_batch batch = { .segments_done = done, .segments_done_count = count };

	ck_assert_uint_le(count, STORE_SEGMENTS_REMEMBERED);
	for (size_t i = 0; i < count; i++) {
		snprintf(names[i], sizeof names[i], "%zu", first + i);
		done[i] = names[i];
	}
	ck_assert_int_eq(store_commit(f->store, T0 * 1000, &batch, &f->outcome, &f->err), 0);
}

START_TEST(so_many_finished_segments_are_remembered_and_no_more)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	commit_slot(&f, 0, 1, "a.example");
	commit_host(&f, T0 + 1, "first", 0, 10, 1, true);
	finish_segments(&f, 0, STORE_SEGMENTS_REMEMBERED - 1);
	commit_host(&f, T0 + 2, "first", 0, 20, 2, true);
	expect_host(&f, 1, "a.example", 10, 1);
	finish_segments(&f, STORE_SEGMENTS_REMEMBERED, 1);
	commit_host(&f, T0 + 3, "first", 0, 20, 2, false);
	expect_host(&f, 1, "a.example", 30, 3);
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

START_TEST(the_file_is_for_its_owner_alone_and_keeps_its_ledger)
{
	struct fixture f;
	struct stat    st;
	char           ledger[STORE_LEDGER_TEXT];

	umask(0);
	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 1, 0, 0));
	ck_assert_int_eq(stat(f.path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	snprintf(ledger, sizeof ledger, "%s", f.store->ledger);
	ck_assert_uint_eq(strspn(ledger, "0123456789abcdef"), 32);
	fixture_reopen(&f);
	ck_assert_str_eq(f.store->ledger, ledger);
	fixture_clear(&f);
}
END_TEST

static void expect_refused(struct fixture *f, const char *says)
{
	f->store = store_open(f->path, &f->options, &f->err);
	ck_assert_ptr_null(f->store);
	ck_assert_msg(strstr(f->err.text, says) != NULL, "%s", f->err.text);
}

START_TEST(a_file_that_is_no_database_or_of_later_is_refused)
{
	struct fixture f;
	sqlite3       *db;
	FILE          *file;

	fixture_init(&f);
	file = fopen(f.path, "w");
	for (int i = 0; i < 1000; i++)
		fputs("not a database ", file);
	fclose(file);
	expect_refused(&f, "damaged");
	unlink(f.path);
	ck_assert_int_eq(sqlite3_open(f.path, &db), SQLITE_OK);
	sqlite3_exec(db, "CREATE TABLE other (a)", 0, 0, 0);
	sqlite3_close(db);
	expect_refused(&f, "not a traffic database");
	unlink(f.path);
	fixture_open(&f);
	store_close(f.store);
	ck_assert_int_eq(sqlite3_open(f.path, &db), SQLITE_OK);
	sqlite3_exec(db, "PRAGMA user_version = 99", 0, 0, 0);
	sqlite3_close(db);
	expect_refused(&f, "later version");
	fixture_clear(&f);
}
END_TEST

START_TEST(every_damaged_page_is_noticed_at_the_start_or_at_its_use_and_never_crashes)
{
	struct fixture f;
	struct stat    st;
	unsigned       refused = 0;
	unsigned       pages = 0;

	fixture_init(&f);
	fixture_open(&f);
	for (uint32_t i = 0; i < 400; i++)
		commit_one(&f, T0, baseline_of(1, i, 1, 0, 0));
	for (uint32_t i = 0; i < 400; i++)
		commit_one(&f, T0 + i, reading_of(1, i, 1, i + 1, i + 1));
	store_close(f.store);
	f.store = NULL;
	ck_assert_int_eq(stat(f.path, &st), 0);
	for (off_t at = 0; at < st.st_size; at += 4096, pages++) {
		char kept[64];
		char junk[64];
		int  fd = open(f.path, O_RDWR);

		ck_assert_int_eq(pread(fd, kept, sizeof kept, at), sizeof kept);
		memset(junk, 0xa5, sizeof junk);
		ck_assert_int_eq(pwrite(fd, junk, sizeof junk, at), sizeof junk);
		f.store = store_open(f.path, &f.options, &f.err);
		if (f.store == NULL) {
			refused++;
			ck_assert_msg(f.err.text[0] != '\0', "no reason");
		}
		store_close(f.store);
		f.store = NULL;
		ck_assert_int_eq(pwrite(fd, kept, sizeof kept, at), sizeof kept);
		close(fd);
	}
	ck_assert_uint_gt(pages, 20);
	ck_assert_uint_eq(refused, pages);
	fixture_open(&f);
	expect_device(&f, T0 + 1000, 1, 399, 400, NULL);
	fixture_clear(&f);
}
END_TEST

struct truth {
	uint64_t rx;		/* the peer's counter in the kernel */
	uint64_t sent;		/* all bytes there ever were */
	uint32_t epoch;
	double   billed;	/* what the answers said so far */
};

#define PEERS 12

static void bill(struct fixture *f, struct truth *truth, int64_t *since, int64_t now_s, int64_t until)
{
	struct traffic_query query = query_since(*since);

	query.until_unix_s = until;

	cJSON  *json = answer(f, &query, now_s);
	int64_t stop = (int64_t)number_of(json, "stop_time");

	ck_assert_int_ge(stop, *since);
	ck_assert_int_eq((int64_t)number_of(json, "start_time"), *since);
	for (uint32_t p = 0; p < PEERS; p++) {
		const cJSON *device = device_of(json, p % 3, p);
		const cJSON *each;
		double       sum = 0;
		int64_t      before = *since;

		cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(device, "times")) {
			ck_assert_int_gt(atoll(each->string), before);
			before = atoll(each->string);
			sum += number_of(each, "rx");
		}
		ck_assert_int_le(before, stop);
		ck_assert_double_eq(sum, traffic_of(device, "rx"));
		truth[p].billed += sum;
	}
	*since = stop;
	cJSON_Delete(json);
}

static void grow(struct truth *peer)
{
	uint64_t bytes = (uint64_t)(rand() % 5000);

	peer->rx += bytes;
	peer->sent += bytes;
}

/* What happens to a gateway in any order, and a billing job that asks in between with its last
 * stop_time: in the end it has every byte, once. */
static void run_random(unsigned seed)
{
	struct fixture     f;
	struct truth       truth[PEERS] = { { 0 } };
	struct msg_reading readings[2 * PEERS];
	uint32_t           epochs = 1;
	int64_t            now = T0;
	int64_t            since = 0;

	srand(seed);
	fixture_init(&f);
	fixture_open(&f);
	for (uint32_t p = 0; p < PEERS; p++)
		commit_one(&f, now, baseline_of(p % 3, p, 0, 0, 0));
	for (int step = 0; step < 400; step++) {
		size_t count = 0;

		for (uint32_t p = 0; p < PEERS; p++) {
			grow(&truth[p]);
			if (rand() % 3 == 0)
				continue;
			readings[count++] = reading_of(p % 3, p, truth[p].epoch, truth[p].rx, 0);
			if (rand() % 10 != 0)
				continue;
			if (rand() % 2 == 0) {	/* removed and added again to its interface */
				readings[count++] = baseline_of(p % 3, p, truth[p].epoch, 0, 0);
			} else {		/* its interface is made anew */
				truth[p].epoch = epochs++;
			}
			truth[p].rx = 0;
		}
		commit_readings(&f, now, readings, count);
		switch (rand() % 12) {
		case 0:
			now += rand() % 100000;	/* the clock steps */
			break;
		case 1:
			now -= rand() % 100000;
			break;
		case 2:
			fixture_reopen(&f);
			break;
		case 3:
			bill(&f, truth, &since, now, INT64_MAX);
			break;
		case 4:
			bill(&f, truth, &since, now + rand() % 3 - 1, since + rand() % 5000);
			break;
		case 5:
			ck_assert_int_ge(store_sweep(f.store, now * 1000, 50, &f.err), 0);
			break;
		default:
			now += rand() % 3;	/* several samples a second too */
		}
	}
	for (uint32_t p = 0; p < PEERS; p++)
		readings[p] = reading_of(p % 3, p, truth[p].epoch, truth[p].rx, 0);
	commit_readings(&f, now, readings, PEERS);
	bill(&f, truth, &since, now + 200000, INT64_MAX);
	for (uint32_t p = 0; p < PEERS; p++)
		ck_assert_msg(truth[p].billed == (double)truth[p].sent, "seed %u peer %u: %.0f of %" PRIu64,
		              seed, p, truth[p].billed, truth[p].sent);
	fixture_clear(&f);
}

START_TEST(a_billing_job_gets_every_byte_exactly_once)
{
	for (unsigned seed = 1; seed <= 10; seed++)
		run_random(seed);
	run_random((unsigned)time(NULL));	/* which is said when it fails */
}
END_TEST

/* Without assertions: each writes to a file that is the test's too, and would be killed while it does. */
__attribute__((noreturn)) static void commit_until_killed(struct fixture *f, uint64_t counter, int told)
{
	f->store = store_open(f->path, &f->options, &f->err);
	for (int64_t now = T0 + (int64_t)(counter / 10); f->store != NULL; now++) {
		struct msg_reading reading;

		counter += 10;
		reading = reading_of(1, 1, 1, counter, counter);
		if (write(told, &counter, sizeof counter) != sizeof counter ||
		    try_readings(f, now, &reading, 1) != 0)
			break;
	}
	_exit(1);
}

START_TEST(a_killed_process_loses_and_doubles_nothing)
{
	struct fixture f;
	uint64_t       counter = 0;

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 1, 0, 0));
	store_close(f.store);
	for (int round = 0; round < 30; round++) {
		int ends[2];

		ck_assert_int_eq(pipe(ends), 0);

		pid_t child = fork();

		if (child == 0) {
			close(ends[0]);
			commit_until_killed(&f, counter, ends[1]);
		}
		close(ends[1]);
		/* What the kernel counts goes on, whether it was committed or not. */
		for (int i = 0; i < 1 + round % 7; i++)
			ck_assert_int_eq(read(ends[0], &counter, sizeof counter), sizeof counter);
		usleep((useconds_t)(round * 150));
		kill(child, SIGKILL);
		ck_assert_int_eq(waitpid(child, NULL, 0), child);
		while (read(ends[0], &counter, sizeof counter) == sizeof counter)
			;
		close(ends[0]);
	}
	fixture_open(&f);
	commit_one(&f, T0 + 1000000, reading_of(1, 1, 1, counter, counter));
	ck_assert_double_eq(total(&f, T0 + 1000001, "rx"), (double)counter);
	ck_assert_double_eq(total(&f, T0 + 1000001, "tx"), (double)counter);
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
	tcase_add_test(tc, hosts_add_up_over_workers_and_their_deaths);
	tcase_add_test(tc, a_slot_with_a_new_meaning_goes_on_from_where_it_was);
	tcase_add_test(tc, what_a_slot_without_a_meaning_counted_is_its_baseline);
	tcase_add_test(tc, slots_are_remembered);
	tcase_add_test(tc, segments_of_a_machine_that_died_are_forgotten);
	tcase_add_test(tc, so_many_finished_segments_are_remembered_and_no_more);
	tcase_add_test(tc, counters_saturate_at_2_to_the_63);
	tcase_add_test(tc, the_last_id_is_given_and_the_next_is_refused_clearly);
	tcase_add_test(tc, the_file_is_for_its_owner_alone_and_keeps_its_ledger);
	tcase_add_test(tc, a_file_that_is_no_database_or_of_later_is_refused);
	tcase_add_test(tc, every_damaged_page_is_noticed_at_the_start_or_at_its_use_and_never_crashes);
	tcase_add_test(tc, a_billing_job_gets_every_byte_exactly_once);
	tcase_add_test(tc, a_killed_process_loses_and_doubles_nothing);
}
