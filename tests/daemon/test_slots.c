#include "daemon/slots.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/failing.h"
#include "tests/support/hashes.h"

void test_slots(TCase *tc);

static const struct tg_key one = { { 1 } };
static const struct tg_key two = { { 2 } };

#define HOSTS 400

static uint32_t take(struct slots *slots, const struct tg_key *network, const char *host)
{
	bool fresh;

	return slots_take(slots, network, host, &fresh);
}

START_TEST(a_host_keeps_its_slot_and_networks_do_not_share_one)
{
	struct slots *slots = slots_new(8);
	bool          fresh;

	slots_table_begin(slots);
	ck_assert_uint_eq(slots_take(slots, &one, "a.example", &fresh), 0);
	ck_assert(fresh);
	ck_assert_uint_eq(slots_take(slots, &two, "a.example", &fresh), 1);
	ck_assert(fresh);
	ck_assert_uint_eq(slots_take(slots, &one, "a.example", &fresh), 0);
	slots_table_end(slots, 1);
	ck_assert_uint_eq(slots_end(slots), 2);
	slots_free(slots);
}
END_TEST

/* A table that could not be made, or whose slots could not be stored, must not make the next one believe
 * that the database knows them: their bytes would be booked to whoever had the numbers before. */
START_TEST(a_slot_is_fresh_until_it_is_stored)
{
	struct slots *slots = slots_new(8);
	bool          fresh;

	slots_table_begin(slots);
	slots_take(slots, &one, "a.example", &fresh);
	slots_table_begin(slots);
	ck_assert_uint_eq(slots_take(slots, &one, "a.example", &fresh), 0);
	ck_assert(fresh);
	slots_table_end(slots, 1);
	slots_stored(slots);
	slots_table_begin(slots);
	slots_take(slots, &one, "a.example", &fresh);
	ck_assert(!fresh);
	slots_take(slots, &two, "b.example", &fresh);
	ck_assert(fresh);
	slots_free(slots);
}
END_TEST

/* Takes a host out of the table and does the steps of `done` of the four that free its slot. */
static uint32_t slot_after(unsigned done)
{
	struct slots *slots = slots_new(8);
	uint32_t      slot;

	slots_table_begin(slots);
	take(slots, &one, "gone.example");
	slots_table_end(slots, 1);
	slots_table_begin(slots);
	slots_table_end(slots, 2);
	slots_obeyed(slots, done >= 1 ? 2 : 1);
	if (done >= 2)
		slots_reading(slots);
	if (done >= 3)
		slots_committed(slots);
	slots_table_begin(slots);
	slot = take(slots, &one, "new.example");
	slots_free(slots);
	return slot;
}

START_TEST(a_slot_is_used_again_only_when_obeyed_read_and_committed)
{
	ck_assert_uint_eq(slot_after(0), 1);
	ck_assert_uint_eq(slot_after(1), 1);
	ck_assert_uint_eq(slot_after(2), 1);
	ck_assert_uint_eq(slot_after(3), 0);
}
END_TEST

START_TEST(a_reading_from_before_the_workers_obeyed_frees_nothing)
{
	struct slots *slots = slots_new(8);

	slots_table_begin(slots);
	take(slots, &one, "gone.example");
	slots_table_end(slots, 1);
	slots_table_begin(slots);
	slots_table_end(slots, 2);
	slots_reading(slots);
	slots_obeyed(slots, 2);
	slots_committed(slots);
	slots_table_begin(slots);
	ck_assert_uint_eq(take(slots, &one, "new.example"), 1);
	slots_free(slots);
}
END_TEST

START_TEST(a_host_that_comes_back_goes_on_in_its_slot)
{
	struct slots *slots = slots_new(8);

	slots_table_begin(slots);
	take(slots, &one, "back.example");
	slots_table_end(slots, 1);
	slots_table_begin(slots);
	slots_table_end(slots, 2);
	slots_obeyed(slots, 2);
	slots_reading(slots);
	slots_table_begin(slots);
	ck_assert_uint_eq(take(slots, &one, "back.example"), 0);
	slots_table_end(slots, 3);
	slots_committed(slots);
	slots_table_begin(slots);
	ck_assert_uint_eq(take(slots, &two, "other.example"), 1);
	slots_free(slots);
}
END_TEST

