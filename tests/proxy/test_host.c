#include "proxy/host.h"

#include <check.h>
#include <string.h>

#include "proxy/worker.h"
#include "tests/support/ingress.h"

void test_host(TCase *tc);

static const struct tg_endpoint upstreams[] = {
	{ .family = 2, .port = 1, .bytes = { 10 } },
	{ .family = 2, .port = 2, .bytes = { 10 } },
};

static struct ingress  in;
static struct host_use uses[8];
static int             gone;

static void on_gone(struct host_use *use)
{
	gone++;
	host_leave(use);
}

/* One that takes another connection with it. */
static void on_gone_two(struct host_use *use)
{
	gone++;
	host_leave(use);
	host_leave(&uses[7]);
}

static void begin(void)
{
	ingress_begin(&in, 0);
	memset(uses, 0, sizeof uses);
	gone = 0;
}

static enum host_result enter(size_t i, const char *name)
{
	return host_enter(in.worker, ROUTES_HTTPS, name, &uses[i], on_gone);
}

static struct routes_host host_of(const char *name)
{
	return ingress_host(&in, ROUTES_HTTPS, name, upstreams, 2);
}

/* In a table with that host alone. */
static struct routes_host begin_with(const char *name)
{
	struct routes_host host;

	begin();
	host = host_of(name);
	ingress_routes(&in, &host, 1);
	return host;
}

static void leave_all(void)
{
	for (size_t i = 0; i < 8; i++)
		host_leave(&uses[i]);
	ingress_end(&in);
}

START_TEST(a_name_is_found_only_under_its_scheme)
{
	struct routes_host host;

	begin();
	ck_assert_int_eq(enter(0, "a.example"), HOST_UNKNOWN);	/* no table yet */
	host = host_of("a.example");
	ingress_routes(&in, &host, 1);
	ck_assert_int_eq(enter(0, "a.example"), HOST_OK);
	ck_assert_str_eq(uses[0].host->name, "a.example");
	ck_assert_uint_eq(uses[0].host->upstreams_count, 2);
	ck_assert_int_eq(host_enter(in.worker, ROUTES_HTTP, "a.example", &uses[1], on_gone), HOST_UNKNOWN);
	ck_assert_int_eq(enter(1, "b.example"), HOST_UNKNOWN);
	ck_assert_ptr_null(uses[1].host);
	leave_all();
}
END_TEST

START_TEST(a_wildcards_names_share_one_host)
{
	begin_with("*.example");
	enter(0, "a.example");
	enter(1, "b.example");
	ck_assert_ptr_eq(uses[0].host, uses[1].host);
	ck_assert_str_eq(uses[0].host->name, "*.example");
	ck_assert(host_is(&uses[0], ROUTES_HTTPS, "c.example"));
	ck_assert(!host_is(&uses[0], ROUTES_HTTP, "c.example"));
	ck_assert(!host_is(&uses[0], ROUTES_HTTPS, "c.c.example"));
	ck_assert(!host_is(&uses[2], ROUTES_HTTPS, "c.example"));
	leave_all();
}
END_TEST

START_TEST(a_network_that_is_down_is_told)
{
	struct routes_host host;

	begin();
	host = host_of("a.example");
	host.network_id = 0;
	ingress_routes(&in, &host, 1);
	ck_assert_int_eq(enter(0, "a.example"), HOST_DOWN);
	ck_assert_ptr_nonnull(uses[0].host);
	ck_assert_uint_eq(in.active[7], 0);
	leave_all();
}
END_TEST

