#include "proxy/counters.h"

#include <check.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/msg.h"

void test_counters(TCase *tc);

#define WORKERS 3

static int segment;
static int active;

static void begin(void)
{
	segment = memfd_create("segment", MFD_CLOEXEC);
	active = memfd_create("active", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(segment, MSG_SEGMENT_BYTES), 0);
	ck_assert_int_eq(ftruncate(active, (off_t)(WORKERS * MSG_SLOTS * sizeof(uint32_t))), 0);
}

static void end(void)
{
	close(segment);
	close(active);
}

static struct counters *open_of(uint32_t index)
{
	struct tg_error  err = { 0 };
	struct counters *counters = counters_new(segment, active, index, WORKERS, &err);

	ck_assert_msg(counters != NULL, "%s", err.text);
	return counters;
}

static struct msg_slot slot_of(uint32_t slot)
{
	struct msg_slot is;

	ck_assert_int_eq(pread(segment, &is, sizeof is, (off_t)(slot * sizeof is)), sizeof is);
	return is;
}

START_TEST(bytes_and_connections_are_in_the_file)
{
	struct counters *counters;
	uint32_t         last = MSG_SLOTS - 1;

	begin();
	counters = open_of(0);
	counters_bytes(counters, last, 10, 0);
	counters_bytes(counters, last, 1, UINT64_C(1) << 40);
	counters_connection(counters, last);
	counters_connection(counters, last);
	ck_assert_uint_eq(slot_of(last).rx, 11);
	ck_assert_uint_eq(slot_of(last).tx, UINT64_C(1) << 40);
	ck_assert_uint_eq(slot_of(last).connections, 2);
	ck_assert_uint_eq(slot_of(0).rx, 0);
	counters_free(counters);
	ck_assert_uint_eq(slot_of(last).rx, 11);
	end();
}
END_TEST

START_TEST(open_ones_are_summed_over_workers)
{
	struct counters *a, *b;

	begin();
	a = open_of(0);
	b = open_of(WORKERS - 1);
	counters_opened(a, 4);
	counters_opened(a, 4);
	counters_opened(b, 4);
	counters_opened(b, 5);
	ck_assert_uint_eq(counters_open(a, 4), 3);
	ck_assert_uint_eq(counters_open(b, 5), 1);
	counters_closed(a, 4);
	ck_assert_uint_eq(counters_open(b, 4), 2);
	counters_free(a);
	counters_free(b);
	end();
}
END_TEST

START_TEST(a_new_worker_clears_the_row_of_the_one_before_and_no_other)
{
	struct counters *a, *b;

	begin();
	a = open_of(0);
	b = open_of(1);
	counters_opened(a, 4);
	counters_opened(a, MSG_SLOTS - 1);
	counters_opened(b, 4);
	counters_free(a);
	a = open_of(0);
	ck_assert_uint_eq(counters_open(a, 4), 1);
	ck_assert_uint_eq(counters_open(a, MSG_SLOTS - 1), 0);
	counters_free(a);
	counters_free(b);
	end();
}
END_TEST

START_TEST(no_slot_and_no_counters_are_not_counted)
{
	struct counters *counters;

	begin();
	counters = open_of(0);
	counters_bytes(counters, UINT32_MAX, 1, 1);
	counters_connection(counters, MSG_SLOTS);
	counters_opened(counters, UINT32_MAX);
	counters_closed(counters, UINT32_MAX);
	ck_assert_uint_eq(counters_open(counters, UINT32_MAX), 0);
	counters_free(counters);
	counters_bytes(NULL, 1, 1, 1);
	counters_opened(NULL, 1);
	ck_assert_uint_eq(counters_open(NULL, 1), 0);
	end();
}
END_TEST

START_TEST(a_file_that_is_too_small_is_refused)
{
	struct tg_error err;

	begin();
	ck_assert_ptr_null(counters_new(segment, active, WORKERS, WORKERS, &err));
	ck_assert_ptr_null(counters_new(segment, active, 0, WORKERS + 1, &err));
	ck_assert_int_eq(ftruncate(segment, MSG_SEGMENT_BYTES - 1), 0);
	ck_assert_ptr_null(counters_new(segment, active, 0, WORKERS, &err));
	end();
}
END_TEST

void test_counters(TCase *tc)
{
	tcase_add_test(tc, bytes_and_connections_are_in_the_file);
	tcase_add_test(tc, open_ones_are_summed_over_workers);
	tcase_add_test(tc, a_new_worker_clears_the_row_of_the_one_before_and_no_other);
	tcase_add_test(tc, no_slot_and_no_counters_are_not_counted);
	tcase_add_test(tc, a_file_that_is_too_small_is_refused);
}
