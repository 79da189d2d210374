#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "tests/support/control.h"

void test_control_look(TCase *tc);

#define RARELY_MS 3600000

/* The engine has one look under way: another one that came meanwhile made it forget the first, whose
 * client then waited for ever. */
START_TEST(looks_go_to_the_engine_one_at_a_time)
{
	control_begin(RARELY_MS);

	int      first = control_ask("GET", "/networks", "", "");
	uint64_t one = control_hears_look();
	int      second = control_ask("GET", "/networks", "", "");

	ck_assert(!control_comes(control_engine()));
	control_looks(one, NULL);

	uint64_t two = control_hears_look();
	char    *answer = control_answer(first);

	ck_assert_uint_ne(one, two);
	ck_assert_ptr_nonnull(strstr(answer, " 200 "));
	free(answer);
	control_looks(two, NULL);
	answer = control_answer(second);
	ck_assert_ptr_nonnull(strstr(answer, " 200 "));
	free(answer);
	control_end(NULL);
}
END_TEST

/* A hundred clients cost two looks, not a hundred. */
START_TEST(who_waits_for_the_same_look_shares_it)
{
	int clients[8];

	control_begin(RARELY_MS);
	clients[0] = control_ask("GET", "/networks", "", "");

	uint64_t one = control_hears_look();

	for (size_t i = 1; i < 8; i++)
		clients[i] = control_ask("GET", "/networks", "", "");
	ck_assert(!control_comes(control_engine()));
	control_looks(one, NULL);
	control_looks(control_hears_look(), NULL);
	for (size_t i = 0; i < 8; i++) {
		char *answer = control_answer(clients[i]);

		ck_assert_ptr_nonnull(strstr(answer, " 200 "));
		free(answer);
	}
	ck_assert(!control_comes(control_engine()));
	control_end(NULL);
}
END_TEST

START_TEST(a_look_that_died_with_the_engine_is_refused)
{
	control_begin(RARELY_MS);

	int client = control_ask("GET", "/networks", "", "");

	control_hears_look();
	control_engine_dies();

	char *answer = control_answer(client);

	ck_assert_ptr_nonnull(strstr(answer, " 503 "));
	free(answer);
	control_engine_again();
	client = control_ask("GET", "/networks", "", "");
	control_looks(control_hears_look(), NULL);
	answer = control_answer(client);
	ck_assert_ptr_nonnull(strstr(answer, " 200 "));
	free(answer);
	control_end(NULL);
}
END_TEST

/* One answer for which there was no memory was the last: neither clients nor samples had any more. */
START_TEST(a_look_that_cannot_be_read_is_refused_and_others_follow)
{
	static const char    zeros[512];
	const struct tg_part part = { zeros, sizeof zeros };
	struct tg_error      err;

	control_begin(RARELY_MS);

	int                       first = control_ask("GET", "/networks", "", "");
	const struct msg_snapshot bad = { .id = control_hears_look() };
	int                       second = control_ask("GET", "/networks", "", "");

	control_tell(control_engine(), MSG_SNAPSHOT, &bad, tg_memfd_make("bad", &part, 1, &err));

	char *answer = control_answer(first);

	ck_assert_ptr_nonnull(strstr(answer, " 503 "));
	free(answer);
	control_looks(control_hears_look(), NULL);
	answer = control_answer(second);
	ck_assert_ptr_nonnull(strstr(answer, " 200 "));
	free(answer);
	control_end(NULL);
}
END_TEST

void test_control_look(TCase *tc)
{
	tcase_add_test(tc, looks_go_to_the_engine_one_at_a_time);
	tcase_add_test(tc, who_waits_for_the_same_look_shares_it);
	tcase_add_test(tc, a_look_that_died_with_the_engine_is_refused);
	tcase_add_test(tc, a_look_that_cannot_be_read_is_refused_and_others_follow);
}
