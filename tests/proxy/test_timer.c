#include "proxy/timer.h"

#include <check.h>
#include <event2/event.h>

#include "base/clock.h"

void test_timer(TCase *tc);

static struct event_base *base;
static struct timers     *timers;
static struct timer      *fired[16];
static size_t             fired_count;
static unsigned           again_ms;	/* on_fire() starts the timer anew */

static void begin(void)
{
	tg_clock_fake(1000, 0);
	fired_count = 0;
	again_ms = UINT32_MAX;
	base = event_base_new();
	timers = timers_new(base);
}

static void end(void)
{
	timers_free(timers);
	event_base_free(base);
}

static void on_fire(struct timer *timer)
{
	ck_assert(!timer_runs(timer));
	ck_assert_uint_lt(fired_count, 16);
	fired[fired_count++] = timer;
	if (again_ms != UINT32_MAX)
		timer_start(timers, timer, again_ms, on_fire);
}

static size_t fired_at(uint64_t now_ms)
{
	fired_count = 0;
	tg_clock_fake(now_ms, 0);
	timers_run(timers);
	return fired_count;
}

START_TEST(each_fires_once_at_its_time)
{
	struct timer a = { 0 }, b = { 0 }, c = { 0 };

	begin();
	timer_start(timers, &a, 500, on_fire);
	timer_start(timers, &b, 100, on_fire);
	tg_clock_fake(1050, 0);
	timer_start(timers, &c, 100, on_fire);
	ck_assert_uint_eq(fired_at(1099), 0);
	ck_assert_uint_eq(fired_at(1100), 1);
	ck_assert_ptr_eq(fired[0], &b);
	ck_assert_uint_eq(fired_at(1149), 0);
	ck_assert_uint_eq(fired_at(1150), 1);
	ck_assert_ptr_eq(fired[0], &c);
	ck_assert_uint_eq(fired_at(9999), 1);
	ck_assert_ptr_eq(fired[0], &a);
	end();
}
END_TEST

START_TEST(a_stopped_one_does_not_fire)
{
	struct timer a = { 0 }, b = { 0 };

	begin();
	timer_start(timers, &a, 100, on_fire);
	timer_start(timers, &b, 100, on_fire);
	timer_stop(&a);
	timer_stop(&a);
	ck_assert(!timer_runs(&a));
	ck_assert_uint_eq(fired_at(2000), 1);
	ck_assert_ptr_eq(fired[0], &b);
	end();
}
END_TEST

START_TEST(putting_off_moves_it_by_a_second_or_more)
{
	struct timer a = { 0 };

	begin();
	timer_start(timers, &a, 5000, on_fire);
	tg_clock_fake(1999, 0);
	timer_put_off(timers, &a, 5000);
	ck_assert_uint_eq(a.at_ms, 6000);
	tg_clock_fake(2000, 0);
	timer_put_off(timers, &a, 5000);
	ck_assert_uint_eq(a.at_ms, 7000);
	ck_assert_uint_eq(fired_at(6999), 0);
	ck_assert_uint_eq(fired_at(7000), 1);
	end();
}
END_TEST

START_TEST(one_that_starts_itself_anew_does_not_hold_the_loop)
{
	struct timer a = { 0 }, b = { 0 };

	begin();
	again_ms = 0;
	timer_start(timers, &a, 0, on_fire);
	timer_start(timers, &b, 0, on_fire);
	ck_assert_uint_eq(fired_at(1000), 2);
	ck_assert_uint_eq(fired_at(1000), 2);
	timer_stop(&a);
	timer_stop(&b);
	end();
}
END_TEST

START_TEST(the_loop_fires_them)
{
	struct timer a = { 0 };

	begin();
	timer_start(timers, &a, 20, on_fire);
	tg_clock_fake(1020, 0);
	event_base_loop(base, EVLOOP_ONCE);
	ck_assert_uint_eq(fired_count, 1);
	end();
}
END_TEST

void test_timer(TCase *tc)
{
	tcase_add_test(tc, each_fires_once_at_its_time);
	tcase_add_test(tc, a_stopped_one_does_not_fire);
	tcase_add_test(tc, putting_off_moves_it_by_a_second_or_more);
	tcase_add_test(tc, one_that_starts_itself_anew_does_not_hold_the_loop);
	tcase_add_test(tc, the_loop_fires_them);
}
