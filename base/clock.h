/* The two clocks, behind one door so that tests can turn them. */
#ifndef TOLLGATE_BASE_CLOCK_H
#define TOLLGATE_BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC in ms: for time-outs and durations. */
uint64_t tg_clock_ms(void);
/* CLOCK_REALTIME in ms since 1970: for accounting and logs only; it can step either way. */
int64_t tg_clock_unix_ms(void);
/* Tests: from now on both clocks stand at these values, until set again. */
void tg_clock_fake(uint64_t now_ms, int64_t unix_ms);

#endif
