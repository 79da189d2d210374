#include "daemon/engine.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "tests/support/document.h"
#include "tests/support/engine_bench.h"
#include "tests/support/kernel.h"

void test_engine_read(TCase *tc);

#define PARTS	   5	/* that a reading takes */
#define STEPS_MOST 1000
#define PEER(key)  ",'peers':{'" key "':{'allowed_ips':['10.0.0.2']}}"
#define TWO_PEERS                                                                  \
	DOCUMENT(",'peers':{'" PUBLIC_2 "':{'allowed_ips':['10.0.0.2']},'" PUBLIC_3 \
	         "':{'allowed_ips':['10.0.0.3']}}")
#define MOVED	     "{'51821':" NETWORK(PRIVATE_1, "") "}"
#define TWO_NETWORKS "{'1':" NETWORK(PRIVATE_2, "") ",'51820':" NETWORK(PRIVATE_1, "") "}"

/* An engine whose kernel is a value, and is read in parts, under a clock that stands still: each turn of the
 * loop has no time for more than one part. */
static struct engine          e;
static struct apply_kernel    fake_table;
static struct engine_network *network;
static unsigned               begun;	/* readings */
static int                    control;	/* the other end of the engine's channel */

static enum reading_result read_noted(const struct wireguard *wireguard, struct reading *reading,
                                      uint64_t until_ms, struct tg_error *err)
{
	if (reading->tries == 0)
		begun++;
	/* Nobody changes the network while it is being read. */
	ck_assert_ptr_eq(reading->tenant, &network->tenant);
	reading->tenant->ifindex = fake.state.ifindex;
	return fake_table.read(wireguard, reading, until_ms, err);
}

static int links_changed(struct tenant *tenant, const struct plan *plan, const struct step *steps,
                         size_t count, struct tg_error *err)
{
	ck_assert_int_eq(e.reader, ENGINE_READER_NONE);
	tenant->ifindex = fake.state.ifindex;
	return fake_table.links(tenant, plan, steps, count, err);
}

static void begin(void)
{
	control = engine_bench_begin(&e);
	fake.parts = PARTS;
	begun = 0;
	tg_clock_fake(1000000, 0);
	fake_table = e.kernel;
	e.kernel.read = read_noted;
	e.kernel.links = links_changed;
	network = engine_network_get(&e, 51820);
}

static void end(void)
{
	engine_pause(&e);
	engine_read_end(&e);
	engine_bench_end(&e, control);
}

/* One turn of the loop, as on_tick() of the engine has it. */
static void turn(void)
{
	e.tick_at_ms = 0;
	engine_look_some(&e, tg_clock_ms());
	engine_step(&e);
	if (e.phase == ENGINE_LEDGER)	/* control has stored it */
		e.phase = ENGINE_WORK;
	if (e.phase == ENGINE_LAST_LEDGER)
		e.phase = ENGINE_REMOVE;
	if (e.phase == ENGINE_BROKER)
		e.broker_waits = 0;
	if (e.phase == ENGINE_UNROUTE)
		e.phase = ENGINE_DOWN;
}

static void desire(const char *document)
{
	e.generation++;
	e.check_at_ms = tg_clock_ms() + ENGINE_CHECK_MS;
	engine_begin(&e, engine_enlist(&e, engine_bench_document(document), true));
}

/* Until all is as it should be, and looked at behind. */
static void run(void)
{
	unsigned turns = 0;

	do {
		turn();
		ck_assert_uint_lt(++turns, STEPS_MOST);
	} while (e.phase != ENGINE_IDLE || e.reader != ENGINE_READER_NONE ||
	         ports_has(&e.suspect, network->tenant.port) ||
	         e.looking.active);
}

static bool has_peer(const char *text)
{
	struct tg_key key;

	ck_assert(tg_key_read(text, strlen(text), &key));
	return fake.state.peers_count == 1 && tg_key_equal(&fake.state.peers[0].public_key, &key);
}

/* What comes to control next, and how many peers the snapshot has. */
static size_t snapshot_peers(void)
{
	struct pollfd   wait = { .fd = control, .events = POLLIN };
	struct snapshot snapshot;
	struct msg      msg = { .type = MSG_NETWORKS };
	struct tg_error err;
	int             fds[MSG_FDS_MOST];
	size_t          peers;

	for (;;) {
		ck_assert_int_eq(poll(&wait, 1, 0), 1);

		int given = channel_wait(control, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE, &msg, fds, &err);

		ck_assert_int_ge(given, 0);
		if (msg.type == MSG_SNAPSHOT)
			break;
		if (given == 1)
			close(fds[0]);
	}
	ck_assert_int_eq(snapshot_unpack(fds[0], &snapshot, &err), 0);
	ck_assert_uint_eq(snapshot.networks_count, 1);
	peers = snapshot.peers_count;
	snapshot_clear(&snapshot);
	return peers;
}

