#include "accounting/traffic.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/store_db.h"
#include "accounting/store_label.h"
#include "accounting/traffic_answer.h"
#include "base/clock.h"
#include "base/error.h"

/* Work of one traffic_read(), so that a commit does not wait long for its turn: a piece of text is one,
 * a read of the database some hundred. */
#define WORK	  4096
#define WORK_READ 256

static int64_t oldest_time(const struct store *store, enum traffic_resolution resolution)
{
	switch (resolution) {
	case TRAFFIC_RECORDS:
		return store->meta.oldest;
	case TRAFFIC_HOURS:
		return store->meta.oldest_hours;
	case TRAFFIC_DAYS:
		return store->meta.oldest_days;
	}
	return 0;
}

/* The newest time that an answer may hold. */
static int64_t newest_time(struct store *store, const struct traffic_query *query, int64_t clock_s)
{
	int64_t newest = query->resolution == TRAFFIC_RECORDS ?
		store_label_visible(store, clock_s) :
		store->meta.closed - traffic_table(query->resolution)->unit_s;

	return newest < query->until_unix_s ? newest : query->until_unix_s;
}

/* One integer of a statement with two bounds: 1, or 0 when it is NULL or there is no row. */
static int read_bounded(struct store *store, enum store_sql which, int64_t from, int64_t to, int64_t *value,
                        struct tg_error *err)
{
	const int64_t bounds[] = { from, to };

	store_db_bind(store, which, 1, bounds, 2);

	int got = store_db_step(store, which, err);

	if (got != 1)
		return got;

	bool any = sqlite3_column_type(store_db_sql(store, which), 0) != SQLITE_NULL;

	*value = sqlite3_column_int64(store_db_sql(store, which), 0);
	store_db_reset(store, which);
	return any;
}

/* Finds the first and the last label of sums between `first` and `last`: their times may be far from
 * what was asked for. */
static int find_sums(struct traffic *t, int64_t first, int64_t last, struct tg_error *err)
{
	bool           hours = t->query.resolution == TRAFFIC_HOURS;
	enum store_sql newest = hours ? STORE_SQL_HOURS_NEWEST : STORE_SQL_DAYS_NEWEST;
	int64_t        from = first << STORE_SERIES_BITS;
	int64_t        to = last << STORE_SERIES_BITS | STORE_SERIES_MASK;
	int            got = read_bounded(t->store, newest, from, to + 1, &last, err);

	if (got != 1)
		return got;
	got = read_bounded(t->store, t->table->scan, from, to, &first, err);
	t->scan.index.first = first >> STORE_SERIES_BITS;
	t->scan.index.last = last >> STORE_SERIES_BITS;
	t->stop = t->scan.index.last * t->table->unit_s;
	return got;
}

static int find_span(struct traffic *t, int64_t newest, struct tg_error *err)
{
	int64_t unit_s = t->table->unit_s;
	int64_t first = t->floor < 0 ? 0 : t->floor / unit_s + 1;
	int64_t last = newest / unit_s;

	t->stop = t->query.since_unix_s;
	t->scan.index.first = 0;
	t->scan.index.last = -1;
	if (newest < 0 || first > last)
		return 0;
	if (t->query.resolution != TRAFFIC_RECORDS)
		return find_sums(t, first, last, err);

	int got = read_bounded(t->store, STORE_SQL_TIMES_NEWEST, first - 1, last, &last, err);

	if (got == 1) {
		t->scan.index.first = first;
		t->scan.index.last = last;
		t->stop = last;
	}
	return got;
}

/* How many are read together: their rows, all times of each, must fit in what is kept. */
static int block_size(struct traffic *t, struct tg_error *err)
{
	int64_t times = traffic_scan_times(&t->scan, TRAFFIC_ROWS + 1, err);

	if (times == -1)
		return -1;

	int64_t most = times == 0 ? TRAFFIC_BLOCK : TRAFFIC_ROWS / times;

	t->block_most = most > TRAFFIC_BLOCK ? TRAFFIC_BLOCK : most < 1 ? 1 : (int)most;
	return 0;
}

