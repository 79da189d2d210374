/* A worker's counters, by slot (one for each host of a network): bytes and connections in its segment
 * file, which control reads while it grows; connections open now in its row of a table that all
 * workers read.  Each cell has one writer, so no worker's death leaves anything wrong. */
#ifndef TOLLGATE_PROXY_COUNTERS_H
#define TOLLGATE_PROXY_COUNTERS_H

#include <stdint.h>

struct counters;
struct tg_error;

/* Maps both files (the descriptors are borrowed) and clears row `index` of `workers`.  NULL when one
 * of them is too small. */
struct counters *counters_new(int segment_fd, int active_fd, uint32_t index, uint32_t workers,
                              struct tg_error *err);
void counters_free(struct counters *counters);

/* `counters` may be NULL, and a slot that is none (--forward) is not counted. */
void counters_received(struct counters *counters, uint32_t slot, uint64_t bytes);
/* Before each call that sends to a client: should the process not live to say counters_sent(), all of
 * the `most` bytes count as sent. */
void counters_sending(struct counters *counters, uint32_t slot, uint64_t most);
/* After it, with 0 when it failed. */
void counters_sent(struct counters *counters, uint32_t slot, uint64_t bytes);
void counters_connection(struct counters *counters, uint32_t slot);
void counters_opened(struct counters *counters, uint32_t slot);
void counters_closed(struct counters *counters, uint32_t slot);
/* Open in all workers: may be off by the few that open at this very moment. */
uint64_t counters_open(const struct counters *counters, uint32_t slot);

#endif
