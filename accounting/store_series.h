/* Who is counted: a peer or a host of a network, its series in the database and, while it is there or
 * has records, its id in their keys. */
#ifndef TOLLGATE_ACCOUNTING_STORE_SERIES_H
#define TOLLGATE_ACCOUNTING_STORE_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accounting/store_db.h"

struct tg_error;

struct store_name {
	const struct tg_key *network;
	enum store_kind      kind;
	const void          *name;	/* a peer's key, a host's text: borrowed */
	size_t               bytes;
};

/* What the next reading is compared with. */
struct store_baseline {
	int64_t          id;
	bool             known;
	struct msg_epoch epoch;
	int64_t          rx;
	int64_t          tx;
};

/* Finds `name`, or adds it, inside a transaction.  TG_CODE_LIMIT: all ids are in use. */
int store_series_enter(struct store *store, const struct store_name *name, struct store_baseline *to,
                       struct tg_error *err);
int store_series_set_baseline(struct store *store, const struct store_baseline *baseline, int64_t last,
                              struct tg_error *err);
/* A reading of another interface, `to`, than the baseline's: keeps the baseline for when that one is heard
 * of again.  1: `to` was before, and the baseline is its now; 0: it is new, the baseline as it was. */
int store_series_turn(struct store *store, struct store_baseline *baseline, const struct msg_epoch *to,
                      struct tg_error *err);
/* A peer was named by a reading: it is there. */
void store_series_seen(struct store *store, int64_t id, uint64_t now_ms);
/* Whether the peer was named in the last day, or may have been. */
bool store_series_present(const struct store *store, int64_t id);

#endif
