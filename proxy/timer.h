/* Deadlines of connections.  All that wait equally long stand in one queue, in order, so setting and
 * moving a deadline touches only its neighbours; one event serves them all. */
#ifndef TOLLGATE_PROXY_TIMER_H
#define TOLLGATE_PROXY_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct timer;
struct timers;

#define TIMER_DURATIONS_MOST 16	/* different durations in one process */

/* The timer is stopped when it comes; it may be started again or freed with what holds it. */
typedef void timer_fn(struct timer *timer);

/* Lives inside what it is the deadline of; all zero: stopped. */
struct timer {
	struct timer *next;	/* NULL: stopped */
	struct timer *previous;
	uint64_t      at_ms;
	timer_fn     *fire;
};

struct timers *timers_new(struct event_base *base);
/* Every timer must have been stopped. */
void timers_free(struct timers *timers);
/* (Re)starts: fire(timer) comes from the loop `after_ms` from now. */
void timer_start(struct timers *timers, struct timer *timer, unsigned after_ms, timer_fn *fire);
/* As timer_start() for a timer that runs and is only to be put off: does nothing while that would
 * move it by less than a second. */
void timer_put_off(struct timers *timers, struct timer *timer, unsigned after_ms);
void timer_stop(struct timer *timer);
static inline bool timer_runs(const struct timer *timer)
{
	return timer->next != NULL;
}
/* Fires what is due at tg_clock_ms(); the loop calls it, and tests that turn the clock. */
void timers_run(struct timers *timers);

#endif
