#include "daemon/control_segments.h"

#include <check.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "accounting/store.h"
#include "base/fd.h"
#include "daemon/segments.h"

void test_control_segments(TCase *tc);

static struct control_segments *segments;
static struct control_reading   reading;

static int segment_make(off_t bytes)
{
	int fd = memfd_create("segment", MFD_CLOEXEC);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(ftruncate(fd, bytes), 0);
	return fd;
}

static void slot_write(int fd, uint32_t slot, uint64_t rx)
{
	const struct msg_slot to = { .rx = rx };

	ck_assert_int_eq(pwrite(fd, &to, sizeof to, (off_t)(slot * sizeof to)), (ssize_t)sizeof to);
}

/* A worker was about to send to the client of a host in `slot`, whose tx stood at `tx`. */
static void sending_write(int fd, uint32_t slot, uint64_t tx, uint64_t most)
{
	const struct msg_slot to = { .tx = tx };
	const uint64_t        sending = (uint64_t)slot << 32 | (uint32_t)(tx + most);

	ck_assert_int_eq(pwrite(fd, &to, sizeof to, (off_t)(slot * sizeof to)), (ssize_t)sizeof to);
	ck_assert_int_eq(pwrite(fd, &sending, sizeof sending, offsetof(struct msg_counters, sending)),
	                 (ssize_t)sizeof sending);
}

/* The descriptor stays the test's. */
static void add(const char *name, uint32_t index, bool live, int fd, uint32_t *end)
{
	struct msg_segment body = { .index = index, .live = live };

	strcpy(body.name, name);
	control_segments_add(segments, &body, dup(fd), end);
}

static size_t count_of(uint32_t end)
{
	control_reading_clear(&reading);
	ck_assert_int_eq(control_segments_read(segments, end, &reading), 0);
	return reading.all_count;
}

static void begin(void)
{
	segments = control_segments_new();
	memset(&reading, 0, sizeof reading);
}

static void end_all(void)
{
	control_reading_clear(&reading);
	control_segments_free(segments);
}

START_TEST(what_is_not_zero_is_read_up_to_the_end)
{
	TG_AUTO_FD fd = segment_make((off_t)MSG_SEGMENT_BYTES);

	begin();
	slot_write(fd, 3, 10);
	slot_write(fd, 5, 20);
	add("a", 0, true, fd, NULL);
	ck_assert_uint_eq(count_of(5), 1);
	ck_assert_uint_eq(reading.hosts_count, 1);
	ck_assert_uint_eq(count_of(6), 1);
	ck_assert_uint_eq(reading.hosts_count, 2);
	ck_assert_str_eq(reading.hosts[1].segment, "a");
	ck_assert_uint_eq(reading.hosts[1].slot, 5);
	ck_assert_uint_eq(reading.hosts[1].count.rx, 20);
	ck_assert_uint_eq(reading.done_count, 0);
	end_all();
}
END_TEST

START_TEST(one_is_done_when_its_worker_is_dead)
{
	TG_AUTO_FD fd = segment_make((off_t)MSG_SEGMENT_BYTES);

	begin();
	add("a", 0, true, fd, NULL);
	add("b", 1, true, fd, NULL);
	add("a", 0, false, fd, NULL);
	ck_assert_uint_eq(count_of(1), 2);
	ck_assert_uint_eq(reading.done_count, 1);
	ck_assert_str_eq(reading.done[0], "a");
	ck_assert(control_segments_drop(segments, "a"));
	ck_assert(!control_segments_drop(segments, "a"));
	ck_assert_uint_eq(count_of(1), 1);
	ck_assert_str_eq(reading.all[0], "b");
	end_all();
}
END_TEST

START_TEST(what_a_worker_was_sending_counts_once_it_is_dead)
{
	TG_AUTO_FD fd = segment_make((off_t)MSG_SEGMENT_BYTES);

	begin();
	sending_write(fd, 2, 50, 0);
	sending_write(fd, 3, UINT32_MAX, 1000);	/* beyond 2^32 */
	add("a", 0, true, fd, NULL);
	count_of(4);
	ck_assert_uint_eq(reading.hosts[1].count.tx, UINT32_MAX);
	add("a", 0, false, fd, NULL);
	count_of(4);
	ck_assert_uint_eq(reading.hosts_count, 2);
	ck_assert_uint_eq(reading.hosts[0].count.tx, 50);
	ck_assert_uint_eq(reading.hosts[1].count.tx, UINT64_C(1000) + UINT32_MAX);
	/* The call sent less, and so it said before it died. */
	sending_write(fd, 3, UINT32_MAX, 10);
	count_of(4);
	ck_assert_uint_eq(reading.hosts[1].count.tx, UINT64_C(10) + UINT32_MAX);
	sending_write(fd, 3, UINT32_MAX, 0);
	count_of(4);
	ck_assert_uint_eq(reading.hosts[1].count.tx, UINT32_MAX);
	/* No slot that means something. */
	sending_write(fd, 4, 0, 1000);
	count_of(4);
	ck_assert_uint_eq(reading.hosts_count, 2);
	end_all();
}
END_TEST

