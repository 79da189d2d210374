#include "accounting/store_db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"
#include "base/fd.h"

#define VERSION	       1
#define APPLICATION    0x54676174	/* "Tgat": SQLite's application_id */
#define BUSY_MS	       2000	/* somebody reads the file with another program */
#define CHECKED_BYTES  (64 << 20) /* a larger file is checked as it is used: a full check takes too long */
#define SATURATED(column) \
	column " = CASE WHEN " column " > 9223372036854775807 - excluded." column \
	" THEN 9223372036854775807 ELSE " column " + excluded." column " END"
#define SUMMED SATURATED("rx") ", " SATURATED("tx") ", " SATURATED("connections")

static const char schema[] =
	"CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), ledger TEXT NOT NULL,"
	" newest INTEGER NOT NULL, oldest INTEGER NOT NULL, oldest_hours INTEGER NOT NULL,"
	" oldest_days INTEGER NOT NULL, folded INTEGER NOT NULL, closed INTEGER NOT NULL,"
	" held_until INTEGER NOT NULL) STRICT;"
	/* Who is counted.  id: in keys of records, NULL once there are none and it is gone. */
	"CREATE TABLE series (series INTEGER PRIMARY KEY, id INTEGER UNIQUE, network BLOB NOT NULL,"
	" kind INTEGER NOT NULL, name BLOB NOT NULL, last INTEGER NOT NULL DEFAULT 0,"
	" UNIQUE (network, kind, name)) STRICT;"
	/* The reading from which the next one counts (epoch NULL: none), and the time of the last record. */
	"CREATE TABLE counters (id INTEGER PRIMARY KEY, epoch BLOB, rx INTEGER NOT NULL, tx INTEGER NOT NULL,"
	" last INTEGER NOT NULL) STRICT;"
	/* The same of the interfaces that the peer was counted on before, the last of them with the highest
	 * rowid. */
	"CREATE TABLE earlier (id INTEGER NOT NULL, epoch BLOB NOT NULL, rx INTEGER NOT NULL,"
	" tx INTEGER NOT NULL, PRIMARY KEY (id, epoch)) STRICT;"
	"CREATE TABLE slots (slot INTEGER PRIMARY KEY, id INTEGER NOT NULL) STRICT;"
	"CREATE INDEX slots_by_id ON slots (id);"
	"CREATE TABLE segments (segment INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
	" done INTEGER NOT NULL) STRICT;"
	"CREATE TABLE segment_counts (key INTEGER PRIMARY KEY, rx INTEGER NOT NULL, tx INTEGER NOT NULL,"
	" connections INTEGER NOT NULL) STRICT;"
	"CREATE TABLE times (time INTEGER PRIMARY KEY) STRICT;"
	"CREATE TABLE records (key INTEGER PRIMARY KEY, rx INTEGER NOT NULL, tx INTEGER NOT NULL,"
	" connections INTEGER NOT NULL) STRICT;"
	"CREATE TABLE hours (key INTEGER PRIMARY KEY, rx INTEGER NOT NULL, tx INTEGER NOT NULL,"
	" connections INTEGER NOT NULL) STRICT;"
	"CREATE TABLE days (key INTEGER PRIMARY KEY, rx INTEGER NOT NULL, tx INTEGER NOT NULL,"
	" connections INTEGER NOT NULL) STRICT;";

