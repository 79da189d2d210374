#include "daemon/engine.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>
#include <event2/event.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/model.h"
#include "netns/state.h"
#include "tests/support/document.h"
#include "tests/support/engine_bench.h"
#include "tests/support/kernel.h"

void test_engine_late(TCase *tc);

#define NOW_MS	   1000000
#define DEAF	   20	/* the networks 1..DEAF, whose wireguard-go does not answer */
#define DEAF_MS	   5000
#define PORT	   51820
#define TURNS_MOST 10000

/* An engine with one network whose kernel is a value, and many that a backend which takes its time tells
 * nothing of, under a clock that goes on where something is waited for. */
static struct engine          e;
static struct apply_kernel    real;
static struct engine_network *other;	/* the one that answers */
static uint64_t               now_ms;
static uint64_t               answers_at_ms;	/* the deaf ones from then on; 0: never */
static unsigned               asked[DEAF + 1];
static int                    control;	/* the other end of the engine's channel */

static enum reading_result read_some(const struct wireguard *wireguard, struct reading *reading,
                                     uint64_t until_ms, struct tg_error *err)
{
	struct tenant *tenant = reading->tenant;

	if (tenant->port > DEAF) {
		tenant->ifindex = fake.state.ifindex;
		return real.read(wireguard, reading, until_ms, err);
	}
	if (answers_at_ms != 0 && answers_at_ms <= now_ms)
		return READING_DONE;	/* and there is no namespace any more */
	asked[tenant->port]++;
	if (tenant->deaf_since_ms == 0)
		tenant->deaf_since_ms = now_ms;
	if (now_ms - tenant->deaf_since_ms < DEAF_MS)
		return READING_WAIT;
	tg_fail(err, TG_CODE_SYSTEM, "told to be deaf");
	return READING_FAILED;
}

static int not_made(const struct netns_host *host, struct tenant *tenant, struct tg_error *err)
{
	if (tenant->port > DEAF)
		return real.make(host, tenant, err);
	return tg_fail(err, TG_CODE_SYSTEM, "told not to be made");
}

static int links_changed(struct tenant *tenant, const struct plan *plan, const struct step *steps,
                         size_t count, struct tg_error *err)
{
	tenant->ifindex = fake.state.ifindex;
	return real.links(tenant, plan, steps, count, err);
}

/* All that are deaf, and the other with what else is given. */
static void desire(const char *more)
{
	char   text[DEAF * 128 + 512];
	size_t at = (size_t)snprintf(text, sizeof text, "{'%u':" NETWORK("%s", "%s"), PORT, PRIVATE_1, more);

	for (unsigned port = 1; port <= DEAF; port++) {
		struct tg_key key = { .bytes = { (uint8_t)(port << 3), [31] = 0x40 } };
		char          printed[TG_KEY_TEXT];

		at += (size_t)snprintf(text + at, sizeof text - at, ",'%u':" NETWORK("%s", ""), port,
		                       tg_key_print(&key, printed));
	}
	snprintf(text + at, sizeof text - at, "}");
	e.generation++;
	e.check_at_ms = now_ms + ENGINE_CHECK_MS;
	e.announce = true;
	engine_begin(&e, engine_enlist(&e, engine_bench_document(text), true));
	other = e.networks[PORT];
}

/* As if they had been brought in line with it, and their wireguard-go had stopped then. */
static void settle(void)
{
	for (unsigned port = 1; port <= DEAF; port++) {
		struct engine_network *n = e.networks[port];

		n->up = n->keyed = true;
		n->public_key = n->want->public_key;
	}
}

static void begin(void)
{
	control = engine_bench_begin(&e);
	real = e.kernel;
	e.kernel.read = read_some;
	e.kernel.make = not_made;
	e.kernel.links = links_changed;
	e.host.wireguard = MSG_WIREGUARD_USERSPACE;
	answers_at_ms = 0;
	memset(asked, 0, sizeof asked);
	tg_clock_fake(now_ms = NOW_MS, 0);
	desire("");
	settle();
}

static void end(void)
{
	engine_pause(&e);
	engine_read_end(&e);
	engine_bench_end(&e, control);
}

/* One turn of the loop, at its time. */
static void turn(void)
{
	if (e.tick_at_ms > now_ms)
		tg_clock_fake(now_ms = e.tick_at_ms, 0);
	e.tick_at_ms = 0;
	engine_look_some(&e, now_ms + ENGINE_SLICE_MS);
	engine_step(&e);
	if (e.phase == ENGINE_LEDGER)	/* control has stored it */
		e.phase = ENGINE_WORK;
	if (e.phase == ENGINE_LAST_LEDGER)
		e.phase = ENGINE_REMOVE;
	if (e.phase == ENGINE_UNROUTE)	/* and workers obey */
		e.phase = ENGINE_DOWN;
	if (e.phase != ENGINE_IDLE && e.tick_at_ms == 0)
		e.tick_at_ms = now_ms;
}

