#include "daemon/files.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

void test_files(TCase *tc);

static struct tg_error err;
static char            path[] = "/tmp/tollgate-files-XXXXXX";

static void write_file(size_t bytes)
{
	int fd = mkstemp(path);

	ck_assert_int_ne(fd, -1);
	for (size_t i = 0; i < bytes; i++)
		ck_assert_int_eq(write(fd, i % 2 == 0 ? "a" : "b", 1), 1);
	close(fd);
}

static void remove_file(void)
{
	unlink(path);
}

START_TEST(a_copy_does_not_change_with_the_file)
{
	char read_back[16] = "";

	write_file(5);

	int fd = files_read(path, 5, &err);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(truncate(path, 0), 0);
	ck_assert_int_eq(read(fd, read_back, sizeof read_back), 5);
	ck_assert_str_eq(read_back, "ababa");
	ck_assert_int_eq(write(fd, "x", 1), -1);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
}
END_TEST

START_TEST(a_file_over_its_limit_is_refused)
{
	write_file(101);
	ck_assert_int_eq(files_read(path, 100, &err), -1);
	ck_assert_int_eq(err.code, TG_CODE_LIMIT);

	int fd = files_read(path, 101, &err);

	ck_assert_int_ne(fd, -1);
	close(fd);
}
END_TEST

START_TEST(a_large_file_comes_whole)
{
	struct stat st;

	write_file(200001);

	int fd = files_read(path, 1 << 20, &err);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, 200001);
	close(fd);
}
END_TEST

START_TEST(what_is_no_file_is_refused_with_a_reason)
{
	ck_assert_int_eq(files_read("/nonexistent/file", 100, &err), -1);
	ck_assert_str_eq(err.text, "cannot be opened: No such file or directory");
	ck_assert_int_eq(files_read("/tmp", 100, &err), -1);
	ck_assert_str_eq(err.text, "is no file");
}
END_TEST

START_TEST(a_text_becomes_a_line)
{
	char read_back[16] = "";
	int  fd = files_of_text("secret", &err);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(read(fd, read_back, sizeof read_back), 7);
	ck_assert_str_eq(read_back, "secret\n");
	close(fd);
}
END_TEST

void test_files(TCase *tc)
{
	tcase_add_checked_fixture(tc, NULL, remove_file);
	tcase_add_test(tc, a_copy_does_not_change_with_the_file);
	tcase_add_test(tc, a_file_over_its_limit_is_refused);
	tcase_add_test(tc, a_large_file_comes_whole);
	tcase_add_test(tc, what_is_no_file_is_refused_with_a_reason);
	tcase_add_test(tc, a_text_becomes_a_line);
}
