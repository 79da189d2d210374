#include "daemon/role.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "netns/namespace.h"
#include "tests/support/failing.h"
#include "tests/support/peer.h"

void test_role_broker(TCase *tc);

#define OWN_NETNS "/proc/thread-self/ns/net"
#define FDS_FEW	  48	/* descriptors of a broker that has too few */

/* A broker in a process of its own, and namespaces for it. */
static struct troupe troupe;
static struct peer   engine, worker;
static int           tenants[2];
static uint64_t      cookies[2], home_cookie;

static uint64_t cookie_here(void)
{
	TG_AUTO_FD probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return netns_cookie_of(probe);
}

/* Every test has a process of its own: it may go where it likes. */
static void make_namespaces(void)
{
	int home;

	ck_assert_msg(unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0,
	              "no rights to make namespaces: %s", strerror(errno));
	home = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
	home_cookie = cookie_here();
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
		tenants[i] = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
		cookies[i] = cookie_here();
	}
	ck_assert_int_eq(setns(home, CLONE_NEWNET), 0);
	close(home);
}

static int run_broker(int fd)
{
	struct role role = { .self = MSG_ROLE_BROKER, .supervisor_fd = fd, .state_dir = -1 };
	int         status;

	role.base = event_base_new();
	status = role_broker(&role);
	event_base_free(role.base);
	return status;
}

static int run_poor_broker(int fd)
{
	struct rlimit limit = { FDS_FEW, FDS_FEW };

	return setrlimit(RLIMIT_NOFILE, &limit) == -1 ? 99 : run_broker(fd);
}

static size_t good;	/* allocations of a broker that lacks memory for the next */

static int run_broker_without_memory(int fd)
{
	failing_own_begin(good);
	return run_broker(fd);
}

static void begin_with(troupe_run_fn *run)
{
	static const struct msg_none none = { 0 };

	make_namespaces();
	troupe_begin(&troupe, MSG_ROLE_BROKER, run);
	troupe_introduce(&troupe, &engine, MSG_ROLE_ENGINE);
	troupe_introduce(&troupe, &worker, MSG_ROLE_WORKER);
	peer_say(&troupe.supervisor, MSG_GO, &none, -1);
	peer_wait(&troupe, &troupe.supervisor.heard);
	ck_assert_uint_eq(troupe.supervisor.msg.type, MSG_READY);
}

static void begin(void)
{
	begin_with(run_broker);
}

static void end(void)
{
	peer_leave(&engine);
	peer_leave(&worker);
	troupe_end(&troupe);
	close(tenants[0]);
	close(tenants[1]);
}

/* Returns the broker's errno. */
static int tell_engine(enum msg_type type, uint64_t cookie, int fd)
{
	struct msg_netns netns = { .netns_cookie = cookie };

	peer_say(&engine, type, &netns, fd);
	peer_wait(&troupe, &engine.heard);
	ck_assert_uint_eq(engine.msg.type, MSG_NETNS_DONE);
	ck_assert_uint_eq(engine.msg.body.netns.netns_cookie, cookie);
	ck_assert_uint_eq(engine.msg.body.netns.added, type == MSG_NETNS_ADD);
	return engine.msg.body.netns.sys;
}

static void send_want(uint64_t cookie, int family, uint32_t count)
{
	struct msg_sockets_wanted want = { cookie, (uint32_t)family, count };

	peer_say(&worker, MSG_SOCKETS_WANTED, &want, -1);
}

/* Returns the broker's errno; what came is in worker.fds, each checked. */
static int want(uint64_t cookie, int family, uint32_t count)
{
	send_want(cookie, family, count);
	peer_wait(&troupe, &worker.heard);
	ck_assert_uint_eq(worker.msg.type, MSG_SOCKETS);
	ck_assert_uint_eq(worker.msg.body.sockets.netns_cookie, cookie);
	ck_assert_uint_eq(worker.msg.body.sockets.family, (unsigned)family);
	ck_assert_uint_eq(worker.msg.body.sockets.count, worker.count);
	for (size_t i = 0; i < worker.count; i++) {
		int       domain = 0, type = 0;
		socklen_t bytes = sizeof domain;

		ck_assert_uint_eq(netns_cookie_of(worker.fds[i]), cookie == 0 ? home_cookie : cookie);
		ck_assert_int_eq(getsockopt(worker.fds[i], SOL_SOCKET, SO_DOMAIN, &domain, &bytes), 0);
		ck_assert_int_eq(getsockopt(worker.fds[i], SOL_SOCKET, SO_TYPE, &type, &bytes), 0);
		ck_assert_int_eq(domain, family);
		ck_assert_int_eq(type, SOCK_STREAM);
		ck_assert_int_ne(fcntl(worker.fds[i], F_GETFL) & O_NONBLOCK, 0);
	}
	return worker.msg.body.sockets.sys;
}

