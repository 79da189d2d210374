#include "daemon/jobs.h"

#include <check.h>
#include <event2/event.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <string.h>

#include "base/error.h"

#define LONG_MS 1000000

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

static void no_rest(void)
{
	ck_abort_msg("it rests too early");
}

START_TEST(jobs_run_in_their_order_in_the_thread_and_end_in_the_loop)
{
	struct event_base *base = event_base_new();
	struct jobs       *jobs = jobs_new(base, LONG_MS, no_rest, NULL);
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
	struct jobs       *jobs = jobs_new(base, LONG_MS, no_rest, NULL);
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

static sem_t    rested;
static unsigned ran_before_rest, rests;
static unsigned rest_order;

static void on_rest(void)
{
	ran_before_rest = rest_order;
	rests++;
	sem_post(&rested);
}

/* The gate keeps the first job from its end until the second waits: only then there is nothing to do. */
START_TEST(the_thread_rests_once_when_no_job_waits)
{
	struct event_base *base = event_base_new();
	struct jobs       *jobs = jobs_new(base, 1, on_rest, NULL);
	struct work        works[3];
	pthread_mutex_t    gate = PTHREAD_MUTEX_INITIALIZER;
	unsigned           told = 0;

	sem_init(&rested, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		works[i] = (struct work){ .order = &rest_order, .done = &told, .gate = &gate };
	pthread_mutex_lock(&gate);
	ck_assert_int_eq(jobs_put(jobs, run, done, &works[0]), 0);
	ck_assert_int_eq(jobs_put(jobs, run, done, &works[1]), 0);
	pthread_mutex_unlock(&gate);
	sem_wait(&rested);
	ck_assert_uint_eq(ran_before_rest, 2);
	ck_assert_int_eq(jobs_put(jobs, run, done, &works[2]), 0);
	sem_wait(&rested);
	ck_assert_uint_eq(ran_before_rest, 3);
	jobs_free(jobs);
	ck_assert_uint_eq(rests, 2);
	ck_assert_uint_eq(told, 3);
	sem_destroy(&rested);
	event_base_free(base);
}
END_TEST

START_TEST(a_thread_that_is_to_end_does_not_wait_to_rest)
{
	struct event_base *base = event_base_new();
	struct jobs       *jobs = jobs_new(base, LONG_MS, no_rest, NULL);
	struct work        work;
	unsigned           order = 0, told = 0;

	work = (struct work){ .order = &order, .done = &told };
	ck_assert_int_eq(jobs_put(jobs, run, done, &work), 0);
	while (told < 1)
		event_base_loop(base, EVLOOP_ONCE);
	jobs_free(jobs);
	event_base_free(base);
}
END_TEST

void test_jobs(TCase *tc)
{
	tcase_add_test(tc, the_thread_rests_once_when_no_job_waits);
	tcase_add_test(tc, a_thread_that_is_to_end_does_not_wait_to_rest);
	tcase_add_test(tc, jobs_run_in_their_order_in_the_thread_and_end_in_the_loop);
	tcase_add_test(tc, a_full_queue_refuses_and_the_end_waits_for_what_is_in_it);
}
