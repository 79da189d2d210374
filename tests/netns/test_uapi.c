#include "netns/uapi.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/model.h"
#include "netns/differ.h"
#include "netns/state.h"
#include "tests/support/document.h"

void test_uapi(TCase *tc);

#define HEX_A "e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a"
#define HEX_B "b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33"

static const char device[] =
        "private_key=" HEX_A "\nlisten_port=12912\nfwmark=0\n"
        "public_key=" HEX_B
        "\npreshared_key=188515093e952f5f22e865cef3012e72f8b5f0b598ac0309d5dacce3b70fcf52\n"
        "protocol_version=1\nendpoint=[abcd:23::33]:51820\nlast_handshake_time_sec=1700000000\n"
        "last_handshake_time_nsec=7\ntx_bytes=38333\nrx_bytes=18446744073709551615\n"
        "persistent_keepalive_interval=111\nallowed_ip=192.168.4.4/32\nallowed_ip=fd00::/64\n"
        "public_key=" HEX_A "\nprotocol_version=1\nrx_bytes=1\ntx_bytes=2\nsomething_new=5\nerrno=0\n\n";

START_TEST(a_device_is_read_with_its_peers)
{
	struct state    state = { .exists = true };
	struct tg_error err;
	char            text[sizeof device];
	char            endpoint[TG_ENDPOINT_TEXT];

	memcpy(text, device, sizeof text);
	ck_assert_int_eq(uapi_read_device(text, &state, &err), 0);
	ck_assert(state.device);
	ck_assert_uint_eq(state.port, 12912);
	ck_assert_uint_eq(state.private_key.bytes[0], 0xe8);
	ck_assert_uint_eq(state.private_key.bytes[31], 0x7a);
	ck_assert_uint_eq(state.peers_count, 2);
	ck_assert_uint_eq(state.peers[0].public_key.bytes[0], 0xb8);
	ck_assert_uint_eq(state.peers[0].preshared_key.bytes[0], 0x18);
	ck_assert_str_eq(tg_endpoint_print(&state.peers[0].endpoint, endpoint), "[abcd:23::33]:51820");
	ck_assert_int_eq(state.peers[0].handshake_unix_s, 1700000000);
	ck_assert_uint_eq(state.peers[0].rx, UINT64_MAX);
	ck_assert_uint_eq(state.peers[0].tx, 38333);
	ck_assert_uint_eq(state.peers[0].keepalive_s, 111);
	ck_assert_uint_eq(state.peers[0].ranges_count, 2);
	ck_assert_uint_eq(state.peers[1].ranges_count, 0);
	ck_assert_uint_eq(state.peers[1].endpoint.family, 0);
	ck_assert_uint_eq(state.peers[1].rx, 1);
	state_clear(&state);
}
END_TEST

/* Half an answer must not look like a device that lost its peers. */
START_TEST(no_prefix_of_an_answer_is_one)
{
	size_t whole = (size_t)(strstr(device, "errno=") - device);

	for (size_t n = 0; n <= whole; n++) {
		struct state    state = { .exists = true };
		struct tg_error err;
		char           *part = malloc(n + 1);

		ck_assert_ptr_nonnull(part);
		memcpy(part, device, n);
		part[n] = '\0';
		ck_assert_msg(uapi_read_device(part, &state, &err) == -1, "%zu bytes", n);
		ck_assert(!state.device);
		free(part);
		state_clear(&state);
	}
}
END_TEST

START_TEST(a_key_that_is_none_is_refused)
{
	static const char *const bad[] = {
		"public_key=12\nerrno=0\n\n",
		"public_key=" HEX_A "00\nerrno=0\n\n",
		"public_key=zz4b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a\nerrno=0\n\n",
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct state    state = { .exists = true };
		struct tg_error err;
		char           *text = strdup(bad[i]);

		ck_assert_msg(uapi_read_device(text, &state, &err) == -1, "%s", bad[i]);
		ck_assert_str_eq(err.text, "wireguard-go's answer has a bad key");
		free(text);
		state_clear(&state);
	}
}
END_TEST

/* The other end of the socket: reads a request of known size, answers in pieces of `piece` bytes. */
struct server {
	int         fd;
	size_t      piece;
	const char *answer;
};

static void *serve(void *arg)
{
	const struct server *server = arg;
	char                 request[16];
	size_t               bytes = strlen(server->answer);

	if (recv(server->fd, request, 7, MSG_WAITALL) != 7)
		return NULL;
	for (size_t at = 0; at < bytes; at += server->piece) {
		size_t n = bytes - at < server->piece ? bytes - at : server->piece;

		if (send(server->fd, server->answer + at, n, MSG_NOSIGNAL) == -1)
			return NULL;
	}
	shutdown(server->fd, SHUT_WR);
	return NULL;
}

