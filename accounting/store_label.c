#include "accounting/store_label.h"

#include "accounting/store_db.h"

int64_t store_label_clock(int64_t now_unix_ms)
{
	int64_t clock_s = now_unix_ms / 1000;

	return now_unix_ms % 1000 < 0 ? clock_s - 1 : clock_s;
}

/* Whether a sample of this moment belongs to the newest record.  A label that ran ahead of the clock
 * is closed by the end of the second it was given in, and lasts when the clock catches up with it. */
static bool newest_is_open(const struct store *store, int64_t clock_s)
{
	int64_t newest = store->meta.newest;

	return newest > store->sealed && (clock_s == store->labelled_at_s || clock_s == newest);
}

int64_t store_label_next(const struct store *store, int64_t clock_s)
{
	if (clock_s > store->meta.newest)
		return clock_s;
	if (newest_is_open(store, clock_s))
		return store->meta.newest;
	return store->meta.newest + 1;
}

void store_label_used(struct store *store, int64_t clock_s, int64_t label)
{
	if (label > store->meta.newest)
		store->labelled_at_s = clock_s;
	store->meta.newest = label;
}

int64_t store_label_visible(struct store *store, int64_t clock_s)
{
	if (newest_is_open(store, clock_s))
		return store->meta.newest - 1;
	store->sealed = store->meta.newest;
	return store->meta.newest;
}

void store_label_hold(const struct store *store, int64_t clock_s, struct store_meta *meta)
{
	int64_t before = store->clock_s != 0 ? store->clock_s : meta->newest;

	if (before != 0 && clock_s - before > STORE_JUMP_S && clock_s >= meta->held_until)
		meta->held_until = clock_s + (int64_t)store->options.retention_s;
}