static unsigned failed(void)
{
	unsigned count = 0;

	for (unsigned port = 1; port <= DEAF; port++)
		count += e.networks[port] != NULL && e.networks[port]->failed;
	return count;
}

/* What control hears next: how many networks are up (-1: as many as before), and whether all is complete. */
static int told(enum msg_type type, bool *complete)
{
	struct pollfd   wait = { .fd = control, .events = POLLIN };
	struct snapshot snapshot;
	struct msg      msg;
	int             fds[MSG_FDS_MOST];
	int             up = 0;

	for (;;) {
		ck_assert_int_eq(poll(&wait, 1, 0), 1);

		int given = channel_wait(control, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE, &msg, fds, NULL);

		ck_assert_int_ge(given, 0);
		if (msg.type == type && given == 0 && complete != NULL) {
			*complete = msg.body.networks.complete != 0;
			return -1;
		}
		if (msg.type == type)
			break;
		if (given > 0)
			close(fds[0]);
	}
	ck_assert_int_eq(snapshot_unpack(fds[0], &snapshot, NULL), 0);
	for (size_t i = 0; i < snapshot.networks_count; i++)
		up += snapshot.networks[i].state == SNAPSHOT_UP;
	snapshot_clear(&snapshot);
	if (complete != NULL)
		*complete = msg.body.networks.complete != 0;
	return up;
}

START_TEST(those_that_do_not_answer_are_waited_for_together_and_hold_up_nobody)
{
	bool     complete;
	unsigned turns = 0;

	while (!other->up) {
		ck_assert_uint_lt(++turns, TURNS_MOST);
		turn();
	}
	ck_assert_uint_eq(failed(), 0);
	ck_assert_uint_le(now_ms, NOW_MS + 2 * ENGINE_POLL_MS);
	while (e.phase != ENGINE_IDLE) {
		ck_assert_uint_lt(++turns, TURNS_MOST);
		turn();
	}
	ck_assert_uint_eq(failed(), DEAF);
	ck_assert_uint_lt(now_ms, NOW_MS + DEAF_MS + DEAF_MS / 4);
	/* The other is told of before the answer, in which the deaf ones are. */
	ck_assert_int_eq(told(MSG_NETWORKS, &complete), DEAF + 1);
	ck_assert(!complete);
	ck_assert_int_eq(told(MSG_NETWORKS, &complete), 1);
	ck_assert(complete);
	/* They were not asked without a pause. */
	for (unsigned port = 1; port <= DEAF; port++)
		ck_assert_uint_lt(asked[port], 100);
}
END_TEST

/* Not only when it is due, which is a minute later for one that has been deaf for long. */
START_TEST(one_that_answers_again_is_tried_at_once)
{
	struct engine_network *n = e.networks[7];
	int                    ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	n->tenant.asked = ends[0];
	while (e.phase != ENGINE_IDLE)
		turn();
	ck_assert(n->failed && n->retry_at_ms > now_ms);
	event_base_loop(e.base, EVLOOP_NONBLOCK);
	ck_assert_uint_gt(n->retry_at_ms, now_ms);
	answers_at_ms = now_ms;
	ck_assert_int_eq(send(ends[1], "!", 1, 0), 1);
	event_base_loop(e.base, EVLOOP_NONBLOCK);
	turn();
	ck_assert_str_eq(n->reason, "told not to be made");
	ck_assert_str_eq(e.networks[8]->reason, "told to be deaf");
	close(ends[1]);
}
END_TEST

