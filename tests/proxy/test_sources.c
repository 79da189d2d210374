#include "proxy/sources.h"

#include <check.h>
#include <string.h>

#include "base/address.h"
#include "base/uthash.h"

void test_sources(TCase *tc);

static struct tg_endpoint at(const char *text)
{
	struct tg_endpoint endpoint;

	ck_assert(tg_endpoint_read(text, &endpoint));
	return endpoint;
}

START_TEST(an_address_has_as_many_as_it_may)
{
	struct sources    *sources = sources_new(2);
	struct tg_endpoint a = at("192.0.2.1:1"), b = at("192.0.2.1:2"), c = at("192.0.2.2:1");

	ck_assert(sources_enter(sources, &a));
	ck_assert(sources_enter(sources, &b));
	ck_assert(!sources_enter(sources, &a));
	ck_assert(sources_enter(sources, &c));
	sources_leave(sources, &b);
	ck_assert(sources_enter(sources, &a));
	sources_free(sources);
}
END_TEST

START_TEST(a_64_of_ipv6_is_one_client)
{
	struct sources    *sources = sources_new(1);
	struct tg_endpoint a = at("[2001:db8:0:1::1]:1"), b = at("[2001:db8:0:1:ffff::2]:1"),
	                   c = at("[2001:db8:0:2::1]:1");

	ck_assert(sources_enter(sources, &a));
	ck_assert(!sources_enter(sources, &b));
	ck_assert(sources_enter(sources, &c));
	sources_free(sources);
}
END_TEST

START_TEST(families_do_not_meet)
{
	struct sources    *sources = sources_new(1);
	struct tg_endpoint a = at("1.2.3.4:1"), b = at("[102:304::]:1");

	ck_assert(sources_enter(sources, &a));
	ck_assert(sources_enter(sources, &b));
	sources_free(sources);
}
END_TEST

START_TEST(who_left_is_forgotten)
{
	struct sources    *sources = sources_new(5);
	struct tg_endpoint a = at("192.0.2.1:1");

	for (int i = 0; i < 5; i++)
		ck_assert(sources_enter(sources, &a));
	ck_assert_uint_eq(sources_count(sources), 1);
	for (int i = 0; i < 5; i++)
		sources_leave(sources, &a);
	ck_assert_uint_eq(sources_count(sources), 0);
	sources_free(sources);
}
END_TEST

START_TEST(zero_is_no_limit)
{
	struct sources    *sources = sources_new(0);
	struct tg_endpoint a = at("192.0.2.1:1");

	for (int i = 0; i < 10000; i++)
		ck_assert(sources_enter(sources, &a));
	ck_assert_uint_eq(sources_count(sources), 0);
	sources_leave(sources, &a);
	sources_free(sources);
}
END_TEST

/* The owner of 2001:db8::/32 has 2^32 /64s, and looks for those that meet in one bucket of whatever size
 * under the table's own hash. */
START_TEST(nobody_can_fill_one_bucket)
{
	struct sources    *sources = sources_new(1);
	struct tg_endpoint client = at("[2001:db8::1]:1");
	struct {
		uint8_t family;
		uint8_t bytes[16];
	} key = { .family = client.family };

	for (uint32_t i = 0, found = 0; found < 100; i++) {
		unsigned hash;

		memcpy(client.bytes + 4, &i, sizeof i);
		memcpy(key.bytes, client.bytes, 8);
		HASH_JEN(&key, sizeof key, hash);
		if (hash % 16384 != 0)
			continue;
		ck_assert(sources_enter(sources, &client));
		found++;
	}
	ck_assert_uint_eq(sources_count(sources), 100);
	ck_assert_uint_lt(sources_crowd(sources), 50);
	sources_free(sources);
}
END_TEST

void test_sources(TCase *tc)
{
	tcase_add_test(tc, an_address_has_as_many_as_it_may);
	tcase_add_test(tc, a_64_of_ipv6_is_one_client);
	tcase_add_test(tc, families_do_not_meet);
	tcase_add_test(tc, who_left_is_forgotten);
	tcase_add_test(tc, zero_is_no_limit);
	tcase_add_test(tc, nobody_can_fill_one_bucket);
}