START_TEST(sockets_are_made_in_the_namespace_that_is_asked_for)
{
	begin();
	ck_assert_int_eq(tell_engine(MSG_NETNS_ADD, cookies[0], tenants[0]), 0);
	ck_assert_int_eq(tell_engine(MSG_NETNS_ADD, cookies[1], tenants[1]), 0);
	for (int round = 0; round < 3; round++) {
		ck_assert_int_eq(want(cookies[round % 2], AF_INET, MSG_SOCKETS_BATCH), 0);
		ck_assert_uint_eq(worker.count, MSG_SOCKETS_BATCH);
		ck_assert_int_eq(want(0, AF_INET6, 1), 0);	/* the host's own */
		ck_assert_uint_eq(worker.count, 1);
	}
	ck_assert_int_eq(want(cookies[1], AF_INET6, MSG_FDS_MOST), 0);
	ck_assert_uint_eq(worker.count, MSG_FDS_MOST);
	end();
}
END_TEST

START_TEST(a_network_that_is_unknown_or_removed_has_no_sockets)
{
	begin();
	ck_assert_int_eq(want(cookies[0], AF_INET, 8), ENOENT);
	ck_assert_uint_eq(worker.count, 0);
	ck_assert_int_eq(tell_engine(MSG_NETNS_ADD, cookies[0], tenants[0]), 0);
	ck_assert_int_eq(want(cookies[0], AF_INET, 8), 0);
	ck_assert_int_eq(want(cookies[1], AF_INET, 8), ENOENT);
	ck_assert_int_eq(tell_engine(MSG_NETNS_REMOVE, cookies[0], -1), 0);
	ck_assert_int_eq(want(cookies[0], AF_INET, 8), ENOENT);
	ck_assert_int_eq(tell_engine(MSG_NETNS_REMOVE, cookies[0], -1), 0); /* acknowledged all the same */
	end();
}
END_TEST

START_TEST(a_namespace_under_a_wrong_cookie_is_refused)
{
	TG_AUTO_FD file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	TG_AUTO_FD other = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);

	begin();
	ck_assert_int_eq(tell_engine(MSG_NETNS_ADD, cookies[0], tenants[1]), EINVAL);
	ck_assert_int_eq(tell_engine(MSG_NETNS_ADD, 0, tenants[0]), EINVAL);
	ck_assert_int_eq(tell_engine(MSG_NETNS_ADD, cookies[0], file), EINVAL);
	ck_assert_int_eq(tell_engine(MSG_NETNS_ADD, cookies[0], other), EINVAL);
	ck_assert_int_eq(want(cookies[0], AF_INET, 1), ENOENT);
	ck_assert_int_eq(want(0, AF_INET, 1), 0);	/* it is at home again */
	end();
}
END_TEST

/* A restarted engine tells of all networks; meanwhile connections go on. */
START_TEST(namespaces_outlive_the_engine_and_may_be_told_again)
{
	begin();
	ck_assert_int_eq(tell_engine(MSG_NETNS_ADD, cookies[0], tenants[0]), 0);
	peer_leave(&engine);
	ck_assert_int_eq(want(cookies[0], AF_INET, 1), 0);
	troupe_introduce(&troupe, &engine, MSG_ROLE_ENGINE);
	ck_assert_int_eq(want(cookies[0], AF_INET, 1), 0);
	ck_assert_int_eq(tell_engine(MSG_NETNS_ADD, cookies[0], tenants[0]), 0);
	ck_assert_int_eq(tell_engine(MSG_NETNS_REMOVE, cookies[0], -1), 0);
	ck_assert_int_eq(want(cookies[0], AF_INET, 1), ENOENT);
	end();
}
END_TEST

/* Else a network that the dead one was about to remove would live on here, and be reached. */
START_TEST(what_a_former_engine_told_is_forgotten_once_the_next_has_told_all)
{
	begin();
	ck_assert_int_eq(tell_engine(MSG_NETNS_ADD, cookies[0], tenants[0]), 0);
	ck_assert_int_eq(tell_engine(MSG_NETNS_ADD, cookies[1], tenants[1]), 0);
	ck_assert_int_eq(tell_engine(MSG_NETNS_REMOVE, 0, -1), 0);	/* it told of both */
	ck_assert_int_eq(want(cookies[0], AF_INET, 1), 0);
	peer_leave(&engine);
	troupe_introduce(&troupe, &engine, MSG_ROLE_ENGINE);
	ck_assert_int_eq(tell_engine(MSG_NETNS_ADD, cookies[1], tenants[1]), 0);
	ck_assert_int_eq(want(cookies[0], AF_INET, 1), 0);
	ck_assert_int_eq(tell_engine(MSG_NETNS_REMOVE, 0, -1), 0);
	ck_assert_int_eq(want(cookies[0], AF_INET, 1), ENOENT);
	ck_assert_int_eq(want(cookies[1], AF_INET, 1), 0);
	end();
}
END_TEST