static const char *const sqls[STORE_SQLS] = {
	[STORE_SQL_BEGIN] = "BEGIN IMMEDIATE",
	[STORE_SQL_COMMIT] = "COMMIT",
	[STORE_SQL_ROLLBACK] = "ROLLBACK",
	[STORE_SQL_META_READ] = "SELECT ledger, newest, oldest, oldest_hours, oldest_days, folded, closed,"
	                        " held_until FROM meta",
	[STORE_SQL_META_WRITE] = "UPDATE meta SET newest = ?, oldest = ?, oldest_hours = ?, oldest_days = ?,"
	                         " folded = ?, closed = ?, held_until = ?",
	[STORE_SQL_IDS_READ] = "SELECT id FROM series WHERE id IS NOT NULL",
	[STORE_SQL_SERIES_FIND] =
	        "SELECT series, s.id, epoch, rx, tx FROM series s"
	        " LEFT JOIN counters c ON c.id = s.id WHERE network = ? AND kind = ? AND name = ?",
	[STORE_SQL_SERIES_ADD] = "INSERT INTO series (network, kind, name, id) VALUES (?, ?, ?, ?)",
	[STORE_SQL_SERIES_SET_ID] = "UPDATE series SET id = ?2 WHERE series = ?1",
	[STORE_SQL_SERIES_BY_ID] = "SELECT network, kind, name FROM series WHERE id = ?",
	[STORE_SQL_SERIES_BY_NUMBER] = "SELECT network, kind, name FROM series WHERE series = ?",
	[STORE_SQL_COUNTER_SET] =
	        "INSERT INTO counters (id, epoch, rx, tx, last) VALUES (?1, ?5, ?2, ?3, ?4)"
	        " ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, rx = excluded.rx, tx = excluded.tx,"
	        " last = max(last, excluded.last)",
	[STORE_SQL_COUNTER_LAST] = "INSERT INTO counters (id, epoch, rx, tx, last) VALUES (?, NULL, 0, 0, ?)"
	                           " ON CONFLICT (id) DO UPDATE SET last = max(last, excluded.last)",
	[STORE_SQL_EARLIER_FIND] = "SELECT rx, tx FROM earlier WHERE id = ? AND epoch = ?",
	[STORE_SQL_EARLIER_SET] = "INSERT OR REPLACE INTO earlier (id, rx, tx, epoch) VALUES (?, ?, ?, ?)",
	[STORE_SQL_EARLIER_PRUNE] = "DELETE FROM earlier WHERE id = ?1 AND rowid NOT IN"
	                            " (SELECT rowid FROM earlier WHERE id = ?1 ORDER BY rowid DESC LIMIT ?2)",
	[STORE_SQL_EARLIER_FORGET] = "DELETE FROM earlier WHERE id = ?",
	[STORE_SQL_SLOT_FIND] = "SELECT id FROM slots WHERE slot = ?",
	[STORE_SQL_SLOT_SET] = "INSERT INTO slots (slot, id) VALUES (?, ?)"
	                       " ON CONFLICT (slot) DO UPDATE SET id = excluded.id",
	[STORE_SQL_SLOT_FORGET] = "DELETE FROM slots WHERE slot = ?",
	[STORE_SQL_SLOTS_READ] = "SELECT slot, network, name FROM slots JOIN series USING (id) ORDER BY slot",
	[STORE_SQL_SEGMENT_FIND] = "SELECT segment, done FROM segments WHERE name = ?",
	[STORE_SQL_SEGMENT_ADD] = "INSERT INTO segments (name, done) VALUES (?, 0)",
	[STORE_SQL_SEGMENT_DONE] = "UPDATE segments SET done = 1 WHERE segment = ?",
	[STORE_SQL_SEGMENT_COUNT_FIND] = "SELECT rx, tx, connections FROM segment_counts WHERE key = ?",
	[STORE_SQL_SEGMENT_COUNT_SET] =
	        "INSERT INTO segment_counts (key, rx, tx, connections) VALUES (?, ?, ?, ?)"
	        " ON CONFLICT (key) DO UPDATE SET rx = excluded.rx, tx = excluded.tx,"
	        " connections = excluded.connections",
	[STORE_SQL_SEGMENT_COUNTS_FORGET] = "DELETE FROM segment_counts WHERE key >= ? AND key <= ?",
	[STORE_SQL_SEGMENTS_PRUNE] = "DELETE FROM segments WHERE done = 1"
	                             " AND segment <= (SELECT max(segment) FROM segments) - ?",
	[STORE_SQL_SEGMENTS_READ] = "SELECT segment, name FROM segments WHERE done = 0 AND segment > ?"
	                            " ORDER BY segment LIMIT 1",
	[STORE_SQL_SEGMENT_FORGET] = "DELETE FROM segments WHERE segment = ?",
	[STORE_SQL_TIME_ADD] = "INSERT OR IGNORE INTO times (time) VALUES (?)",
	[STORE_SQL_RECORD_ADD] = "INSERT INTO records (key, rx, tx, connections) VALUES (?, ?, ?, ?)"
	                         " ON CONFLICT (key) DO UPDATE SET " SUMMED,
	/* The last of the next so many records. */
	[STORE_SQL_FOLD_END] = "SELECT max(key), count(*) FROM"
	                       " (SELECT key FROM records WHERE key > ? AND key <= ? ORDER BY key LIMIT ?)",
	[STORE_SQL_FOLD_HOURS] =
	        "INSERT INTO hours (key, rx, tx, connections)"
	        " SELECT ((key >> 20) / 3600) << 40 | series, rx, tx, connections FROM records"
	        " JOIN series ON id = key & 1048575 WHERE key > ? AND key <= ?"
	        " ON CONFLICT (key) DO UPDATE SET " SUMMED,
	[STORE_SQL_FOLD_DAYS] =
	        "INSERT INTO days (key, rx, tx, connections)"
	        " SELECT ((key >> 20) / 86400) << 40 | series, rx, tx, connections FROM records"
	        " JOIN series ON id = key & 1048575 WHERE key > ? AND key <= ?"
	        " ON CONFLICT (key) DO UPDATE SET " SUMMED,
	[STORE_SQL_RECORDS_CUT] = "SELECT max(key), count(*) FROM"
	                          " (SELECT key FROM records WHERE key <= ? ORDER BY key LIMIT ?)",
	[STORE_SQL_RECORDS_DELETE] = "DELETE FROM records WHERE key <= ?",
	[STORE_SQL_TIMES_DELETE] = "DELETE FROM times WHERE time <= ?",
	[STORE_SQL_HOURS_CUT] = "SELECT max(key), count(*) FROM"
	                        " (SELECT key FROM hours WHERE key <= ? ORDER BY key LIMIT ?)",
	[STORE_SQL_HOURS_DELETE] = "DELETE FROM hours WHERE key <= ?",
	[STORE_SQL_DAYS_CUT] = "SELECT max(key), count(*) FROM"
	                       " (SELECT key FROM days WHERE key <= ? ORDER BY key LIMIT ?)",
	[STORE_SQL_DAYS_DELETE] = "DELETE FROM days WHERE key <= ?",
	[STORE_SQL_IDS_IDLE] =
	        "SELECT c.id, kind, series, c.last FROM counters c JOIN series s ON s.id = c.id"
	        " WHERE c.id >= ? AND c.id < ? AND c.last <= ?"
	        " AND NOT EXISTS (SELECT 1 FROM slots WHERE slots.id = c.id)",
	[STORE_SQL_ID_FREE] = "UPDATE series SET id = NULL, last = ?2 WHERE series = ?1",
	[STORE_SQL_SERIES_LAST] = "SELECT coalesce(max(series), 0) FROM series",
	[STORE_SQL_COUNTER_FORGET] = "DELETE FROM counters WHERE id = ?",
	[STORE_SQL_SERIES_DELETE] = "DELETE FROM series WHERE series >= ? AND series < ?"
	                            " AND id IS NULL AND last <= ?",
	[STORE_SQL_TIMES_NEWEST] = "SELECT max(time) FROM times WHERE time > ? AND time <= ?",
	[STORE_SQL_TIMES_COUNT] =
	        "SELECT count(*) FROM (SELECT 1 FROM times WHERE time > ? AND time <= ? LIMIT ?)",
	[STORE_SQL_TIMES_NEXT] = "SELECT time FROM times WHERE time > ? AND time <= ? ORDER BY time LIMIT 1",
	[STORE_SQL_HOURS_NEWEST] = "SELECT max(key) FROM hours WHERE key >= ? AND key < ?",
	[STORE_SQL_DAYS_NEWEST] = "SELECT max(key) FROM days WHERE key >= ? AND key < ?",
	[STORE_SQL_RECORDS_SCAN] = "SELECT key, rx, tx, connections FROM records WHERE key >= ? AND key <= ?"
	                           " ORDER BY key",
	[STORE_SQL_HOURS_SCAN] = "SELECT key, rx, tx, connections FROM hours WHERE key >= ? AND key <= ?"
	                         " ORDER BY key",
	[STORE_SQL_DAYS_SCAN] = "SELECT key, rx, tx, connections FROM days WHERE key >= ? AND key <= ?"
	                        " ORDER BY key",
	[STORE_SQL_IDS_BLOCK] =
	        "SELECT id, network, kind, name FROM series"
	        " WHERE (network, kind, name) > (?, ?, ?) ORDER BY network, kind, name LIMIT ?",
	[STORE_SQL_SERIES_BLOCK] =
	        "SELECT series, network, kind, name FROM series"
	        " WHERE (network, kind, name) > (?, ?, ?) ORDER BY network, kind, name LIMIT ?",
	[STORE_SQL_IDS_OF_NETWORK] = "SELECT id FROM series WHERE network = ? AND id IS NOT NULL ORDER BY id",
	[STORE_SQL_SERIES_OF_NETWORK] = "SELECT series FROM series WHERE network = ? ORDER BY series",
};

