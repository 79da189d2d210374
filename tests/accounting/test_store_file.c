#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "tests/accounting/fixture.h"

void test_store_file(TCase *tc);

START_TEST(the_file_is_for_its_owner_alone_and_keeps_its_ledger)
{
	struct fixture f;
	struct stat    st;
	char           ledger[STORE_LEDGER_TEXT];

	umask(0);
	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 1, 0, 0));
	ck_assert_int_eq(stat(f.path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	snprintf(ledger, sizeof ledger, "%s", f.store->ledger);
	ck_assert_uint_eq(strspn(ledger, "0123456789abcdef"), 32);
	fixture_reopen(&f);
	ck_assert_str_eq(f.store->ledger, ledger);
	fixture_clear(&f);
}
END_TEST

static void expect_refused(struct fixture *f, const char *says)
{
	f->store = store_open(f->path, &f->options, &f->err);
	ck_assert_ptr_null(f->store);
	ck_assert_msg(strstr(f->err.text, says) != NULL, "%s", f->err.text);
}

START_TEST(a_file_that_is_no_database_or_of_later_is_refused)
{
	struct fixture f;
	sqlite3       *db;
	FILE          *file;

	fixture_init(&f);
	file = fopen(f.path, "w");
	for (int i = 0; i < 1000; i++)
		fputs("not a database ", file);
	fclose(file);
	expect_refused(&f, "damaged");
	unlink(f.path);
	ck_assert_int_eq(sqlite3_open(f.path, &db), SQLITE_OK);
	sqlite3_exec(db, "CREATE TABLE other (a)", 0, 0, 0);
	sqlite3_close(db);
	expect_refused(&f, "not a traffic database");
	unlink(f.path);
	fixture_open(&f);
	store_close(f.store);
	ck_assert_int_eq(sqlite3_open(f.path, &db), SQLITE_OK);
	sqlite3_exec(db, "PRAGMA user_version = 99", 0, 0, 0);
	sqlite3_close(db);
	expect_refused(&f, "later version");
	fixture_clear(&f);
}
END_TEST

START_TEST(every_damaged_page_is_noticed_at_the_start_or_at_its_use_and_never_crashes)
{
	struct fixture f;
	struct stat    st;
	unsigned       refused = 0;
	unsigned       pages = 0;

	fixture_init(&f);
	fixture_open(&f);
	for (uint32_t i = 0; i < 400; i++)
		commit_one(&f, T0, baseline_of(1, i, 1, 0, 0));
	for (uint32_t i = 0; i < 400; i++)
		commit_one(&f, T0 + i, reading_of(1, i, 1, i + 1, i + 1));
	store_close(f.store);
	f.store = NULL;
	ck_assert_int_eq(stat(f.path, &st), 0);
	for (off_t at = 0; at < st.st_size; at += 4096, pages++) {
		char kept[64];
		char junk[64];
		int  fd = open(f.path, O_RDWR);

		ck_assert_int_eq(pread(fd, kept, sizeof kept, at), sizeof kept);
		memset(junk, 0xa5, sizeof junk);
		ck_assert_int_eq(pwrite(fd, junk, sizeof junk, at), sizeof junk);
		f.store = store_open(f.path, &f.options, &f.err);
		if (f.store == NULL) {
			refused++;
			ck_assert_msg(f.err.text[0] != '\0', "no reason");
		}
		store_close(f.store);
		f.store = NULL;
		ck_assert_int_eq(pwrite(fd, kept, sizeof kept, at), sizeof kept);
		close(fd);
	}
	ck_assert_uint_gt(pages, 20);
	ck_assert_uint_eq(refused, pages);
	fixture_open(&f);
	expect_device(&f, T0 + 1000, 1, 399, 400, NULL);
	fixture_clear(&f);
}
END_TEST

void test_store_file(TCase *tc)
{
	tcase_add_test(tc, the_file_is_for_its_owner_alone_and_keeps_its_ledger);
	tcase_add_test(tc, a_file_that_is_no_database_or_of_later_is_refused);
	tcase_add_test(tc, every_damaged_page_is_noticed_at_the_start_or_at_its_use_and_never_crashes);
}
