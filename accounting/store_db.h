/* Inside of the store: the connection, its statements and what is remembered between transactions.
 * For accounting/ alone. */
#ifndef TOLLGATE_ACCOUNTING_STORE_DB_H
#define TOLLGATE_ACCOUNTING_STORE_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "accounting/store.h"

/* A record's key is its time and its id in one integer: records of a time lie side by side in the
 * order of ids, and the key costs nothing beside the row. */
#define STORE_ID_BITS	  20
#define STORE_IDS	  (1 << STORE_ID_BITS)
#define STORE_ID_MASK	  ((int64_t)STORE_IDS - 1)
/* Sums of hours and days are kept far longer than records: their keys are (label / length of the
 * label) and the number of a series, which is never used again while a sum of it is there. */
#define STORE_SERIES_BITS 40
#define STORE_SERIES_MASK (((int64_t)1 << STORE_SERIES_BITS) - 1)

#define STORE_TIME_MOST	  ((int64_t)1 << 34)	/* the year 2514: hours << 40 stays below 2^63 */
#define STORE_HOUR_S	  3600
#define STORE_DAY_S	  86400
#define STORE_HOURS_KEPT_S ((int64_t)35 * STORE_DAY_S)
/* A step of the clock of more than this between two commits is not believed to be age (the longest
 * sample interval is 1 h). */
#define STORE_JUMP_S	  ((int64_t)3 * STORE_HOUR_S)
/* An id is free again when no reading named it for at least this long, and it has no records. */
#define STORE_ABSENT_MS	  ((uint64_t)STORE_DAY_S * 1000)
/* For so long an open answer keeps its records from being deleted. */
#define STORE_PIN_MS	  ((uint64_t)600 * 1000)
#define STORE_EARLIER_MOST 8	/* interfaces of a peer that are remembered beside the last one */
#define STORE_SEGMENTS_REMEMBERED 4096	/* names of finished ones, should a late reading come */

enum store_kind { STORE_PEER, STORE_HOST };

enum store_sql {
	STORE_SQL_BEGIN,
	STORE_SQL_COMMIT,
	STORE_SQL_ROLLBACK,
	STORE_SQL_META_READ,
	STORE_SQL_META_WRITE,
	STORE_SQL_IDS_READ,
	STORE_SQL_SERIES_FIND,
	STORE_SQL_SERIES_ADD,
	STORE_SQL_SERIES_SET_ID,
	STORE_SQL_SERIES_BY_ID,
	STORE_SQL_SERIES_BY_NUMBER,
	STORE_SQL_COUNTER_SET,
	STORE_SQL_COUNTER_LAST,
	STORE_SQL_EARLIER_FIND,
	STORE_SQL_EARLIER_SET,
	STORE_SQL_EARLIER_PRUNE,
	STORE_SQL_EARLIER_FORGET,
	STORE_SQL_SLOT_FIND,
	STORE_SQL_SLOT_SET,
	STORE_SQL_SLOT_FORGET,
	STORE_SQL_SLOTS_READ,
	STORE_SQL_SEGMENT_FIND,
	STORE_SQL_SEGMENT_ADD,
	STORE_SQL_SEGMENT_DONE,
	STORE_SQL_SEGMENT_COUNT_FIND,
	STORE_SQL_SEGMENT_COUNT_SET,
	STORE_SQL_SEGMENT_COUNTS_FORGET,
	STORE_SQL_SEGMENTS_PRUNE,
	STORE_SQL_SEGMENTS_READ,
	STORE_SQL_SEGMENT_FORGET,
	STORE_SQL_TIME_ADD,
	STORE_SQL_RECORD_ADD,
	STORE_SQL_FOLD_END,
	STORE_SQL_FOLD_HOURS,
	STORE_SQL_FOLD_DAYS,
	STORE_SQL_RECORDS_CUT,
	STORE_SQL_RECORDS_DELETE,
	STORE_SQL_TIMES_DELETE,
	STORE_SQL_HOURS_CUT,
	STORE_SQL_HOURS_DELETE,
	STORE_SQL_DAYS_CUT,
	STORE_SQL_DAYS_DELETE,
	STORE_SQL_IDS_IDLE,
	STORE_SQL_ID_FREE,
	STORE_SQL_COUNTER_FORGET,
	STORE_SQL_SERIES_DELETE,
	STORE_SQL_SERIES_LAST,
	STORE_SQL_TIMES_NEWEST,
	STORE_SQL_TIMES_COUNT,
	STORE_SQL_TIMES_NEXT,
	STORE_SQL_HOURS_NEWEST,
	STORE_SQL_DAYS_NEWEST,
	STORE_SQL_RECORDS_SCAN,
	STORE_SQL_HOURS_SCAN,
	STORE_SQL_DAYS_SCAN,
	STORE_SQL_IDS_BLOCK,
	STORE_SQL_SERIES_BLOCK,
	STORE_SQL_IDS_OF_NETWORK,
	STORE_SQL_SERIES_OF_NETWORK,
	STORE_SQLS,
};

