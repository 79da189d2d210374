/* Sets of ports: a bit each, so that a walk along a few of them touches only those. */
#ifndef TOLLGATE_DAEMON_PORTS_H
#define TOLLGATE_DAEMON_PORTS_H

#include <stdbool.h>
#include <stdint.h>

#define PORTS_END  65536U	/* behind the last port */
#define PORTS_WORD 64

struct ports {
	uint64_t words[PORTS_END / PORTS_WORD];
};

static inline void ports_add(struct ports *set, uint16_t port)
{
	set->words[port / PORTS_WORD] |= UINT64_C(1) << port % PORTS_WORD;
}

static inline void ports_remove(struct ports *set, uint16_t port)
{
	set->words[port / PORTS_WORD] &= ~(UINT64_C(1) << port % PORTS_WORD);
}

static inline bool ports_has(const struct ports *set, uint16_t port)
{
	return (set->words[port / PORTS_WORD] >> port % PORTS_WORD & 1) != 0;
}

/* The first in one of both sets from `port` on (0..PORTS_END); PORTS_END: there is none. */
static inline uint32_t ports_next(const struct ports *a, const struct ports *b, uint32_t port)
{
	uint64_t mask = UINT64_MAX << port % PORTS_WORD;

	for (uint32_t word = port / PORTS_WORD; word < PORTS_END / PORTS_WORD; word++, mask = UINT64_MAX) {
		uint64_t left = (a->words[word] | b->words[word]) & mask;

		if (left != 0)
			return word * PORTS_WORD + (uint32_t)__builtin_ctzll(left);
	}
	return PORTS_END;
}

#endif
