#include "base/msg.h"

#include <check.h>
#include <string.h>

void test_msg(TCase *tc);

START_TEST(every_type_has_a_name_a_size_and_somebody_who_may_send_it)
{
	for (uint32_t type = 0; type < MSG_TYPES; type++) {
		struct msg msg = { .type = type };
		size_t     bytes = msg_bytes((enum msg_type)type);
		unsigned   pairs = 0;

		ck_assert_ptr_nonnull(msg_type_name(type));
		ck_assert_uint_gt(bytes, 8);
		ck_assert_uint_le(bytes, sizeof msg);
		for (unsigned from = 0; from < MSG_ROLES; from++)
			for (unsigned to = 0; to < MSG_ROLES; to++)
				for (size_t fds = 0; fds <= 1; fds++)
					pairs += msg_allowed(&msg, bytes, fds, (enum msg_role)from,
					                     (enum msg_role)to);
		ck_assert_msg(pairs > 0, "nobody may send %s", msg_type_name(type));
	}
}
END_TEST

START_TEST(a_wrong_size_type_or_number_of_descriptors_is_refused)
{
	struct msg msg = { .type = MSG_DESIRED };
	size_t     bytes = msg_bytes(MSG_DESIRED);

	ck_assert(msg_allowed(&msg, bytes, 1, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE));
	ck_assert(!msg_allowed(&msg, bytes, 0, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE));
	ck_assert(!msg_allowed(&msg, bytes, 2, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE));
	for (size_t n = 0; n < sizeof msg; n++)
		ck_assert(msg_allowed(&msg, n, 1, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE) == (n == bytes));
	msg.type = MSG_TYPES;
	ck_assert(!msg_allowed(&msg, bytes, 1, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE));
	msg.type = UINT32_MAX;
	ck_assert(!msg_allowed(&msg, bytes, 1, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE));
}
END_TEST

START_TEST(a_value_comes_behind_the_body_or_as_a_descriptor_of_a_type_that_has_one)
{
	struct msg msg = { .type = MSG_DESIRED, .value_bytes = MSG_VALUE_MOST };
	size_t     bytes = msg_bytes(MSG_DESIRED);

	ck_assert(msg_allowed(&msg, bytes + MSG_VALUE_MOST, 0, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE));
	ck_assert(!msg_allowed(&msg, bytes + MSG_VALUE_MOST, 1, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE));
	ck_assert(!msg_allowed(&msg, bytes + MSG_VALUE_MOST - 1, 0, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE));
	ck_assert(!msg_allowed(&msg, bytes, 0, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE));
	ck_assert_uint_le(bytes + MSG_VALUE_MOST, sizeof msg);
	msg.value_bytes++;
	ck_assert(!msg_allowed(&msg, bytes + MSG_VALUE_MOST + 1, 0, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE));
	msg.value_bytes = UINT32_MAX;
	ck_assert(!msg_allowed(&msg, bytes + UINT32_MAX, 0, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE));

	msg.type = MSG_SNAPSHOT;
	msg.value_bytes = 1;
	for (size_t fds = 0; fds <= 1; fds++)
		ck_assert(!msg_allowed(&msg, msg_bytes(MSG_SNAPSHOT) + 1, fds, MSG_ROLE_ENGINE,
		                       MSG_ROLE_CONTROL));
}
END_TEST

START_TEST(a_worker_can_say_nothing_to_the_engine_and_no_role_can_desire_but_control)
{
	for (uint32_t type = 0; type < MSG_TYPES; type++)
		for (size_t fds = 0; fds <= 1; fds++) {
			struct msg msg = { .type = type };
			size_t     bytes = msg_bytes((enum msg_type)type);

			ck_assert(!msg_allowed(&msg, bytes, fds, MSG_ROLE_WORKER, MSG_ROLE_ENGINE));
			ck_assert(!msg_allowed(&msg, bytes, fds, MSG_ROLE_BROKER, MSG_ROLE_CONTROL));
		}

	struct msg desired = { .type = MSG_DESIRED };

	for (unsigned from = 0; from < MSG_ROLES; from++)
		ck_assert(msg_allowed(&desired, msg_bytes(MSG_DESIRED), 1, (enum msg_role)from,
		                      MSG_ROLE_ENGINE) == (from == MSG_ROLE_CONTROL));
}
END_TEST

void test_msg(TCase *tc)
{
	tcase_add_test(tc, every_type_has_a_name_a_size_and_somebody_who_may_send_it);
	tcase_add_test(tc, a_wrong_size_type_or_number_of_descriptors_is_refused);
	tcase_add_test(tc, a_value_comes_behind_the_body_or_as_a_descriptor_of_a_type_that_has_one);
	tcase_add_test(tc, a_worker_can_say_nothing_to_the_engine_and_no_role_can_desire_but_control);
}