/* The one row of the table `meta`. */
struct store_meta {
	int64_t newest;		/* every later record is labelled later than this */
	int64_t oldest;		/* records up to here may be deleted */
	int64_t oldest_hours;	/* sums likewise */
	int64_t oldest_days;
	int64_t folded;		/* key: records up to here are in the sums of hours and days */
	int64_t closed;		/* hours that end here or before are complete */
	int64_t held_until;	/* nothing is deleted before the clock shows this (STORE_JUMP_S) */
};

struct store {
	sqlite3             *db;
	sqlite3_stmt        *statements[STORE_SQLS];
	struct store_options options;
	char                 ledger[STORE_LEDGER_TEXT];
	struct store_meta    meta;
	/* How the newest label came about: see store_label.h. */
	int64_t              labelled_at_s;
	int64_t              sealed;
	int64_t              clock_s;	/* at the last commit or sweep; 0: none yet */
	uint64_t             pinned_until_ms;	/* an answer that is open began less than STORE_PIN_MS ago */
	unsigned             pins;
	/* Ids in use: what the table says, kept here to find a free one.  Read anew after a failure. */
	bool                 ids_known;
	int32_t              ids_next;
	int32_t              ids_count;
	int64_t              idle_from;	/* where the next sweep looks for ids and series to free */
	int64_t              series_from;
	uint64_t             seen_since_ms;	/* when seen[0] was begun */
	bool                 seen_whole;	/* seen[1] spans STORE_ABSENT_MS */
	uint64_t             used[STORE_IDS / 64];
	uint64_t             seen[2][STORE_IDS / 64];	/* peers that a reading named: now, before */
};

static inline bool store_bit(const uint64_t *bits, int64_t at)
{
	return (bits[at / 64] >> (at % 64)) & 1;
}

static inline void store_bit_set(uint64_t *bits, int64_t at)
{
	bits[at / 64] |= (uint64_t)1 << (at % 64);
}

static inline int64_t store_key(int64_t time, int64_t id)
{
	return time << STORE_ID_BITS | id;
}

/* Opens the file, makes or checks the schema, prepares all statements, reads `meta`. */
int store_db_open(struct store *store, const char *path, struct tg_error *err);
void store_db_close(struct store *store);
sqlite3_stmt *store_db_sql(struct store *store, enum store_sql which);
/* Steps to a row: 1, or to the end: 0 (the statement is reset then), or -1. */
int store_db_step(struct store *store, enum store_sql which, struct tg_error *err);
/* Runs a statement that gives no rows to its end. */
int store_db_run(struct store *store, enum store_sql which, struct tg_error *err);
void store_db_reset(struct store *store, enum store_sql which);
void store_db_bind(struct store *store, enum store_sql which, int first, const int64_t *values, int count);
/* One transaction: 0 and then commit or rollback. */
int store_db_begin(struct store *store, struct tg_error *err);
int store_db_commit(struct store *store, struct tg_error *err);
/* Takes all back, and forgets what was remembered of tables.  Keeps errno and what `err` says. */
void store_db_rollback(struct store *store);
int store_db_meta_write(struct store *store, const struct store_meta *meta, struct tg_error *err);

#endif
