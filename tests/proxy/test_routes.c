#include "proxy/routes.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

void test_routes(TCase *tc);

static const struct tg_endpoint upstreams[] = {
	{ .family = AF_INET, .port = 443, .bytes = { 10, 0, 0, 2 } },
	{ .family = AF_INET6, .port = 8443, .bytes = { 0xfd } },
};

static struct routes_host make(const char *name, uint64_t network, uint32_t slot)
{
	return (struct routes_host){
		.name = name,
		.netns_cookie = network,
		.network_id = network,
		.slot = slot,
		.scheme[ROUTES_HTTPS] = { NULL, upstreams, 2, UINT32_MAX, 1, 2, 0 },
	};
}

static struct routes *open_of(const struct routes_host *hosts, size_t count)
{
	struct tg_error err = { 0 };
	TG_AUTO_FD      fd = routes_build(hosts, count, &err);
	struct routes  *routes;

	ck_assert_msg(fd != -1, "%s", err.text);
	routes = routes_open(fd, &err);
	ck_assert_msg(routes != NULL, "%s", err.text);
	return routes;
}

static const char *found(const struct routes *routes, enum routes_scheme scheme, const char *name)
{
	static char        result[300];
	struct routes_host host;

	if (!routes_find(routes, scheme, name, &host))
		return "none";
	snprintf(result, sizeof result, "%s", host.name);
	return result;
}

START_TEST(all_that_was_said_is_found)
{
	struct routes_host host = make("a.example", 77, 5);
	struct routes_host to;
	struct routes     *routes;

	host.scheme[ROUTES_HTTP] = (struct routes_target){ "b.example", upstreams + 1, 1, 10, 1, 0, 1 };
	routes = open_of(&host, 1);
	ck_assert(routes_find(routes, ROUTES_HTTP, "a.example", &to));
	ck_assert_str_eq(to.name, "a.example");
	ck_assert_uint_eq(to.netns_cookie, 77);
	ck_assert_uint_eq(to.network_id, 77);
	ck_assert_uint_eq(to.slot, 5);
	ck_assert_str_eq(to.scheme[ROUTES_HTTP].host_header, "b.example");
	ck_assert_uint_eq(to.scheme[ROUTES_HTTP].max_connections, 10);
	ck_assert_uint_eq(to.scheme[ROUTES_HTTP].redirect_to_https, 1);
	ck_assert_uint_eq(to.scheme[ROUTES_HTTP].upstreams_count, 1);
	ck_assert(tg_endpoint_equal(to.scheme[ROUTES_HTTP].upstreams, &upstreams[1]));
	ck_assert_ptr_null(to.scheme[ROUTES_HTTPS].host_header);
	ck_assert_uint_eq(to.scheme[ROUTES_HTTPS].upstreams_count, 2);
	ck_assert_uint_eq(to.scheme[ROUTES_HTTPS].proxy_protocol, 2);
	ck_assert(tg_endpoint_equal(to.scheme[ROUTES_HTTPS].upstreams, &upstreams[0]));
	routes_close(routes);
}
END_TEST

START_TEST(the_exact_name_wins_and_a_wildcard_is_one_label)
{
	struct routes_host hosts[] = { make("*.example", 1, 1), make("a.example", 1, 2),
		                       make("example", 1, 3) };
	struct routes     *routes;

	hosts[1].scheme[ROUTES_HTTP] = hosts[1].scheme[ROUTES_HTTPS];
	hosts[1].scheme[ROUTES_HTTPS].present = 0;
	hosts[2].scheme[ROUTES_HTTP] = hosts[2].scheme[ROUTES_HTTPS];
	routes = open_of(hosts, 3);
	ck_assert_str_eq(found(routes, ROUTES_HTTP, "a.example"), "a.example");
	ck_assert_str_eq(found(routes, ROUTES_HTTPS, "a.example"), "*.example");
	ck_assert_str_eq(found(routes, ROUTES_HTTPS, "b.example"), "*.example");
	ck_assert_str_eq(found(routes, ROUTES_HTTP, "b.example"), "none");
	ck_assert_str_eq(found(routes, ROUTES_HTTPS, "a.b.example"), "none");
	ck_assert_str_eq(found(routes, ROUTES_HTTPS, "example"), "example");
	ck_assert_str_eq(found(routes, ROUTES_HTTPS, "ample"), "none");
	ck_assert_str_eq(found(routes, ROUTES_HTTPS, ""), "none");
	ck_assert_str_eq(found(routes, ROUTES_HTTPS, ".example"),
	                 "*.example"); /* no host name: never asked */
	routes_close(routes);
}
END_TEST

START_TEST(an_empty_table_knows_nobody)
{
	struct routes *routes = open_of(NULL, 0);

	ck_assert_str_eq(found(routes, ROUTES_HTTPS, "a.example"), "none");
	ck_assert(!routes_have_network(routes, 0));
	routes_close(routes);
}
END_TEST

START_TEST(many_names_are_all_found)
{
	enum { COUNT = 5000 };
	struct routes_host *hosts = calloc(COUNT, sizeof *hosts);
	char              (*names)[32] = calloc(COUNT, sizeof *names);
	struct routes      *routes;
	struct routes_host  to;

	for (uint32_t i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof names[i], "host-%u.example", i);
		hosts[i] = make(names[i], i / 10 + 1, i);
	}
	routes = open_of(hosts, COUNT);
	for (uint32_t i = 0; i < COUNT; i++) {
		ck_assert(routes_find(routes, ROUTES_HTTPS, names[i], &to));
		ck_assert_uint_eq(to.slot, i);
	}
	ck_assert(routes_have_network(routes, 1));
	ck_assert(routes_have_network(routes, COUNT / 10));
	ck_assert(!routes_have_network(routes, COUNT / 10 + 1));
	ck_assert_str_eq(found(routes, ROUTES_HTTPS, "host-5000.example"), "none");
	routes_close(routes);
	free(hosts);
	free(names);
}
END_TEST

