/* One thread with a queue, so that nothing that waits for a disk or chews a large document holds the
 * loop.  Jobs run one at a time, in the order they were put. */
#ifndef TOLLGATE_DAEMON_JOBS_H
#define TOLLGATE_DAEMON_JOBS_H

#include <stddef.h>

struct event_base;
struct jobs;
struct tg_error;

#define JOBS_MOST 1024	/* that wait, are being done or are done but not yet told */

typedef void jobs_fn(void *arg);
typedef void jobs_rest_fn(void);

/* `rest` is called in the thread, `rest_ms` after a job or later, once no job waits; then not again before
 * there was another.  NULL with `err` set. */
struct jobs *jobs_new(struct event_base *base, unsigned rest_ms, jobs_rest_fn *rest, struct tg_error *err);
/* Waits until all jobs were run and tells of them (done() is called), then ends the thread. */
void jobs_free(struct jobs *jobs);
/* `run` is called in the thread, then `done` from the loop.  What `arg` points at is the job's between
 * the two.  -1 when the queue is full, memory is out or `jobs` is NULL: neither is called. */
int jobs_put(struct jobs *jobs, jobs_fn *run, jobs_fn *done, void *arg);

#endif
