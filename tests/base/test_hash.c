#include "base/hash.h"

#include <check.h>
#include <string.h>

#include "base/uthash.h"
#include "tests/support/hashes.h"

void test_hash(TCase *tc);

/* Of the authors' reference implementation: the key is 00 01 .. 0f, the input of length n 00 01 .. n-1. */
START_TEST(hashes_are_those_of_the_reference)
{
	static const struct {
		size_t   len;
		uint64_t hash;
	} known[] = {
		{ 0, 0x726fdb47dd0e0e31 },
		{ 1, 0x74f839c593dc67fd },
		{ 8, 0x93f5f5799a932462 },
		{ 15, 0xa129ca6149be45e5 },
	};
	struct tg_hash_key key;
	uint8_t            bytes[16];

	for (uint8_t i = 0; i < sizeof bytes; i++)
		bytes[i] = i;
	memcpy(&key, bytes, sizeof key);
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		ck_assert_uint_eq(tg_hash(&key, bytes, known[i].len), known[i].hash);
}
END_TEST

START_TEST(every_key_gives_other_hashes)
{
	struct tg_hash_key a, b;

	ck_assert_int_eq(tg_hash_key_make(&a), 0);
	ck_assert_int_eq(tg_hash_key_make(&b), 0);
	ck_assert_mem_ne(&a, &b, sizeof a);
	ck_assert_uint_ne(tg_hash(&a, "a.example", 9), tg_hash(&b, "a.example", 9));
}
END_TEST

#define MANY 100

START_TEST(names_chosen_to_meet_in_one_bucket_of_a_table_do_not)
{
	struct named {
		char           name[32];
		UT_hash_handle hh;
	} all[MANY], *table = NULL;
	unsigned last = 0;
	unsigned crowd = 0;

	for (int i = 0; i < MANY; i++) {
		hashes_name(all[i].name, sizeof all[i].name, "https://", &last);
		HASH_ADD_STR(table, name, &all[i]);
	}
	for (unsigned i = 0; i < table->hh.tbl->num_buckets; i++)
		if (table->hh.tbl->buckets[i].count > crowd)
			crowd = table->hh.tbl->buckets[i].count;
	ck_assert_uint_lt(crowd, MANY / 2);
	HASH_CLEAR(hh, table);
}
END_TEST

void test_hash(TCase *tc)
{
	tcase_add_test(tc, hashes_are_those_of_the_reference);
	tcase_add_test(tc, every_key_gives_other_hashes);
	tcase_add_test(tc, names_chosen_to_meet_in_one_bucket_of_a_table_do_not);
}