START_TEST(the_loop_has_its_turn_between_two_parts)
{
	desire(DOCUMENT(PEER(PUBLIC_2)));
	for (unsigned i = 0; i < PARTS; i++) {
		turn();
		ck_assert_int_eq(e.phase, ENGINE_LOOK);
		ck_assert_int_eq(e.reader, ENGINE_READER_STEPS);
		ck_assert_uint_eq(e.tick_at_ms, tg_clock_ms());
		ck_assert_uint_eq(fake.calls, 0);
	}
	run();
	ck_assert(network->up);
	ck_assert(has_peer(PUBLIC_2));
	ck_assert_uint_eq(begun, 2);	/* the look, and the one behind the answer */
}
END_TEST

/* At every part of every reading that it takes until all is settled. */
START_TEST(a_document_that_comes_while_it_is_read_is_obeyed)
{
	desire(DOCUMENT(PEER(PUBLIC_2)));
	for (int i = 0; i < _i; i++)
		turn();
	desire(DOCUMENT(PEER(PUBLIC_3)));
	ck_assert_int_eq(e.reader, ENGINE_READER_NONE);
	run();
	ck_assert(network->up);
	ck_assert(has_peer(PUBLIC_3));
}
END_TEST

START_TEST(nothing_is_under_way_when_control_is_gone)
{
	unsigned calls;

	desire(DOCUMENT(PEER(PUBLIC_2)));
	for (int i = 0; i < _i; i++)
		turn();
	engine_pause(&e);
	ck_assert_int_eq(e.reader, ENGINE_READER_NONE);
	ck_assert_uint_eq(e.reading.state.peers_count, 0);
	calls = fake.calls;
	ck_assert_int_eq(e.phase, ENGINE_IDLE);
	ck_assert_uint_eq(fake.calls, calls);
	desire(DOCUMENT(PEER(PUBLIC_3)));
	run();
	ck_assert(has_peer(PUBLIC_3));
}
END_TEST

/* The part that changed may have been read before. */
START_TEST(what_is_told_while_it_is_read_is_looked_at_again)
{
	desire(DOCUMENT(PEER(PUBLIC_2)));
	run();
	fake.calls = 0;
	ports_add(&e.suspect, network->tenant.port);
	while (e.reader == ENGINE_READER_NONE)
		turn();
	ck_assert(!ports_has(&e.suspect, network->tenant.port));
	ports_add(&e.suspect, network->tenant.port);
	begun = 0;
	run();
	ck_assert_uint_eq(begun, 1);
	ck_assert_uint_eq(fake.calls, 0);
}
END_TEST

static void settle_two(void)
{
	desire(TWO_PEERS);
	run();
	ck_assert(network->up);
	network->tenant.ns = dup(control);	/* any will do */
	network->ifindex = 3;
	begun = 0;
}

START_TEST(a_snapshot_is_read_in_parts_and_steps_wait_for_it)
{
	static const struct msg_look ask = { .id = 7 };

	settle_two();
	engine_look_begin(&e, &ask);
	turn();
	ck_assert_int_eq(e.reader, ENGINE_READER_LOOK);
	ports_add(&e.suspect, network->tenant.port);	/* drift is told of in the middle */
	for (unsigned i = 1; i < PARTS; i++) {
		turn();
		ck_assert_int_eq(e.reader, ENGINE_READER_LOOK);
		ck_assert_int_eq(e.phase, ENGINE_IDLE);
		ck_assert_uint_eq(e.tick_at_ms, tg_clock_ms());
	}
	run();
	ck_assert_uint_eq(snapshot_peers(), 2);
	ck_assert_uint_eq(begun, 2);
}
END_TEST

START_TEST(a_snapshot_waits_for_what_is_being_read_for_a_step)
{
	static const struct msg_look ask = { .id = 7 };

	settle_two();
	ports_add(&e.suspect, network->tenant.port);
	while (e.reader == ENGINE_READER_NONE)
		turn();
	engine_look_begin(&e, &ask);
	turn();
	ck_assert_int_eq(e.reader, ENGINE_READER_STEPS);
	run();
	ck_assert_uint_eq(snapshot_peers(), 2);
	ck_assert_uint_eq(begun, 2);
}
END_TEST

