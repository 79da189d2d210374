/* Which counter slot of the workers' segments stands for which host.  A slot is used again only after
 * every worker has acknowledged a route table without its host and its last value is committed:
 *
 *   used -> retiring (the next table lacks the host) -> quiet (all workers obey that table)
 *        -> read (a sample was taken since) -> free (that sample is committed) */
#ifndef TOLLGATE_DAEMON_SLOTS_H
#define TOLLGATE_DAEMON_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/key.h"

struct slots;

#define SLOTS_NONE UINT32_MAX

/* NULL when out of memory.  At most `most` slots, numbered from 0. */
struct slots *slots_new(uint32_t most);
void slots_free(struct slots *slots);
/* A meaning that the database remembers: it counts as retiring until a table uses it.  -1: out of
 * memory or no such slot. */
int slots_restore(struct slots *slots, uint32_t slot, const struct tg_key *network, const char *host);
/* A new table begins: what slots_take() is not called for until slots_table_end() is not in it. */
void slots_table_begin(struct slots *slots);
/* The slot of a host, a new one when it has none.  *fresh: what it stands for is not yet stored, which
 * must be before any worker counts in it.  SLOTS_NONE: all are used, or no memory. */
uint32_t slots_take(struct slots *slots, const struct tg_key *network, const char *host, bool *fresh);
void slots_table_end(struct slots *slots, uint64_t version);
/* What the slots of the table stand for is stored. */
void slots_stored(struct slots *slots);
/* All workers obey the table `version`. */
void slots_obeyed(struct slots *slots, uint64_t version);
/* A sample of all slots is about to be read, and later: it is committed. */
void slots_reading(struct slots *slots);
void slots_committed(struct slots *slots);
/* Slots from this number on were never used. */
uint32_t slots_end(const struct slots *slots);

#endif