START_TEST(equal_hosts_make_equal_tables)
{
	struct routes_host hosts[] = { make("a.example", 1, 1), make("b.example", 2, 2) };
	TG_AUTO_FD         a = routes_build(hosts, 2, NULL);
	TG_AUTO_FD         b = routes_build(hosts, 2, NULL);
	char               bytes[2][4096];
	ssize_t            len = pread(a, bytes[0], sizeof bytes[0], 0);

	ck_assert_int_gt(len, 0);
	ck_assert_int_eq(pread(b, bytes[1], sizeof bytes[1], 0), len);
	ck_assert_mem_eq(bytes[0], bytes[1], (size_t)len);
}
END_TEST

START_TEST(what_could_mix_tenants_up_is_not_built)
{
	struct routes_host host = make("a.example", 1, 1);
	struct routes_host twice[] = { host, host };
	struct tg_error    err;

	ck_assert_int_eq(routes_build(twice, 2, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "a.example"));
	host.network_id = 2;
	ck_assert_int_eq(routes_build(&host, 1, NULL), -1);
	host.network_id = 0;
	host.slot = ROUTES_FORWARD;
	ck_assert_int_eq(routes_build(&host, 1, NULL), -1);
	host.netns_cookie = 0;
	TG_AUTO_FD fd = routes_build(&host, 1, NULL);
	ck_assert_int_ne(fd, -1);
}
END_TEST

static int sealed(const void *data, size_t bytes)
{
	const struct tg_part part = { data, bytes };

	return tg_memfd_make("test", &part, 1, NULL);
}

static size_t sample(uint8_t *bytes, size_t size)
{
	struct routes_host hosts[] = { make("a.example", 1, 1), make("*.b.example", 2, 2) };
	TG_AUTO_FD         fd;
	ssize_t            len;

	hosts[0].scheme[ROUTES_HTTPS].host_header = "c.example";
	fd = routes_build(hosts, 2, NULL);
	len = pread(fd, bytes, size, 0);
	ck_assert_int_gt(len, 100);
	return (size_t)len;
}

START_TEST(a_table_of_any_other_length_is_refused)
{
	uint8_t bytes[4096] = { 0 };
	size_t  len = sample(bytes, sizeof bytes);

	for (size_t n = 1; n < len + 20; n++) {
		TG_AUTO_FD     fd = sealed(bytes, n);
		struct routes *routes = routes_open(fd, NULL);

		ck_assert_msg((routes != NULL) == (n == len), "%zu bytes of %zu", n, len);
		routes_close(routes);
	}
}
END_TEST

/* Use it as a worker would: the sanitizers watch. */
static void use(const struct routes *routes)
{
	static const char *const names[] = { "a.example", "x.b.example", "b.example", "zzz" };
	struct routes_host       host;

	for (size_t i = 0; i < 4; i++) {
		for (int scheme = 0; scheme < 2; scheme++) {
			if (!routes_find(routes, (enum routes_scheme)scheme, names[i], &host))
				continue;
			const struct routes_target *target = &host.scheme[scheme];
			uint32_t                    sum = (uint32_t)strlen(host.name);

			for (uint32_t k = 0; k < target->upstreams_count; k++)
				sum += target->upstreams[k].port;
			if (target->host_header != NULL)
				sum += (uint32_t)strlen(target->host_header);
			ck_assert_uint_gt(sum, 0);
		}
	}
	routes_have_network(routes, 1);
}

START_TEST(a_damaged_table_is_refused_or_harmless)
{
	static const uint8_t values[] = { 0, 1, 2, 3, 0x7f, 0x80, 0xff };
	uint8_t bytes[4096];
	size_t  len = sample(bytes, sizeof bytes);
	int     refused = 0;

	for (size_t at = 0; at < len; at++) {
		uint8_t was = bytes[at];

		for (size_t v = 0; v < sizeof values; v++) {
			bytes[at] = values[v];

			TG_AUTO_FD     fd = sealed(bytes, len);
			struct routes *routes = routes_open(fd, NULL);

			refused += routes == NULL;
			if (routes != NULL)
				use(routes);
			routes_close(routes);
		}
		bytes[at] = was;
	}
	ck_assert_int_gt(refused, 200);
}
END_TEST

START_TEST(an_unsealed_file_is_refused)
{
	uint8_t    bytes[4096];
	size_t     len = sample(bytes, sizeof bytes);
	TG_AUTO_FD fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	ck_assert_ptr_null(routes_open(fd, NULL));
}
END_TEST

void test_routes(TCase *tc)
{
	tcase_add_test(tc, all_that_was_said_is_found);
	tcase_add_test(tc, the_exact_name_wins_and_a_wildcard_is_one_label);
	tcase_add_test(tc, an_empty_table_knows_nobody);
	tcase_add_test(tc, many_names_are_all_found);
	tcase_add_test(tc, equal_hosts_make_equal_tables);
	tcase_add_test(tc, what_could_mix_tenants_up_is_not_built);
	tcase_add_test(tc, a_table_of_any_other_length_is_refused);
	tcase_add_test(tc, a_damaged_table_is_refused_or_harmless);
	tcase_add_test(tc, an_unsealed_file_is_refused);
}
