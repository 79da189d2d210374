#include "accounting/store_series.h"

#include <string.h>

#include "base/error.h"

#define EPOCH_BYTES ((int)offsetof(struct msg_epoch, zero))

/* SQLite gives back what was stored there; another length means that the file is damaged. */
static int baseline_read(sqlite3_stmt *row, struct store_baseline *to, struct tg_error *err)
{
	to->id = sqlite3_column_type(row, 1) == SQLITE_NULL ? -1 : sqlite3_column_int64(row, 1);
	to->known = sqlite3_column_type(row, 2) != SQLITE_NULL;
	to->rx = sqlite3_column_int64(row, 3);
	to->tx = sqlite3_column_int64(row, 4);
	memset(&to->epoch, 0, sizeof to->epoch);
	if (to->id < -1 || to->id >= STORE_IDS || (to->known && sqlite3_column_bytes(row, 2) != EPOCH_BYTES))
		return tg_fail(err, TG_CODE_INVALID, "the traffic database is damaged (a counter)");
	if (to->known)
		memcpy(&to->epoch, sqlite3_column_blob(row, 2), (size_t)EPOCH_BYTES);
	return 0;
}

static int ids_read(struct store *store, struct tg_error *err)
{
	int got;

	memset(store->used, 0, sizeof store->used);
	store->ids_count = 0;
	while ((got = store_db_step(store, STORE_SQL_IDS_READ, err)) == 1) {
		int64_t id = sqlite3_column_int64(store_db_sql(store, STORE_SQL_IDS_READ), 0);

		if (id >= 0 && id < STORE_IDS && !store_bit(store->used, id)) {
			store_bit_set(store->used, id);
			store->ids_count++;
		}
	}
	store->ids_known = got == 0;
	return got;
}

/* Ids are given out in turn, so that one that became free is not used again at once. */
static int64_t id_take(struct store *store, struct tg_error *err)
{
	if (!store->ids_known && ids_read(store, err) == -1)
		return -1;
	if (store->ids_count == STORE_IDS)
		return tg_fail(err, TG_CODE_LIMIT,
		               "%d peers and hosts have traffic records: there is room for no more",
		               STORE_IDS);
	while (store_bit(store->used, store->ids_next))
		store->ids_next = (store->ids_next + 1) % STORE_IDS;
	store_bit_set(store->used, store->ids_next);
	store->ids_count++;
	return store->ids_next;
}

static void name_bind(sqlite3_stmt *statement, const struct store_name *name)
{
	sqlite3_bind_blob(statement, 1, name->network->bytes, TG_KEY_BYTES, SQLITE_STATIC);
	sqlite3_bind_int(statement, 2, (int)name->kind);
	sqlite3_bind_blob(statement, 3, name->name, (int)name->bytes, SQLITE_STATIC);
}

static int series_add(struct store *store, const struct store_name *name, int64_t id, struct tg_error *err)
{
	name_bind(store_db_sql(store, STORE_SQL_SERIES_ADD), name);
	store_db_bind(store, STORE_SQL_SERIES_ADD, 4, &id, 1);
	return store_db_run(store, STORE_SQL_SERIES_ADD, err);
}

int store_series_enter(struct store *store, const struct store_name *name, struct store_baseline *to,
                       struct tg_error *err)
{
	int64_t series = -1;
	int     result = 0;

	memset(to, 0, sizeof *to);
	to->id = -1;
	name_bind(store_db_sql(store, STORE_SQL_SERIES_FIND), name);

	int got = store_db_step(store, STORE_SQL_SERIES_FIND, err);

	if (got == -1)
		return -1;
	if (got == 1) {
		series = sqlite3_column_int64(store_db_sql(store, STORE_SQL_SERIES_FIND), 0);
		result = baseline_read(store_db_sql(store, STORE_SQL_SERIES_FIND), to, err);
		store_db_reset(store, STORE_SQL_SERIES_FIND);
	}
	if (result == -1 || to->id != -1)
		return result;

	to->id = id_take(store, err);
	if (to->id == -1)
		return -1;
	if (series == -1)
		return series_add(store, name, to->id, err);

	const int64_t values[] = { series, to->id };

	store_db_bind(store, STORE_SQL_SERIES_SET_ID, 1, values, 2);
	return store_db_run(store, STORE_SQL_SERIES_SET_ID, err);
}

int store_series_set_baseline(struct store *store, const struct store_baseline *baseline, int64_t last,
                              struct tg_error *err)
{
	const int64_t values[] = { baseline->id, baseline->rx, baseline->tx, last };

	store_db_bind(store, STORE_SQL_COUNTER_SET, 1, values, 4);
	sqlite3_bind_blob(store_db_sql(store, STORE_SQL_COUNTER_SET), 5, &baseline->epoch, EPOCH_BYTES,
	                  SQLITE_STATIC);
	return store_db_run(store, STORE_SQL_COUNTER_SET, err);
}

static bool epoch_none(const struct msg_epoch *epoch)
{
	static const struct msg_epoch none;

	return memcmp(epoch, &none, (size_t)EPOCH_BYTES) == 0;
}

int store_series_turn(struct store *store, struct store_baseline *baseline, const struct msg_epoch *to,
                      struct tg_error *err)
{
	sqlite3_stmt *find = store_db_sql(store, STORE_SQL_EARLIER_FIND);
	sqlite3_stmt *set = store_db_sql(store, STORE_SQL_EARLIER_SET);
	const int64_t left[] = { baseline->id, baseline->rx, baseline->tx };
	const int64_t most[] = { baseline->id, STORE_EARLIER_MOST };
	int64_t       taken[2] = { 0, 0 };

	sqlite3_bind_int64(find, 1, baseline->id);
	sqlite3_bind_blob(find, 2, to, EPOCH_BYTES, SQLITE_STATIC);

	int found = store_db_step(store, STORE_SQL_EARLIER_FIND, err);

	if (found == -1)
		return -1;
	if (found == 1) {
		taken[0] = sqlite3_column_int64(find, 0);
		taken[1] = sqlite3_column_int64(find, 1);
		store_db_reset(store, STORE_SQL_EARLIER_FIND);
	}
	/* An interface to come has no counters: those before it may be heard of again. */
	if (!epoch_none(&baseline->epoch)) {
		store_db_bind(store, STORE_SQL_EARLIER_SET, 1, left, 3);
		sqlite3_bind_blob(set, 4, &baseline->epoch, EPOCH_BYTES, SQLITE_STATIC);
		store_db_bind(store, STORE_SQL_EARLIER_PRUNE, 1, most, 2);
		if (store_db_run(store, STORE_SQL_EARLIER_SET, err) == -1 ||
		    store_db_run(store, STORE_SQL_EARLIER_PRUNE, err) == -1)
			return -1;
	}
	if (found == 0)
		return 0;
	baseline->epoch = *to;
	baseline->rx = taken[0];
	baseline->tx = taken[1];
	return 1;
}

void store_series_seen(struct store *store, int64_t id, uint64_t now_ms)
{
	if (now_ms - store->seen_since_ms >= STORE_ABSENT_MS) {
		memcpy(store->seen[1], store->seen[0], sizeof store->seen[1]);
		memset(store->seen[0], 0, sizeof store->seen[0]);
		store->seen_since_ms = now_ms;
		store->seen_whole = true;
	}
	store_bit_set(store->seen[0], id);
}

bool store_series_present(const struct store *store, int64_t id)
{
	return !store->seen_whole || store_bit(store->seen[0], id) || store_bit(store->seen[1], id);
}
