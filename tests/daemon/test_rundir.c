#include "daemon/rundir.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

void test_rundir(TCase *tc);

static char            parent[] = "/tmp/tollgate-rundir-XXXXXX";
static char            path[64];
static struct tg_error err;

static void set_up(void)
{
	ck_assert_ptr_nonnull(mkdtemp(parent));
	snprintf(path, sizeof path, "%s/run", parent);
}

static void tear_down(void)
{
	char inside[96];

	snprintf(inside, sizeof inside, "%s/segments", path);
	rmdir(inside);
	rmdir(path);
	rmdir(parent);
}

START_TEST(it_is_made_locked_and_left_clean)
{
	struct rundir run, other;
	struct stat   st;

	ck_assert_int_eq(rundir_open(&run, path, &err), 0);
	ck_assert_int_eq(fstatat(run.dir, "tollgated.pid", &st, 0), 0);
	ck_assert_int_eq(fstat(run.segments, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(rundir_open(&other, path, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "used by another daemon (process "));
	rundir_close(&run);
	snprintf(path + strlen(path), sizeof path - strlen(path), "/tollgated.pid");
	ck_assert_int_eq(access(path, F_OK), -1);
	*strrchr(path, '/') = '\0';
}
END_TEST

START_TEST(a_killed_owner_does_not_block_the_next)
{
	struct rundir run;
	pid_t         pid = fork();
	int           status;

	if (pid == 0)
		_exit(rundir_open(&run, path, &err) == 0 ? 0 : 1);	/* no rundir_close() */
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(rundir_open(&run, path, &err), 0);
	rundir_close(&run);
}
END_TEST

START_TEST(the_empty_directory_has_no_name_and_takes_no_file)
{
	struct rundir run;
	struct stat   st;

	ck_assert_int_eq(rundir_open(&run, path, &err), 0);
	ck_assert_int_eq(fstatat(run.dir, "empty", &st, 0), -1);
	ck_assert_int_eq(openat(run.empty, "file", O_CREAT | O_WRONLY, 0600), -1);
	ck_assert_int_eq(fstat(run.empty, &st), 0);
	ck_assert_uint_eq(st.st_nlink, 0);
	rundir_close(&run);
}
END_TEST

START_TEST(a_directory_that_others_may_write_is_refused)
{
	struct rundir run;

	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(chmod(path, 0770), 0);
	ck_assert_int_eq(rundir_open(&run, path, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "may be written by others"));
	ck_assert_int_eq(rundir_open(&run, "/dev/null", &err), -1);
}
END_TEST

void test_rundir(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, it_is_made_locked_and_left_clean);
	tcase_add_test(tc, a_killed_owner_does_not_block_the_next);
	tcase_add_test(tc, the_empty_directory_has_no_name_and_takes_no_file);
	tcase_add_test(tc, a_directory_that_others_may_write_is_refused);
}
