#include "netns/wireguard.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include <check.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/model.h"
#include "netns/differ.h"
#include "netns/namespace.h"
#include "netns/userspace.h"

void test_wg_userspace(TCase *tc);

#define STRANGER     59001 /* a user without rights, whose wireguard-go ends since it may not make a TUN */
#define PORT	     65529
#define TRIES_MOST   3000
#define BETWEEN_MS   5
#define START_MS     30000
#define NOW_MS	     1000000

static struct netns_host host;
static struct tenant     tenant;
static struct plan       plan;

static void begin(void)
{
	static const struct model_network want = { .mtu = 1420 };
	struct tg_error                   err;

	ck_assert_msg(userspace_program() != NULL, "wireguard-go is not installed");
	signal(SIGCHLD, SIG_IGN);	/* as the engine has it */
	if (geteuid() == 0)
		ck_assert_int_eq(setuid(STRANGER), 0);
	ck_assert_msg(netns_host_init(&host, "network-", &err) == 0, "%s", err.text);
	tenant_init(&tenant, PORT);
	plan.want = &want;
	tg_clock_fake(NOW_MS, 0);
}

static void end(void)
{
	tenant_clear(&tenant);
	netns_host_clear(&host);
}

/* As the engine does, again and again, under a clock that stands still. */
static void fails(struct tg_error *err)
{
	enum wireguard_result result = WIREGUARD_WAIT;

	for (unsigned i = 0; i < TRIES_MOST && result == WIREGUARD_WAIT; i++) {
		result = wireguard_userspace.make(&host, &tenant, &plan, err);
		poll(NULL, 0, BETWEEN_MS);
	}
	ck_assert_int_eq(result, WIREGUARD_FAILED);
	ck_assert_int_eq(tenant.pid, 0);
	ck_assert_int_eq(tenant.pidfd, -1);
	ck_assert_uint_eq(tenant.started_at_ms, 0);
}

START_TEST(one_that_ends_at_its_start_is_not_waited_for)
{
	struct tg_error err = { .sys = 0 };

	fails(&err);
	ck_assert_str_eq(err.text, "wireguard-go ends at its start: `wireguard-go -f wg65529` may say why");
	/* And the next attempt is one. */
	ck_assert_int_eq(wireguard_userspace.make(&host, &tenant, &plan, &err), WIREGUARD_WAIT);
	ck_assert_int_gt(tenant.pid, 0);
	fails(&err);
}
END_TEST

START_TEST(that_no_inotify_instance_is_left_is_said)
{
	struct tg_error err = { .sys = 0 };
	int             fd;

	do
		fd = inotify_init1(IN_CLOEXEC);
	while (fd != -1);
	ck_assert_int_eq(errno, EMFILE);
	fails(&err);
	ck_assert_ptr_nonnull(strstr(err.text, "fs.inotify.max_user_instances"));
}
END_TEST

/* In the place of the one that was started, which ends whenever it gets the processor. */
static void do_nothing(void)
{
	pid_t pid;

	signal(SIGTERM, SIG_DFL);	/* Check's handler ends the test */
	pid = fork();
	ck_assert_int_ne(pid, -1);
	while (pid == 0)
		pause();
	close(tenant.pidfd);
	tenant.pid = pid;
	tenant.pidfd = pidfd_open(pid, 0);
	ck_assert_int_ne(tenant.pidfd, -1);
}

START_TEST(one_that_does_nothing_is_given_up_when_its_time_is_over)
{
	struct tg_error err = { .sys = 0 };

	ck_assert_int_eq(wireguard_userspace.make(&host, &tenant, &plan, &err), WIREGUARD_WAIT);
	do_nothing();

	pid_t         pid = tenant.pid;
	struct pollfd gone = { .fd = dup(tenant.pidfd), .events = POLLIN };

	tg_clock_fake(NOW_MS + START_MS, 0);
	ck_assert_int_eq(wireguard_userspace.make(&host, &tenant, &plan, &err), WIREGUARD_WAIT);
	ck_assert_int_eq(tenant.pid, pid);
	tg_clock_fake(NOW_MS + START_MS + 1, 0);
	fails(&err);
	ck_assert_str_eq(err.text, "wireguard-go does not start for wg65529");
	ck_assert_int_eq(poll(&gone, 1, TRIES_MOST * BETWEEN_MS), 1);
	close(gone.fd);
}
END_TEST

void test_wg_userspace(TCase *tc)
{
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, one_that_ends_at_its_start_is_not_waited_for);
	tcase_add_test(tc, that_no_inotify_instance_is_left_is_said);
	tcase_add_test(tc, one_that_does_nothing_is_given_up_when_its_time_is_over);
}
