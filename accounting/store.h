/* The database of traffic: who is counted, from which baseline, and the records.  Every change is one
 * transaction, so that no fault loses or doubles a byte.  Used from one thread at a time. */
#ifndef TOLLGATE_ACCOUNTING_STORE_H
#define TOLLGATE_ACCOUNTING_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/msg.h"

struct store;
struct tg_error;

#define STORE_LEDGER_TEXT 33	/* 128 bits as hex, with the NUL */

struct store_options {
	uint64_t retention_s;
	uint64_t rollup_retention_s;
};

/* The counters of one host in one worker's segment, cumulative. */
struct store_host {
	const char     *segment;	/* name of the file */
	uint32_t        slot;
	struct msg_slot count;
};

/* Says which host a slot stands for: stored before any worker may count in it. */
struct store_slot {
	uint32_t      slot;
	struct tg_key network;		/* public key */
	char          host[MSG_HOST_MOST];	/* empty: the slot means nothing any more */
};

/* One transaction.  Everything is borrowed. */
struct store_batch {
	const struct store_slot  *slots;	/* new meaning of these slots, stored before `hosts` count */
	size_t                    slots_count;
	const struct msg_reading *readings;	/* in order: a count, a baseline */
	size_t                    readings_count;
	const struct store_host  *hosts;
	size_t                    hosts_count;
	const char *const        *segments_done;	/* their last values are in `hosts`: forget them */
	size_t                    segments_done_count;
};

/* What a commit found out. */
struct store_outcome {
	/* Had no baseline: theirs is this reading (a lost state directory). */
	size_t unknown_peers;
	size_t unknown_slots;	/* counted, but meant nothing: likewise */
};

/* Opens or makes the database at `path` (mode 0600) with WAL and synchronous=FULL.  NULL: damaged, of
 * a later version, no room; `err` says which. */
struct store *store_open(const char *path, const struct store_options *options, struct tg_error *err);
void store_close(struct store *store);
/* All slots that mean something, for a control that starts: `each` is called for every one. */
typedef void store_slot_fn(const struct store_slot *slot, void *arg);
int store_slots(struct store *store, store_slot_fn *each, void *arg, struct tg_error *err);
/* At a start: only these segment files are there.  What is known of others, whose machine died with
 * them, is forgotten. */
int store_segments(struct store *store, const char *const *names, size_t count, struct tg_error *err);
/* Commits `batch` under the time `now_unix_ms`, all or nothing.  Readings with nothing new write no
 * record.  On -1 nothing is stored and the same batch may be tried again; TG_CODE_LIMIT: there are
 * records of as many peers and hosts as there can be (2^20).
 *
 * Counters: what is new is the difference from the baseline, or the reading itself when it is less (a
 * counter that began anew) or of another epoch.  The baselines of some epochs before are remembered, so that
 * a reading which is of one again, or comes twice, counts nothing twice.  A segment's counters begin at 0;
 * one that is done is not counted again.  Values saturate at 2^63 - 1. */
int store_commit(struct store *store, int64_t now_unix_ms, const struct store_batch *batch,
                 struct store_outcome *outcome, struct tg_error *err);
/* Deletes some of what retention no longer keeps, at most `most` records, and makes due sums of hours
 * and days.  Returns 1 when there is more to do, 0 when done, -1 on error. */
int store_sweep(struct store *store, int64_t now_unix_ms, size_t most, struct tg_error *err);

#endif
