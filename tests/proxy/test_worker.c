#include "proxy/worker.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "proxy/host.h"
#include "proxy/sockpool.h"
#include "tests/support/ingress.h"

void test_worker(TCase *tc);

static void on_gone(struct host_use *use)
{
	host_leave(use);
}

START_TEST(a_damaged_table_leaves_the_old_one_in_force)
{
	static const struct tg_part noise = { "no table at all, but long enough to have a head of its own",
		                              58 };
	struct tg_endpoint          upstream = ingress_nobody();
	struct host_use             use = { 0 };
	struct ingress              in;
	struct routes_host          host;
	struct tg_error             err;
	TG_AUTO_FD                  fd = tg_memfd_make("test", &noise, 1, NULL);

	ingress_begin(&in, 0);
	host = ingress_host(&in, ROUTES_HTTPS, "a.example", &upstream, 1);
	ingress_routes(&in, &host, 1);
	ck_assert_int_eq(worker_set_routes(in.worker, fd, &err), -1);
	ck_assert_int_eq(host_enter(in.worker, ROUTES_HTTPS, "a.example", &use, on_gone), HOST_OK);
	host_leave(&use);
	ingress_end(&in);
}
END_TEST

static void on_socket(int fd, void *arg)
{
	*(int *)arg = fd;
}

static bool has_come(void *arg)
{
	return *(int *)arg != -2;
}

START_TEST(a_table_without_a_network_closes_its_sockets)
{
	struct tg_endpoint upstream = ingress_nobody();
	struct ingress     in;
	struct routes_host host;
	int                fd = -2;

	ingress_begin(&in, 0);
	host = ingress_host(&in, ROUTES_HTTPS, "a.example", &upstream, 1);
	ingress_routes(&in, &host, 1);
	ck_assert_int_eq(sockpool_take(in.worker->sockets, in.cookie, AF_INET, &fd, on_socket, &fd),
	                 SOCKPOOL_WAIT);
	ck_assert(ingress_until(&in, has_come, &fd));
	close(fd);
	ck_assert_uint_gt(sockpool_count(in.worker->sockets), 0);
	host.name = "b.example";
	ingress_routes(&in, &host, 1);
	ck_assert_uint_gt(sockpool_count(in.worker->sockets), 0);
	ingress_routes(&in, NULL, 0);
	ck_assert_uint_eq(sockpool_count(in.worker->sockets), 0);
	ingress_end(&in);
}
END_TEST

START_TEST(a_listener_that_it_has_no_use_for_is_closed)
{
	struct tg_endpoint at;
	struct ingress     in;
	int                fd = ingress_server(&at);

	ingress_begin(&in, 0);
	ck_assert_int_eq(worker_listen(in.worker, fd, MSG_LISTENER_API_TCP, NULL), -1);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	for (int i = 0; i < WORKER_LISTENERS_MOST; i++)
		ingress_listen(&in, MSG_LISTENER_HTTPS);
	ck_assert_int_eq(worker_listen(in.worker, ingress_server(&at), MSG_LISTENER_HTTPS, NULL), -1);
	ingress_end(&in);
}
END_TEST

START_TEST(without_clients_it_is_drained_at_once)
{
	struct ingress in;

	ingress_begin(&in, 0);
	ingress_listen(&in, MSG_LISTENER_HTTPS);
	worker_drain(in.worker);
	ck_assert(in.drained);
	in.drained = false;
	worker_drain(in.worker);
	ck_assert(!in.drained);
	ingress_end(&in);
}
END_TEST

START_TEST(freeing_it_resets_its_clients)
{
	struct ingress in;
	char           byte;
	int            client;
	ssize_t        n;

	ingress_begin(&in, 0);
	client = ingress_connect(&in, ingress_listen(&in, MSG_LISTENER_HTTPS));
	ingress_run(&in, 20);
	ck_assert_uint_eq(in.worker->clients, 1);
	ingress_end(&in);
	n = recv(client, &byte, 1, 0);
	ck_assert_int_eq(n, -1);
	ck_assert_int_eq(errno, ECONNRESET);
	ck_assert(!in.drained);
	close(client);
}
END_TEST

void test_worker(TCase *tc)
{
	tcase_add_test(tc, a_damaged_table_leaves_the_old_one_in_force);
	tcase_add_test(tc, a_table_without_a_network_closes_its_sockets);
	tcase_add_test(tc, a_listener_that_it_has_no_use_for_is_closed);
	tcase_add_test(tc, without_clients_it_is_drained_at_once);
	tcase_add_test(tc, freeing_it_resets_its_clients);
}
