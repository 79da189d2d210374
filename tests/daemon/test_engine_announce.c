#include <event2/event.h>
#include <poll.h>
#include <unistd.h>

#include <check.h>

#include "base/channel.h"
#include "base/snapshot.h"
#include "daemon/engine.h"
#include "tests/support/document.h"
#include "tests/support/engine_bench.h"
#include "tests/support/kernel.h"

void test_engine_announce(TCase *tc);

/* An engine that knows of one network, and control's end of its channel. */
static struct engine e;
static int           control;

static void desire(const char *document)
{
	engine_enlist(&e, engine_bench_document(document), true);
}

static void begin(void)
{
	control = engine_bench_begin(&e);
	desire(DOCUMENT(""));
	e.generation = 7;
}

static void end(void)
{
	engine_bench_end(&e, control);
}

/* What control hears: returns how many networks are told of, -1: they are as they were. */
static int announced(uint64_t *seq)
{
	struct msg      msg;
	struct snapshot snapshot;
	int             fds[MSG_FDS_MOST];
	int             count = channel_wait(control, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE, &msg, fds, NULL);

	ck_assert_int_ge(count, 0);
	ck_assert_uint_eq(msg.type, MSG_NETWORKS);
	ck_assert_uint_eq(msg.body.networks.generation, 7);
	*seq = msg.body.networks.seq;
	if (count == 0)
		return -1;
	ck_assert_int_eq(snapshot_unpack(fds[0], &snapshot, NULL), 0);
	count = (int)snapshot.networks_count;
	snapshot_clear(&snapshot);
	close(fds[0]);
	return count;
}

START_TEST(what_is_up_is_told_when_it_is_news)
{
	uint64_t first, second, third;

	e.networks[51820]->up = true;
	engine_announce(&e, false);
	ck_assert_int_eq(announced(&first), 1);
	engine_announce(&e, true);
	ck_assert_int_eq(announced(&second), -1);
	ck_assert_uint_gt(second, first);
	e.news = true;
	engine_announce(&e, true);
	ck_assert_int_eq(announced(&third), 1);
	ck_assert(!e.news);
}
END_TEST

/* To control it would be one that failed. */
START_TEST(what_is_being_made_is_not_told_of)
{
	struct engine_network *network = e.networks[51820];
	uint64_t               seq;

	engine_announce(&e, false);
	ck_assert_int_eq(announced(&seq), 0);
	network->failed = e.news = true;
	engine_announce(&e, false);
	ck_assert_int_eq(announced(&seq), 1);
}
END_TEST

/* The next control has not heard it. */
START_TEST(what_could_not_be_told_stays_news)
{
	struct channel *channel = e.control;
	uint64_t        seq;

	e.control = NULL;
	engine_announce(&e, true);
	ck_assert(e.news);
	e.control = channel;
	engine_announce(&e, true);
	ck_assert_int_eq(announced(&seq), 1);
}
END_TEST

/* Makes the snapshot that was asked for, and returns it as control gets it. */
static struct snapshot looked(void)
{
	struct snapshot snapshot;
	struct msg      msg;
	int             fds[MSG_FDS_MOST];

	engine_look_some(&e, UINT64_MAX);
	ck_assert_int_eq(channel_wait(control, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE, &msg, fds, NULL), 1);
	ck_assert_uint_eq(msg.type, MSG_SNAPSHOT);
	ck_assert_int_eq(snapshot_unpack(fds[0], &snapshot, NULL), 0);
	close(fds[0]);
	return snapshot;
}

static struct engine_network *is_read(void)
{
	struct engine_network *network = e.networks[51820];

	fake_reset();
	fake.state.device = true;
	e.kernel = fake_kernel_of();
	network->tenant.ns = dup(control);	/* any will do */
	network->ifindex = network->tenant.ifindex = 2;
	e.looking = (struct engine_looking){ .active = true, .at = 1 };
	return network;
}

