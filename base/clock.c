#include "base/clock.h"

#include <stdbool.h>
#include <time.h>

static bool     clock_faked;
static uint64_t fake_ms;
static int64_t  fake_unix_ms;

static int64_t clock_read(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t tg_clock_ms(void)
{
	return clock_faked ? fake_ms : (uint64_t)clock_read(CLOCK_MONOTONIC);
}

int64_t tg_clock_unix_ms(void)
{
	return clock_faked ? fake_unix_ms : clock_read(CLOCK_REALTIME);
}

void tg_clock_fake(uint64_t now_ms, int64_t unix_ms)
{
	clock_faked = true;
	fake_ms = now_ms;
	fake_unix_ms = unix_ms;
}
