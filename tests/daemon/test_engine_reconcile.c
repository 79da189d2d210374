#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/engine.h"
#include "netns/state.h"
#include "tests/support/document.h"
#include "tests/support/engine_bench.h"
#include "tests/support/kernel.h"

void test_engine_reconcile(TCase *tc);

#define STEPS_MOST 1000
#define PEER(more) ",'peers':{'" PUBLIC_2 "':{'allowed_ips':['10.0.0.2']" more "}}"

/* An engine whose kernel is a value (tests/support/kernel.h), under a clock that stands still. */
static struct engine          e;
static struct apply_kernel    real;	/* real but for what is below */
static struct engine_network *network;
static uint64_t               now_ms;
static unsigned               reads;
static enum reading_what      what_read;	/* the last time */
static bool                   lies;	/* its links say that they changed, and do not */
static int                    fails;	/* with this errno each change of a link does */
static bool                   heals;	/* but only once */
static int                    control;	/* the other end of the engine's channel */

static enum reading_result read_counted(const struct wireguard *wireguard, struct reading *reading,
                                        uint64_t until_ms, struct tg_error *err)
{
	enum reading_result result = real.read(wireguard, reading, until_ms, err);

	if (result == READING_DONE)
		reads++;
	what_read = reading->what;
	reading->tenant->ifindex = fake.state.ifindex;
	return result;
}

static int links_changed(struct tenant *tenant, const struct plan *plan, const struct step *steps,
                         size_t count, struct tg_error *err)
{
	if (fails != 0) {
		tg_fail_errno(err, fails, "told to fail");
		if (heals)
			fails = 0;
		return -1;
	}
	tenant->ifindex = fake.state.ifindex;
	return lies ? 0 : real.links(tenant, plan, steps, count, err);
}

static void begin(void)
{
	control = engine_bench_begin(&e);
	reads = 0;
	now_ms = 1000000;
	tg_clock_fake(now_ms, 0);
	real = e.kernel;
	e.kernel.read = read_counted;
	e.kernel.links = links_changed;
}

static void end(void)
{
	engine_bench_end(&e, control);
}

/* Goes on until there is nothing to do, the clock with it where something is waited for. */
static void run(void)
{
	engine_step(&e);
	for (unsigned steps = 0; e.phase != ENGINE_IDLE; steps++) {
		ck_assert_uint_lt(steps, STEPS_MOST);
		if (e.phase == ENGINE_LEDGER)	/* control has stored it */
			e.phase = ENGINE_WORK;
		if (e.phase == ENGINE_BROKER)	/* the broker has answered */
			e.broker_waits = 0;
		if (e.tick_at_ms > now_ms)
			tg_clock_fake(now_ms = e.tick_at_ms, 0);
		e.tick_at_ms = 0;
		engine_step(&e);
	}
}

static void clock_shows(uint64_t ms)
{
	tg_clock_fake(now_ms = ms, 0);
}

/* The document comes, as from control.  Returns how often the kernel was read until it was answered. */
static unsigned desire(const char *document)
{
	unsigned before = reads;

	e.generation++;
	e.check_at_ms = now_ms + ENGINE_CHECK_MS;
	e.announce = true;
	engine_begin(&e, engine_enlist(&e, engine_bench_document(document), true));
	network = e.networks[51820];
	run();
	return reads - before;
}

/* What is to be looked at behind the answer is. */
static void look_behind(void)
{
	unsigned read = reads, calls = fake.calls;

	ck_assert(ports_has(&e.suspect, network->tenant.port));
	run();
	ck_assert_uint_eq(reads, read + 1);
	ck_assert_uint_eq(fake.calls, calls);
	ck_assert(!ports_has(&e.suspect, network->tenant.port));
}

START_TEST(the_kernels_word_on_a_new_network_is_enough)
{
	ck_assert_uint_eq(desire(DOCUMENT(PEER(""))), 1);
	ck_assert(network->up);
	ck_assert_uint_eq(network->ifindex, fake.state.ifindex);
	ck_assert_uint_eq(fake.state.peers_count, 1);
	look_behind();
}
END_TEST

START_TEST(the_kernels_word_on_peers_and_their_routes_is_enough)
{
	desire(DOCUMENT(""));
	look_behind();
	ck_assert_uint_eq(desire(DOCUMENT(PEER(""))), 1);
	ck_assert_uint_eq(fake.state.peers_count, 1);
	look_behind();
	ck_assert_uint_eq(desire(DOCUMENT(PEER(",'persistent_keepalive':7"))), 1);
	ck_assert_uint_eq(fake.state.peers[0].keepalive_s, 7);
	look_behind();
}
END_TEST