/* What SQLite said, in our words.  Returns -1. */
static int fail(struct store *store, int rc, const char *doing, struct tg_error *err)
{
	int sys = store->db == NULL ? 0 : sqlite3_system_errno(store->db);

	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return tg_fail_memory(err);
	case SQLITE_FULL:
		return tg_fail_errno(err, ENOSPC, "cannot %s the traffic database", doing);
	case SQLITE_BUSY:
		return tg_fail_errno(err, EBUSY, "cannot %s the traffic database", doing);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
		return tg_fail(err, TG_CODE_INVALID, "the traffic database is damaged (%s)",
		               store->db == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(store->db));
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
		return tg_fail_errno(err, sys == 0 ? EIO : sys, "cannot %s the traffic database (%s)", doing,
		                     sqlite3_errstr(rc));
	}
	return tg_fail(err, TG_CODE_SYSTEM, "cannot %s the traffic database: %s", doing,
	               store->db == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(store->db));
}

sqlite3_stmt *store_db_sql(struct store *store, enum store_sql which)
{
	return store->statements[which];
}

void store_db_reset(struct store *store, enum store_sql which)
{
	sqlite3_reset(store->statements[which]);
}

int store_db_step(struct store *store, enum store_sql which, struct tg_error *err)
{
	int  rc = sqlite3_step(store->statements[which]);
	/* To SQLite a commit only reads. */
	bool reads = which != STORE_SQL_COMMIT && sqlite3_stmt_readonly(store->statements[which]);

	if (rc == SQLITE_ROW)
		return 1;
	if (rc != SQLITE_DONE)
		fail(store, rc, reads ? "read" : "write", err);
	sqlite3_reset(store->statements[which]);
	return rc == SQLITE_DONE ? 0 : -1;
}

