#include "daemon/role.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "netns/namespace.h"
#include "proxy/routes.h"
#include "tests/support/ingress.h"
#include "tests/support/peer.h"

void test_role_worker(TCase *tc);

#define DRAIN_MS 300
#define SLOT	 7

#define GET	 "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define REDIRECT "HTTP/1.1 308 "

/* A worker in a process of its own. */
static struct troupe          troupe;
static struct peer            control, broker;
static struct tg_endpoint     upstream;
static int                    server;
static struct sockaddr_storage ingress;	/* where it listens for HTTP */
static socklen_t              ingress_bytes;
static const struct msg_slot *slots;
static const struct msg_none  none;

static int run_worker(int fd)
{
	struct role role = {
		.self = MSG_ROLE_WORKER,
		.supervisor_fd = fd,
		.start = { .workers = 1, .drain_timeout_ms = DRAIN_MS },
		.state_dir = -1,
	};
	int status;

	role.base = event_base_new();
	status = role_worker(&role);
	event_base_free(role.base);
	return status;
}

/* Sends a file of so many zero bytes. */
static int give_file(enum msg_type type, const void *body, size_t bytes)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
	peer_say(&troupe.supervisor, type, body, fd);
	return fd;
}

/* All but MSG_GO and routes. */
static void begin(void)
{
	const struct msg_listening listening = { MSG_LISTENER_HTTP };
	const struct msg_segment   segment = { .live = 1, .name = "segment" };
	struct tg_endpoint         at;
	int                        fd;

	server = ingress_server(&upstream);
	troupe_begin(&troupe, MSG_ROLE_WORKER, run_worker);
	troupe_introduce(&troupe, &control, MSG_ROLE_CONTROL);
	troupe_introduce(&troupe, &broker, MSG_ROLE_BROKER);
	fd = give_file(MSG_SEGMENT, &segment, MSG_SEGMENT_BYTES);
	slots = mmap(NULL, MSG_SEGMENT_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	close(give_file(MSG_ACTIVE, &none, MSG_SLOTS * sizeof(uint32_t)));
	fd = ingress_server(&at);
	ingress_bytes = tg_endpoint_to_sockaddr(&at, &ingress);
	peer_say(&troupe.supervisor, MSG_LISTENER, &listening, fd);
	close(fd);
}

static void end(void)
{
	peer_leave(&control);
	peer_leave(&broker);
	troupe_end(&troupe);
	close(server);
}

static void say_routes(uint64_t version, bool redirect)
{
	const struct msg_routes routes = { version };
	struct routes_host      host = { .name = "a.example", .slot = SLOT };
	struct tg_error         err = { 0 };
	int                     probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int                     fd;

	host.netns_cookie = host.network_id = netns_cookie_of(probe);
	host.scheme[ROUTES_HTTP] = (struct routes_target){
		.upstreams = &upstream,
		.upstreams_count = 1,
		.max_connections = UINT32_MAX,
		.present = 1,
		.redirect_to_https = redirect,
	};
	fd = routes_build(&host, 1, &err);
	ck_assert_msg(fd != -1, "%s", err.text);
	peer_say(&control, MSG_ROUTES, &routes, fd);
	close(fd);
	close(probe);
}

static void expect_routes(uint64_t version)
{
	peer_wait(&troupe, &control.heard);
	ck_assert_uint_eq(control.msg.type, MSG_ROUTES_DONE);
	ck_assert_uint_eq(control.msg.body.routes.version, version);
}

static void expect_ready(void)
{
	peer_wait(&troupe, &troupe.supervisor.heard);
	ck_assert_uint_eq(troupe.supervisor.msg.type, MSG_READY);
}

static void begin_ready(bool redirect)
{
	begin();
	say_routes(1, redirect);
	expect_routes(1);
	peer_say(&troupe.supervisor, MSG_GO, &none, -1);
	expect_ready();
}

static int ask(void)
{
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(client, (struct sockaddr *)&ingress, ingress_bytes), 0);
	ck_assert_int_eq(send(client, GET, strlen(GET), MSG_NOSIGNAL), (long)strlen(GET));
	return client;
}

/* The worker is another process: this one may block. */
static void expect(int client, const char *begins)
{
	char text[1024];

	ck_assert_int_gt(recv(client, text, sizeof text, 0), (long)strlen(begins));
	ck_assert_msg(strncmp(text, begins, strlen(begins)) == 0, "%.100s", text);
}

START_TEST(it_accepts_once_it_has_routes)
{
	int client;

	begin();
	peer_say(&troupe.supervisor, MSG_GO, &none, -1);
	client = ask();
	/* Not for long: after a second it accepts without. */
	ck_assert(peer_is_silent(&troupe, &troupe.supervisor, 50));
	say_routes(1, true);
	expect_routes(1);
	expect_ready();
	expect(client, REDIRECT);
	close(client);
	end();
}
END_TEST

/* Control may be away: unknown names are answered rather than nobody. */
START_TEST(without_routes_it_accepts_after_a_second)
{
	uint64_t began_at_ms;
	int      client;

	begin();
	client = ask();
	began_at_ms = tg_clock_ms();
	peer_say(&troupe.supervisor, MSG_GO, &none, -1);
	expect_ready();
	ck_assert_uint_ge(tg_clock_ms(), began_at_ms + 900);
	expect(client, "HTTP/1.1 404 ");
	close(client);
	end();
}
END_TEST

