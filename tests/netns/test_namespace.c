#include "netns/namespace.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <check.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/msg.h"
#include "netns/netlink.h"
#include "netns/reading.h"
#include "netns/wireguard.h"

void test_namespace(TCase *tc);

START_TEST(names_of_the_prefix_and_a_port_are_ours)
{
	ck_assert_uint_eq(netns_port_of("network-", "network-1"), 1);
	ck_assert_uint_eq(netns_port_of("network-", "network-51820"), 51820);
	ck_assert_uint_eq(netns_port_of("network-", "network-65535"), 65535);
}
END_TEST

/* A mistake here would remove somebody else's namespace. */
START_TEST(no_other_name_is_ours)
{
	static const char *const others[] = {
		"",           "network",     "network-",       "network-0",    "network-01",
		"network-+1", "network--1",  "network-65536",  "network-1 ",   "network- 1",
		"network-1x", "network-x",   "Network-1",      "xnetwork-1",   "other-1",
		"1",          "network-0x1", "network-1\n",    "network-1.0",  "network-4294967297",
		"network-99999999999999999999",
	};

	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		ck_assert_msg(netns_port_of("network-", others[i]) == 0, "\"%s\"", others[i]);
	/* A prefix may end in a digit. */
	ck_assert_uint_eq(netns_port_of("net1", "net151820"), 51820);
	ck_assert_uint_eq(netns_port_of("net1", "net2"), 0);
}
END_TEST

START_TEST(the_longest_name_fits)
{
	struct netns_host host = { .home = -1 };
	char              path[NETNS_PATH_MOST];

	memset(host.prefix, 'p', sizeof host.prefix - 1);
	netns_path(&host, 65535, path);
	ck_assert_uint_eq(strlen(path), strlen(NETNS_DIR) + 1 + sizeof host.prefix - 1 + 5);
	ck_assert_str_eq(path + strlen(path) - 6, "p65535");
}
END_TEST

/* More than one turn reads. */
#define ADDRESSES 1000

static struct netns_host host;
static struct tenant     tenant;

/* Of a host and a tenant: this thread is in the host's. */
static void make_namespaces(uint32_t wireguard)
{
	host = (struct netns_host){ .wireguard = wireguard };
	tenant_init(&tenant, 1);
	ck_assert_msg(unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0,
	              "no network namespaces here");
	host.home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	tenant.ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(setns(host.home, CLONE_NEWNET), 0);
}

static void clear_namespaces(void)
{
	tenant_clear(&tenant);
	close(host.home);
}

static bool is_home(void)
{
	struct tg_error err;
	TG_AUTO_FD      here = netlink_open(NETLINK_ROUTE, &err);
	uint64_t        cookie = netns_cookie_of(here);

	ck_assert_int_eq(setns(host.home, CLONE_NEWNET), 0);

	TG_AUTO_FD home = netlink_open(NETLINK_ROUTE, &err);

	return cookie == netns_cookie_of(home);
}

static struct nl_msg *address(uint16_t type, uint16_t flags, const struct ifaddrmsg *head)
{
	return netlink_message(type, flags, head, sizeof *head, NETLINK_SMALL);
}

static struct nl_msg *addresses(const struct reading *reading)
{
	const struct ifaddrmsg head = { .ifa_family = AF_INET };

	(void)reading;
	return address(RTM_GETADDR, NLM_F_DUMP, &head);
}

static void add_addresses(void)
{
	const struct ifaddrmsg head = { .ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = 1 };
	struct tg_error        err;

	for (uint32_t i = 1; i <= ADDRESSES; i++) {
		struct nl_msg *msg = address(RTM_NEWADDR, NLM_F_CREATE, &head);

		nla_put_u32(msg, IFA_LOCAL, htonl(0x0a000000 + i));
		ck_assert_int_eq(netlink_ask(tenant.route, msg, NULL, NULL, &err), 0);
	}
}

static unsigned seen;

static int count(struct nlmsghdr *message, void *arg)
{
	(void)arg;
	seen += message->nlmsg_type == RTM_NEWADDR;
	return 0;
}