/* Documents that come one behind the other would else leave no time for any. */
START_TEST(a_document_that_comes_while_a_snapshot_is_read_stops_neither)
{
	static const struct msg_look ask = { .id = 7 };
	enum engine_reader           reader;

	settle_two();
	engine_look_begin(&e, &ask);
	for (int i = 0; i < _i; i++)
		turn();
	reader = e.reader;
	desire(DOCUMENT(PEER(PUBLIC_3)));
	ck_assert_int_eq(e.reader, reader);
	run();
	ck_assert(has_peer(PUBLIC_3));
	ck_assert_uint_ge(snapshot_peers(), 1);
}
END_TEST

START_TEST(a_snapshot_that_is_not_wanted_any_more_leaves_nothing_under_way)
{
	static const struct msg_look ask = { .id = 7 };
	static const struct msg_look next = { .id = 8 };

	settle_two();
	engine_look_begin(&e, &ask);
	turn();
	engine_look_begin(&e, &next);
	ck_assert_int_eq(e.reader, ENGINE_READER_NONE);
	run();
	ck_assert_uint_eq(snapshot_peers(), 2);
}
END_TEST

/* Its key moves to another network, so it is read before that one begins; in parts, but once. */
START_TEST(a_last_reading_in_parts_is_taken_once)
{
	unsigned turns = 0;

	settle_two();
	fake.state.peers[0].rx = fake.state.peers[1].rx = 500;
	network->keyed = _i != 0;
	desire(MOVED);
	e.at = 1;
	while (!engine_count_moved(&e, network, 0))
		ck_assert_uint_lt(++turns, STEPS_MOST);
	ck_assert_uint_eq(turns, _i != 0 ? PARTS : 2 * PARTS);
	ck_assert(network->counted);
	ck_assert_uint_eq(e.readings_count, 2);
	ck_assert_uint_eq(e.readings[0].rx, 500);
	ck_assert(engine_down_next(&e, 0));
	ck_assert(!engine_down_next(&e, 0));
	ck_assert_uint_eq(e.readings_count, 2);
	ck_assert_int_eq(e.reader, ENGINE_READER_NONE);
	engine_network_free(&e, 51821);
}
END_TEST

/* Its link goes down before, and once: nothing is sent while it is being read. */
START_TEST(what_is_removed_is_read_in_parts)
{
	static const struct timeval soon = { .tv_usec = 1000 };
	char                        asked[NETLINK_SMALL];
	unsigned                    turns = 0;
	int                         ends[2];

	settle_two();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon), 0);
	network->tenant.route = ends[0];
	desire("{}");
	e.phase = ENGINE_DOWN;
	e.at = 1;
	while (engine_down_next(&e, 0)) {
		ck_assert_uint_lt(++turns, STEPS_MOST);
		ck_assert(e.reader == ENGINE_READER_LAST || network->counted);
	}
	ck_assert_uint_eq(turns, PARTS + 1);
	ck_assert_uint_eq(begun, 1);
	ck_assert_uint_eq(e.readings_count, 2);
	ck_assert_int_gt(recv(ends[1], asked, sizeof asked, MSG_DONTWAIT), 0);
	ck_assert_int_eq(recv(ends[1], asked, sizeof asked, MSG_DONTWAIT), -1);
	close(ends[1]);
}
END_TEST

static unsigned slow;	/* readings that come to nothing, since wireguard-go does not answer yet */

static enum reading_result read_slowly(const struct wireguard *wireguard, struct reading *reading,
                                       uint64_t until_ms, struct tg_error *err)
{
	if (slow == 0)
		return read_noted(wireguard, reading, until_ms, err);
	slow--;
	return READING_WAIT;
}