START_TEST(a_worker_that_asks_for_what_it_may_not_is_cut_off_and_its_successor_is_served)
{
	static const struct {
		int      family;
		uint32_t count;
	} wrong[] = { { AF_INET, 0 }, { AF_INET, MSG_FDS_MOST + 1 }, { AF_UNIX, 1 }, { AF_PACKET, 1 } };

	begin();
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		send_want(0, wrong[i].family, wrong[i].count);
		peer_wait(&troupe, &worker.closed);
		ck_assert(!worker.heard);
		troupe_introduce(&troupe, &worker, MSG_ROLE_WORKER);
		ck_assert_int_eq(want(0, AF_INET, 1), 0);
	}
	end();
}
END_TEST

START_TEST(a_new_channel_takes_the_place_of_the_old)
{
	struct peer next;

	begin();
	troupe_introduce(&troupe, &next, MSG_ROLE_WORKER);
	peer_wait(&troupe, &worker.closed);
	troupe_introduce(&troupe, &worker, MSG_ROLE_WORKER);
	peer_wait(&troupe, &next.closed);
	ck_assert_int_eq(want(0, AF_INET, 1), 0);
	end();
}
END_TEST

START_TEST(without_descriptors_there_are_fewer_sockets_and_it_goes_on)
{
	begin_with(run_poor_broker);
	ck_assert_int_eq(tell_engine(MSG_NETNS_ADD, cookies[0], tenants[0]), 0);
	for (int round = 0; round < 3; round++) {
		ck_assert_int_eq(want(cookies[0], AF_INET, MSG_FDS_MOST), EMFILE);
		ck_assert_uint_gt(worker.count, 8);
		ck_assert_uint_lt(worker.count, FDS_FEW);
		ck_assert_int_eq(want(0, AF_INET, 8), 0);
		ck_assert_uint_eq(worker.count, 8);
	}
	end();
}
END_TEST

/* It is told so, and may be told again.  First its three channels, then the network's entry, the table and
 * its buckets. */
START_TEST(without_memory_a_network_is_refused_and_it_goes_on)
{
	good = 3 + (size_t)_i;
	begin_with(run_broker_without_memory);
	ck_assert_int_eq(tell_engine(MSG_NETNS_ADD, cookies[0], tenants[0]), ENOMEM);
	ck_assert_int_eq(want(cookies[0], AF_INET, 1), ENOENT);
	ck_assert_int_eq(tell_engine(MSG_NETNS_ADD, cookies[0], tenants[0]), 0);
	ck_assert_int_eq(tell_engine(MSG_NETNS_ADD, cookies[1], tenants[1]), 0);
	ck_assert_int_eq(want(cookies[0], AF_INET, 1), 0);
	ck_assert_int_eq(want(cookies[1], AF_INET, 1), 0);
	end();
}
END_TEST

START_TEST(it_stops_when_told)
{
	static const struct msg_none none = { 0 };

	begin();
	peer_say(&troupe.supervisor, MSG_STOP, &none, -1);
	peer_wait(&troupe, &troupe.supervisor.closed);
	end();
}
END_TEST

void test_role_broker(TCase *tc)
{
	tcase_add_test(tc, sockets_are_made_in_the_namespace_that_is_asked_for);
	tcase_add_test(tc, a_network_that_is_unknown_or_removed_has_no_sockets);
	tcase_add_test(tc, a_namespace_under_a_wrong_cookie_is_refused);
	tcase_add_test(tc, namespaces_outlive_the_engine_and_may_be_told_again);
	tcase_add_test(tc, what_a_former_engine_told_is_forgotten_once_the_next_has_told_all);
	tcase_add_test(tc, a_worker_that_asks_for_what_it_may_not_is_cut_off_and_its_successor_is_served);
	tcase_add_test(tc, a_new_channel_takes_the_place_of_the_old);
	tcase_add_test(tc, without_descriptors_there_are_fewer_sockets_and_it_goes_on);
	tcase_add_loop_test(tc, without_memory_a_network_is_refused_and_it_goes_on, 0, 3);
	tcase_add_test(tc, it_stops_when_told);
}
