#include "daemon/jobs.h"

#include <check.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/error.h"

void test_jobs(TCase *tc);

struct work {
	unsigned       *order;	/* how many were run before */
	unsigned        number;
	unsigned       *done;
	pthread_t       ran_in;
	pthread_mutex_t *gate;
};

static void run(void *arg)
{
	struct work *work = arg;

	if (work->gate != NULL) {
		pthread_mutex_lock(work->gate);
		pthread_mutex_unlock(work->gate);
	}
	work->ran_in = pthread_self();
	work->number = (*work->order)++;
}

static void done(void *arg)
{
	struct work *work = arg;

	ck_assert_uint_eq(work->number, *work->done);
	(*work->done)++;
}

START_TEST(jobs_run_in_their_order_in_the_thread_and_end_in_the_loop)
{
	struct event_base *base = event_base_new();
	struct jobs       *jobs = jobs_new(base, NULL);
	struct work        works[100];
	unsigned           order = 0, told = 0;

	ck_assert_ptr_nonnull(jobs);
	for (unsigned i = 0; i < 100; i++) {
		works[i] = (struct work){ .order = &order, .done = &told };
		ck_assert_int_eq(jobs_put(jobs, run, done, &works[i]), 0);
	}
	while (told < 100)
		event_base_loop(base, EVLOOP_ONCE);
	for (unsigned i = 0; i < 100; i++) {
		ck_assert_uint_eq(works[i].number, i);
		ck_assert(!pthread_equal(works[i].ran_in, pthread_self()));
	}
	jobs_free(jobs);
	event_base_free(base);
}
END_TEST

START_TEST(a_full_queue_refuses_and_the_end_waits_for_what_is_in_it)
{
	struct event_base *base = event_base_new();
	struct jobs       *jobs = jobs_new(base, NULL);
	static struct work works[JOBS_MOST + 1];
	pthread_mutex_t    gate = PTHREAD_MUTEX_INITIALIZER;
	unsigned           order = 0, told = 0;

	pthread_mutex_lock(&gate);
	for (unsigned i = 0; i <= JOBS_MOST; i++) {
		works[i] = (struct work){ .order = &order, .done = &told, .gate = &gate };
		ck_assert_int_eq(jobs_put(jobs, run, done, &works[i]), i < JOBS_MOST ? 0 : -1);
	}
	pthread_mutex_unlock(&gate);
	jobs_free(jobs);
	ck_assert_uint_eq(told, JOBS_MOST);
	event_base_free(base);
}
END_TEST

void test_jobs(TCase *tc)
{
	tcase_add_test(tc, jobs_run_in_their_order_in_the_thread_and_end_in_the_loop);
	tcase_add_test(tc, a_full_queue_refuses_and_the_end_waits_for_what_is_in_it);
}
