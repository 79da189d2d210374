#include "tests/accounting/fixture.h"

void test_store_hosts(TCase *tc);

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

void test_store_hosts(TCase *tc)
{
	tcase_add_test(tc, hosts_add_up_over_workers_and_their_deaths);
	tcase_add_test(tc, a_slot_with_a_new_meaning_goes_on_from_where_it_was);
	tcase_add_test(tc, what_a_slot_without_a_meaning_counted_is_its_baseline);
	tcase_add_test(tc, slots_are_remembered);
	tcase_add_test(tc, segments_of_a_machine_that_died_are_forgotten);
	tcase_add_test(tc, so_many_finished_segments_are_remembered_and_no_more);
}