/* Under the epoch of the link before they would pass for new ones when that is settled, and count twice. */
START_TEST(counters_of_a_link_that_was_made_anew_are_not_told_as_those_of_the_one_before)
{
	struct engine_network *network = is_read();
	struct snapshot        snapshot;

	network->tenant.ifindex = 3;
	snapshot = looked();
	ck_assert_uint_eq(snapshot.networks_count, 1);
	ck_assert_uint_eq(snapshot.networks[0].epoch.ifindex, 3);
	snapshot_clear(&snapshot);
}
END_TEST

START_TEST(a_network_that_is_not_wanted_any_more_is_read_no_further)
{
	struct engine_network *network = is_read();
	struct snapshot        snapshot;

	fake.parts = 1;
	ck_assert_int_eq(engine_read(&e, network, ENGINE_READER_LOOK, 0, NULL), READING_MORE);
	e.looking.at = 51820;
	desire("{}");
	snapshot = looked();
	ck_assert_uint_eq(snapshot.networks_count, 0);
	ck_assert_int_eq(e.reader, ENGINE_READER_NONE);
	snapshot_clear(&snapshot);
}
END_TEST

static bool comes(int end)
{
	struct pollfd wait = { .fd = end, .events = POLLIN };

	return poll(&wait, 1, 0) == 1;
}

#define MANY (CHANNEL_QUEUE_MOST + 1000)

/* Reads what is on its way to the broker, and answers it: never more than so many messages.  Returns how
 * many they were. */
static unsigned broker_answers(int broker)
{
	unsigned count = 0;

	for (; comes(broker); event_base_loop(e.base, EVLOOP_NONBLOCK)) {
		struct msg msg;
		int        fds[MSG_FDS_MOST];
		int        given = channel_wait(broker, MSG_ROLE_BROKER, MSG_ROLE_ENGINE, &msg, fds, NULL);

		ck_assert_int_ge(given, 0);
		for (int i = 0; i < given; i++)
			close(fds[i]);
		count++;
	}
	ck_assert_uint_le(count, ENGINE_BROKER_MOST);
	ck_assert_uint_eq(count, e.broker_waits);
	e.broker_waits = 0;
	return count;
}

/* More networks than a channel has room for: one that is full is closed, and nobody would make another. */
START_TEST(a_broker_is_told_no_more_than_it_takes)
{
	struct engine_network *network = e.networks[51820];
	int                    ends[2];
	unsigned               told = 0;

	ck_assert_int_eq(channel_pair(ends, NULL), 0);
	e.broker = channel_new(e.base, ends[0], MSG_ROLE_ENGINE, MSG_ROLE_BROKER, NULL, NULL, NULL);
	e.greet_at = 1;
	for (uint16_t port = 1; port <= MANY; port++) {
		struct engine_network *n = engine_network_get(&e, port);

		n->want = network->want;
		n->broker_cookie = n->tenant.cookie = port;
		n->tenant.ns = ends[1];	/* any will do */
	}
	for (engine_broker_greet(&e); e.broker_waits > 0; engine_broker_greet(&e))
		told += broker_answers(ends[1]);
	ck_assert_uint_eq(told, MANY);

	for (uint16_t port = 1; port <= MANY; port++) {
		e.networks[port]->want = NULL;
		ports_add(&e.untold, port);
	}
	e.phase = ENGINE_BROKER;
	e.at = 1;
	for (engine_step(&e); e.phase == ENGINE_BROKER; engine_step(&e))
		told += broker_answers(ends[1]);
	ck_assert_uint_eq(told, 2 * MANY + 1);
	for (uint16_t port = 1; port <= MANY; port++) {
		e.networks[port]->tenant.ns = -1;
		engine_network_free(&e, port);
	}
	channel_free(e.broker);
	close(ends[1]);
}
END_TEST

void test_engine_announce(TCase *tc)
{
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, what_is_up_is_told_when_it_is_news);
	tcase_add_test(tc, what_is_being_made_is_not_told_of);
	tcase_add_test(tc, what_could_not_be_told_stays_news);
	tcase_add_test(tc, counters_of_a_link_that_was_made_anew_are_not_told_as_those_of_the_one_before);
	tcase_add_test(tc, a_network_that_is_not_wanted_any_more_is_read_no_further);
	tcase_add_test(tc, a_broker_is_told_no_more_than_it_takes);
}