/* Control then has it killed. */
START_TEST(a_table_that_it_refuses_is_not_acknowledged)
{
	const struct msg_routes damaged = { 2 };
	int                     fd = memfd_create("test", MFD_CLOEXEC);
	int                     client;

	begin_ready(true);
	peer_say(&control, MSG_ROUTES, &damaged, fd);
	close(fd);
	ck_assert(peer_is_silent(&troupe, &control, 100));
	client = ask();
	expect(client, REDIRECT);	/* by the old one */
	close(client);
	say_routes(3, true);
	expect_routes(3);
	end();
}
END_TEST

START_TEST(what_it_counts_is_in_the_segment)
{
	int client;

	begin_ready(true);
	client = ask();
	expect(client, REDIRECT);
	ck_assert_uint_eq(__atomic_load_n(&slots[SLOT].connections, __ATOMIC_RELAXED), 1);
	ck_assert_uint_eq(__atomic_load_n(&slots[SLOT].rx, __ATOMIC_RELAXED), strlen(GET));
	close(client);
	end();
}
END_TEST

START_TEST(a_new_control_is_obeyed_as_the_old_was)
{
	begin_ready(true);
	peer_leave(&control);
	troupe_introduce(&troupe, &control, MSG_ROLE_CONTROL);
	say_routes(9, true);
	expect_routes(9);
	end();
}
END_TEST

START_TEST(a_new_broker_is_asked_for_what_the_old_did_not_give)
{
	struct msg_sockets given = { .family = AF_INET, .count = 1 };
	int                client, made;

	begin_ready(false);
	client = ask();
	peer_wait(&troupe, &broker.heard);
	ck_assert_uint_eq(broker.msg.type, MSG_SOCKETS_WANTED);
	peer_leave(&broker);
	troupe_introduce(&troupe, &broker, MSG_ROLE_BROKER);
	peer_wait(&troupe, &broker.heard);
	ck_assert_uint_eq(broker.msg.type, MSG_SOCKETS_WANTED);
	given.netns_cookie = broker.msg.body.sockets_wanted.netns_cookie;
	made = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	peer_say(&broker, MSG_SOCKETS, &given, made);
	close(made);
	ck_assert_int_eq(fcntl(server, F_SETFL, 0), 0);
	made = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	expect(made, "GET / HTTP/1.1\r\nHost: a.example\r\n");
	close(made);
	expect(client, "HTTP/1.1 502 ");
	close(client);
	end();
}
END_TEST

START_TEST(a_second_go_and_what_it_has_no_use_for_change_nothing)
{
	const struct msg_listening listening = { MSG_LISTENER_API_TCP };
	const struct msg_channel   engine = { .role = MSG_ROLE_ENGINE };
	TG_AUTO_FD                 fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int                        client;

	begin_ready(true);
	peer_say(&troupe.supervisor, MSG_LISTENER, &listening, fd);
	peer_say(&troupe.supervisor, MSG_CHANNEL, &engine, fd);
	peer_say(&troupe.supervisor, MSG_GO, &none, -1);
	client = ask();
	expect(client, REDIRECT);
	ck_assert(!troupe.supervisor.heard);
	close(client);
	end();
}
END_TEST

START_TEST(told_to_stop_it_ends_with_its_last_connection)
{
	int client;

	begin_ready(true);
	client = ask();
	expect(client, REDIRECT);
	peer_say(&troupe.supervisor, MSG_STOP, &none, -1);
	peer_wait(&troupe, &troupe.supervisor.closed);
	close(client);
	end();
}
END_TEST

/* Half a request is no connection that could end: it is cut. */
START_TEST(a_drain_lasts_as_long_as_it_may)
{
	uint64_t began_at_ms;
	int      client;
	char     byte;

	begin_ready(true);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(client, (struct sockaddr *)&ingress, ingress_bytes), 0);
	ck_assert_int_eq(send(client, "GET ", 4, MSG_NOSIGNAL), 4);
	began_at_ms = tg_clock_ms();
	peer_say(&troupe.supervisor, MSG_STOP, &none, -1);
	peer_say(&troupe.supervisor, MSG_STOP, &none, -1);
	peer_wait(&troupe, &troupe.supervisor.closed);
	ck_assert_uint_ge(tg_clock_ms(), began_at_ms + DRAIN_MS - 1);
	ck_assert_int_eq(recv(client, &byte, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(client);
	end();
}
END_TEST

void test_role_worker(TCase *tc)
{
	tcase_add_test(tc, it_accepts_once_it_has_routes);
	tcase_add_test(tc, without_routes_it_accepts_after_a_second);
	tcase_add_test(tc, a_table_that_it_refuses_is_not_acknowledged);
	tcase_add_test(tc, what_it_counts_is_in_the_segment);
	tcase_add_test(tc, a_new_control_is_obeyed_as_the_old_was);
	tcase_add_test(tc, a_new_broker_is_asked_for_what_the_old_did_not_give);
	tcase_add_test(tc, a_second_go_and_what_it_has_no_use_for_change_nothing);
	tcase_add_test(tc, told_to_stop_it_ends_with_its_last_connection);
	tcase_add_test(tc, a_drain_lasts_as_long_as_it_may);
}