START_TEST(what_the_database_remembers_is_not_given_to_others)
{
	struct slots *slots = slots_new(8);

	ck_assert_int_eq(slots_restore(slots, 2, &one, "old.example"), 0);
	ck_assert_int_eq(slots_restore(slots, 0, &two, "older.example"), 0);
	ck_assert_int_eq(slots_restore(slots, 8, &two, "outside.example"), -1);
	slots_table_begin(slots);
	ck_assert_uint_eq(take(slots, &one, "old.example"), 2);
	ck_assert_uint_eq(take(slots, &one, "new.example"), 1);
	ck_assert_uint_eq(take(slots, &one, "newer.example"), 3);
	slots_free(slots);
}
END_TEST

START_TEST(when_all_slots_are_used_there_is_none)
{
	struct slots *slots = slots_new(3);
	char          host[32];

	slots_table_begin(slots);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(host, sizeof host, "h%u.example", i);
		ck_assert_uint_eq(take(slots, &one, host), i);
	}
	ck_assert_uint_eq(take(slots, &one, "one-too-many.example"), SLOTS_NONE);
	ck_assert_uint_eq(take(slots, &one, "h1.example"), 1);
	slots_free(slots);
}
END_TEST

/* Each allocation fails in turn, those with which the table grows too. */
START_TEST(without_memory_a_host_gets_no_slot_and_the_others_do)
{
	bool failed = true;

	for (size_t good = 0; failed; good++) {
		struct slots *slots = slots_new(HOSTS);
		unsigned      none = 0;
		char          host[32];

		slots_table_begin(slots);
		failing_own_begin(good);
		for (unsigned i = 0; i < HOSTS; i++) {
			snprintf(host, sizeof host, "%u.example", i);
			none += take(slots, &one, host) == SLOTS_NONE;
		}
		failed = failing_own_end();
		ck_assert_uint_eq(none, failed);
		for (unsigned i = 0; i < HOSTS; i++) {
			snprintf(host, sizeof host, "%u.example", i);
			ck_assert_uint_ne(take(slots, &one, host), SLOTS_NONE);
		}
		ck_assert_uint_eq(slots_end(slots), HOSTS);
		slots_free(slots);
		ck_assert_uint_lt(good, 2 * HOSTS);
	}
}
END_TEST

#define MANY 100

START_TEST(hosts_are_looked_up_by_a_hash_with_a_key)
{
	struct slots *slots = slots_new(MANY);
	char          host[32];
	size_t        crowd;

	slots_table_begin(slots);
	hashes_begin();
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(host, sizeof host, "%u.example", i);
		ck_assert_uint_eq(take(slots, &one, host), i);
	}
	ck_assert_uint_ge(hashes_end(&crowd), MANY);
	ck_assert_uint_lt(crowd, MANY / 2);
	slots_free(slots);
}
END_TEST

void test_slots(TCase *tc)
{
	tcase_add_test(tc, a_host_keeps_its_slot_and_networks_do_not_share_one);
	tcase_add_test(tc, a_slot_is_fresh_until_it_is_stored);
	tcase_add_test(tc, a_slot_is_used_again_only_when_obeyed_read_and_committed);
	tcase_add_test(tc, a_reading_from_before_the_workers_obeyed_frees_nothing);
	tcase_add_test(tc, a_host_that_comes_back_goes_on_in_its_slot);
	tcase_add_test(tc, what_the_database_remembers_is_not_given_to_others);
	tcase_add_test(tc, when_all_slots_are_used_there_is_none);
	tcase_add_test(tc, hosts_are_looked_up_by_a_hash_with_a_key);
	tcase_add_test(tc, without_memory_a_host_gets_no_slot_and_the_others_do);
}
