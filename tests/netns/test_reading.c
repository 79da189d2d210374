#include "netns/reading.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "base/clock.h"
#include "base/error.h"
#include "netns/namespace.h"
#include "netns/wireguard.h"

void test_reading(TCase *tc);

#define NOW_MS	   1000
#define LARGE	   1000	/* peers from which on the clock is looked at between stages */
#define TRIES_MOST 5

/* A backend that tells of so many peers, in descending order, after it failed as often as it was told to. */
static struct {
	unsigned peers, parts, fails, reads;
	int      sys;
} backend;

static enum reading_result fake_read(struct reading *reading, uint64_t until_ms, struct tg_error *err)
{
	struct state *to = &reading->state;

	(void)until_ms;
	backend.reads++;
	ck_assert_int_eq(to->link, STATE_LINK_OURS);
	for (unsigned i = 0; i < backend.peers; i++) {
		unsigned      number = backend.peers - i;
		struct tg_key key = { .bytes = { (uint8_t)(number >> 8), (uint8_t)number } };

		ck_assert_ptr_nonnull(state_add_peer(to, &key));
	}
	if (backend.parts > 0) {
		backend.parts--;
		state_clear(to);
		to->link = STATE_LINK_OURS;
		return READING_MORE;
	}
	if (backend.fails > 0) {
		backend.fails--;
		tg_fail_errno(err, backend.sys, "told to fail");
		return READING_FAILED;
	}
	to->device = true;
	return READING_DONE;
}

static const struct wireguard wireguard = { .read = fake_read };
static struct netns_host      host;
static struct tenant          tenant;
static struct reading         reading;

static void begin(void)
{
	memset(&backend, 0, sizeof backend);
	tg_clock_fake(NOW_MS, 0);
	tenant_init(&tenant, 51820);
	tenant.ns = open("/dev/null", O_RDONLY | O_CLOEXEC);	/* the counters are read without it */
	reading_begin(&reading, &host, &tenant, READING_DEVICE);
}

static void end(void)
{
	reading_end(&reading);
	tenant_clear(&tenant);
}

static void is_complete(void)
{
	ck_assert_int_eq(reading.stage, READING_AT_END);
	ck_assert(reading.state.device);
	ck_assert_uint_eq(reading.state.peers_count, backend.peers);
	for (unsigned i = 0; i < backend.peers; i++)
		ck_assert_uint_eq(reading.state.peers[i].public_key.bytes[1], (uint8_t)(i + 1));
}

START_TEST(a_small_one_is_read_and_put_in_order_at_once)
{
	backend.peers = LARGE - 1;
	ck_assert_int_eq(reading_go_on(&wireguard, &reading, NOW_MS, NULL), READING_DONE);
	is_complete();
	ck_assert_int_eq(reading_go_on(&wireguard, &reading, NOW_MS, NULL), READING_DONE);
	ck_assert_uint_eq(backend.reads, 1);
}
END_TEST

START_TEST(a_large_one_is_put_in_order_and_given_in_turns_of_their_own)
{
	backend.peers = LARGE;
	backend.parts = 3;
	for (unsigned i = 0; i < backend.parts + 5; i++) {
		if (reading.stage == READING_AT_END)
			break;
		ck_assert_int_eq(reading_go_on(&wireguard, &reading, NOW_MS, NULL), READING_MORE);
		ck_assert(i < 3 || reading.stage != READING_AT_DEVICE);
	}
	is_complete();
	ck_assert_int_eq(reading_go_on(&wireguard, &reading, NOW_MS, NULL), READING_DONE);
	ck_assert_uint_eq(backend.reads, 4);
}
END_TEST

/* Comparing it takes a turn's time, which may be almost over. */
START_TEST(a_large_one_that_has_time_is_read_in_one_turn_and_given_in_the_next)
{
	backend.peers = LARGE;
	ck_assert_int_eq(reading_go_on(&wireguard, &reading, NOW_MS + 1, NULL), READING_MORE);
	is_complete();
	ck_assert_int_eq(reading_go_on(&wireguard, &reading, NOW_MS + 1, NULL), READING_DONE);
	ck_assert_uint_eq(backend.reads, 1);
}
END_TEST

/* Nothing of the interrupted one is in it. */
START_TEST(what_changed_while_it_was_read_is_read_anew)
{
	backend.peers = 7;
	backend.fails = TRIES_MOST - 1;
	backend.sys = EINTR;
	ck_assert_int_eq(reading_go_on(&wireguard, &reading, NOW_MS + 1, NULL), READING_MORE);
	ck_assert_int_eq(reading_go_on(&wireguard, &reading, NOW_MS + 1, NULL), READING_DONE);
	is_complete();
	ck_assert_uint_eq(backend.reads, TRIES_MOST);
}
END_TEST

START_TEST(each_new_beginning_is_a_turn_when_the_time_is_over)
{
	unsigned turns = 1;

	backend.fails = TRIES_MOST - 1;
	backend.sys = EINTR;
	while (reading_go_on(&wireguard, &reading, NOW_MS, NULL) == READING_MORE)
		turns++;
	is_complete();
	ck_assert_uint_ge(turns, TRIES_MOST);
}
END_TEST

START_TEST(what_never_stands_still_fails)
{
	struct tg_error err;

	backend.fails = TRIES_MOST;
	backend.sys = EINTR;
	ck_assert_int_eq(reading_go_on(&wireguard, &reading, NOW_MS + 1, &err), READING_FAILED);
	ck_assert_int_eq(err.sys, EINTR);
	ck_assert_uint_eq(backend.reads, TRIES_MOST);
}
END_TEST

START_TEST(any_other_failure_is_told_at_once)
{
	struct tg_error err;

	backend.fails = 1;
	backend.sys = EIO;
	ck_assert_int_eq(reading_go_on(&wireguard, &reading, NOW_MS + 1, &err), READING_FAILED);
	ck_assert_int_eq(err.sys, EIO);
	ck_assert_uint_eq(backend.reads, 1);
	reading_end(&reading);
	ck_assert_uint_eq(reading.state.peers_count, 0);
}
END_TEST

void test_reading(TCase *tc)
{
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, a_small_one_is_read_and_put_in_order_at_once);
	tcase_add_test(tc, a_large_one_is_put_in_order_and_given_in_turns_of_their_own);
	tcase_add_test(tc, a_large_one_that_has_time_is_read_in_one_turn_and_given_in_the_next);
	tcase_add_test(tc, what_changed_while_it_was_read_is_read_anew);
	tcase_add_test(tc, each_new_beginning_is_a_turn_when_the_time_is_over);
	tcase_add_test(tc, what_never_stands_still_fails);
	tcase_add_test(tc, any_other_failure_is_told_at_once);
}
