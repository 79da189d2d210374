#include "netns/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <check.h>

#include "base/error.h"
#include "base/fd.h"
#include "netns/namespace.h"

void test_sysctl(TCase *tc);

#define FORWARD "/proc/sys/net/ipv4/ip_forward"

static struct netns_host host;
static struct tenant     tenant;

/* Every test has a process of its own: it may go where it likes. */
static void setup(void)
{
	struct tg_error err;

	ck_assert_msg(unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0,
	              "no rights to make namespaces: %s", strerror(errno));
	ck_assert_int_eq(netns_host_init(&host, "network-", &err), 0);
	tenant_init(&tenant, 51820);
	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	tenant.ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	netns_leave(&host);
}

static void teardown(void)
{
	tenant_clear(&tenant);
	netns_host_clear(&host);
}

static void write_inside(const char *path, const char *value)
{
	struct tg_error err;

	ck_assert_int_eq(netns_enter(tenant.ns, &err), 0);

	TG_AUTO_FD fd = open(path, O_WRONLY | O_CLOEXEC);

	ck_assert_int_eq(write(fd, value, strlen(value)), (ssize_t)strlen(value));
	netns_leave(&host);
}

static bool is_right(void)
{
	struct tg_error err;
	bool            right;

	ck_assert_int_eq(sysctl_read(&host, &tenant, false, &right, &err), 0);
	return right;
}

static unsigned kept(void)
{
	unsigned count = 0;

	for (size_t i = 0; i < NETNS_SYSCTLS; i++)
		count += tenant.sysctls[i] != -1;
	return count;
}

START_TEST(what_is_set_reads_right_until_somebody_changes_it)
{
	struct tg_error err;

	ck_assert(!is_right());
	ck_assert_int_eq(sysctl_set(&host, &tenant, &err), 0);
	ck_assert(is_right());
	write_inside(FORWARD, "0");
	ck_assert(!is_right());
	ck_assert_int_eq(sysctl_set(&host, &tenant, &err), 0);
	ck_assert(is_right());
}
END_TEST

/* The files are the namespace's in which they were opened, wherever they are read. */
START_TEST(the_files_are_kept_and_closed_with_the_tenant)
{
	int last = 0;

	is_right();
	ck_assert_uint_eq(kept(), NETNS_SYSCTLS - 1);	/* there is no link */
	for (size_t i = 0; i < NETNS_SYSCTLS; i++)
		last = tenant.sysctls[i] > last ? tenant.sysctls[i] : last;
	tenant_clear(&tenant);
	ck_assert_uint_eq(kept(), 0);
	ck_assert_int_eq(fcntl(last, F_GETFD), -1);
}
END_TEST

START_TEST(a_file_that_went_is_opened_again)
{
	struct tg_error err;

	ck_assert_int_eq(sysctl_set(&host, &tenant, &err), 0);
	for (size_t i = 0; i < NETNS_SYSCTLS; i++)
		if (tenant.sysctls[i] != -1)
			ck_assert_int_ge(dup2(tenant.ns, tenant.sysctls[i]), 0);	/* unreadable */
	ck_assert(is_right());
	write_inside(FORWARD, "0");
	ck_assert(!is_right());
}
END_TEST

START_TEST(past_half_of_what_may_be_open_none_is_kept)
{
	struct rlimit   limit;
	struct tg_error err;
	int             before = 0;

	/* A few at least, so that half as many again are enough for what is opened for a moment. */
	while (before != -1 && before < 5)
		before = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ne(before, -1);
	close(before);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = (rlim_t)before * 2;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(sysctl_set(&host, &tenant, &err), 0);
	ck_assert(is_right());
	ck_assert_uint_eq(kept(), 0);
	ck_assert_int_eq(dup(0), before);
}
END_TEST

/* As in a container.  A network that cannot be made right must not pass for one that is. */
START_TEST(what_cannot_be_written_is_read_all_the_same)
{
	struct tg_error err;

	/* Of a chroot "/" is no mount. */
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount("", "/proc", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mount("/proc/sys", "/proc/sys", NULL, MS_BIND, NULL), 0);
	ck_assert_int_eq(mount("", "/proc/sys", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
	ck_assert(!is_right());
	ck_assert_int_eq(sysctl_set(&host, &tenant, &err), -1);
	ck_assert_int_eq(err.sys, EROFS);
	ck_assert(!is_right());
}
END_TEST

void test_sysctl(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_is_set_reads_right_until_somebody_changes_it);
	tcase_add_test(tc, the_files_are_kept_and_closed_with_the_tenant);
	tcase_add_test(tc, a_file_that_went_is_opened_again);
	tcase_add_test(tc, past_half_of_what_may_be_open_none_is_kept);
	tcase_add_test(tc, what_cannot_be_written_is_read_all_the_same);
}