/* What is wrong with it no answer mends, and one that nobody takes would have it tried without end. */
START_TEST(one_that_fails_for_another_reason_is_not_tried_at_each_answer)
{
	struct engine_network *n = e.networks[1];
	struct tg_error        err = { .text = "something else" };
	int                    ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	n->tenant.asked = ends[0];
	n->tenant.deaf_since_ms = now_ms;
	ck_assert_int_eq(send(ends[1], "e", 1, 0), 1);
	engine_failed(&e, n, &err);
	ck_assert_ptr_nonnull(n->answers);
	event_base_loop(e.base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(n->retry_at_ms, 0);
	engine_failed(&e, n, &err);
	event_base_loop(e.base, EVLOOP_NONBLOCK);
	ck_assert_uint_gt(n->retry_at_ms, now_ms);
	close(ends[1]);
}
END_TEST

START_TEST(those_that_answer_late_are_worked_on_then)
{
	answers_at_ms = NOW_MS + DEAF_MS - 1000;
	while (e.phase != ENGINE_IDLE)
		turn();
	ck_assert_uint_ge(now_ms, answers_at_ms);
	ck_assert_uint_lt(now_ms, NOW_MS + DEAF_MS);
	for (unsigned port = 1; port <= DEAF; port++)
		ck_assert_str_eq(e.networks[port]->reason, "told not to be made");
}
END_TEST

/* What the deaf one counts under its key until now would be booked twice. */
START_TEST(one_whose_key_another_is_to_have_is_read_before_anything_is_changed)
{
	e.networks[7]->public_key = other->want->public_key;
	while (failed() == 0) {
		ck_assert(!other->up);
		ck_assert_int_eq(e.phase, ENGINE_LOOK);
		turn();
	}
	while (e.phase != ENGINE_IDLE)
		turn();
	ck_assert(other->up);
	ck_assert_uint_lt(now_ms, NOW_MS + DEAF_MS + DEAF_MS / 4);
}
END_TEST

/* Of an engine that has just begun: it may have the key of another. */
START_TEST(one_whose_key_is_not_known_is_read_before_anything_is_changed)
{
	e.networks[7]->keyed = false;
	while (failed() == 0) {
		ck_assert(!other->up);
		turn();
	}
	while (e.phase != ENGINE_IDLE)
		turn();
	ck_assert(other->up);
}
END_TEST

/* A wireguard-go that starts, for as long as that may take. */
START_TEST(control_hears_of_the_others_while_one_is_being_made)
{
	struct pollfd word = { .fd = control, .events = POLLIN };
	bool          complete;

	answers_at_ms = NOW_MS;
	fake.waits = 1000;
	while (poll(&word, 1, 0) == 0)
		turn();
	ck_assert_uint_gt(fake.waits, 0);
	ck_assert_uint_ge(now_ms, NOW_MS + ENGINE_TELL_MS);
	ck_assert_uint_eq(failed(), DEAF);
	ck_assert_int_eq(told(MSG_NETWORKS, &complete), 0);
	ck_assert(!complete);
	/* Only once, when nothing more becomes of them. */
	while (e.phase != ENGINE_IDLE)
		turn();
	ck_assert(other->up);
	ck_assert_int_eq(told(MSG_NETWORKS, &complete), 1);
	ck_assert(complete);
}
END_TEST

START_TEST(a_snapshot_waits_for_all_at_a_time)
{
	static const struct msg_look ask = { .id = 7 };

	while (e.phase != ENGINE_LATE)
		turn();
	for (unsigned port = 1; port <= DEAF; port++) {
		e.networks[port]->tenant.deaf_since_ms = 0;
		e.networks[port]->tenant.ns = dup(control);	/* any will do */
		e.networks[port]->ifindex = 3;
	}
	engine_pause(&e);

	uint64_t begun_ms = now_ms;

	engine_look_begin(&e, &ask);
	while (e.looking.active) {
		ck_assert_uint_le(now_ms, begun_ms + ENGINE_LATE_MS + ENGINE_POLL_MS);
		tg_clock_fake(++now_ms, 0);
		engine_look_some(&e, now_ms + ENGINE_SLICE_MS);
	}
	ck_assert_uint_ge(now_ms, begun_ms + ENGINE_LATE_MS);
	ck_assert_int_eq(told(MSG_SNAPSHOT, NULL), DEAF + 1);
	/* By now they are known to be deaf. */
	begun_ms = now_ms += ENGINE_LATE_MS;
	tg_clock_fake(now_ms, 0);
	engine_look_begin(&e, &ask);
	while (e.looking.active)
		engine_look_some(&e, now_ms + ENGINE_SLICE_MS);
	ck_assert_int_eq(told(MSG_SNAPSHOT, NULL), DEAF + 1);
}
END_TEST

START_TEST(last_readings_are_waited_for_together)
{
	while (!other->up)
		turn();
	for (unsigned port = 1; port <= DEAF; port++)
		e.networks[port]->tenant.ns = dup(control);	/* any will do */
	e.kernel.wireguard = NULL;
	engine_begin(&e, engine_enlist(&e, engine_bench_document("{}"), true));
	while (e.networks[1] != NULL)
		turn();
	ck_assert_uint_lt(now_ms, NOW_MS + DEAF_MS + DEAF_MS / 4);
	ck_assert_ptr_null(engine_next(&e, 1));
}
END_TEST

void test_engine_late(TCase *tc)
{
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, those_that_do_not_answer_are_waited_for_together_and_hold_up_nobody);
	tcase_add_test(tc, one_that_answers_again_is_tried_at_once);
	tcase_add_test(tc, one_that_fails_for_another_reason_is_not_tried_at_each_answer);
	tcase_add_test(tc, those_that_answer_late_are_worked_on_then);
	tcase_add_test(tc, one_whose_key_another_is_to_have_is_read_before_anything_is_changed);
	tcase_add_test(tc, one_whose_key_is_not_known_is_read_before_anything_is_changed);
	tcase_add_test(tc, control_hears_of_the_others_while_one_is_being_made);
	tcase_add_test(tc, a_snapshot_waits_for_all_at_a_time);
	tcase_add_test(tc, last_readings_are_waited_for_together);
}
