/* What the tests of HTTP connections share: two hosts behind a worker, and clients that ask them. */
#ifndef TOLLGATE_TESTS_PROXY_HTTP_FIXTURE_H
#define TOLLGATE_TESTS_PROXY_HTTP_FIXTURE_H

#include <check.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/ingress.h"
#include "tests/support/web.h"

/* Two hosts with one upstream each, of two tenants. */
static struct ingress     in;
static struct tg_endpoint at_a, at_b;
static int                a, b;		/* listeners */
static uint16_t           port;
static char               text[65536];

static void setup(void)
{
	struct routes_host hosts[2];

	ingress_begin(&in, 0);
	port = ingress_listen(&in, MSG_LISTENER_HTTP);
	a = ingress_server(&at_a);
	b = ingress_server(&at_b);
	hosts[0] = ingress_host(&in, ROUTES_HTTP, "a.example", &at_a, 1);
	hosts[1] = ingress_host(&in, ROUTES_HTTP, "*.b.example", &at_b, 1);
	hosts[0].slot = 1;
	hosts[1].slot = 2;
	ingress_routes(&in, hosts, 2);
}

static void teardown(void)
{
	ingress_end(&in);
	close(a);
	close(b);
}

#define GET_A "GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define GET_B "GET /2 HTTP/1.1\r\nHost: x.b.example\r\n\r\n"
#define UPGRADE_A \
	"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define POST_A "POST / HTTP/1.1\r\nHost: a.example\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void hear_head(int fd)
{
	web_hear(&in, fd, text, sizeof(text), "\r\n\r\n");
}

static void hear_ok(int fd)
{
	web_hear(&in, fd, text, sizeof(text), "\r\n\r\nok");
	ck_assert_msg(strncmp(text, "HTTP/1.1 200 OK\r\n", 17) == 0, "%s", text);
}

/* A client whose request `request` the upstream behind `listener` has got. */
static int begin(int listener, const char *request, int *upstream)
{
	int client = ingress_connect(&in, port);

	web_say(&in, client, request);
	*upstream = ingress_accept(&in, listener);
	hear_head(*upstream);
	return client;
}

#endif
