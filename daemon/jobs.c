#include "daemon/jobs.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

struct job {
	struct job *next;
	jobs_fn    *run, *done;
	void       *arg;
};

struct list {
	struct job *first, **last;
};

struct jobs {
	pthread_t       thread;
	pthread_mutex_t lock;		/* over everything below */
	pthread_cond_t  wanted;
	struct list     waiting, finished;
	size_t          count;
	bool            ending;
	int             told_fd;	/* eventfd: something is in `finished` */
	struct event   *told;
	jobs_rest_fn   *rest;
	unsigned        rest_ms;
	bool            worked;		/* the thread's own: since it rested */
	struct timespec rest_at;	/* likewise: not before, if it worked */
};

static void list_init(struct list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void list_put(struct list *list, struct job *job)
{
	job->next = NULL;
	*list->last = job;
	list->last = &job->next;
}

static struct job *list_take(struct list *list)
{
	struct job *job = list->first;

	if (job == NULL)
		return NULL;
	list->first = job->next;
	if (list->first == NULL)
		list->last = &list->first;
	return job;
}

static void rest_later(struct jobs *jobs)
{
	if (jobs->worked)
		return;
	jobs->worked = true;
	clock_gettime(CLOCK_MONOTONIC, &jobs->rest_at);
	jobs->rest_at.tv_sec += jobs->rest_ms / 1000;
	jobs->rest_at.tv_nsec += jobs->rest_ms % 1000 * 1000000L;
	if (jobs->rest_at.tv_nsec >= 1000000000L) {
		jobs->rest_at.tv_nsec -= 1000000000L;
		jobs->rest_at.tv_sec++;
	}
}

/* With the lock, which it gives up meanwhile. */
static void wait_or_rest(struct jobs *jobs)
{
	if (!jobs->worked) {
		pthread_cond_wait(&jobs->wanted, &jobs->lock);
		return;
	}
	if (pthread_cond_clockwait(&jobs->wanted, &jobs->lock, CLOCK_MONOTONIC, &jobs->rest_at) != ETIMEDOUT)
		return;
	jobs->worked = false;
	pthread_mutex_unlock(&jobs->lock);
	jobs->rest();
	pthread_mutex_lock(&jobs->lock);
}

static void *thread_main(void *arg)
{
	struct jobs *jobs = arg;

	pthread_mutex_lock(&jobs->lock);
	for (;;) {
		struct job *job = list_take(&jobs->waiting);

		if (job == NULL && jobs->ending)
			break;
		if (job == NULL) {
			wait_or_rest(jobs);
			continue;
		}
		pthread_mutex_unlock(&jobs->lock);
		job->run(job->arg);
		rest_later(jobs);
		pthread_mutex_lock(&jobs->lock);
		list_put(&jobs->finished, job);

		const uint64_t one = 1;

		/* An eventfd refuses only when 2^64-1 is near: then the loop is awake anyway. */
		if (write(jobs->told_fd, &one, sizeof one) == -1 && errno != EAGAIN)
			tg_die("cannot wake the loop");
	}
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

static void jobs_tell(struct jobs *jobs)
{
	for (;;) {
		pthread_mutex_lock(&jobs->lock);

		struct job *job = list_take(&jobs->finished);

		if (job != NULL)
			jobs->count--;
		pthread_mutex_unlock(&jobs->lock);
		if (job == NULL)
			return;

		struct job copy = *job;

		free(job);
		copy.done(copy.arg);
	}
}

static void on_told(evutil_socket_t fd, short what, void *arg)
{
	uint64_t times;

	(void)what;
	if (read((int)fd, &times, sizeof times) == -1 && errno != EAGAIN)
		tg_die("cannot read from the thread");
	jobs_tell(arg);
}

struct jobs *jobs_new(struct event_base *base, unsigned rest_ms, jobs_rest_fn *rest, struct tg_error *err)
{
	struct jobs *jobs = calloc(1, sizeof *jobs);
	sigset_t     all, kept;
	int          failed;

	if (jobs == NULL) {
		tg_fail_memory(err);
		return NULL;
	}
	jobs->rest_ms = rest_ms;
	jobs->rest = rest;
	list_init(&jobs->waiting);
	list_init(&jobs->finished);
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->wanted, NULL);
	jobs->told_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	jobs->told = event_new(base, jobs->told_fd, EV_READ | EV_PERSIST, on_told, jobs);
	if (jobs->told_fd == -1 || jobs->told == NULL || event_add(jobs->told, NULL) == -1) {
		tg_fail_sys(err, "cannot make the thread's queue");
		goto undo_told;
	}
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &kept);
	failed = pthread_create(&jobs->thread, NULL, thread_main, jobs);
	pthread_sigmask(SIG_SETMASK, &kept, NULL);
	if (failed == 0)
		return jobs;
	tg_fail_errno(err, failed, "cannot start a thread");

undo_told:
	if (jobs->told != NULL)
		event_free(jobs->told);
	tg_close_at(&jobs->told_fd);
	free(jobs);
	return NULL;
}

void jobs_free(struct jobs *jobs)
{
	if (jobs == NULL)
		return;
	pthread_mutex_lock(&jobs->lock);
	jobs->ending = true;
	pthread_cond_signal(&jobs->wanted);
	pthread_mutex_unlock(&jobs->lock);
	pthread_join(jobs->thread, NULL);
	jobs_tell(jobs);
	event_free(jobs->told);
	close(jobs->told_fd);
	pthread_cond_destroy(&jobs->wanted);
	pthread_mutex_destroy(&jobs->lock);
	free(jobs);
}

int jobs_put(struct jobs *jobs, jobs_fn *run, jobs_fn *done, void *arg)
{
	struct job *job = jobs == NULL ? NULL : malloc(sizeof *job);
	int         result = -1;

	if (job == NULL)
		return -1;
	job->run = run;
	job->done = done;
	job->arg = arg;
	pthread_mutex_lock(&jobs->lock);
	if (jobs->count < JOBS_MOST && !jobs->ending) {
		jobs->count++;
		list_put(&jobs->waiting, job);
		pthread_cond_signal(&jobs->wanted);
		result = 0;
	}
	pthread_mutex_unlock(&jobs->lock);
	if (result == -1)
		free(job);
	return result;
}

