#include "accounting/traffic_answer.h"
#include "base/error.h"

/* The name of an id, from the cache or the database.  NULL: see `err`. */
static const struct traffic_who *name_find(struct traffic *t, int64_t id, struct tg_error *err)
{
	struct traffic_who *who = &t->names[id & (TRAFFIC_NAMES - 1)];
	sqlite3_stmt       *row = store_db_sql(t->store, t->table->by_id);
	int                 result = -1;

	if (who->id == id && who->name_bytes != 0)
		return who;
	who->name_bytes = 0;
	store_db_bind(t->store, t->table->by_id, 1, &id, 1);

	int got = store_db_step(t->store, t->table->by_id, err);

	if (got == -1)
		return NULL;
	if (got == 1) {
		result = traffic_who_read(row, 0, who);
		store_db_reset(t->store, t->table->by_id);
	}
	if (result == -1) {
		tg_fail(err, TG_CODE_INVALID, "the traffic database is damaged (a name)");
		return NULL;
	}
	who->id = id;
	return who;
}

static int put_line(struct traffic *t, const struct traffic_row *row, struct traffic_text *text,
                    struct tg_error *err)
{
	const struct traffic_who *who = name_find(t, row->id, err);
	struct traffic_sum        sum = { row->rx, row->tx, row->connections };

	if (who == NULL)
		return -1;
	if (t->query.has_network && !tg_key_equal(&who->network, &t->query.network))
		return 0;	/* a neighbour, read in passing */
	if (t->query.format == TRAFFIC_CSV)
		traffic_text_csv(text, row->time, who, &sum);
	else
		traffic_text_ndjson(text, row->time, who, &sum);
	return 0;
}

static int want_network(struct traffic *t, struct tg_error *err)
{
	sqlite3_stmt *row = store_db_sql(t->store, t->table->of_network);
	int           got;

	sqlite3_bind_blob(row, 1, t->query.network.bytes, TG_KEY_BYTES, SQLITE_STATIC);
	while ((got = store_db_step(t->store, t->table->of_network, err)) == 1)
		if (traffic_scan_want(&t->scan, sqlite3_column_int64(row, 0), err) == -1) {
			store_db_reset(t->store, t->table->of_network);
			return -1;
		}
	return got;
}

static int lines_begin(struct traffic *t, struct traffic_text *text, struct tg_error *err)
{
	int result = t->query.has_network ? want_network(t, err) : traffic_scan_want_all(&t->scan, err);

	if (result == -1)
		return -1;
	traffic_scan_rewind(&t->scan);
	if (t->query.format == TRAFFIC_CSV)
		traffic_text_put(text, "time,network,kind,id,rx,tx,connections\n");
	t->state = TRAFFIC_LINES;
	return 0;
}

static int lines_next(struct traffic *t, struct traffic_text *text, struct tg_error *err)
{
	if (t->rows_at < t->rows_count)
		return put_line(t, &t->rows[t->rows_at++], text, err);
	if (t->scan_ends) {
		t->state = TRAFFIC_END;
		return 0;
	}

	int got = traffic_scan_read(&t->scan, t->rows, TRAFFIC_SLICE, &t->rows_count, err);

	if (got == -1)
		return -1;
	t->scan_ends = got == 0;
	t->rows_at = 0;
	return 0;
}

int traffic_lines_step(struct traffic *t, struct traffic_text *text, struct tg_error *err)
{
	switch (t->state) {
	case TRAFFIC_HEAD:
		return lines_begin(t, text, err);
	case TRAFFIC_LINES:
		return lines_next(t, text, err);
	case TRAFFIC_LOAD:
	case TRAFFIC_SCAN:
	case TRAFFIC_EMIT:
	case TRAFFIC_END:
		break;
	}
	return 0;
}
