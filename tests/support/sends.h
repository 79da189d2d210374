/* Looks on as our files send to clients: whether a worker that was killed just then, before it could count,
 * would have left word of every byte that went. */
#ifndef TOLLGATE_TESTS_SUPPORT_SENDS_H
#define TOLLGATE_TESTS_SUPPORT_SENDS_H

#include <stdint.h>

struct msg_slot;

/* From now on, at each call that sends on a socket of that local port: fails the test when `slots` (of a
 * struct msg_counters, of which the first 16 are in use) account for less.  Port 0: no more. */
void sends_watch(uint16_t port, const struct msg_slot *slots);
/* Bytes that went since sends_watch(). */
uint64_t sends_seen(void);

#endif
