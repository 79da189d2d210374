#include <assert.h>
#include <string.h>

#include "accounting/store.h"
#include "accounting/store_db.h"
#include "accounting/store_label.h"
#include "accounting/store_series.h"
#include "base/clock.h"
#include "base/error.h"

/* One store_commit(). */
struct commit {
	struct store         *store;
	struct store_outcome *outcome;
	struct tg_error      *err;
	int64_t               label;
	bool                  labelled;	/* there is a record */
	uint64_t              now_ms;
	/* The segment of the last host: they come one segment behind the other. */
	const char           *segment_name;
	int64_t               segment;
	bool                  segment_done;
};

struct delta {
	int64_t rx;
	int64_t tx;
	int64_t connections;
};

static int64_t saturated(uint64_t value)
{
	return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static int record_add(struct commit *c, int64_t id, const struct delta *delta)
{
	const int64_t values[] = { store_key(c->label, id), delta->rx, delta->tx, delta->connections };

	if (!c->labelled) {
		store_db_bind(c->store, STORE_SQL_TIME_ADD, 1, &c->label, 1);
		if (store_db_run(c->store, STORE_SQL_TIME_ADD, c->err) == -1)
			return -1;
		c->labelled = true;
	}
	store_db_bind(c->store, STORE_SQL_RECORD_ADD, 1, values, 4);
	return store_db_run(c->store, STORE_SQL_RECORD_ADD, c->err);
}

static bool epoch_equal(const struct msg_epoch *a, const struct msg_epoch *b)
{
	return memcmp(a->boot_id, b->boot_id, sizeof a->boot_id) == 0 && a->netns_cookie == b->netns_cookie &&
	       a->ifindex == b->ifindex;
}

static int commit_reading(struct commit *c, const struct msg_reading *reading)
{
	struct store_name     name = { &reading->network, STORE_PEER, reading->peer.bytes, TG_KEY_BYTES };
	struct store_baseline base;
	struct delta          delta = { 0, 0, 0 };
	int64_t               rx = saturated(reading->rx);
	int64_t               tx = saturated(reading->tx);

	if (store_series_enter(c->store, &name, &base, c->err) == -1)
		return -1;
	store_series_seen(c->store, base.id, c->now_ms);

	bool same = base.known && epoch_equal(&base.epoch, &reading->epoch);

	if (same && base.rx == rx && base.tx == tx)
		return 0;
	if (base.known && !same) {
		int turned = store_series_turn(c->store, &base, &reading->epoch, c->err);

		if (turned == -1)
			return -1;
		same = turned == 1;
	}
	if (reading->kind == MSG_READING_COUNT && !base.known) {
		c->outcome->unknown_peers++;
	} else if (reading->kind == MSG_READING_COUNT) {
		/* Both began anew when one did. */
		bool goes_on = same && rx >= base.rx && tx >= base.tx;

		delta.rx = goes_on ? rx - base.rx : rx;
		delta.tx = goes_on ? tx - base.tx : tx;
	}

	bool counts = delta.rx != 0 || delta.tx != 0;

	if (counts && record_add(c, base.id, &delta) == -1)
		return -1;
	base.epoch = reading->epoch;
	base.rx = rx;
	base.tx = tx;
	return store_series_set_baseline(c->store, &base, counts ? c->label : 0, c->err);
}

static int set_last(struct commit *c, int64_t id, int64_t last)
{
	const int64_t values[] = { id, last };

	store_db_bind(c->store, STORE_SQL_COUNTER_LAST, 1, values, 2);
	return store_db_run(c->store, STORE_SQL_COUNTER_LAST, c->err);
}

static int commit_slot(struct commit *c, const struct store_slot *slot)
{
	size_t                bytes = strnlen(slot->host, sizeof slot->host);
	struct store_name     name = { &slot->network, STORE_HOST, slot->host, bytes };
	struct store_baseline base;
	int64_t               values[2] = { slot->slot, 0 };

	assert(slot->slot < MSG_SLOTS && bytes < sizeof slot->host);
	if (bytes == 0) {
		store_db_bind(c->store, STORE_SQL_SLOT_FORGET, 1, values, 1);
		return store_db_run(c->store, STORE_SQL_SLOT_FORGET, c->err);
	}
	if (store_series_enter(c->store, &name, &base, c->err) == -1 || set_last(c, base.id, 0) == -1)
		return -1;
	values[1] = base.id;
	store_db_bind(c->store, STORE_SQL_SLOT_SET, 1, values, 2);
	return store_db_run(c->store, STORE_SQL_SLOT_SET, c->err);
}

/* Finds the segment of that name or adds it. */
static int segment_enter(struct commit *c, const char *name)
{
	sqlite3_stmt *find = store_db_sql(c->store, STORE_SQL_SEGMENT_FIND);
	sqlite3_stmt *add = store_db_sql(c->store, STORE_SQL_SEGMENT_ADD);

	if (c->segment_name != NULL && strcmp(c->segment_name, name) == 0)
		return 0;
	c->segment_name = NULL;
	sqlite3_bind_text(find, 1, name, -1, SQLITE_STATIC);

	int got = store_db_step(c->store, STORE_SQL_SEGMENT_FIND, c->err);

	if (got == -1)
		return -1;
	if (got == 1) {
		c->segment = sqlite3_column_int64(find, 0);
		c->segment_done = sqlite3_column_int(find, 1) != 0;
		store_db_reset(c->store, STORE_SQL_SEGMENT_FIND);
	} else {
		sqlite3_bind_text(add, 1, name, -1, SQLITE_STATIC);
		if (store_db_run(c->store, STORE_SQL_SEGMENT_ADD, c->err) == -1)
			return -1;
		c->segment = sqlite3_last_insert_rowid(c->store->db);
		c->segment_done = false;
	}
	c->segment_name = name;
	return 0;
}

/* Reads what was last counted there: all 0 when nothing was. */
static int segment_count_read(struct commit *c, int64_t key, struct delta *to)
{
	sqlite3_stmt *row = store_db_sql(c->store, STORE_SQL_SEGMENT_COUNT_FIND);

	memset(to, 0, sizeof *to);
	store_db_bind(c->store, STORE_SQL_SEGMENT_COUNT_FIND, 1, &key, 1);

	int got = store_db_step(c->store, STORE_SQL_SEGMENT_COUNT_FIND, c->err);

	if (got != 1)
		return got;
	to->rx = sqlite3_column_int64(row, 0);
	to->tx = sqlite3_column_int64(row, 1);
	to->connections = sqlite3_column_int64(row, 2);
	store_db_reset(c->store, STORE_SQL_SEGMENT_COUNT_FIND);
	return 0;
}

/* The id that a slot stands for: -1 in *id when it means nothing. */
static int slot_read(struct commit *c, uint32_t slot, int64_t *id)
{
	const int64_t value = slot;

	store_db_bind(c->store, STORE_SQL_SLOT_FIND, 1, &value, 1);

	int got = store_db_step(c->store, STORE_SQL_SLOT_FIND, c->err);

	*id = got == 1 ? sqlite3_column_int64(store_db_sql(c->store, STORE_SQL_SLOT_FIND), 0) : -1;
	if (got == 1)
		store_db_reset(c->store, STORE_SQL_SLOT_FIND);
	return got == -1 ? -1 : 0;
}

static int commit_host(struct commit *c, const struct store_host *host)
{
	struct delta now = { saturated(host->count.rx), saturated(host->count.tx),
	                     saturated(host->count.connections) };
	struct delta base;
	int64_t      id;

	assert(host->slot < MSG_SLOTS);
	if (segment_enter(c, host->segment) == -1)
		return -1;
	if (c->segment_done)
		return 0;

	int64_t key = store_key(c->segment, host->slot);

	if (segment_count_read(c, key, &base) == -1)
		return -1;
	if (now.rx == base.rx && now.tx == base.tx && now.connections == base.connections)
		return 0;

	const int64_t values[] = { key, now.rx, now.tx, now.connections };

	store_db_bind(c->store, STORE_SQL_SEGMENT_COUNT_SET, 1, values, 4);
	if (store_db_run(c->store, STORE_SQL_SEGMENT_COUNT_SET, c->err) == -1 ||
	    slot_read(c, host->slot, &id) == -1)
		return -1;
	if (id == -1) {
		c->outcome->unknown_slots++;
		return 0;
	}
	if (now.rx >= base.rx && now.tx >= base.tx && now.connections >= base.connections) {
		now.rx -= base.rx;
		now.tx -= base.tx;
		now.connections -= base.connections;
	}
	if (record_add(c, id, &now) == -1)
		return -1;
	return set_last(c, id, c->label);
}

static int segment_forget_counts(struct store *store, int64_t segment, struct tg_error *err)
{
	const int64_t keys[] = { store_key(segment, 0), store_key(segment, STORE_ID_MASK) };

	store_db_bind(store, STORE_SQL_SEGMENT_COUNTS_FORGET, 1, keys, 2);
	return store_db_run(store, STORE_SQL_SEGMENT_COUNTS_FORGET, err);
}

/* The name stays: after a crash before its file was unlinked the segment comes again. */
static int commit_segment_done(struct commit *c, const char *name)
{
	const int64_t remembered = STORE_SEGMENTS_REMEMBERED;

	if (segment_enter(c, name) == -1)
		return -1;
	store_db_bind(c->store, STORE_SQL_SEGMENT_DONE, 1, &c->segment, 1);
	store_db_bind(c->store, STORE_SQL_SEGMENTS_PRUNE, 1, &remembered, 1);
	c->segment_name = NULL;
	if (store_db_run(c->store, STORE_SQL_SEGMENT_DONE, c->err) == -1 ||
	    segment_forget_counts(c->store, c->segment, c->err) == -1)
		return -1;
	return store_db_run(c->store, STORE_SQL_SEGMENTS_PRUNE, c->err);
}

static int commit_all(struct commit *c, const struct store_batch *batch)
{
	for (size_t i = 0; i < batch->slots_count; i++)
		if (commit_slot(c, &batch->slots[i]) == -1)
			return -1;
	for (size_t i = 0; i < batch->readings_count; i++)
		if (commit_reading(c, &batch->readings[i]) == -1)
			return -1;
	for (size_t i = 0; i < batch->hosts_count; i++)
		if (commit_host(c, &batch->hosts[i]) == -1)
			return -1;
	for (size_t i = 0; i < batch->segments_done_count; i++)
		if (commit_segment_done(c, batch->segments_done[i]) == -1)
			return -1;
	return 0;
}

int store_commit(struct store *store, int64_t now_unix_ms, const struct store_batch *batch,
                 struct store_outcome *outcome, struct tg_error *err)
{
	struct store_meta meta = store->meta;
	int64_t           clock_s = store_label_clock(now_unix_ms);
	struct commit     c = { .store = store, .outcome = outcome, .err = err, .now_ms = tg_clock_ms(),
	                        .label = store_label_next(store, clock_s) };

	memset(outcome, 0, sizeof *outcome);
	if (c.label >= STORE_TIME_MOST)
		return tg_fail(err, TG_CODE_INVALID,
		               "the clock shows %lld, a year after 2500: no traffic is recorded",
		               (long long)clock_s);
	if (store_db_begin(store, err) == -1)
		return -1;
	if (commit_all(&c, batch) == -1)
		goto undo;
	store_label_hold(store, clock_s, &meta);
	if (c.labelled)
		meta.newest = c.label;
	if (memcmp(&meta, &store->meta, sizeof meta) != 0 && store_db_meta_write(store, &meta, err) == -1)
		goto undo;
	if (store_db_commit(store, err) == -1)
		goto undo;
	store->meta.held_until = meta.held_until;
	store->clock_s = clock_s;
	if (c.labelled)
		store_label_used(store, clock_s, c.label);
	return 0;

undo:
	store_db_rollback(store);
	return -1;
}

static bool is_among(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

int store_segments(struct store *store, const char *const *names, size_t count, struct tg_error *err)
{
	sqlite3_stmt *row = store_db_sql(store, STORE_SQL_SEGMENTS_READ);
	int64_t       segment = 0;
	int           got;

	if (store_db_begin(store, err) == -1)
		return -1;
	for (;;) {
		store_db_bind(store, STORE_SQL_SEGMENTS_READ, 1, &segment, 1);
		got = store_db_step(store, STORE_SQL_SEGMENTS_READ, err);
		if (got != 1)
			break;
		segment = sqlite3_column_int64(row, 0);

		const char *name = (const char *)sqlite3_column_text(row, 1);
		bool        stays = name == NULL || is_among(name, names, count);

		store_db_reset(store, STORE_SQL_SEGMENTS_READ);
		if (stays)
			continue;
		store_db_bind(store, STORE_SQL_SEGMENT_FORGET, 1, &segment, 1);
		got = segment_forget_counts(store, segment, err);
		if (got == 0)
			got = store_db_run(store, STORE_SQL_SEGMENT_FORGET, err);
		if (got == -1)
			break;
	}
	if (got == 0 && store_db_commit(store, err) == 0)
		return 0;
	store_db_rollback(store);
	return -1;
}