START_TEST(a_link_that_a_document_leaves_alone_is_looked_at_behind_the_answer)
{
	desire(DOCUMENT(""));
	ck_assert_int_eq(what_read, READING_ALL);
	network->tenant.ns = dup(control);	/* any will do */
	look_behind();
	desire(DOCUMENT(PEER("")));
	ck_assert_int_eq(what_read, READING_PEERS);
	/* It stays suspect until all is looked at. */
	desire(DOCUMENT(PEER(",'persistent_keepalive':7")));
	ck_assert_int_eq(what_read, READING_ALL);
	look_behind();
	ck_assert_int_eq(what_read, READING_ALL);
	desire(DOCUMENT(",'mtu':1400"));
	ck_assert_int_eq(what_read, READING_ALL);
	ck_assert_uint_eq(fake.state.mtu, 1400);
	run();
	/* One that was not as it should be. */
	network->up = false;
	ports_add(&e.unsettled, network->tenant.port);
	desire(DOCUMENT(PEER("")));
	ck_assert_int_eq(what_read, READING_ALL);
	run();
	/* One that somebody told of. */
	ports_add(&e.suspect, network->tenant.port);
	desire(DOCUMENT(""));
	ck_assert_int_eq(what_read, READING_ALL);
	run();
	e.host.wireguard = MSG_WIREGUARD_USERSPACE;
	desire(DOCUMENT(PEER("")));
	ck_assert_int_eq(what_read, READING_ALL);
}
END_TEST

/* Nobody told that the link was not as it should be. */
START_TEST(what_fails_on_a_link_that_was_believed_in_is_tried_on_what_it_is)
{
	desire(DOCUMENT(""));
	network->tenant.ns = dup(control);	/* any will do */
	look_behind();
	fails = ENETDOWN;
	heals = true;
	ck_assert_uint_eq(desire(DOCUMENT(PEER(""))), 2);
	ck_assert_int_eq(what_read, READING_ALL);
	ck_assert(network->up && !network->failed);
	ck_assert_uint_eq(fake.state.peers_count, 1);
	look_behind();
	/* Then it has failed. */
	fails = ENETDOWN;
	heals = false;
	desire(DOCUMENT(""));
	ck_assert(network->failed);
	fails = 0;
}
END_TEST

/* A new document takes back nothing of what the broker was told, nor that it has not answered yet. */
START_TEST(the_brokers_word_is_waited_for_whatever_comes_between)
{
	int ends[2];

	ck_assert_int_eq(channel_pair(ends, NULL), 0);
	desire(DOCUMENT(""));
	e.broker = channel_new(e.base, ends[0], MSG_ROLE_ENGINE, MSG_ROLE_BROKER, NULL, NULL, NULL);
	e.broker_waits = 1;
	engine_begin(&e, false);
	for (unsigned i = 0; i < 10; i++)
		engine_step(&e);
	ck_assert_int_eq(e.phase, ENGINE_BROKER);
	e.broker_waits = 0;
	engine_step(&e);
	ck_assert_int_eq(e.phase, ENGINE_IDLE);
	channel_free(e.broker);
	close(ends[1]);
}
END_TEST

/* Another MTU or address may cost routes that the plan does not speak of. */
START_TEST(what_has_side_effects_is_read_again_before_the_answer)
{
	static const char *const after[] = { DOCUMENT(",'mtu':1300"), DOCUMENT(PEER("") ",'mtu':1300") };

	for (size_t i = 0; i < 2; i++) {
		desire(DOCUMENT(""));
		run();
		ck_assert_uint_eq(desire(after[i]), 2);
		ck_assert_uint_eq(fake.state.mtu, 1300);
		ck_assert(network->up && !ports_has(&e.suspect, network->tenant.port));
	}
}
END_TEST

/* It says of a port, too, that it has it when it did not get it. */
START_TEST(wireguard_gos_word_is_never_enough)
{
	e.host.wireguard = MSG_WIREGUARD_USERSPACE;
	ck_assert_uint_eq(desire(DOCUMENT("")), 2);
	ck_assert(network->up && !ports_has(&e.suspect, network->tenant.port));
	ck_assert_uint_eq(desire(DOCUMENT(PEER(""))), 2);
	ck_assert(network->up && !ports_has(&e.suspect, network->tenant.port));
}
END_TEST

