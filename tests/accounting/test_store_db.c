#include <errno.h>
#include <sqlite3.h>

#include "tests/accounting/fixture.h"

void test_store_db(TCase *tc);

/* A disk that fails: SQLite's own, but the call after `good` ones that write fails. */
static struct {
	sqlite3_vfs        vfs;
	sqlite3_vfs       *real;
	sqlite3_io_methods methods;
	int                good;	/* -1: all go well */
	int                result;	/* SQLITE_FULL, SQLITE_IOERR */
	bool               failed;
} disk;

struct disk_file {
	sqlite3_file  base;
	sqlite3_file *real;
};

static sqlite3_file *real_of(sqlite3_file *file)
{
	return ((struct disk_file *)(void *)file)->real;
}

static bool fails(void)
{
	if (disk.good == -1)
		return false;
	if (disk.good > 0) {
		disk.good--;
		return false;
	}
	disk.failed = true;
	return true;
}

static int disk_close(sqlite3_file *file)
{
	int rc = real_of(file)->pMethods == NULL ? SQLITE_OK : real_of(file)->pMethods->xClose(real_of(file));

	sqlite3_free(real_of(file));
	return rc;
}

static int disk_read(sqlite3_file *file, void *to, int bytes, sqlite3_int64 at)
{
	return real_of(file)->pMethods->xRead(real_of(file), to, bytes, at);
}

static int disk_write(sqlite3_file *file, const void *from, int bytes, sqlite3_int64 at)
{
	if (fails())
		return disk.result;
	return real_of(file)->pMethods->xWrite(real_of(file), from, bytes, at);
}

static int disk_truncate(sqlite3_file *file, sqlite3_int64 bytes)
{
	if (fails())
		return disk.result;
	return real_of(file)->pMethods->xTruncate(real_of(file), bytes);
}