int store_db_run(struct store *store, enum store_sql which, struct tg_error *err)
{
	int got = store_db_step(store, which, err);

	if (got == 1)
		sqlite3_reset(store->statements[which]);
	return got == -1 ? -1 : 0;
}

void store_db_bind(struct store *store, enum store_sql which, int first, const int64_t *values, int count)
{
	for (int i = 0; i < count; i++)
		sqlite3_bind_int64(store->statements[which], first + i, values[i]);
}

int store_db_begin(struct store *store, struct tg_error *err)
{
	return store_db_run(store, STORE_SQL_BEGIN, err);
}

int store_db_commit(struct store *store, struct tg_error *err)
{
	return store_db_run(store, STORE_SQL_COMMIT, err);
}

void store_db_rollback(struct store *store)
{
	int kept = errno;

	/* SQLite itself rolls back after some errors. */
	if (!sqlite3_get_autocommit(store->db))
		store_db_run(store, STORE_SQL_ROLLBACK, NULL);
	store->ids_known = false;
	errno = kept;
}

int store_db_meta_write(struct store *store, const struct store_meta *meta, struct tg_error *err)
{
	const int64_t values[] = { meta->newest, meta->oldest, meta->oldest_hours, meta->oldest_days,
	                           meta->folded, meta->closed, meta->held_until };

	store_db_bind(store, STORE_SQL_META_WRITE, 1, values, sizeof values / sizeof *values);
	return store_db_run(store, STORE_SQL_META_WRITE, err);
}

static int meta_read(struct store *store, struct tg_error *err)
{
	sqlite3_stmt *row = store->statements[STORE_SQL_META_READ];
	int64_t      *const to[] = { &store->meta.newest, &store->meta.oldest, &store->meta.oldest_hours,
	                             &store->meta.oldest_days, &store->meta.folded, &store->meta.closed,
	                             &store->meta.held_until };
	int           got = store_db_step(store, STORE_SQL_META_READ, err);

	if (got == -1)
		return -1;

	const unsigned char *ledger = got == 0 ? NULL : sqlite3_column_text(row, 0);

	if (ledger == NULL || strlen((const char *)ledger) != STORE_LEDGER_TEXT - 1) {
		store_db_reset(store, STORE_SQL_META_READ);
		return tg_fail(err, TG_CODE_INVALID, "the traffic database is damaged (no ledger)");
	}
	memcpy(store->ledger, ledger, STORE_LEDGER_TEXT);
	for (int i = 0; i < (int)(sizeof to / sizeof *to); i++)
		*to[i] = sqlite3_column_int64(row, i + 1);
	store_db_reset(store, STORE_SQL_META_READ);
	return 0;
}