START_TEST(what_never_becomes_as_it_should_fails_after_some_rounds)
{
	desire(DOCUMENT(""));
	run();
	lies = true;
	/* The rounds, one look before the first, and the one that finds that they were of no use. */
	ck_assert_uint_eq(desire(DOCUMENT(",'mtu':1300")), ENGINE_ROUNDS_MOST + 1);
	ck_assert(network->failed && !network->up);
	ck_assert_str_eq(network->reason, "does not become as it should: mtu");
	lies = false;
	clock_shows(network->retry_at_ms);
	run();
	ck_assert(network->up && !network->failed);
	ck_assert_str_eq(network->reason, "");
	ck_assert_uint_eq(fake.state.mtu, 1300);
}
END_TEST

/* Waiting is no round: it has a limit of its own. */
START_TEST(a_wireguard_go_that_takes_its_time_does_not_fail)
{
	e.host.wireguard = MSG_WIREGUARD_USERSPACE;
	fake.waits = 10 * ENGINE_ROUNDS_MOST;
	desire(DOCUMENT(""));
	ck_assert(network->up);
	ck_assert_uint_eq(now_ms, 1000000 + UINT64_C(10) * ENGINE_ROUNDS_MOST * ENGINE_POLL_MS);
}
END_TEST

static const struct {
	int      sys;
	unsigned s[9];	/* from each failure to the next attempt */
} backoffs[] = {
	{ EIO, { 1, 2, 4, 8, 16, 32, 60, 60, 60 } },
	{ EADDRINUSE, { 1, 2, 4, 5, 5, 5, 5, 5, 5 } },
};

START_TEST(a_failed_network_is_tried_again_less_and_less_often)
{
	fails = backoffs[_i].sys;
	desire(DOCUMENT(""));

	uint64_t told = e.seq;

	for (size_t i = 0; i < 9; i++) {
		unsigned before = reads;
		uint64_t at_ms = now_ms + (uint64_t)backoffs[_i].s[i] * 1000;

		ck_assert(network->failed);
		ck_assert_uint_eq(network->retry_at_ms, at_ms);
		/* Not even the look at everything that comes in between touches it. */
		clock_shows(at_ms - 1);
		run();
		ck_assert_uint_eq(reads, before);
		clock_shows(at_ms);
		run();
		ck_assert_uint_gt(reads, before);
	}
	ck_assert_uint_eq(e.seq, told);	/* the same reason is no news */
	fails = 0;
	clock_shows(network->retry_at_ms);
	run();
	ck_assert(network->up && !network->failed);
	ck_assert_uint_gt(e.seq, told);
	ck_assert_uint_eq(network->backoff_ms, 0);
}
END_TEST

START_TEST(a_document_is_tried_at_once_whatever_failed_before)
{
	fails = EIO;
	desire(DOCUMENT(""));
	clock_shows(network->retry_at_ms);
	run();
	ck_assert_uint_eq(network->backoff_ms, 2000);
	ck_assert_uint_gt(desire(DOCUMENT("")), 0);
	ck_assert_uint_eq(network->backoff_ms, ENGINE_BACKOFF_MS);
	fails = 0;
	desire(DOCUMENT(""));
	ck_assert(network->up);
}
END_TEST

static bool comes(int end)
{
	struct pollfd wait = { .fd = end, .events = POLLIN };

	return poll(&wait, 1, 0) == 1;
}

static void hears(int broker, enum msg_type type, uint64_t cookie)
{
	struct msg msg;
	int        fds[MSG_FDS_MOST];

	ck_assert(comes(broker));
	ck_assert_int_eq(channel_wait(broker, MSG_ROLE_BROKER, MSG_ROLE_ENGINE, &msg, fds, NULL),
	                 type == MSG_NETNS_ADD ? 1 : 0);
	ck_assert_uint_eq(msg.type, type);
	ck_assert_uint_eq(msg.body.netns.netns_cookie, cookie);
	if (type == MSG_NETNS_ADD)
		close(fds[0]);
}

/* A former engine told it of networks that are to go, or are gone: before this one removes any, and before it
 * answers, the broker has forgotten them. */
START_TEST(a_broker_forgets_what_it_was_not_told_by_this_engine)
{
	int ends[2];

	ck_assert_int_eq(channel_pair(ends, NULL), 0);
	e.broker = channel_new(e.base, ends[0], MSG_ROLE_ENGINE, MSG_ROLE_BROKER, NULL, NULL, NULL);
	desire(DOCUMENT(""));
	hears(ends[1], MSG_NETNS_REMOVE, 0);
	desire(DOCUMENT(""));
	ck_assert(!comes(ends[1]));
	e.broker_cleared = false;
	engine_begin(&e, false);
	for (unsigned i = 0; i < 10; i++)
		engine_step(&e);
	ck_assert_int_eq(e.phase, ENGINE_BROKER);
	ck_assert_uint_eq(e.broker_waits, 1);
	run();
	channel_free(e.broker);
	close(ends[1]);
}
END_TEST

