#include "accounting/traffic_scan.h"

#include <assert.h>
#include <stdlib.h>

#include "base/error.h"

#define GAP   64	/* ids so near are read with their neighbours: cheaper than another search */
#define SEEKS 2048	/* searches in one call */

static const struct traffic_table tables[] = {
	[TRAFFIC_RECORDS] = { 1, STORE_ID_BITS, STORE_SQL_RECORDS_SCAN, STORE_SQL_IDS_BLOCK,
	                      STORE_SQL_IDS_OF_NETWORK, STORE_SQL_SERIES_BY_ID },
	[TRAFFIC_HOURS] = { STORE_HOUR_S, STORE_SERIES_BITS, STORE_SQL_HOURS_SCAN, STORE_SQL_SERIES_BLOCK,
	                    STORE_SQL_SERIES_OF_NETWORK, STORE_SQL_SERIES_BY_NUMBER },
	[TRAFFIC_DAYS] = { STORE_DAY_S, STORE_SERIES_BITS, STORE_SQL_DAYS_SCAN, STORE_SQL_SERIES_BLOCK,
	                   STORE_SQL_SERIES_OF_NETWORK, STORE_SQL_SERIES_BY_NUMBER },
};

const struct traffic_table *traffic_table(enum traffic_resolution resolution)
{
	return &tables[resolution];
}

static int span_add(struct traffic_scan *scan, int64_t first, int64_t last, struct tg_error *err)
{
	if (scan->spans_count == scan->spans_room) {
		size_t               room = scan->spans_room == 0 ? 16 : scan->spans_room * 2;
		struct traffic_span *larger = reallocarray(scan->spans, room, sizeof *larger);

		if (larger == NULL)
			return tg_fail_memory(err);
		scan->spans = larger;
		scan->spans_room = room;
	}
	assert(scan->spans != NULL);
	scan->spans[scan->spans_count++] = (struct traffic_span){ first, last };
	return 0;
}

int traffic_scan_want(struct traffic_scan *scan, int64_t id, struct tg_error *err)
{
	struct traffic_span *last = scan->spans_count == 0 ? NULL : &scan->spans[scan->spans_count - 1];

	if (last != NULL && id - last->last <= GAP) {
		last->last = id;
		return 0;
	}
	return span_add(scan, id, id, err);
}

int traffic_scan_want_all(struct traffic_scan *scan, struct tg_error *err)
{
	return span_add(scan, 0, ((int64_t)1 << scan->table->id_bits) - 1, err);
}

void traffic_scan_rewind(struct traffic_scan *scan)
{
	scan->at_index = scan->index.first - 1;
	scan->at_span = scan->spans_count;
	scan->at_id = 0;
}

void traffic_scan_forget(struct traffic_scan *scan)
{
	scan->spans_count = 0;
	traffic_scan_rewind(scan);
}

void traffic_scan_clear(struct traffic_scan *scan)
{
	free(scan->spans);
}

int64_t traffic_scan_times(struct traffic_scan *scan, int64_t most, struct tg_error *err)
{
	const int64_t bounds[] = { scan->index.first - 1, scan->index.last, most };
	int64_t       count = scan->index.last - scan->index.first + 1;

	if (count < 0)
		return 0;
	if (scan->table->unit_s == 1) {
		store_db_bind(scan->store, STORE_SQL_TIMES_COUNT, 1, bounds, 3);
		if (store_db_step(scan->store, STORE_SQL_TIMES_COUNT, err) == -1)
			return -1;
		count = sqlite3_column_int64(store_db_sql(scan->store, STORE_SQL_TIMES_COUNT), 0);
		store_db_reset(scan->store, STORE_SQL_TIMES_COUNT);
	}
	return count < most ? count : most;
}

/* Goes to the next time that has records: 1, 0 when there is none. */
static int next_time(struct traffic_scan *scan, struct tg_error *err)
{
	const int64_t bounds[] = { scan->at_index, scan->index.last };

	if (scan->at_index >= scan->index.last)
		return 0;
	scan->at_span = 0;
	scan->at_id = 0;
	if (scan->table->unit_s != 1) {
		scan->at_index++;
		return 1;
	}
	store_db_bind(scan->store, STORE_SQL_TIMES_NEXT, 1, bounds, 2);

	int got = store_db_step(scan->store, STORE_SQL_TIMES_NEXT, err);

	if (got == 1) {
		scan->at_index = sqlite3_column_int64(store_db_sql(scan->store, STORE_SQL_TIMES_NEXT), 0);
		store_db_reset(scan->store, STORE_SQL_TIMES_NEXT);
	} else {
		scan->at_index = scan->index.last;
		scan->at_span = scan->spans_count;
	}
	return got;
}

/* Reads what is left of the span at hand, as far as there is room. */
static int read_span(struct traffic_scan *scan, struct traffic_row *rows, size_t most, size_t *count,
                     struct tg_error *err)
{
	const struct traffic_span *span = &scan->spans[scan->at_span];
	int                        bits = scan->table->id_bits;
	int64_t                    mask = ((int64_t)1 << bits) - 1;
	int64_t                    first = span->first > scan->at_id ? span->first : scan->at_id;
	int64_t                    at = scan->at_index << bits;
	const int64_t              keys[] = { at | first, at | span->last };
	sqlite3_stmt              *row = store_db_sql(scan->store, scan->table->scan);
	int                        got;

	store_db_bind(scan->store, scan->table->scan, 1, keys, 2);
	while ((got = store_db_step(scan->store, scan->table->scan, err)) == 1) {
		int64_t key = sqlite3_column_int64(row, 0);

		if (*count == most) {
			scan->at_id = key & mask;
			store_db_reset(scan->store, scan->table->scan);
			return 1;
		}
		rows[(*count)++] = (struct traffic_row){
			.time = (key >> bits) * scan->table->unit_s,
			.id = key & mask,
			.rx = (uint64_t)sqlite3_column_int64(row, 1),
			.tx = (uint64_t)sqlite3_column_int64(row, 2),
			.connections = (uint64_t)sqlite3_column_int64(row, 3),
		};
	}
	if (got == 0) {
		scan->at_span++;
		scan->at_id = 0;
	}
	return got;
}

int traffic_scan_read(struct traffic_scan *scan, struct traffic_row *rows, size_t most, size_t *count,
                      struct tg_error *err)
{
	*count = 0;
	if (scan->spans_count == 0)
		return 0;
	for (int seeks = 0; seeks < SEEKS; seeks++) {
		int got;

		if (scan->at_span == scan->spans_count) {
			got = next_time(scan, err);
			if (got != 1)
				return got;
		}
		got = read_span(scan, rows, most, count, err);
		if (got != 0)
			return got;
	}
	return 1;
}
