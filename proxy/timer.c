#include "proxy/timer.h"

#include <assert.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/clock.h"

#define PUT_OFF_LEAST_MS 1000

/* A ring of timers that wait equally long: in order, because each joins at the end. */
struct queue {
	struct timer ends;	/* next: the first due; only the links are used */
	unsigned     after_ms;
};

struct timers {
	struct event *alarm;
	uint64_t      alarm_at_ms;	/* UINT64_MAX: not set */
	size_t        queues_count;
	struct queue  queues[TIMER_DURATIONS_MOST];
};

static void set_alarm(struct timers *timers, uint64_t at_ms, uint64_t now_ms)
{
	uint64_t       wait_ms = at_ms > now_ms ? at_ms - now_ms : 0;
	struct timeval wait = {
		.tv_sec = (time_t)(wait_ms / 1000),
		.tv_usec = (suseconds_t)(wait_ms % 1000 * 1000),
	};

	/* Should this fail for want of memory, the next timer that starts tries again. */
	timers->alarm_at_ms = evtimer_add(timers->alarm, &wait) == 0 ? at_ms : UINT64_MAX;
}

static void on_alarm(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	timers_run(arg);
}

struct timers *timers_new(struct event_base *base)
{
	struct timers *timers = calloc(1, sizeof(*timers));

	if (timers == NULL)
		return NULL;
	timers->alarm_at_ms = UINT64_MAX;
	timers->alarm = evtimer_new(base, on_alarm, timers);
	if (timers->alarm == NULL) {
		free(timers);
		return NULL;
	}
	return timers;
}

void timers_free(struct timers *timers)
{
	if (timers == NULL)
		return;
	for (size_t i = 0; i < timers->queues_count; i++)
		assert(timers->queues[i].ends.next == &timers->queues[i].ends);
	event_free(timers->alarm);
	free(timers);
}

static struct queue *queue_of(struct timers *timers, unsigned after_ms)
{
	struct queue *queue = timers->queues;

	for (size_t i = 0; i < timers->queues_count; i++, queue++) {
		if (queue->after_ms == after_ms)
			return queue;
	}
	assert(timers->queues_count < TIMER_DURATIONS_MOST);
	timers->queues_count++;
	queue->after_ms = after_ms;
	queue->ends.next = &queue->ends;
	queue->ends.previous = &queue->ends;
	return queue;
}

void timer_stop(struct timer *timer)
{
	if (timer->next == NULL)
		return;
	timer->next->previous = timer->previous;
	timer->previous->next = timer->next;
	timer->next = NULL;
	timer->previous = NULL;
}

void timer_start(struct timers *timers, struct timer *timer, unsigned after_ms, timer_fn *fire)
{
	struct queue *queue = queue_of(timers, after_ms);
	uint64_t      now_ms = tg_clock_ms();

	timer_stop(timer);
	timer->at_ms = now_ms + after_ms;
	timer->fire = fire;
	timer->next = &queue->ends;
	timer->previous = queue->ends.previous;
	timer->previous->next = timer;
	queue->ends.previous = timer;
	if (timer->at_ms < timers->alarm_at_ms)
		set_alarm(timers, timer->at_ms, now_ms);
}

void timer_put_off(struct timers *timers, struct timer *timer, unsigned after_ms)
{
	assert(timer_runs(timer));
	if (tg_clock_ms() + after_ms >= timer->at_ms + PUT_OFF_LEAST_MS)
		timer_start(timers, timer, after_ms, timer->fire);
}

/* Fires at most what stood in the queue before: what a callback starts is for a later round. */
static void queue_run(struct queue *queue, uint64_t now_ms)
{
	struct timer *last = queue->ends.previous;

	for (bool more = true; more;) {
		struct timer *timer = queue->ends.next;

		if (timer == &queue->ends || timer->at_ms > now_ms)
			return;
		more = timer != last;
		timer_stop(timer);
		timer->fire(timer);
	}
}

void timers_run(struct timers *timers)
{
	uint64_t now_ms = tg_clock_ms();
	uint64_t first_ms = UINT64_MAX;

	for (size_t i = 0; i < timers->queues_count; i++)
		queue_run(&timers->queues[i], now_ms);

	for (size_t i = 0; i < timers->queues_count; i++) {
		const struct queue *queue = &timers->queues[i];

		if (queue->ends.next != &queue->ends && queue->ends.next->at_ms < first_ms)
			first_ms = queue->ends.next->at_ms;
	}
	timers->alarm_at_ms = UINT64_MAX;
	evtimer_del(timers->alarm);
	if (first_ms != UINT64_MAX)
		set_alarm(timers, first_ms, now_ms);
}