static int prepare(struct traffic *t, int64_t now_unix_ms, struct tg_error *err)
{
	int64_t clock_s = store_label_clock(now_unix_ms);

	if (find_span(t, newest_time(t->store, &t->query, clock_s), err) == -1)
		return -1;
	/* Large, but only what is used becomes real memory. */
	if (t->query.format != TRAFFIC_JSON) {
		t->names = calloc(TRAFFIC_NAMES, sizeof *t->names);
		return t->names == NULL ? tg_fail_memory(err) : 0;
	}
	t->kept = calloc(TRAFFIC_ROWS, sizeof *t->kept);
	if (t->kept == NULL)
		return tg_fail_memory(err);
	return block_size(t, err);
}

enum traffic_result traffic_open(struct store *store, const struct traffic_query *query, int64_t now_unix_ms,
                                 struct traffic **to, struct tg_error *err)
{
	int64_t oldest = oldest_time(store, query->resolution);

	*to = NULL;
	if (query->ledger[0] != '\0' && strcmp(query->ledger, store->ledger) != 0) {
		tg_fail(err, TG_CODE_INVALID, "the ledger is %s", store->ledger);
		return TRAFFIC_CONFLICT;
	}
	if (query->ledger[0] != '\0' && query->since_unix_s < oldest) {
		tg_fail(err, TG_CODE_NOT_FOUND, "records up to %lld may be deleted", (long long)oldest);
		return TRAFFIC_GONE;
	}

	struct traffic *t = calloc(1, sizeof *t);

	if (t == NULL) {
		tg_fail_memory(err);
		return TRAFFIC_FAILED;
	}
	t->store = store;
	t->query = *query;
	t->oldest = oldest;
	t->floor = query->since_unix_s > oldest ? query->since_unix_s : oldest;
	t->table = traffic_table(query->resolution);
	t->scan = (struct traffic_scan){ .store = store, .table = t->table };
	if (store->pins++ == 0)
		store->pinned_until_ms = tg_clock_ms() + STORE_PIN_MS;
	if (prepare(t, now_unix_ms, err) == -1) {
		traffic_close(t);
		return TRAFFIC_FAILED;
	}
	*to = t;
	return TRAFFIC_OK;
}

int64_t traffic_stop_time(const struct traffic *traffic)
{
	return traffic->stop;
}

/* Whether the next step does. */
static bool reads_database(const struct traffic *t)
{
	switch (t->state) {
	case TRAFFIC_LOAD:
	case TRAFFIC_SCAN:
		return true;
	case TRAFFIC_LINES:
		return t->rows_at == t->rows_count;
	case TRAFFIC_HEAD:
	case TRAFFIC_EMIT:
	case TRAFFIC_END:
		break;
	}
	return false;
}

long traffic_read(struct traffic *t, char *to, size_t size, struct tg_error *err)
{
	struct traffic_text text = { .to = to, .size = size };

	assert(size >= 4096);
	if (oldest_time(t->store, t->query.resolution) > t->floor)
		return tg_fail(err, TG_CODE_NOT_FOUND,
		               "records were deleted while they were read: ask again");
	for (int work = 0; t->state != TRAFFIC_END && size - text.len >= TRAFFIC_PIECE_MOST;) {
		if (work >= WORK && (text.len > 0 || t->query.format == TRAFFIC_JSON))
			break;
		work += reads_database(t) ? WORK_READ : 1;

		int result = t->query.format == TRAFFIC_JSON ? traffic_json_step(t, &text, err) :
		                                               traffic_lines_step(t, &text, err);

		if (result == -1)
			return -1;
	}
	/* Nothing is the end: while there is nothing to say yet, a space changes no JSON. */
	if (text.len == 0 && t->state != TRAFFIC_END)
		traffic_text_put(&text, " ");
	return (long)text.len;
}

void traffic_close(struct traffic *traffic)
{
	if (traffic == NULL)
		return;
	traffic->store->pins--;
	traffic_scan_clear(&traffic->scan);
	free(traffic->kept);
	free(traffic->names);
	free(traffic);
}