/* The kernel refuses a dump on a socket where another one is under way. */
START_TEST(a_dump_that_is_given_up_does_not_stand_in_the_way_of_the_next)
{
	struct reading  reading;
	struct tg_error err;

	make_namespaces(MSG_WIREGUARD_USERSPACE);
	ck_assert_int_eq(netns_reopen(&host, &tenant, &err), 0);
	add_addresses();
	reading_begin(&reading, &host, &tenant, READING_ALL);
	ck_assert_int_eq(reading_dump(&reading, tenant.route, addresses, count, 0, &err), READING_MORE);
	reading_end(&reading);
	ck_assert_uint_lt(seen, ADDRESSES);

	seen = 0;
	ck_assert_msg(netlink_ask(tenant.route, addresses(NULL), count, NULL, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(seen, ADDRESSES);
	ck_assert(is_home());
	clear_namespaces();
}
END_TEST

static bool has_device;

static enum reading_result read_device(struct reading *reading, uint64_t until_ms, struct tg_error *err)
{
	(void)until_ms;
	(void)err;
	reading->state.device = has_device;
	return READING_DONE;
}

/* As of a link 7 with an address, of which there is none in truth. */
static void read_believing(struct reading *reading)
{
	static const struct wireguard wireguard = { .read = read_device };
	static const struct tg_cidr   own = { .family = AF_INET, .prefix = 24, .bytes = { 10, 0, 0, 1 } };
	struct tg_error               err;

	tenant.ifindex = 7;
	reading_begin(reading, &host, &tenant, READING_PEERS);
	reading->state.mtu = 1400;
	ck_assert_int_eq(state_add_address(&reading->state, &own), 0);
	while (reading_go_on(&wireguard, reading, UINT64_MAX, &err) != READING_DONE)
		ck_assert_msg(reading->tries == 1, "%s", err.text);
}

START_TEST(a_link_that_is_believed_in_is_read_when_it_is_another)
{
	struct reading  reading;
	struct tg_error err;

	make_namespaces(MSG_WIREGUARD_USERSPACE);
	ck_assert_int_eq(netns_reopen(&host, &tenant, &err), 0);
	has_device = true;
	read_believing(&reading);
	ck_assert(reading.state.exists && reading.state.pinned && reading.state.sysctls);
	ck_assert(reading.state.lo_up && reading.state.up && reading.state.link == STATE_LINK_OURS);
	ck_assert_uint_eq(reading.state.ifindex, 7);
	ck_assert_uint_eq(reading.state.mtu, 1400);
	ck_assert_uint_eq(reading.state.addresses_count, 1);
	reading_end(&reading);

	has_device = false;
	read_believing(&reading);
	ck_assert_int_eq(reading.what, READING_ALL);
	ck_assert(!reading.state.pinned && !reading.state.lo_up);
	ck_assert_int_eq(reading.state.link, STATE_LINK_NONE);
	ck_assert_uint_eq(reading.state.addresses_count, 0);
	reading_end(&reading);
	clear_namespaces();
}
END_TEST

START_TEST(sockets_are_made_anew_in_the_namespace_of_the_tenant)
{
	struct tg_error err;

	make_namespaces(_i == 0 ? MSG_WIREGUARD_USERSPACE : MSG_WIREGUARD_KERNEL);
	ck_assert_int_eq(netns_reopen(&host, &tenant, &err), 0);
	ck_assert(is_home());

	uint64_t   cookie = netns_cookie_of(tenant.route);
	TG_AUTO_FD home = netlink_open(NETLINK_ROUTE, &err);

	ck_assert_uint_ne(cookie, 0);
	ck_assert_uint_ne(cookie, netns_cookie_of(home));
	ck_assert_int_eq(tenant.genl != -1, _i == 1);
	ck_assert_int_eq(netns_reopen(&host, &tenant, &err), 0);
	ck_assert_uint_eq(netns_cookie_of(tenant.route), cookie);
	clear_namespaces();
}
END_TEST

/* None, the route's and none more, and a namespace that is none. */
START_TEST(sockets_that_cannot_be_made_anew_are_gone)
{
	struct tg_error err;
	struct rlimit   was, few;
	int             left;

	make_namespaces(MSG_WIREGUARD_KERNEL);
	ck_assert_int_eq(netns_reopen(&host, &tenant, &err), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
	left = tenant.route < tenant.genl ? tenant.route : tenant.genl;
	few = (struct rlimit){ (rlim_t)(left + _i), was.rlim_max };
	if (_i < 2)
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	else
		tg_close_at(&tenant.ns);
	ck_assert_int_eq(netns_reopen(&host, &tenant, &err), -1);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
	ck_assert_int_eq(tenant.route, -1);
	ck_assert_int_eq(tenant.genl, -1);
	ck_assert(is_home());
	clear_namespaces();
}
END_TEST

void test_namespace(TCase *tc)
{
	tcase_add_test(tc, names_of_the_prefix_and_a_port_are_ours);
	tcase_add_test(tc, no_other_name_is_ours);
	tcase_add_test(tc, the_longest_name_fits);
	tcase_add_test(tc, a_dump_that_is_given_up_does_not_stand_in_the_way_of_the_next);
	tcase_add_test(tc, a_link_that_is_believed_in_is_read_when_it_is_another);
	tcase_add_loop_test(tc, sockets_are_made_anew_in_the_namespace_of_the_tenant, 0, 2);
	tcase_add_loop_test(tc, sockets_that_cannot_be_made_anew_are_gone, 0, 3);
}
