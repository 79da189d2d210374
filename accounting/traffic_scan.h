/* Reads records, or sums of hours or days, in the order of time, slice by slice: no statement stays
 * open between two calls, so that no reader holds a checkpoint.  For accounting/ alone. */
#ifndef TOLLGATE_ACCOUNTING_TRAFFIC_SCAN_H
#define TOLLGATE_ACCOUNTING_TRAFFIC_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accounting/store_db.h"
#include "accounting/traffic.h"

struct tg_error;

struct traffic_row {
	int64_t  time;
	int64_t  id;		/* of records; of sums the number of the series */
	uint64_t rx;
	uint64_t tx;
	uint64_t connections;
};

/* What tells the three tables apart. */
struct traffic_table {
	int64_t        unit_s;		/* a key holds time / unit_s */
	int            id_bits;
	enum store_sql scan;
	enum store_sql block;		/* who is in it, sorted by name */
	enum store_sql of_network;	/* the ids of one network */
	enum store_sql by_id;
};

struct traffic_span {
	int64_t first;
	int64_t last;
};

struct traffic_scan {
	struct store               *store;	/* borrowed */
	const struct traffic_table *table;
	struct traffic_span         index;	/* time / unit_s, from and to */
	/* Ids are read in spans: each holds some that are wanted, and few that are not. */
	struct traffic_span        *spans;
	size_t                      spans_count;
	size_t                      spans_room;
	/* Place of the next read. */
	int64_t                     at_index;	/* index.first - 1: before the first */
	size_t                      at_span;
	int64_t                     at_id;
};

const struct traffic_table *traffic_table(enum traffic_resolution resolution);
/* Adds ids in rising order to what is read. */
int traffic_scan_want(struct traffic_scan *scan, int64_t id, struct tg_error *err);
/* All ids there are. */
int traffic_scan_want_all(struct traffic_scan *scan, struct tg_error *err);
void traffic_scan_rewind(struct traffic_scan *scan);
void traffic_scan_forget(struct traffic_scan *scan);
void traffic_scan_clear(struct traffic_scan *scan);
/* How many times there are in all, or `most` if there are more; -1: error. */
int64_t traffic_scan_times(struct traffic_scan *scan, int64_t most, struct tg_error *err);
/* Reads up to `most` rows: *count of them.  Returns 1 when there may be more (also after 0 rows: the
 * work of one call is bounded), 0 at the end, -1 on error. */
int traffic_scan_read(struct traffic_scan *scan, struct traffic_row *rows, size_t most, size_t *count,
                      struct tg_error *err);

#endif