/* On a busy machine it answers late: what it counted until the end is not lost. */
START_TEST(a_last_reading_waits_for_a_wireguard_go_that_takes_its_time)
{
	unsigned turns = 0;

	settle_two();
	fake.state.peers[0].rx = fake.state.peers[1].rx = 500;
	network->keyed = _i < 2;
	desire(_i % 2 == 0 ? "{}" : MOVED);
	e.kernel.read = read_slowly;
	e.at = 1;
	slow = 3;
	while (_i % 2 == 0 ? engine_down_next(&e, 0) : !engine_count_moved(&e, network, 0)) {
		ck_assert_uint_lt(++turns, STEPS_MOST);
		/* Until it is counted it has its turn again. */
		ck_assert(network->counted || engine_down_waits(&e));
		if (e.reader == ENGINE_READER_NONE && !network->counted)
			e.at = 1;
		tg_clock_fake(tg_clock_ms() + ENGINE_POLL_MS, 0);
		slow += _i >= 2 && turns == 3 + PARTS ? 3 : 0;
	}
	ck_assert_uint_eq(slow, 0);
	ck_assert(network->counted && !engine_down_waits(&e));
	ck_assert_uint_eq(e.readings_count, 2);
	ck_assert_uint_eq(e.readings[0].rx, 500);
	ck_assert_int_eq(e.reader, ENGINE_READER_NONE);
	if (e.networks[51821] != NULL)
		engine_network_free(&e, 51821);
}
END_TEST

/* Control stored it late, and told the document again meanwhile: the reading that is under way goes on,
 * though another network is to be looked at by now. */
START_TEST(a_word_on_a_ledger_that_nobody_waits_for_stops_no_reading)
{
	e.kernel.read = fake_table.read;
	desire(TWO_NETWORKS);
	while (!engine_reads(&e, network, ENGINE_READER_STEPS))
		turn();
	ports_add(&e.suspect, 1);
	engine_ledger_done(&e, e.ledger_id);
	turn();
	ck_assert(engine_reads(&e, network, ENGINE_READER_STEPS));
	engine_pause(&e);
	engine_network_free(&e, 1);
}
END_TEST

/* One turn of the loop that has time left when a reading is through. */
static void long_turn(void)
{
	engine_look_some(&e, tg_clock_ms() + ENGINE_SLICE_MS);
	engine_step(&e);
}

/* Else a snapshot would wait until all are read for steps, and steps until all are in the snapshot. */
START_TEST(snapshots_and_steps_read_large_networks_by_turns)
{
	static const struct msg_look ask = { .id = 7 };
	struct engine_network       *first = engine_network_get(&e, 1);

	e.kernel.read = fake_table.read;
	desire(TWO_NETWORKS);
	run();
	for (struct engine_network *n = first; n != NULL; n = engine_next(&e, n->tenant.port + 1U)) {
		n->tenant.ns = dup(control);	/* any will do */
		n->ifindex = 3;
		ports_add(&e.suspect, n->tenant.port);
	}
	while (e.reader == ENGINE_READER_NONE)
		long_turn();
	engine_look_begin(&e, &ask);
	while (engine_reads(&e, first, ENGINE_READER_STEPS))
		long_turn();
	long_turn();
	ck_assert(engine_reads(&e, first, ENGINE_READER_LOOK));
	while (engine_reads(&e, first, ENGINE_READER_LOOK))
		long_turn();
	ck_assert(engine_reads(&e, network, ENGINE_READER_STEPS));
	while (engine_reads(&e, network, ENGINE_READER_STEPS))
		long_turn();
	long_turn();
	ck_assert(engine_reads(&e, network, ENGINE_READER_LOOK));
	engine_pause(&e);
	engine_network_free(&e, 1);
}
END_TEST

void test_engine_read(TCase *tc)
{
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, the_loop_has_its_turn_between_two_parts);
	tcase_add_loop_test(tc, a_document_that_comes_while_it_is_read_is_obeyed, 0, 3 * PARTS);
	tcase_add_loop_test(tc, nothing_is_under_way_when_control_is_gone, 0, 3 * PARTS);
	tcase_add_test(tc, what_is_told_while_it_is_read_is_looked_at_again);
	tcase_add_test(tc, a_snapshot_is_read_in_parts_and_steps_wait_for_it);
	tcase_add_test(tc, a_snapshot_waits_for_what_is_being_read_for_a_step);
	tcase_add_loop_test(tc, a_document_that_comes_while_a_snapshot_is_read_stops_neither, 0, 2 * PARTS);
	tcase_add_test(tc, a_snapshot_that_is_not_wanted_any_more_leaves_nothing_under_way);
	tcase_add_loop_test(tc, a_last_reading_in_parts_is_taken_once, 0, 2);
	tcase_add_test(tc, what_is_removed_is_read_in_parts);
	tcase_add_test(tc, a_word_on_a_ledger_that_nobody_waits_for_stops_no_reading);
	tcase_add_test(tc, snapshots_and_steps_read_large_networks_by_turns);
	tcase_add_loop_test(tc, a_last_reading_waits_for_a_wireguard_go_that_takes_its_time, 0, 4);
}