START_TEST(the_limit_counts_all_workers)
{
	struct routes_host host;

	begin();
	host = host_of("a.example");
	host.scheme[ROUTES_HTTPS].max_connections = 3;
	ingress_routes(&in, &host, 1);
	in.active[MSG_SLOTS + 7] = 1;	/* another worker's */
	ck_assert_int_eq(enter(0, "a.example"), HOST_OK);
	ck_assert_int_eq(enter(1, "a.example"), HOST_OK);
	ck_assert_int_eq(enter(2, "a.example"), HOST_FULL);
	host_leave(&uses[2]);
	ck_assert_uint_eq(in.active[7], 2);
	host_leave(&uses[1]);
	ck_assert_int_eq(enter(2, "a.example"), HOST_OK);
	leave_all();
	ck_assert_int_eq(gone, 0);
}
END_TEST

START_TEST(bytes_and_connections_go_to_the_slot)
{
	begin_with("a.example");
	enter(0, "a.example");
	host_count_connection(&uses[0]);
	host_received(&uses[0], 3);
	host_sending(&uses[0], 4);
	host_sent(&uses[0], 4);
	host_received(&uses[1], 3);	/* none */
	host_sending(&uses[1], 4);
	host_sent(&uses[1], 4);
	ck_assert_uint_eq(in.slots[7].connections, 1);
	ck_assert_uint_eq(in.slots[7].rx, 3);
	ck_assert_uint_eq(in.slots[7].tx, 4);
	leave_all();
}
END_TEST

START_TEST(an_equal_table_changes_nothing)
{
	struct routes_host hosts[2];
	struct host       *host;

	begin();
	hosts[0] = host_of("a.example");
	hosts[1] = host_of("b.example");
	hosts[1].slot = 8;
	ingress_routes(&in, hosts, 2);
	enter(0, "a.example");
	host = uses[0].host;
	host->turn = 77;
	host_leave(&uses[0]);
	ingress_routes(&in, hosts, 1);
	enter(1, "a.example");
	ck_assert_ptr_eq(uses[1].host, host);
	ck_assert_uint_eq(uses[1].host->turn, 77);
	leave_all();
}
END_TEST

START_TEST(a_removed_hosts_connections_are_reset_and_no_others)
{
	struct routes_host hosts[2];

	begin();
	hosts[0] = host_of("a.example");
	hosts[1] = host_of("b.example");
	hosts[1].slot = 8;
	ingress_routes(&in, hosts, 2);
	enter(0, "a.example");
	enter(1, "a.example");
	enter(2, "b.example");
	ingress_routes(&in, &hosts[1], 1);
	ck_assert_int_eq(gone, 2);
	ck_assert_ptr_null(uses[0].host);
	ck_assert_ptr_null(uses[1].host);
	ck_assert_ptr_nonnull(uses[2].host);
	ck_assert_uint_eq(in.active[7], 0);
	ck_assert_uint_eq(in.active[8], 1);
	leave_all();
}
END_TEST

START_TEST(one_end_may_bring_others_with_it)
{
	struct routes_host hosts[2];

	begin();
	hosts[0] = host_of("a.example");
	hosts[1] = host_of("b.example");
	ingress_routes(&in, hosts, 2);
	host_enter(in.worker, ROUTES_HTTPS, "a.example", &uses[0], on_gone_two);
	host_enter(in.worker, ROUTES_HTTPS, "b.example", &uses[7], on_gone);
	ingress_routes(&in, NULL, 0);
	ck_assert_ptr_null(uses[7].host);
	ck_assert_int_ge(gone, 1);
	leave_all();
}
END_TEST

START_TEST(an_exact_name_that_goes_does_not_hide_behind_a_wildcard)
{
	struct routes_host hosts[2];

	begin();
	hosts[0] = host_of("a.example");
	hosts[1] = host_of("*.example");
	ingress_routes(&in, hosts, 2);
	enter(0, "a.example");
	ingress_routes(&in, &hosts[1], 1);
	ck_assert_int_eq(gone, 1);
	leave_all();
}
END_TEST

