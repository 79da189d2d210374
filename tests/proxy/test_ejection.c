#include "proxy/ejection.h"

#include <check.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/clock.h"

void test_ejection(TCase *tc);

static struct tg_endpoint at(unsigned port)
{
	return (struct tg_endpoint){ .family = AF_INET, .port = (uint16_t)port, .bytes = { 10, 0, 0, 2 } };
}

START_TEST(one_that_failed_is_left_out_for_ten_seconds)
{
	struct ejection   *ejection = ejection_new();
	struct tg_endpoint a = at(1), b = at(2);

	tg_clock_fake(5000, 0);
	ck_assert(!ejection_has(ejection, 1, &a));
	ejection_add(ejection, 1, &a);
	ck_assert(ejection_has(ejection, 1, &a));
	ck_assert(!ejection_has(ejection, 1, &b));
	tg_clock_fake(5000 + EJECTION_MS - 1, 0);
	ck_assert(ejection_has(ejection, 1, &a));
	tg_clock_fake(5000 + EJECTION_MS, 0);
	ck_assert(!ejection_has(ejection, 1, &a));
	ejection_free(ejection);
}
END_TEST

START_TEST(the_same_address_in_another_network_is_another)
{
	struct ejection   *ejection = ejection_new();
	struct tg_endpoint a = at(1);

	ejection_add(ejection, 1, &a);
	ck_assert(!ejection_has(ejection, 2, &a));
	ejection_free(ejection);
}
END_TEST

START_TEST(a_success_takes_it_back)
{
	struct ejection   *ejection = ejection_new();
	struct tg_endpoint a = at(1);

	ejection_add(ejection, 1, &a);
	ejection_remove(ejection, 1, &a);
	ejection_remove(ejection, 1, &a);
	ck_assert(!ejection_has(ejection, 1, &a));
	ejection_free(ejection);
}
END_TEST

START_TEST(a_full_table_forgets_the_oldest)
{
	struct ejection   *ejection = ejection_new();
	struct tg_endpoint first = at(1), second = at(2), last = at(EJECTION_MOST + 1);

	for (unsigned i = 1; i <= EJECTION_MOST; i++) {
		struct tg_endpoint one = at(i);

		ejection_add(ejection, 1, &one);
	}
	ejection_add(ejection, 1, &first);	/* again: now the newest */
	ejection_add(ejection, 1, &last);
	ck_assert(ejection_has(ejection, 1, &first));
	ck_assert(!ejection_has(ejection, 1, &second));
	ck_assert(ejection_has(ejection, 1, &last));
	ejection_free(ejection);
}
END_TEST

void test_ejection(TCase *tc)
{
	tcase_add_test(tc, one_that_failed_is_left_out_for_ten_seconds);
	tcase_add_test(tc, the_same_address_in_another_network_is_another);
	tcase_add_test(tc, a_success_takes_it_back);
	tcase_add_test(tc, a_full_table_forgets_the_oldest);
}
