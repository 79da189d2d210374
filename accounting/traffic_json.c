#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/traffic_answer.h"
#include "base/error.h"

#define NONE UINT32_MAX

static void put_head(struct traffic *t, struct traffic_text *text)
{
	traffic_text_put(text, "{\"ledger\":\"");
	traffic_text_put(text, t->store->ledger);
	traffic_text_put(text, "\",\"start_time\":");
	traffic_text_number(text, t->query.since_unix_s);
	traffic_text_put(text, ",\"stop_time\":");
	traffic_text_number(text, t->stop);
	traffic_text_put(text, ",\"oldest_time\":");
	traffic_text_number(text, t->oldest);
	traffic_text_put(text, ",\"networks\":{");
}

static void network_open(struct traffic *t, const struct tg_key *network, struct traffic_text *text)
{
	char key[TG_KEY_TEXT];

	traffic_text_put(text, t->networks_any ? ",\"" : "\"");
	traffic_text_put(text, tg_key_print(network, key));
	traffic_text_put(text, "\":{\"devices\":{");
	t->networks_any = true;
	t->network_open = true;
	t->network = *network;
	t->section = STORE_PEER;
	t->section_any = false;
	memset(&t->network_sum, 0, sizeof t->network_sum);
}

static void section_next(struct traffic *t, struct traffic_text *text)
{
	traffic_text_put(text, "},\"hosts\":{");
	t->section = STORE_HOST;
	t->section_any = false;
}

static void network_close(struct traffic *t, struct traffic_text *text)
{
	if (!t->network_open)
		return;
	if (t->section == STORE_PEER)
		section_next(t, text);
	traffic_text_put(text, "},\"traffic\":");
	traffic_text_sum(text, &t->network_sum, STORE_PEER);
	traffic_text_put(text, "}");
	traffic_sum_add(&t->sum, t->network_sum.rx, t->network_sum.tx, 0);
	t->network_open = false;
}

static void entity_open(struct traffic *t, const struct traffic_who *who, struct traffic_text *text)
{
	if (t->network_open && !tg_key_equal(&t->network, &who->network))
		network_close(t, text);
	if (!t->network_open)
		network_open(t, &who->network, text);
	if (t->section != who->kind)
		section_next(t, text);
	if (t->section_any)
		traffic_text_put(text, ",");
	traffic_text_json(text, who->name, who->name_bytes);
	traffic_text_put(text, ":{\"times\":{");
	t->section_any = true;
	t->entity_open = true;
	t->entity_has_rows = false;
	memset(&t->entity_sum, 0, sizeof t->entity_sum);
}

static void entity_close(struct traffic *t, const struct traffic_who *who, struct traffic_text *text)
{
	traffic_text_put(text, "},\"traffic\":");
	traffic_text_sum(text, &t->entity_sum, who->kind);
	traffic_text_put(text, "}");
	if (who->kind == STORE_PEER)
		traffic_sum_add(&t->network_sum, t->entity_sum.rx, t->entity_sum.tx, 0);
	t->entity_open = false;
}

static void put_row(struct traffic *t, const struct traffic_who *who, const struct traffic_row *row,
                    struct traffic_text *text)
{
	struct traffic_sum sum = { row->rx, row->tx, row->connections };

	traffic_text_put(text, t->entity_has_rows ? ",\"" : "\"");
	traffic_text_number(text, row->time);
	traffic_text_put(text, "\":");
	traffic_text_sum(text, &sum, who->kind);
	traffic_sum_add(&t->entity_sum, row->rx, row->tx, row->connections);
	t->entity_has_rows = true;
}

static int compare_ids(const void *a, const void *b, void *arg)
{
	const struct traffic *t = arg;
	int64_t               left = t->entities[*(const int *)a].who.id;
	int64_t               right = t->entities[*(const int *)b].who.id;

	return left < right ? -1 : left > right;
}

static int block_scan_begin(struct traffic *t, struct tg_error *err)
{
	for (int i = 0; i < t->entities_count; i++)
		t->by_id[i] = i;
	qsort_r(t->by_id, (size_t)t->entities_count, sizeof *t->by_id, compare_ids, t);
	traffic_scan_forget(&t->scan);
	for (int i = 0; i < t->entities_count; i++)
		if (traffic_scan_want(&t->scan, t->entities[t->by_id[i]].who.id, err) == -1)
			return -1;
	traffic_scan_rewind(&t->scan);
	t->kept_count = 0;
	t->at_entity = 0;
	t->state = TRAFFIC_SCAN;
	return 0;
}

/* Begins behind the last name: all of the table is sorted by network, kind, name. */
static void block_bind(struct traffic *t, sqlite3_stmt *statement, struct tg_key *peer)
{
	const void *name = "";
	int         bytes = 0;

	if (t->after_any && t->after.kind == STORE_HOST) {
		name = t->after.name;
		bytes = (int)t->after.name_bytes;
	} else if (t->after_any && tg_key_read(t->after.name, t->after.name_bytes, peer)) {
		name = peer->bytes;
		bytes = TG_KEY_BYTES;
	}
	if (!t->after_any && !t->query.has_network)
		sqlite3_bind_blob(statement, 1, "", 0, SQLITE_STATIC);
	else
		sqlite3_bind_blob(statement, 1,
		                  t->after_any ? t->after.network.bytes : t->query.network.bytes,
		                  TG_KEY_BYTES, SQLITE_STATIC);
	sqlite3_bind_int(statement, 2, t->after_any ? (int)t->after.kind : -1);
	sqlite3_bind_blob(statement, 3, name, bytes, SQLITE_STATIC);
	sqlite3_bind_int(statement, 4, t->block_most);
}

