#include "accounting/store.h"

#include <stdlib.h>
#include <string.h>

#include "accounting/store_db.h"
#include "base/clock.h"
#include "base/error.h"

struct store *store_open(const char *path, const struct store_options *options, struct tg_error *err)
{
	struct store *store = calloc(1, sizeof *store);

	if (store == NULL) {
		tg_fail_memory(err);
		return NULL;
	}
	store->options = *options;
	if (store_db_open(store, path, err) == -1) {
		store_close(store);
		return NULL;
	}
	/* Whether an answer returned the newest record before the end of its second is not known any
	 * more: nothing is added to it. */
	store->sealed = store->meta.newest;
	store->seen_since_ms = tg_clock_ms();
	return store;
}

void store_close(struct store *store)
{
	if (store == NULL)
		return;
	store_db_close(store);
	free(store);
}

int store_slots(struct store *store, store_slot_fn *each, void *arg, struct tg_error *err)
{
	sqlite3_stmt *row = store_db_sql(store, STORE_SQL_SLOTS_READ);
	int           got;

	while ((got = store_db_step(store, STORE_SQL_SLOTS_READ, err)) == 1) {
		struct store_slot slot = { .slot = (uint32_t)sqlite3_column_int64(row, 0) };
		int               bytes = sqlite3_column_bytes(row, 2);

		if (sqlite3_column_bytes(row, 1) != TG_KEY_BYTES || bytes <= 0 || bytes >= MSG_HOST_MOST) {
			store_db_reset(store, STORE_SQL_SLOTS_READ);
			return tg_fail(err, TG_CODE_INVALID, "the traffic database is damaged (a slot)");
		}
		memcpy(slot.network.bytes, sqlite3_column_blob(row, 1), TG_KEY_BYTES);
		memcpy(slot.host, sqlite3_column_blob(row, 2), (size_t)bytes);
		each(&slot, arg);
	}
	return got;
}