START_TEST(a_changed_hosts_connections_live_on_as_they_began)
{
	struct routes_host host = begin_with("a.example");

	enter(0, "a.example");
	host.scheme[ROUTES_HTTPS].upstreams_count = 1;
	ingress_routes(&in, &host, 1);
	ck_assert_int_eq(gone, 0);
	ck_assert_uint_eq(uses[0].host->upstreams_count, 2);
	ck_assert(!host_is(&uses[0], ROUTES_HTTPS, "a.example"));
	enter(1, "a.example");
	ck_assert_uint_eq(uses[1].host->upstreams_count, 1);
	ck_assert(host_is(&uses[1], ROUTES_HTTPS, "a.example"));

	/* They are still known when the host goes. */
	ingress_routes(&in, NULL, 0);
	ck_assert_int_eq(gone, 2);
	leave_all();
}
END_TEST

START_TEST(another_namespace_is_another_network)
{
	struct routes_host host = begin_with("a.example");

	enter(0, "a.example");
	host.netns_cookie++;
	host.network_id++;
	ingress_routes(&in, &host, 1);
	ck_assert_int_eq(gone, 1);
	leave_all();
}
END_TEST

START_TEST(a_network_that_is_down_for_a_while_keeps_its_connections)
{
	struct routes_host host, down;

	begin();
	host = host_of("a.example");
	down = host;
	down.netns_cookie = down.network_id = 0;
	ingress_routes(&in, &host, 1);
	enter(0, "a.example");
	ingress_routes(&in, &down, 1);
	ck_assert_int_eq(enter(1, "a.example"), HOST_DOWN);
	host_leave(&uses[1]);
	ingress_routes(&in, &host, 1);
	ck_assert_int_eq(gone, 0);
	ck_assert_int_eq(enter(1, "a.example"), HOST_OK);
	leave_all();
}
END_TEST

/* The name went to another network, which is not up yet: the slot tells. */
START_TEST(a_host_that_moves_to_a_network_that_is_down_is_reset)
{
	struct routes_host host = begin_with("a.example");

	enter(0, "a.example");
	host.netns_cookie = host.network_id = 0;
	host.slot = 9;
	ingress_routes(&in, &host, 1);
	ck_assert_int_eq(gone, 1);
	ck_assert_uint_eq(in.active[9], 0);
	leave_all();
}
END_TEST

START_TEST(a_new_slot_takes_over_what_is_open)
{
	struct routes_host host = begin_with("a.example");

	enter(0, "a.example");
	enter(1, "a.example");
	host.slot = 9;
	ingress_routes(&in, &host, 1);
	ck_assert_uint_eq(in.active[7], 0);
	ck_assert_uint_eq(in.active[9], 2);
	host_received(&uses[0], 5);
	ck_assert_uint_eq(in.slots[7].rx, 0);
	ck_assert_uint_eq(in.slots[9].rx, 5);
	leave_all();
}
END_TEST

void test_host(TCase *tc)
{
	tcase_add_test(tc, a_name_is_found_only_under_its_scheme);
	tcase_add_test(tc, a_wildcards_names_share_one_host);
	tcase_add_test(tc, a_network_that_is_down_is_told);
	tcase_add_test(tc, the_limit_counts_all_workers);
	tcase_add_test(tc, bytes_and_connections_go_to_the_slot);
	tcase_add_test(tc, an_equal_table_changes_nothing);
	tcase_add_test(tc, a_removed_hosts_connections_are_reset_and_no_others);
	tcase_add_test(tc, one_end_may_bring_others_with_it);
	tcase_add_test(tc, an_exact_name_that_goes_does_not_hide_behind_a_wildcard);
	tcase_add_test(tc, a_changed_hosts_connections_live_on_as_they_began);
	tcase_add_test(tc, another_namespace_is_another_network);
	tcase_add_test(tc, a_network_that_is_down_for_a_while_keeps_its_connections);
	tcase_add_test(tc, a_host_that_moves_to_a_network_that_is_down_is_reset);
	tcase_add_test(tc, a_new_slot_takes_over_what_is_open);
}
