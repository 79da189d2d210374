#include "proxy/counters.h"

#include <check.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
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

static uint64_t sending(void)
{
	uint64_t is;

	ck_assert_int_eq(pread(segment, &is, sizeof is, offsetof(struct msg_counters, sending)), sizeof is);
	return is;
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
	counters_received(counters, last, 10);
	counters_received(counters, last, 1);
	counters_sent(counters, last, UINT64_C(1) << 40);
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

START_TEST(what_is_being_sent_is_written_down_before_and_put_right_after)
{
	const uint64_t   slot = UINT64_C(7) << 32;
	const uint64_t   before = UINT32_MAX;	/* the low half goes round */
	struct counters *counters;

	begin();
	counters = open_of(0);
	counters_sent(counters, 7, before);
	counters_sending(counters, 7, 1000);
	ck_assert_uint_eq(sending(), slot | 999);
	ck_assert_uint_eq(slot_of(7).tx, before);
	counters_sent(counters, 7, 10);
	ck_assert_uint_eq(sending(), slot | 9);
	ck_assert_uint_eq(slot_of(7).tx, before + 10);
	counters_sending(counters, 7, 500);
	counters_sent(counters, 7, 0);
	ck_assert_uint_eq(sending(), slot | 9);
	ck_assert_uint_eq(slot_of(7).tx, before + 10);
	counters_free(counters);
	end();
}
END_TEST

#define SOME   5	/* slots of two hosts */
#define OTHER  6
#define MOST   1000
#define GOES   300

/* What a process does that can be killed anywhere: *sent is what the kernel knows. */
static void send_by_turns(struct counters *counters, uint64_t sent[2])
{
	raise(SIGSTOP);
	for (unsigned i = 0; i < 4; i++) {
		uint32_t slot = i % 2 == 0 ? SOME : OTHER;
		uint64_t goes = i < 2 ? GOES : MOST;

		counters_sending(counters, slot, MOST);
		__atomic_store_n(&sent[i % 2], sent[i % 2] + goes, __ATOMIC_SEQ_CST);
		counters_sent(counters, slot, goes);
	}
	_exit(0);
}

/* As the reader of a dead worker's segment takes it. */
static uint64_t tx_at_death(uint32_t slot)
{
	uint32_t ahead = (uint32_t)sending() - (uint32_t)slot_of(slot).tx;

	return slot_of(slot).tx + (sending() >> 32 == slot && ahead <= INT32_MAX ? ahead : 0);
}

/* Not a byte is lost wherever the signal comes, and of those too many there are at most what the one
 * call under way has not sent. */
static void look_at_what_death_leaves(const uint64_t sent[2])
{
	uint64_t some = tx_at_death(SOME) - sent[0];
	uint64_t other = tx_at_death(OTHER) - sent[1];

	ck_assert_uint_le(some, MOST);
	ck_assert_uint_le(other, MOST);
	ck_assert_msg(some == 0 || other == 0, "%lu and %lu", some, other);
}

START_TEST(a_death_between_any_two_instructions_loses_no_byte)
{
	uint64_t *sent = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned  steps = 0;
	int       status;
	pid_t     pid;

	begin();
	ck_assert_ptr_ne(sent, MAP_FAILED);
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1)
			_exit(1);
		send_by_turns(open_of(0), sent);
	}
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		look_at_what_death_leaves(sent);
		steps++;
		ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	}
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		ck_assert_uint_gt(steps, 50);
	ck_assert_uint_eq(tx_at_death(SOME), GOES + MOST);
	ck_assert_uint_eq(tx_at_death(OTHER), GOES + MOST);
	munmap(sent, 4096);
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
	counters_received(counters, UINT32_MAX, 1);
	counters_sending(counters, UINT32_MAX, 1);
	counters_sent(counters, MSG_SLOTS, 1);
	counters_connection(counters, MSG_SLOTS);
	counters_opened(counters, UINT32_MAX);
	counters_closed(counters, UINT32_MAX);
	ck_assert_uint_eq(counters_open(counters, UINT32_MAX), 0);
	ck_assert_uint_eq(sending(), 0);
	counters_free(counters);
	counters_received(NULL, 1, 1);
	counters_sending(NULL, 1, 1);
	counters_sent(NULL, 1, 1);
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
	tcase_add_test(tc, what_is_being_sent_is_written_down_before_and_put_right_after);
	tcase_add_test(tc, a_death_between_any_two_instructions_loses_no_byte);
	tcase_add_test(tc, open_ones_are_summed_over_workers);
	tcase_add_test(tc, a_new_worker_clears_the_row_of_the_one_before_and_no_other);
	tcase_add_test(tc, no_slot_and_no_counters_are_not_counted);
	tcase_add_test(tc, a_file_that_is_too_small_is_refused);
}