START_TEST(a_dead_worker_s_first_bytes_count_though_its_slot_says_none)
{
	TG_AUTO_FD fd = segment_make((off_t)MSG_SEGMENT_BYTES);

	begin();
	sending_write(fd, 0, 0, 1000);
	add("a", 0, false, fd, NULL);
	count_of(4);
	ck_assert_uint_eq(reading.hosts_count, 1);
	ck_assert_uint_eq(reading.hosts[0].count.tx, 1000);
	end_all();
}
END_TEST

START_TEST(a_file_of_an_earlier_build_has_slots_only)
{
	TG_AUTO_FD fd = segment_make((off_t)MSG_SLOTS_BYTES);

	begin();
	slot_write(fd, 3, 10);
	add("a", MSG_SEGMENT_ADOPTED, false, fd, NULL);
	count_of(MSG_SLOTS);
	ck_assert_uint_eq(reading.hosts_count, 1);
	ck_assert_uint_eq(reading.hosts[0].count.rx, 10);
	end_all();
}
END_TEST

START_TEST(a_worker_is_live_until_it_is_said_to_be_dead)
{
	TG_AUTO_FD fd = segment_make((off_t)MSG_SEGMENT_BYTES);

	begin();
	add("a", 0, true, fd, NULL);
	ck_assert(control_segments_live(segments, 0));
	ck_assert(!control_segments_live(segments, 1));
	ck_assert(!control_segments_live(segments, MSG_SEGMENT_ADOPTED));
	add("b", MSG_SEGMENT_ADOPTED, true, fd, NULL);
	ck_assert(control_segments_live(segments, MSG_SEGMENT_ADOPTED));
	add("b", MSG_SEGMENT_ADOPTED, false, fd, NULL);
	ck_assert(!control_segments_live(segments, MSG_SEGMENT_ADOPTED));
	add("a", 0, false, fd, NULL);
	ck_assert(!control_segments_live(segments, 0));
	end_all();
}
END_TEST

START_TEST(the_last_slot_that_was_counted_in_is_found)
{
	TG_AUTO_FD fd = segment_make((off_t)MSG_SEGMENT_BYTES);
	uint32_t   end = 0;

	begin();
	add("a", 0, true, fd, &end);
	ck_assert_uint_eq(end, 0);
	slot_write(fd, 70000, 1);
	add("b", 1, true, fd, &end);
	ck_assert_uint_eq(end, 70001);
	slot_write(fd, MSG_SLOTS - 1, 1);
	add("c", 2, true, fd, &end);
	ck_assert_uint_eq(end, MSG_SLOTS);
	end_all();
}
END_TEST

START_TEST(a_file_that_is_too_short_is_not_taken)
{
	TG_AUTO_FD fd = segment_make((off_t)MSG_SLOTS_BYTES - 1);

	begin();
	add("a", 0, true, fd, NULL);
	ck_assert_uint_eq(count_of(1), 0);
	end_all();
}
END_TEST

START_TEST(there_are_so_many_at_the_most)
{
	TG_AUTO_FD fd = segment_make((off_t)MSG_SEGMENT_BYTES);
	char       name[MSG_NAME_MOST];

	begin();
	for (unsigned i = 0; i < SEGMENTS_MOST + 1; i++) {
		snprintf(name, sizeof name, "%u", i);
		add(name, 0, true, fd, NULL);
	}
	ck_assert_uint_eq(count_of(1), SEGMENTS_MOST);
	ck_assert(control_segments_drop(segments, "7"));
	add("late", 0, true, fd, NULL);
	ck_assert_uint_eq(count_of(1), SEGMENTS_MOST);
	ck_assert_str_eq(reading.all[SEGMENTS_MOST - 1], "late");
	end_all();
}
END_TEST

void test_control_segments(TCase *tc)
{
	tcase_add_test(tc, what_is_not_zero_is_read_up_to_the_end);
	tcase_add_test(tc, one_is_done_when_its_worker_is_dead);
	tcase_add_test(tc, what_a_worker_was_sending_counts_once_it_is_dead);
	tcase_add_test(tc, a_dead_worker_s_first_bytes_count_though_its_slot_says_none);
	tcase_add_test(tc, a_file_of_an_earlier_build_has_slots_only);
	tcase_add_test(tc, a_worker_is_live_until_it_is_said_to_be_dead);
	tcase_add_test(tc, the_last_slot_that_was_counted_in_is_found);
	tcase_add_test(tc, a_file_that_is_too_short_is_not_taken);
	tcase_add_test(tc, there_are_so_many_at_the_most);
}
