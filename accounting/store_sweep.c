#include <assert.h>
#include <string.h>

#include "accounting/store.h"
#include "accounting/store_db.h"
#include "accounting/store_label.h"
#include "accounting/store_series.h"
#include "base/clock.h"
#include "base/error.h"

#define IDLE_MOST 256	/* ids freed in one slice */

/* One store_sweep(): one transaction. */
struct sweep {
	struct store     *store;
	struct tg_error  *err;
	struct store_meta meta;		/* as it will be */
	int64_t           clock_s;
	int64_t           most;
	bool              more;
};

/* Finds the end of the next slice of at most `most` rows: *to is its last key and 1 is returned, or 0
 * when there is none. */
static int slice_end(struct sweep *s, enum store_sql which, const int64_t *bounds, int count, int64_t *to)
{
	sqlite3_stmt *row = store_db_sql(s->store, which);

	store_db_bind(s->store, which, 1, bounds, count);
	store_db_bind(s->store, which, count + 1, &s->most, 1);

	int got = store_db_step(s->store, which, s->err);

	if (got == -1)
		return -1;

	int64_t rows = sqlite3_column_int64(row, 1);

	*to = sqlite3_column_int64(row, 0);
	store_db_reset(s->store, which);
	if (rows >= s->most)
		s->more = true;
	return rows > 0;
}

static int64_t start_of(int64_t unit_s, int64_t time)
{
	return time - time % unit_s;
}

/* An hour is complete once the clock or a label is past it; then no label may fall into it any more.
 * Only hours and the day of the newest record are closed, not all up to now: should the clock be
 * wrong, labels run ahead of it by a day at most. */
static void close_hours(struct sweep *s)
{
	int64_t newest = s->meta.newest;
	int64_t closed = start_of(STORE_HOUR_S, newest);

	if (newest == 0)
		return;		/* no record yet */
	if (closed + STORE_HOUR_S <= s->clock_s)
		closed += STORE_HOUR_S;
	if (start_of(STORE_DAY_S, newest) + STORE_DAY_S <= s->clock_s)
		closed = start_of(STORE_DAY_S, newest) + STORE_DAY_S;
	if (closed > s->meta.closed)
		s->meta.closed = closed;
	if (newest < s->meta.closed - 1)
		s->meta.newest = s->meta.closed - 1;
}

/* Adds records that can change no more to the sums of their hour and day. */
static int fold(struct sweep *s)
{
	int64_t visible = store_label_visible(s->store, s->clock_s);
	int64_t slice[2] = { s->meta.folded, store_key(visible, STORE_ID_MASK) };
	int     got = slice_end(s, STORE_SQL_FOLD_END, slice, 2, &slice[1]);

	if (got == -1)
		return -1;
	if (got == 1) {
		store_db_bind(s->store, STORE_SQL_FOLD_HOURS, 1, slice, 2);
		store_db_bind(s->store, STORE_SQL_FOLD_DAYS, 1, slice, 2);
		if (store_db_run(s->store, STORE_SQL_FOLD_HOURS, s->err) == -1 ||
		    store_db_run(s->store, STORE_SQL_FOLD_DAYS, s->err) == -1)
			return -1;
		s->meta.folded = slice[1];
	}
	if (!s->more)
		close_hours(s);
	return 0;
}

static bool may_delete(struct sweep *s)
{
	int64_t kept_s = (int64_t)s->store->options.retention_s;

	/* The clock went back, or retention is shorter now. */
	if (s->meta.held_until > s->clock_s + kept_s)
		s->meta.held_until = s->clock_s + kept_s;
	if (s->clock_s < s->meta.held_until)
		return false;
	return s->store->pins == 0 || tg_clock_ms() >= s->store->pinned_until_ms;
}

static int delete_records(struct sweep *s)
{
	int64_t up_to = s->clock_s - (int64_t)s->store->options.retention_s - 1;
	int64_t key = up_to < 0 ? -1 : store_key(up_to, STORE_ID_MASK);
	int     got;

	if (key > s->meta.folded)
		key = s->meta.folded;
	got = slice_end(s, STORE_SQL_RECORDS_CUT, &key, 1, &key);

	if (got != 1)
		return got;
	s->meta.oldest = key >> STORE_ID_BITS;
	store_db_bind(s->store, STORE_SQL_RECORDS_DELETE, 1, &key, 1);
	store_db_bind(s->store, STORE_SQL_TIMES_DELETE, 1, &s->meta.oldest, 1);
	if (store_db_run(s->store, STORE_SQL_RECORDS_DELETE, s->err) == -1)
		return -1;
	return store_db_run(s->store, STORE_SQL_TIMES_DELETE, s->err);
}

static int delete_sums(struct sweep *s, enum store_sql cut, enum store_sql delete, int64_t unit_s,
                       int64_t kept_s, int64_t *oldest)
{
	int64_t key = (((s->clock_s - kept_s) / unit_s) << STORE_SERIES_BITS) - 1;
	int     got = s->clock_s < kept_s ? 0 : slice_end(s, cut, &key, 1, &key);

	if (got != 1)
		return got;
	*oldest = (key >> STORE_SERIES_BITS) * unit_s;
	store_db_bind(s->store, delete, 1, &key, 1);
	return store_db_run(s->store, delete, s->err);
}

