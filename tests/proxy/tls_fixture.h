/* What the tests of TLS connections share: a host behind a worker, and clients that say hello. */
#ifndef TOLLGATE_TESTS_PROXY_TLS_FIXTURE_H
#define TOLLGATE_TESTS_PROXY_TLS_FIXTURE_H

#include <check.h>
#include <unistd.h>

#include "proxy/worker.h"
#include "tests/support/ingress.h"

static struct ingress     in;
static struct tg_endpoint upstream;
static struct routes_host host;		/* a.example, at `upstream` */
static int                server;
static uint16_t           port;
static uint8_t            hello[HELLO_MAX];
static size_t             hello_bytes;

static void begin_with(uint32_t source_connections)
{
	ingress_begin(&in, source_connections);
	server = ingress_server(&upstream);
	host = ingress_host(&in, ROUTES_HTTPS, "a.example", &upstream, 1);
	ingress_routes(&in, &host, 1);
	port = ingress_listen(&in, MSG_LISTENER_HTTPS);
	hello_bytes = hello_make(hello, "a.example", 1600);
}

static void begin(void)
{
	begin_with(0);
}

static void end(void)
{
	close(server);
	ingress_end(&in);
}

static void expect(int fd, const void *bytes, size_t count)
{
	char got[512];

	ck_assert_int_eq(ingress_recv(&in, fd, got, count), (long)count);
	ck_assert_mem_eq(got, bytes, count);
}

/* The answer, and then the end: no reset, which could take the answer away. */
static void expect_last(int fd, const void *bytes, size_t count)
{
	char more;

	expect(fd, bytes, count);
	ck_assert_int_eq(ingress_recv(&in, fd, &more, 1), 0);
	close(fd);
}

static bool nobody_left(void *arg)
{
	(void)arg;
	return in.worker->clients == 0;
}

static void refused(const void *bytes, size_t count, const void *answer, size_t answer_bytes)
{
	int client = ingress_connect(&in, port);

	ingress_send(&in, client, bytes, count);
	expect_last(client, answer, answer_bytes);
	ck_assert(ingress_until(&in, nobody_left, NULL));
}

#endif