/* It had no memory for it: else no connection would ever reach that network. */
START_TEST(a_broker_that_refused_a_network_is_told_again)
{
	int ends[2];

	desire(DOCUMENT(""));
	ck_assert_int_eq(channel_pair(ends, NULL), 0);
	e.broker = channel_new(e.base, ends[0], MSG_ROLE_ENGINE, MSG_ROLE_BROKER, NULL, NULL, NULL);
	network->tenant.cookie = 99;
	network->tenant.ns = open("/dev/null", O_RDONLY | O_CLOEXEC);
	run();
	hears(ends[1], MSG_NETNS_ADD, 99);
	hears(ends[1], MSG_NETNS_REMOVE, 0);
	engine_broker_refused(&e, 98);
	clock_shows(now_ms + ENGINE_CHECK_MS);
	run();
	ck_assert(!comes(ends[1]));
	engine_broker_refused(&e, 99);
	clock_shows(now_ms + ENGINE_CHECK_MS);
	run();
	hears(ends[1], MSG_NETNS_ADD, 99);
	ck_assert(!comes(ends[1]));
	channel_free(e.broker);
	close(ends[1]);
}
END_TEST

/* An apply does not wait for a broker that is not there. */
START_TEST(a_network_that_was_made_without_a_broker_is_told_to_the_next)
{
	int ends[2];

	desire(DOCUMENT(""));
	network->tenant.cookie = 99;
	network->tenant.ns = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(channel_pair(ends, NULL), 0);
	e.broker = channel_new(e.base, ends[0], MSG_ROLE_ENGINE, MSG_ROLE_BROKER, NULL, NULL, NULL);
	e.greet_at = 1;
	engine_broker_greet(&e);
	hears(ends[1], MSG_NETNS_ADD, 99);
	ck_assert_uint_eq(network->broker_cookie, 99);
	engine_broker_greet(&e);
	ck_assert(!comes(ends[1]));
	channel_free(e.broker);
	close(ends[1]);
}
END_TEST

/* The step in which brokers are told to forget may be over: this one would hold it for good. */
START_TEST(a_network_that_is_to_be_removed_is_not_told_to_a_new_broker)
{
	int ends[2];

	desire(DOCUMENT(""));
	network->broker_cookie = network->tenant.cookie = 99;
	network->want = NULL;
	ck_assert_int_eq(channel_pair(ends, NULL), 0);
	e.broker = channel_new(e.base, ends[0], MSG_ROLE_ENGINE, MSG_ROLE_BROKER, NULL, NULL, NULL);
	e.greet_at = 1;
	engine_broker_greet(&e);
	ck_assert(!comes(ends[1]));
	ck_assert_uint_eq(network->broker_cookie, 0);
	channel_free(e.broker);
	close(ends[1]);
}
END_TEST

void test_engine_reconcile(TCase *tc)
{
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, the_kernels_word_on_a_new_network_is_enough);
	tcase_add_test(tc, the_kernels_word_on_peers_and_their_routes_is_enough);
	tcase_add_test(tc, a_link_that_a_document_leaves_alone_is_looked_at_behind_the_answer);
	tcase_add_test(tc, what_fails_on_a_link_that_was_believed_in_is_tried_on_what_it_is);
	tcase_add_test(tc, the_brokers_word_is_waited_for_whatever_comes_between);
	tcase_add_test(tc, what_has_side_effects_is_read_again_before_the_answer);
	tcase_add_test(tc, wireguard_gos_word_is_never_enough);
	tcase_add_test(tc, what_never_becomes_as_it_should_fails_after_some_rounds);
	tcase_add_test(tc, a_wireguard_go_that_takes_its_time_does_not_fail);
	tcase_add_loop_test(tc, a_failed_network_is_tried_again_less_and_less_often, 0, 2);
	tcase_add_test(tc, a_document_is_tried_at_once_whatever_failed_before);
	tcase_add_test(tc, a_broker_forgets_what_it_was_not_told_by_this_engine);
	tcase_add_test(tc, a_broker_that_refused_a_network_is_told_again);
	tcase_add_test(tc, a_network_that_was_made_without_a_broker_is_told_to_the_next);
	tcase_add_test(tc, a_network_that_is_to_be_removed_is_not_told_to_a_new_broker);
}