static int free_id(struct sweep *s, int64_t id, int64_t series, int64_t last)
{
	const int64_t values[] = { series, last };

	store_db_bind(s->store, STORE_SQL_ID_FREE, 1, values, 2);
	store_db_bind(s->store, STORE_SQL_EARLIER_FORGET, 1, &id, 1);
	store_db_bind(s->store, STORE_SQL_COUNTER_FORGET, 1, &id, 1);
	if (store_db_run(s->store, STORE_SQL_ID_FREE, s->err) == -1 ||
	    store_db_run(s->store, STORE_SQL_EARLIER_FORGET, s->err) == -1)
		return -1;
	return store_db_run(s->store, STORE_SQL_COUNTER_FORGET, s->err);
}

/* Frees ids that have no records and stand for nobody any more: a slice of the ids each time. */
static int free_ids(struct sweep *s)
{
	sqlite3_stmt *row = store_db_sql(s->store, STORE_SQL_IDS_IDLE);
	const int64_t slice[] = { s->store->idle_from, s->store->idle_from + s->most, s->meta.oldest };
	int64_t       found[IDLE_MOST][3];
	int           count = 0;
	int           got = 0;

	store_db_bind(s->store, STORE_SQL_IDS_IDLE, 1, slice, 3);
	while (count < IDLE_MOST && (got = store_db_step(s->store, STORE_SQL_IDS_IDLE, s->err)) == 1) {
		int64_t id = sqlite3_column_int64(row, 0);

		if (sqlite3_column_int(row, 1) == STORE_PEER && store_series_present(s->store, id))
			continue;
		found[count][0] = id;
		found[count][1] = sqlite3_column_int64(row, 2);
		found[count][2] = sqlite3_column_int64(row, 3);
		count++;
	}
	if (got == -1)
		return -1;
	store_db_reset(s->store, STORE_SQL_IDS_IDLE);
	for (int i = 0; i < count; i++)
		if (free_id(s, found[i][0], found[i][1], found[i][2]) == -1)
			return -1;
	if (count > 0)
		s->store->ids_known = false;
	if (count < IDLE_MOST)
		s->store->idle_from = slice[1] < STORE_IDS ? slice[1] : 0;
	else
		s->more = true;
	return 0;
}

/* Forgets who has neither an id nor a sum: a slice of the series each time. */
static int forget_series(struct sweep *s)
{
	int64_t       up_to = s->meta.oldest_hours < s->meta.oldest_days ? s->meta.oldest_hours :
	                                                                   s->meta.oldest_days;
	const int64_t slice[] = { s->store->series_from, s->store->series_from + s->most, up_to };

	store_db_bind(s->store, STORE_SQL_SERIES_DELETE, 1, slice, 3);
	if (store_db_run(s->store, STORE_SQL_SERIES_DELETE, s->err) == -1 ||
	    store_db_step(s->store, STORE_SQL_SERIES_LAST, s->err) == -1)
		return -1;

	int64_t last = sqlite3_column_int64(store_db_sql(s->store, STORE_SQL_SERIES_LAST), 0);

	store_db_reset(s->store, STORE_SQL_SERIES_LAST);
	s->store->series_from = slice[1] <= last ? slice[1] : 0;
	return 0;
}

static int sweep_all(struct sweep *s)
{
	store_label_hold(s->store, s->clock_s, &s->meta);
	if (fold(s) == -1)
		return -1;
	if (may_delete(s) &&
	    (delete_records(s) == -1 ||
	     delete_sums(s, STORE_SQL_HOURS_CUT, STORE_SQL_HOURS_DELETE, STORE_HOUR_S, STORE_HOURS_KEPT_S,
	                 &s->meta.oldest_hours) == -1 ||
	     delete_sums(s, STORE_SQL_DAYS_CUT, STORE_SQL_DAYS_DELETE, STORE_DAY_S,
	                 (int64_t)s->store->options.rollup_retention_s, &s->meta.oldest_days) == -1))
		return -1;
	if (free_ids(s) == -1 || forget_series(s) == -1)
		return -1;
	if (memcmp(&s->meta, &s->store->meta, sizeof s->meta) == 0)
		return 0;
	return store_db_meta_write(s->store, &s->meta, s->err);
}

int store_sweep(struct store *store, int64_t now_unix_ms, size_t most, struct tg_error *err)
{
	struct sweep s = { .store = store, .err = err, .meta = store->meta, .most = (int64_t)most,
	                   .clock_s = store_label_clock(now_unix_ms) };

	assert(most > 0);
	if (s.clock_s >= STORE_TIME_MOST)
		return 0;
	if (store_db_begin(store, err) == -1)
		return -1;
	if (sweep_all(&s) == -1 || store_db_commit(store, err) == -1) {
		store_db_rollback(store);
		return -1;
	}
	/* No label is given again in an hour whose sum is complete. */
	if (s.meta.newest > store->meta.newest)
		store->sealed = s.meta.newest;
	store->meta = s.meta;
	store->clock_s = s.clock_s;
	return s.more ? 1 : 0;
}