static int ask(const char *text, size_t piece, char **to, struct tg_error *err)
{
	int                ends[2];
	pthread_t          thread;
	struct server      server = { .piece = piece, .answer = text };
	struct uapi_answer answer;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	server.fd = ends[1];
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, &server), 0);

	int done = uapi_begin(&answer, ends[0], "get=1\n\n", 7, err);

	while (done == 0 && !answer.over)
		done = uapi_go_on(&answer, UINT64_MAX, err);
	if (done == 0)
		*to = strdup(answer.text);
	uapi_end(&answer);
	pthread_join(thread, NULL);
	close(ends[1]);
	return done;
}

START_TEST(an_answer_may_come_in_any_pieces)
{
	struct tg_error err;
	char           *answer;

	for (size_t piece = 1; piece < sizeof device; piece += 1 + piece / 7) {
		ck_assert_msg(ask(device, piece, &answer, &err) == 0, "pieces of %zu: %s", piece, err.text);
		ck_assert_str_eq(answer, device);
		free(answer);
	}
}
END_TEST

START_TEST(a_refusal_is_an_errno)
{
	struct tg_error err = { .sys = 0 };
	char           *answer = NULL;

	ck_assert_int_eq(ask("errno=-98\n\n", 100, &answer, &err), -1);
	ck_assert_int_eq(err.sys, EADDRINUSE);
	ck_assert_ptr_null(answer);
}
END_TEST

START_TEST(an_answer_that_breaks_off_is_refused)
{
	struct tg_error err;
	char           *answer = NULL;

	ck_assert_int_eq(ask("listen_port=7\n\n", 100, &answer, &err), -1);
	ck_assert_str_eq(err.text, "wireguard-go hung up");
	ck_assert_int_eq(ask("", 100, &answer, &err), -1);
}
END_TEST

START_TEST(an_answer_has_a_limit)
{
	struct tg_error err;
	char           *answer = NULL;
	char           *endless = malloc(UAPI_ANSWER_MOST + 2);

	ck_assert_ptr_nonnull(endless);
	memset(endless, 'x', UAPI_ANSWER_MOST + 1);
	endless[UAPI_ANSWER_MOST + 1] = '\0';
	ck_assert_int_eq(ask(endless, 65536, &answer, &err), -1);
	ck_assert_int_eq(err.code, TG_CODE_LIMIT);
	free(endless);
}
END_TEST

START_TEST(steps_are_printed_as_the_socket_wants_them)
{
	struct model *model = document_read(
	        DOCUMENT(",'peers':{'" PUBLIC_2 "':{'allowed_ips':['10.0.0.2'],'endpoint':'192.0.2.1:7'}}"),
	        NULL);
	const struct state none = { .exists = false };
	struct plan        plan;
	char               text[1024];
	char               key[65];
	char               wanted[256];

	ck_assert_int_eq(differ_plan(model, model_find(model, 51820), &none, NULL, &plan), 0);
	uapi_print_key(key, model->peers[0].public_key.bytes);
	for (size_t i = 0; i < plan.steps_count; i++) {
		if (plan.steps[i].kind != STEP_PEER_SET)
			continue;

		size_t bytes = uapi_print_step(text, sizeof text, &plan, &plan.steps[i]);

		snprintf(wanted, sizeof wanted,
		         "public_key=%s\nendpoint=192.0.2.1:7\npersistent_keepalive_interval=25\n"
		         "allowed_ip=10.0.0.2/32\n", key);
		ck_assert_str_eq(text, wanted);
		ck_assert_uint_eq(bytes, strlen(wanted));
		/* Where it does not fit, nothing is said rather than half of it. */
		for (size_t room = 1; room <= bytes; room++)
			ck_assert_uint_eq(uapi_print_step(text, room, &plan, &plan.steps[i]), 0);

		struct step gone = { .kind = STEP_PEER_REMOVE, .key = plan.steps[i].key };

		uapi_print_step(text, sizeof text, &plan, &gone);
		snprintf(wanted, sizeof wanted, "public_key=%s\nremove=true\n", key);
		ck_assert_str_eq(text, wanted);
	}
	plan_clear(&plan);
	model_free(model);
}
END_TEST

/* The ranges go to a peer that nobody has, and go with it. */
START_TEST(ranges_are_dropped_by_way_of_a_peer_of_their_own)
{
	struct tg_cidr ranges[2];
	struct plan    plan = { .ranges = ranges, .ranges_count = 2 };
	struct step    drop = { .kind = STEP_RANGES_DROP, .ranges_count = 2 };
	char           text[1024];
	char           first[65];
	char           second[65];

	ck_assert(tg_cidr_read("10.0.0.2/32", &ranges[0]));
	ck_assert(tg_cidr_read("fd00::/64", &ranges[1]));
	ck_assert_uint_gt(uapi_print_step(text, sizeof text, &plan, &drop), 0);
	ck_assert_int_eq(sscanf(text, "public_key=%64s\nallowed_ip=10.0.0.2/32\nallowed_ip=fd00::/64\n"
	                              "public_key=%64s\nremove=true", first, second), 2);
	ck_assert_str_eq(first, second);
	ck_assert_ptr_nonnull(strstr(text, "remove=true\n"));
}
END_TEST