static int block_load(struct traffic *t, struct traffic_text *text, struct tg_error *err)
{
	sqlite3_stmt      *row = store_db_sql(t->store, t->table->block);
	struct traffic_who after = { .id = -1 };	/* t->after is bound until the last row is read */
	struct tg_key      peer;
	int                rows = 0;
	int                got;

	t->entities_count = 0;
	block_bind(t, row, &peer);
	while ((got = store_db_step(t->store, t->table->block, err)) == 1) {
		struct traffic_entity *entity = &t->entities[t->entities_count];

		if (traffic_who_read(row, 1, &entity->who) == -1) {
			store_db_reset(t->store, t->table->block);
			return tg_fail(err, TG_CODE_INVALID, "the traffic database is damaged (a name)");
		}
		if (t->query.has_network && !tg_key_equal(&entity->who.network, &t->query.network)) {
			store_db_reset(t->store, t->table->block);
			break;
		}
		rows++;
		after = entity->who;
		if (sqlite3_column_type(row, 0) == SQLITE_NULL)
			continue;	/* sums are all that is left of it */
		entity->who.id = sqlite3_column_int64(row, 0);
		entity->first = NONE;
		t->entities_count++;
	}
	if (got == -1)
		return -1;
	if (rows > 0) {
		t->after = after;
		t->after_any = true;
		return block_scan_begin(t, err);
	}
	network_close(t, text);
	traffic_text_put(text, "},\"traffic\":");
	traffic_text_sum(text, &t->sum, STORE_PEER);
	traffic_text_put(text, "}\n");
	t->state = TRAFFIC_END;
	return 0;
}

static struct traffic_entity *entity_find(struct traffic *t, int64_t id)
{
	int from = 0;
	int to = t->entities_count;

	while (from < to) {
		int                    middle = (from + to) / 2;
		struct traffic_entity *entity = &t->entities[t->by_id[middle]];

		if (entity->who.id == id)
			return entity;
		if (entity->who.id < id)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

static void keep_row(struct traffic *t, const struct traffic_row *row)
{
	struct traffic_entity *entity = entity_find(t, row->id);

	if (entity == NULL)
		return;		/* a neighbour, read in passing */
	assert(t->kept_count < TRAFFIC_ROWS);
	t->kept[t->kept_count] = (struct traffic_kept){ *row, NONE };
	if (entity->first == NONE)
		entity->first = t->kept_count;
	else
		t->kept[entity->last].next = t->kept_count;
	entity->last = t->kept_count++;
}

/* Reads until all times were seen, or there is no more room: only a block of one comes so far, and
 * its rows are printed in several parts. */
static int block_scan(struct traffic *t, struct tg_error *err)
{
	size_t room = TRAFFIC_ROWS - t->kept_count;
	size_t count;
	size_t most = room < TRAFFIC_SLICE ? room : TRAFFIC_SLICE;
	int    got = traffic_scan_read(&t->scan, t->rows, most, &count, err);

	if (got == -1)
		return -1;
	for (size_t i = 0; i < count; i++)
		keep_row(t, &t->rows[i]);
	t->scan_ends = got == 0;
	if (got == 0 || t->kept_count == TRAFFIC_ROWS)
		t->state = TRAFFIC_EMIT;
	return 0;
}

static int entity_emit(struct traffic *t, struct traffic_text *text)
{
	struct traffic_entity *entity = &t->entities[t->at_entity];

	if (!t->entity_open && entity->first != NONE) {
		entity_open(t, &entity->who, text);
		return 0;
	}
	if (entity->first != NONE) {
		put_row(t, &entity->who, &t->kept[entity->first].row, text);
		entity->first = t->kept[entity->first].next;
		return 0;
	}
	if (!t->scan_ends)
		return 1;
	if (t->entity_open)
		entity_close(t, &entity->who, text);
	t->at_entity++;
	return 0;
}

static void block_emit(struct traffic *t, struct traffic_text *text)
{
	if (t->at_entity == t->entities_count) {
		t->state = TRAFFIC_LOAD;
	} else if (entity_emit(t, text) == 1) {
		t->kept_count = 0;
		t->state = TRAFFIC_SCAN;
	}
}

int traffic_json_step(struct traffic *t, struct traffic_text *text, struct tg_error *err)
{
	switch (t->state) {
	case TRAFFIC_HEAD:
		put_head(t, text);
		t->state = TRAFFIC_LOAD;
		return 0;
	case TRAFFIC_LOAD:
		return block_load(t, text, err);
	case TRAFFIC_SCAN:
		return block_scan(t, err);
	case TRAFFIC_EMIT:
		block_emit(t, text);
		return 0;
	case TRAFFIC_LINES:
	case TRAFFIC_END:
		break;
	}
	return 0;
}
