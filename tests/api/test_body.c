#include "api/body.h"

#include <check.h>
#include <string.h>

#include "api/limits.h"

void test_body(TCase *tc);

static const struct api_limits limits = { .big_bodies = 1, .big_body_bytes = 4, .body_bytes = 8 };
static struct body body;
static unsigned places;
static size_t taken;

static void set_up(void)
{
	body = (struct body){ 0 };
	places = 0;
}

static void tear_down(void)
{
	body_clear(&body, &places);
}

static enum body_result add(bool chunked, uint64_t length, const char *text)
{
	return body_read(&body, chunked, length, text, strlen(text), &limits, &places, &taken);
}

START_TEST(what_follows_a_body_is_left)
{
	ck_assert_int_eq(add(false, 3, "ab"), BODY_MORE);
	ck_assert_uint_eq(taken, 2);
	ck_assert_int_eq(add(false, 3, "cGET"), BODY_DONE);
	ck_assert_uint_eq(taken, 1);
	ck_assert_mem_eq(body.bytes, "abc", 3);
	body_clear(&body, &places);
	ck_assert_int_eq(add(true, 0, "3\r\nabc\r\n0\r\n\r\nGET"), BODY_DONE);
	ck_assert_uint_eq(taken, 13);
	ck_assert_mem_eq(body.bytes, "abc", 3);
}
END_TEST

START_TEST(a_body_at_the_limit_passes_and_no_larger_one)
{
	ck_assert_int_eq(add(false, 8, "12345678"), BODY_DONE);
	body_clear(&body, &places);
	ck_assert_int_eq(add(true, 0, "8\r\n12345678\r\n0\r\n\r\n"), BODY_DONE);
	body_clear(&body, &places);
	ck_assert_int_eq(add(true, 0, "9\r\n123456789\r\n"), BODY_TOO_LARGE);
	body_clear(&body, &places);
	ck_assert_int_eq(add(true, 0, "8\r\n12345678\r\n1\r\n9"), BODY_TOO_LARGE);
}
END_TEST

START_TEST(a_place_is_taken_past_the_first_bytes_only)
{
	ck_assert_int_eq(add(false, 5, "1234"), BODY_MORE);
	ck_assert_uint_eq(places, 0);
	ck_assert_int_eq(add(false, 5, "5"), BODY_DONE);
	ck_assert_uint_eq(places, 1);
	body_clear(&body, &places);
	ck_assert_uint_eq(places, 0);
}
END_TEST

START_TEST(without_a_place_there_is_no_large_body)
{
	places = 1;
	ck_assert_int_eq(add(false, 4, "1234"), BODY_DONE);
	body_clear(&body, &places);
	ck_assert_int_eq(add(false, 5, "12345"), BODY_CROWDED);
	ck_assert_int_eq(body_reserve(&body, &limits, &places), BODY_CROWDED);
	body_clear(&body, &places);
	ck_assert_uint_eq(places, 1);
}
END_TEST

START_TEST(a_reserved_place_is_counted_once)
{
	ck_assert_int_eq(body_reserve(&body, &limits, &places), BODY_MORE);
	ck_assert_int_eq(add(false, 6, "123456"), BODY_DONE);
	ck_assert_uint_eq(places, 1);
}
END_TEST

START_TEST(there_is_room_for_the_rest_of_a_body_and_no_more)
{
	size_t room = 0;
	char  *to = body_room(&body, 3, &limits, &room);

	ck_assert_ptr_nonnull(to);
	ck_assert_uint_eq(room, 3);
	memcpy(to, "ab", 2);
	body.have += 2;
	ck_assert_ptr_eq(body_room(&body, 3, &limits, &room), body.bytes + 2);
	ck_assert_uint_eq(room, 1);
	ck_assert_int_eq(add(false, 3, "cGET"), BODY_DONE);
	ck_assert_uint_eq(taken, 1);
	ck_assert_mem_eq(body.bytes, "abc", 3);
}
END_TEST

START_TEST(there_is_room_for_a_large_body_in_its_place_only)
{
	size_t room = 0;

	ck_assert_ptr_null(body_room(&body, 5, &limits, &room));
	ck_assert_int_eq(body_reserve(&body, &limits, &places), BODY_MORE);
	ck_assert_ptr_nonnull(body_room(&body, 8, &limits, &room));
	ck_assert_uint_eq(room, 8);
	ck_assert_ptr_null(body_room(&body, 9, &limits, &room));
}
END_TEST

START_TEST(a_body_that_is_not_chunked_is_refused)
{
	ck_assert_int_eq(add(true, 0, "{}"), BODY_MALFORMED);
}
END_TEST

void test_body(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_follows_a_body_is_left);
	tcase_add_test(tc, a_body_at_the_limit_passes_and_no_larger_one);
	tcase_add_test(tc, a_place_is_taken_past_the_first_bytes_only);
	tcase_add_test(tc, without_a_place_there_is_no_large_body);
	tcase_add_test(tc, a_reserved_place_is_counted_once);
	tcase_add_test(tc, there_is_room_for_the_rest_of_a_body_and_no_more);
	tcase_add_test(tc, there_is_room_for_a_large_body_in_its_place_only);
	tcase_add_test(tc, a_body_that_is_not_chunked_is_refused);
}