static int disk_sync(sqlite3_file *file, int flags)
{
	if (fails())
		return disk.result;
	return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int disk_size(sqlite3_file *file, sqlite3_int64 *bytes)
{
	return real_of(file)->pMethods->xFileSize(real_of(file), bytes);
}

static int disk_lock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int disk_unlock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int disk_reserved(sqlite3_file *file, int *held)
{
	return real_of(file)->pMethods->xCheckReservedLock(real_of(file), held);
}

static int disk_control(sqlite3_file *file, int op, void *arg)
{
	return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static int disk_sector(sqlite3_file *file)
{
	return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int disk_traits(sqlite3_file *file)
{
	return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int disk_shm_map(sqlite3_file *file, int page, int bytes, int extend, void volatile **to)
{
	return real_of(file)->pMethods->xShmMap(real_of(file), page, bytes, extend, to);
}

static int disk_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void disk_shm_barrier(sqlite3_file *file)
{
	real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int disk_shm_unmap(sqlite3_file *file, int delete)
{
	return real_of(file)->pMethods->xShmUnmap(real_of(file), delete);
}

static int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	struct disk_file *f = (struct disk_file *)(void *)file;

	(void)vfs;
	f->base.pMethods = NULL;
	f->real = sqlite3_malloc(disk.real->szOsFile);
	if (f->real == NULL)
		return SQLITE_NOMEM;
	memset(f->real, 0, (size_t)disk.real->szOsFile);

	int rc = disk.real->xOpen(disk.real, name, f->real, flags, out);

	if (rc != SQLITE_OK) {
		sqlite3_free(f->real);
		return rc;
	}
	f->base.pMethods = &disk.methods;
	return SQLITE_OK;
}

static void disk_begin(void)
{
	disk.real = sqlite3_vfs_find(NULL);
	disk.vfs = *disk.real;
	disk.vfs.zName = "failing";
	disk.vfs.szOsFile = sizeof(struct disk_file);
	disk.vfs.xOpen = disk_open;
	disk.vfs.pNext = NULL;
	disk.methods = (sqlite3_io_methods){
		.iVersion = 2, .xClose = disk_close, .xRead = disk_read, .xWrite = disk_write,
		.xTruncate = disk_truncate, .xSync = disk_sync, .xFileSize = disk_size, .xLock = disk_lock,
		.xUnlock = disk_unlock, .xCheckReservedLock = disk_reserved, .xFileControl = disk_control,
		.xSectorSize = disk_sector, .xDeviceCharacteristics = disk_traits, .xShmMap = disk_shm_map,
		.xShmLock = disk_shm_lock, .xShmBarrier = disk_shm_barrier, .xShmUnmap = disk_shm_unmap,
	};
	disk.good = -1;
	sqlite3_vfs_register(&disk.vfs, 1);
}

static void disk_end(void)
{
	sqlite3_vfs_unregister(&disk.vfs);
	sqlite3_vfs_register(disk.real, 1);
}

#define PEERS 200

static void grow(struct msg_reading *readings, uint64_t counter)
{
	for (uint32_t p = 0; p < PEERS; p++)
		readings[p] = reading_of(1, p, 1, counter, counter);
}

static void expect_total(struct fixture *f, int64_t now_s, uint64_t counter)
{
	struct traffic_query query = query_since(0);
	cJSON               *json = answer(f, &query, now_s);

	ck_assert_double_eq(traffic_of(json, "rx"), (double)(PEERS * counter));
	ck_assert_double_eq(traffic_of(json, "tx"), (double)(PEERS * counter));
	cJSON_Delete(json);
}

static void begin(struct fixture *f, struct msg_reading *readings)
{
	fixture_init(f);
	fixture_open(f);
	for (uint32_t p = 0; p < PEERS; p++)
		readings[p] = baseline_of(1, p, 1, 0, 0);
	commit_readings(f, T0, readings, PEERS);
}

/* Fails the k-th write for every k, until a commit gets through without meeting it. */
static void fail_every_write(int result, int sys, bool reopens)
{
	struct fixture     f;
	struct msg_reading readings[PEERS];
	uint64_t           counter = 0;
	int                k;

	disk_begin();
	begin(&f, readings);
	for (k = 0;; k++) {
		int64_t now = T0 + 1 + k;

		grow(readings, ++counter);
		disk.good = k;
		disk.result = result;
		disk.failed = false;

		int stored = try_readings(&f, now, readings, PEERS);

		if (disk.failed && stored == -1) {
			ck_assert_int_eq(f.err.code, TG_CODE_SYSTEM);
			ck_assert_int_eq(f.err.sys, sys);
		}
		disk.good = -1;
		if (reopens)
			fixture_reopen(&f);
		if (stored == -1 && k % 2 == 0)	/* again, or with the next sample */
			commit_readings(&f, now, readings, PEERS);
		ck_assert_msg(disk.failed || stored == 0, "%s", f.err.text);
		if (!disk.failed)
			break;
		ck_assert_int_lt(k, 1000);
	}
	ck_assert_int_gt(k, 5);
	expect_total(&f, T0 + 10000, counter);
	fixture_clear(&f);
	disk_end();
}

START_TEST(a_full_disk_loses_nothing_and_the_batch_may_be_tried_again)
{
	fail_every_write(SQLITE_FULL, ENOSPC, false);
}
END_TEST

START_TEST(a_failing_disk_loses_nothing_whether_tried_again_or_opened_anew)
{
	fail_every_write(SQLITE_IOERR_WRITE, EIO, false);
	fail_every_write(SQLITE_IOERR_FSYNC, EIO, true);
}
END_TEST

START_TEST(another_program_that_holds_the_file_is_waited_for_and_then_named)
{
	struct fixture     f;
	struct msg_reading readings[PEERS];
	sqlite3           *db;

	begin(&f, readings);
	grow(readings, 1);
	ck_assert_int_eq(sqlite3_open(f.path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", 0, 0, 0), SQLITE_OK);
	ck_assert_int_eq(try_readings(&f, T0 + 1, readings, PEERS), -1);
	ck_assert_int_eq(f.err.sys, EBUSY);
	ck_assert_int_eq(store_sweep(f.store, T0 * 1000, 10, &f.err), -1);
	sqlite3_close(db);
	commit_readings(&f, T0 + 1, readings, PEERS);
	expect_total(&f, T0 + 2, 1);
	fixture_clear(&f);
}
END_TEST

START_TEST(a_reader_of_another_program_is_no_hindrance)
{
	struct fixture     f;
	struct msg_reading readings[PEERS];
	sqlite3           *db;

	begin(&f, readings);
	ck_assert_int_eq(sqlite3_open(f.path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "BEGIN; SELECT * FROM series", 0, 0, 0), SQLITE_OK);
	grow(readings, 1);
	commit_readings(&f, T0 + 1, readings, PEERS);
	sqlite3_close(db);
	expect_total(&f, T0 + 2, 1);
	fixture_clear(&f);
}
END_TEST

static struct {
	sqlite3_mem_methods real;
	int                 good;
	bool                failed;
} memory;

static bool memory_fails(void)
{
	if (memory.good == -1)
		return false;
	if (memory.good-- > 0)
		return false;
	memory.good = -1;	/* once */
	memory.failed = true;
	return true;
}

static void *memory_malloc(int bytes)
{
	return memory_fails() ? NULL : memory.real.xMalloc(bytes);
}

static void *memory_realloc(void *from, int bytes)
{
	return memory_fails() ? NULL : memory.real.xRealloc(from, bytes);
}

START_TEST(without_memory_nothing_is_stored_and_the_next_try_is)
{
	struct fixture      f;
	struct msg_reading  readings[PEERS];
	sqlite3_mem_methods failing;
	uint64_t            counter = 0;
	unsigned            met = 0;

	sqlite3_shutdown();
	ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory.real), SQLITE_OK);
	failing = memory.real;
	failing.xMalloc = memory_malloc;
	failing.xRealloc = memory_realloc;
	memory.good = -1;
	ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_MALLOC, &failing), SQLITE_OK);
	/* Without its own reserve of small pieces, SQLite asks for each. */
	ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
	begin(&f, readings);
	for (int k = 0; k < 60; k++) {
		grow(readings, ++counter);
		memory.failed = false;
		memory.good = k;

		struct store *store = store_open(f.path, &f.options, &f.err);

		memory.good = -1;
		met += memory.failed;
		if (store == NULL)
			ck_assert_msg(memory.failed && f.err.text[0] != '\0', "%s", f.err.text);
		store_close(store);
		memory.good = k;
		if (try_readings(&f, T0 + 1 + k, readings, PEERS) == -1)
			ck_assert_int_eq(f.err.code, TG_CODE_MEMORY);
		memory.good = -1;
		commit_readings(&f, T0 + 1 + k, readings, PEERS);
	}
	ck_assert_uint_gt(met, 30);
	expect_total(&f, T0 + 1000, counter);
	fixture_clear(&f);
	sqlite3_shutdown();
	sqlite3_config(SQLITE_CONFIG_MALLOC, &memory.real);
}
END_TEST

void test_store_db(TCase *tc)
{
	tcase_add_test(tc, a_full_disk_loses_nothing_and_the_batch_may_be_tried_again);
	tcase_add_test(tc, a_failing_disk_loses_nothing_whether_tried_again_or_opened_anew);
	tcase_add_test(tc, another_program_that_holds_the_file_is_waited_for_and_then_named);
	tcase_add_test(tc, a_reader_of_another_program_is_no_hindrance);
	tcase_add_test(tc, without_memory_nothing_is_stored_and_the_next_try_is);
}
