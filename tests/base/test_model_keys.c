#include "base/model_build.h"

#include <string.h>

#include <check.h>

#include "base/key.h"

void test_model_keys(TCase *tc);

START_TEST(public_keys_are_remembered_up_to_a_limit)
{
	struct tg_key keys[5];
	struct tg_key public_key;

	model_public_keys_keep(0);
	ck_assert_uint_eq(model_public_keys_keep(4), 0);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < 5; i++) {
			struct tg_key truth;

			memset(&keys[i], (int)i + 1, sizeof keys[i]);
			ck_assert_int_eq(model_public_key(&keys[i], &public_key), 0);
			ck_assert_int_eq(tg_key_public(&keys[i], &truth), 0);
			ck_assert(tg_key_equal(&public_key, &truth));
			ck_assert_int_eq(model_public_key(&keys[i], &public_key), 0);
			ck_assert(tg_key_equal(&public_key, &truth));
		}
		ck_assert_uint_eq(model_public_keys_keep(4), 4);
	}
	ck_assert_uint_eq(model_public_keys_keep(SIZE_MAX), 4);
}
END_TEST

void test_model_keys(TCase *tc)
{
	tcase_add_test(tc, public_keys_are_remembered_up_to_a_limit);
}
