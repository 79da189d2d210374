#include "netns/namespace.h"

#include <string.h>

#include <check.h>

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

void test_namespace(TCase *tc)
{
	tcase_add_test(tc, names_of_the_prefix_and_a_port_are_ours);
	tcase_add_test(tc, no_other_name_is_ours);
	tcase_add_test(tc, the_longest_name_fits);
}