/* One integer that a pragma returns, or -1. */
static int64_t pragma_read(struct store *store, const char *sql, struct tg_error *err)
{
	sqlite3_stmt *row = NULL;
	int64_t       value = -1;
	int           rc = sqlite3_prepare_v2(store->db, sql, -1, &row, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(row);
	if (rc == SQLITE_ROW)
		value = sqlite3_column_int64(row, 0);
	else
		fail(store, rc, "read", err);
	sqlite3_finalize(row);
	return value;
}

static int schema_make(struct store *store, struct tg_error *err)
{
	uint8_t random[16];
	char    sql[512];
	char    ledger[STORE_LEDGER_TEXT];

	if (getrandom(random, sizeof random, 0) != sizeof random)
		return tg_fail_sys(err, "cannot make a ledger's id");
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(ledger + 2 * i, 3, "%02x", random[i]);
	snprintf(sql, sizeof sql,
	         "INSERT INTO meta VALUES (1, '%s', 0, 0, 0, 0, 0, 0, 0);"
	         "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
	         ledger, APPLICATION, VERSION);

	int rc = sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(store->db, schema, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		return 0;
	fail(store, rc, "make", err);
	sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	return -1;
}

static int schema_check(struct store *store, struct tg_error *err)
{
	int64_t application = pragma_read(store, "PRAGMA application_id", err);
	int64_t version = application == -1 ? -1 : pragma_read(store, "PRAGMA user_version", err);
	int64_t tables = version == -1 ? -1 : pragma_read(store, "SELECT count(*) FROM sqlite_schema", err);

	if (tables == -1)
		return -1;
	if (tables == 0 && version == 0)
		return schema_make(store, err);
	if (application != APPLICATION)
		return tg_fail(err, TG_CODE_INVALID, "the file is not a traffic database");
	if (version > VERSION)
		return tg_fail(err, TG_CODE_INVALID,
		               "the traffic database is of a later version (%lld, not %d)",
		               (long long)version, VERSION);
	return 0;
}

/* Looks through a database that is small enough to do so at every start. */
static int pages_check(struct store *store, struct tg_error *err)
{
	sqlite3_stmt *row = NULL;
	int64_t       pages = pragma_read(store, "PRAGMA page_count", err);
	int64_t       page_bytes = pages == -1 ? -1 : pragma_read(store, "PRAGMA page_size", err);

	if (page_bytes == -1)
		return -1;
	if (pages > CHECKED_BYTES / page_bytes)
		return 0;

	int rc = sqlite3_prepare_v2(store->db, "PRAGMA quick_check(1)", -1, &row, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(row);

	const unsigned char *said = rc == SQLITE_ROW ? sqlite3_column_text(row, 0) : NULL;
	int                  result = 0;

	if (said == NULL)
		result = fail(store, rc == SQLITE_ROW ? SQLITE_NOMEM : rc, "check", err);
	else if (strcmp((const char *)said, "ok") != 0)
		result = tg_fail(err, TG_CODE_INVALID, "the traffic database is damaged (%.90s)", said);
	sqlite3_finalize(row);
	return result;
}

static int connection_open(struct store *store, const char *path, struct tg_error *err)
{
	/* SQLite gives its other files the mode of this one. */
	TG_AUTO_FD fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd == -1)
		return tg_fail_sys(err, "cannot open the traffic database");

	int rc = sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc != SQLITE_OK)
		return fail(store, rc, "open", err);
	sqlite3_extended_result_codes(store->db, 1);
	sqlite3_busy_timeout(store->db, BUSY_MS);
	/* synchronous=FULL: each commit is on the disk before it is acknowledged.  temp_store=MEMORY: an
	 * empty root has no directory for temporary files. */
	rc = sqlite3_exec(store->db, "PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;"
	                  "PRAGMA cell_size_check = ON; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
	                  "PRAGMA cache_size = -8192; PRAGMA journal_size_limit = 67108864",
	                  NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : fail(store, rc, "open", err);
}

int store_db_open(struct store *store, const char *path, struct tg_error *err)
{
	if (connection_open(store, path, err) == -1 || pages_check(store, err) == -1 ||
	    schema_check(store, err) == -1)
		return -1;
	for (int i = 0; i < STORE_SQLS; i++) {
		int rc = sqlite3_prepare_v3(store->db, sqls[i], -1, SQLITE_PREPARE_PERSISTENT,
		                            &store->statements[i], NULL);

		/* A statement that does not fit the schema: the file is ours by name only. */
		if ((rc & 0xff) == SQLITE_ERROR)
			return tg_fail(err, TG_CODE_INVALID, "the traffic database is damaged (%s)",
			               sqlite3_errmsg(store->db));
		if (rc != SQLITE_OK)
			return fail(store, rc, "open", err);
	}
	return meta_read(store, err);
}

void store_db_close(struct store *store)
{
	for (int i = 0; i < STORE_SQLS; i++)
		sqlite3_finalize(store->statements[i]);
	sqlite3_close(store->db);
}