#define PEERS 1000

/* A device of many peers, whose answer comes in no time and takes long to be read. */
static char *many_peers(void)
{
	char  *text = malloc(PEERS * 200 + 300);
	size_t at;

	ck_assert_ptr_nonnull(text);
	at = (size_t)sprintf(text, "private_key=" HEX_A "\nlisten_port=7\n");
	for (unsigned i = 0; i < PEERS; i++)
		at += (size_t)sprintf(text + at, "public_key=%08x%s\nrx_bytes=%u\nallowed_ip=10.0.%u.%u/32\n",
		                      i, &HEX_B[8], i, i / 250, i % 250);
	sprintf(text + at, "errno=0\n\n");
	return text;
}

START_TEST(a_long_answer_is_received_and_read_in_parts)
{
	char              *text = many_peers();
	struct server      server = { .piece = 5000, .answer = text };
	struct uapi_answer answer;
	struct state       state = { .exists = true };
	struct tg_error    err;
	pthread_t          thread;
	unsigned           parts = 0;
	int                ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	server.fd = ends[1];
	ck_assert_int_eq(uapi_begin(&answer, ends[0], "get=1\n\n", 7, &err), 0);
	/* Before anything has come: no failure, and no waiting. */
	ck_assert_int_eq(uapi_go_on(&answer, 0, &err), 0);
	ck_assert(!answer.over);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, &server), 0);
	while (!answer.over)
		ck_assert_msg(uapi_go_on(&answer, tg_clock_ms() + 1, &err) == 0, "%s", err.text);
	for (; !state.device; parts++) {
		ck_assert_uint_eq(state.peers_count > 0, parts > 0);
		ck_assert_msg(uapi_read_some(&answer, &state, 0, &err) == 0, "%s", err.text);
	}
	ck_assert_uint_gt(parts, PEERS * 3 / 300);
	ck_assert_uint_eq(state.peers_count, PEERS);
	for (unsigned i = 0; i < PEERS; i++) {
		ck_assert_uint_eq(state.peers[i].rx, i);
		ck_assert_uint_eq(state.peers[i].ranges_count, 1);
	}
	uapi_end(&answer);
	ck_assert_int_eq(answer.fd, -1);
	pthread_join(thread, NULL);
	close(ends[1]);
	state_clear(&state);
	free(text);
}
END_TEST

/* The time that counts is that since the last byte. */
START_TEST(who_does_not_answer_is_deaf_after_a_while)
{
	struct uapi_answer answer;
	struct tg_error    err = { .sys = 0 };
	int                ends[2];

	tg_clock_fake(1000, 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(uapi_begin(&answer, ends[0], "get=1\n\n", 7, &err), 0);
	tg_clock_fake(1000 + UAPI_WAIT_MS - 1, 0);
	ck_assert_int_eq(uapi_go_on(&answer, 0, &err), 0);
	ck_assert_int_eq(send(ends[1], "fwmark=0\n", 9, 0), 9);
	ck_assert_int_eq(uapi_go_on(&answer, 0, &err), 0);
	tg_clock_fake(1000 + 2 * UAPI_WAIT_MS - 2, 0);
	ck_assert_int_eq(uapi_go_on(&answer, 0, &err), 0);
	tg_clock_fake(1000 + 2 * UAPI_WAIT_MS - 1, 0);
	ck_assert_int_eq(uapi_go_on(&answer, 0, &err), -1);
	ck_assert_int_eq(err.sys, EAGAIN);
	uapi_end(&answer);
	close(ends[1]);
}
END_TEST

void test_uapi(TCase *tc)
{
	tcase_add_test(tc, a_device_is_read_with_its_peers);
	tcase_add_test(tc, no_prefix_of_an_answer_is_one);
	tcase_add_test(tc, a_key_that_is_none_is_refused);
	tcase_add_test(tc, an_answer_may_come_in_any_pieces);
	tcase_add_test(tc, a_refusal_is_an_errno);
	tcase_add_test(tc, an_answer_that_breaks_off_is_refused);
	tcase_add_test(tc, an_answer_has_a_limit);
	tcase_add_test(tc, steps_are_printed_as_the_socket_wants_them);
	tcase_add_test(tc, ranges_are_dropped_by_way_of_a_peer_of_their_own);
	tcase_add_test(tc, a_long_answer_is_received_and_read_in_parts);
	tcase_add_test(tc, who_does_not_answer_is_deaf_after_a_while);
}
