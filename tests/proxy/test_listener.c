#include "proxy/listener.h"

#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/worker.h"
#include "tests/support/ingress.h"

void test_listener(TCase *tc);

#define FDS_MOST 256	/* a test has fewer */

static struct ingress in;

/* The worker's end of the connection of `client`, found among this process's descriptors. */
static int other_end(int client)
{
	struct sockaddr_in self = { 0 }, peer;
	socklen_t          bytes = sizeof self;

	ck_assert_int_eq(getsockname(client, (struct sockaddr *)&self, &bytes), 0);
	for (int fd = 0; fd < FDS_MOST; fd++) {
		bytes = sizeof peer;
		if (fd != client && getpeername(fd, (struct sockaddr *)&peer, &bytes) == 0 &&
		    peer.sin_family == AF_INET && peer.sin_port == self.sin_port)
			return fd;
	}
	return -1;
}

static bool was_accepted(void *arg)
{
	(void)arg;
	return in.worker->clients > 0;
}

static void accept_with(enum msg_listener kind)
{
	int       nodelay = 0;
	socklen_t bytes = sizeof nodelay;
	int       client, fd;

	ingress_begin(&in, 0);
	client = ingress_connect(&in, ingress_listen(&in, kind));
	ck_assert(ingress_until(&in, was_accepted, NULL));
	fd = other_end(client);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &bytes), 0);
	ck_assert_int_ne(nodelay, 0);
	close(client);
	ingress_end(&in);
}

/* Or a head would wait for the ACK of the one before. */
START_TEST(what_is_accepted_sends_without_delay)
{
	accept_with(MSG_LISTENER_HTTP);
	accept_with(MSG_LISTENER_HTTPS);
}
END_TEST

/* It may have sent its request while it stood in the queue. */
START_TEST(who_stands_in_the_queue_is_let_in_before_a_drain)
{
	struct tg_endpoint      at;
	struct sockaddr_storage address;
	socklen_t               bytes;
	int                     server, clients[20];

	ingress_begin(&in, 0);
	server = ingress_server(&at);
	bytes = tg_endpoint_to_sockaddr(&at, &address);
	ck_assert_int_eq(worker_listen(in.worker, server, MSG_LISTENER_HTTPS, NULL), 0);
	worker_accept(in.worker);
	for (int i = 0; i < 20; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ck_assert_int_eq(connect(clients[i], (struct sockaddr *)&address, bytes), 0);
	}
	ck_assert_uint_eq(in.worker->clients, 0);
	worker_drain(in.worker);
	ck_assert_uint_eq(in.worker->clients, 20);
	for (int i = 0; i < 20; i++)
		close(clients[i]);
	ingress_end(&in);
}
END_TEST

void test_listener(TCase *tc)
{
	tcase_add_test(tc, what_is_accepted_sends_without_delay);
	tcase_add_test(tc, who_stands_in_the_queue_is_let_in_before_a_drain);
}
