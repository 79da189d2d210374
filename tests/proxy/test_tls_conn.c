#include "proxy/tls_conn.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/sockpool.h"
#include "proxy/worker.h"
#include "tests/proxy/tls_fixture.h"
#include "tests/support/sends.h"

void test_tls_conn(TCase *tc);

#define INTERNAL_ERROR "\x15\x03\x03\x00\x02\x02\x50"

/* Says the hello and returns the upstream's end of the connection. */
static int routed(int client)
{
	uint8_t got[HELLO_MAX];
	int     at;

	ingress_send(&in, client, hello, hello_bytes);
	at = ingress_accept(&in, server);
	ck_assert_int_eq(ingress_recv(&in, at, got, hello_bytes), (long)hello_bytes);
	ck_assert_mem_eq(got, hello, hello_bytes);
	return at;
}

static void expect_reset(int fd)
{
	char byte;

	ck_assert_int_eq(ingress_recv(&in, fd, &byte, 1), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(fd);
}

START_TEST(a_hello_reaches_its_upstream_untouched_and_bytes_go_both_ways)
{
	int client, at;

	begin();
	client = ingress_connect(&in, port);
	at = routed(client);
	ingress_send(&in, at, "server hello", 12);
	expect(client, "server hello", 12);
	ingress_send(&in, client, "finished", 8);
	expect(at, "finished", 8);
	ck_assert_uint_eq(in.slots[7].connections, 1);
	ck_assert_uint_eq(in.slots[7].rx, hello_bytes + 8);
	ck_assert_uint_eq(in.slots[7].tx, 12);
	ck_assert_uint_eq(in.active[7], 1);
	close(client);
	expect_last(at, "", 0);
	ck_assert(ingress_until(&in, nobody_left, NULL));
	ck_assert_uint_eq(in.active[7], 0);
	end();
}
END_TEST

static bool keep_none(uint64_t cookie, void *arg)
{
	(void)cookie;
	(void)arg;
	return false;
}

START_TEST(without_an_upstream_it_is_an_internal_error)
{
	begin();
	sends_watch(port, in.slots);
	upstream = ingress_nobody();
	ingress_routes(&in, &host, 1);
	refused(hello, hello_bytes, INTERNAL_ERROR, 7);
	in.refusal = 2;
	sockpool_forget_others(in.worker->sockets, keep_none, NULL);
	refused(hello, hello_bytes, INTERNAL_ERROR, 7);
	host.netns_cookie = host.network_id = 0;	/* its network is not up */
	ingress_routes(&in, &host, 1);
	refused(hello, hello_bytes, INTERNAL_ERROR, 7);
	ck_assert_uint_eq(in.slots[7].connections, 3);
	ck_assert_uint_eq(in.slots[7].tx, 3 * 7);
	ck_assert_uint_eq(sends_seen(), 3 * 7);
	end();
}
END_TEST

START_TEST(a_full_host_is_an_internal_error)
{
	int client, at;

	begin();
	host.scheme[ROUTES_HTTPS].max_connections = 1;
	ingress_routes(&in, &host, 1);
	client = ingress_connect(&in, port);
	at = routed(client);

	int second = ingress_connect(&in, port);

	ingress_send(&in, second, hello, hello_bytes);
	expect_last(second, INTERNAL_ERROR, 7);
	close(client);
	close(at);
	ck_assert(ingress_until(&in, nobody_left, NULL));
	client = ingress_connect(&in, port);
	close(routed(client));
	close(client);
	end();
}
END_TEST

START_TEST(the_proxy_protocol_header_comes_first_and_is_not_counted)
{
	char    expected[128];
	uint8_t got[HELLO_MAX];
	struct sockaddr_storage address;
	socklen_t               bytes = sizeof address;
	struct tg_endpoint      self;
	int     client, at, length;

	begin();
	host.scheme[ROUTES_HTTPS].proxy_protocol = 1;
	ingress_routes(&in, &host, 1);
	client = ingress_connect(&in, port);
	getsockname(client, (struct sockaddr *)&address, &bytes);
	tg_endpoint_from_sockaddr((struct sockaddr *)&address, &self);
	length = snprintf(expected, sizeof expected, "PROXY TCP4 127.0.0.1 127.0.0.1 %u %u\r\n", self.port,
	                  port);
	ingress_send(&in, client, hello, hello_bytes);
	at = ingress_accept(&in, server);
	ck_assert_int_eq(ingress_recv(&in, at, got, (size_t)length + hello_bytes),
	                 length + (long)hello_bytes);
	ck_assert_mem_eq(got, expected, (size_t)length);
	ck_assert_mem_eq(got + length, hello, hello_bytes);
	ck_assert_uint_eq(in.slots[7].rx, hello_bytes);
	close(client);
	close(at);
	end();
}
END_TEST

/* The upstream's connection is closed with the alert: what it does later is nobody's business. */
START_TEST(an_upstream_that_takes_no_proxy_protocol_header_is_an_internal_error)
{
	int  client, at;
	char byte;

	begin();
	in.dumb = true;
	host.scheme[ROUTES_HTTPS].proxy_protocol = 2;
	ingress_routes(&in, &host, 1);
	client = ingress_connect(&in, port);
	ingress_send(&in, client, hello, hello_bytes);
	at = ingress_accept(&in, server);
	expect(client, INTERNAL_ERROR, 7);
	send(at, "hello?", 6, MSG_NOSIGNAL);
	ck_assert_int_eq(ingress_recv(&in, client, &byte, 1), 0);
	close(client);
	ck_assert(ingress_until(&in, nobody_left, NULL));
	close(at);
	end();
}
END_TEST

START_TEST(a_removed_host_is_reset_and_a_changed_one_lives_on)
{
	struct routes_host hosts[2];
	struct tg_endpoint nobody;
	int                a, b, at_a, at_b;

	begin();
	nobody = ingress_nobody();
	hosts[0] = host;
	hosts[1] = ingress_host(&in, ROUTES_HTTPS, "b.example", &upstream, 1);
	ingress_routes(&in, hosts, 2);
	a = ingress_connect(&in, port);
	at_a = routed(a);
	hello_bytes = hello_make(hello, "b.example", 0);
	b = ingress_connect(&in, port);
	at_b = routed(b);
	hosts[1].scheme[ROUTES_HTTPS].upstreams = &nobody;

	ingress_routes(&in, &hosts[1], 1);
	ck_assert_uint_eq(in.worker->clients, 1);	/* before it returned */
	expect_reset(a);
	expect_reset(at_a);
	ingress_send(&in, at_b, "alive", 5);
	expect(b, "alive", 5);
	close(b);
	close(at_b);
	end();
}
END_TEST

START_TEST(a_host_that_goes_while_it_is_connected_to_is_reset)
{
	int client;

	begin();
	in.mute = true;
	client = ingress_connect(&in, port);
	ingress_send(&in, client, hello, hello_bytes);
	ingress_run(&in, 20);
	ck_assert_uint_eq(in.active[7], 1);
	ingress_routes(&in, NULL, 0);
	ck_assert_uint_eq(in.active[7], 0);
	expect_reset(client);
	end();
}
END_TEST

START_TEST(a_source_has_as_many_connections_as_it_may)
{
	int clients[3];

	begin_with(2);
	for (int i = 0; i < 3; i++)
		clients[i] = ingress_connect(&in, port);
	expect_last(clients[2], INTERNAL_ERROR, 7);
	ck_assert_uint_eq(in.worker->clients, 2);
	close(clients[0]);
	ingress_run(&in, 20);
	clients[2] = ingress_connect(&in, port);
	close(routed(clients[2]));
	close(clients[1]);
	close(clients[2]);
	end();
}
END_TEST

START_TEST(draining_lets_the_old_finish_and_takes_no_new)
{
	int client, at, late;

	begin();
	client = ingress_connect(&in, port);
	at = routed(client);
	late = ingress_connect(&in, port);	/* queued: let in */
	worker_drain(in.worker);
	ck_assert(!in.drained);

	struct tg_endpoint      to = { .family = AF_INET, .port = port, .bytes = { 127, 0, 0, 1 } };
	struct sockaddr_storage address;
	socklen_t               bytes = tg_endpoint_to_sockaddr(&to, &address);
	int                     refusee = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(connect(refusee, (struct sockaddr *)&address, bytes), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
	close(refusee);
	ingress_send(&in, at, "rest", 4);
	expect(client, "rest", 4);
	close(routed(late));
	close(late);
	close(client);
	close(at);
	ck_assert(ingress_until(&in, nobody_left, NULL));
	ck_assert(in.drained);
	end();
}
END_TEST

static bool ten_left(void *arg)
{
	(void)arg;
	return in.worker->clients == 10;
}

START_TEST(descriptors_are_kept_in_reserve)
{
	struct rlimit few = { 100, 100 };
	int           clients[90];
	int           count = 0;

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	begin();
	/* In this process clients and worker share the limit: 75 of 100 may be used. */
	for (int i = 0; i < 40; i++) {
		clients[i] = ingress_connect(&in, port);
		count++;
		ingress_run(&in, 1);
	}
	ck_assert_uint_lt(in.worker->clients, 40);
	ck_assert_uint_gt(in.worker->clients, 20);
	size_t before = in.worker->clients;

	ingress_run(&in, 250);
	ck_assert_uint_eq(in.worker->clients, before);
	for (int i = 0; i < 30; i++)
		close(clients[i]);
	ck_assert(ingress_until(&in, ten_left, NULL));
	for (int i = 30; i < count; i++)
		close(clients[i]);
	end();
}
END_TEST

void test_tls_conn(TCase *tc)
{
	tcase_add_test(tc, a_hello_reaches_its_upstream_untouched_and_bytes_go_both_ways);
	tcase_add_test(tc, without_an_upstream_it_is_an_internal_error);
	tcase_add_test(tc, a_full_host_is_an_internal_error);
	tcase_add_test(tc, the_proxy_protocol_header_comes_first_and_is_not_counted);
	tcase_add_test(tc, an_upstream_that_takes_no_proxy_protocol_header_is_an_internal_error);
	tcase_add_test(tc, a_removed_host_is_reset_and_a_changed_one_lives_on);
	tcase_add_test(tc, a_host_that_goes_while_it_is_connected_to_is_reset);
	tcase_add_test(tc, a_source_has_as_many_connections_as_it_may);
	tcase_add_test(tc, draining_lets_the_old_finish_and_takes_no_new);
	tcase_add_test(tc, descriptors_are_kept_in_reserve);
}
