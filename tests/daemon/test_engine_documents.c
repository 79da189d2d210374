#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/snapshot.h"
#include "daemon/engine.h"
#include "netns/state.h"
#include "tests/support/document.h"
#include "tests/support/engine_bench.h"
#include "tests/support/kernel.h"

void test_engine_documents(TCase *tc);

#define TURNS_MOST 1000
#define PEER(more) ",'peers':{'" PUBLIC_2 "':{'allowed_ips':['10.0.0.2']" more "}}"

/* An engine whose kernel is a value (tests/support/kernel.h), to which documents come one behind the other,
 * under a clock that stands still. */
static struct engine          e;
static struct engine_network *network;
static uint64_t               now_ms;
static int                    fails;	/* with this errno each change of a link does */
static int                    control;	/* the other end of the engine's channel */

static int links_changed(struct tenant *tenant, const struct plan *plan, const struct step *steps,
                         size_t count, struct tg_error *err)
{
	if (fails != 0)
		return tg_fail_errno(err, fails, "told to fail");
	tenant->ifindex = fake.state.ifindex;
	return fake_kernel_of().links(tenant, plan, steps, count, err);
}

static void begin(void)
{
	control = engine_bench_begin(&e);
	fails = 0;
	tg_clock_fake(now_ms = 1000000, 0);
	e.kernel.links = links_changed;
}

static void end(void)
{
	engine_pause(&e);
	engine_bench_end(&e, control);
}

static void run(void)
{
	unsigned turns = 0;

	do {
		ck_assert_uint_lt(turns++, TURNS_MOST);
		e.tick_at_ms = 0;
		engine_step(&e);
		if (e.phase == ENGINE_LEDGER)	/* control has stored it */
			e.phase = ENGINE_WORK;
	} while (e.phase != ENGINE_IDLE);
}

/* A document comes, as from control. */
static void begin_document(const char *document)
{
	e.generation++;
	e.check_at_ms = now_ms + ENGINE_CHECK_MS;
	engine_begin(&e, engine_enlist(&e, engine_bench_document(document), true));
	network = e.networks[51820];
}

/* And is carried out as far as it can be. */
static void desire(const char *document)
{
	begin_document(document);
	run();
}

static bool as_it_should_be(void)
{
	return fake.state.peers[0].keepalive_s != 7 && fake.state.pinned && fake.state.sysctls;
}

/* Each leaves no time to look at what it did not change. */
START_TEST(what_is_not_as_it_should_be_is_found_though_documents_come_without_end)
{
	uint64_t begun_ms;

	desire(DOCUMENT(PEER("")));
	run();
	ck_assert(!ports_has(&e.suspect, network->tenant.port));
	begun_ms = now_ms;
	fake.state.peers[0].keepalive_s = 7;
	fake.state.pinned = fake.state.sysctls = false;
	while (!as_it_should_be()) {
		tg_clock_fake(now_ms += 40, 0);
		ck_assert_uint_lt(now_ms - begun_ms, 10000);
		ports_add(&e.suspect, network->tenant.port);
		engine_begin(&e, true);
		run();
	}
	/* But not with each of them. */
	ck_assert_uint_ge(now_ms - begun_ms, ENGINE_CHECK_MS);
}
END_TEST

/* A round that somebody's change of one network began is no look at the others. */
START_TEST(a_look_at_one_network_is_none_at_all_of_them)
{
	desire(DOCUMENT(PEER("")));
	run();
	fake.state.peers[0].keepalive_s = 7;
	for (int i = 0; i < 5; i++) {
		tg_clock_fake(now_ms += 2000, 0);
		engine_begin(&e, false);	/* nothing that is known here is suspect */
		run();
	}
	engine_suspect_all(&e);
	engine_begin(&e, true);
	run();
	ck_assert_uint_ne(fake.state.peers[0].keepalive_s, 7);
}
END_TEST

/* It may take 30 s to start. */
START_TEST(what_is_not_as_it_should_be_is_found_while_a_wireguard_go_is_waited_for)
{
	desire(DOCUMENT(PEER("")));
	run();
	fake.state.peers[0].keepalive_s = 7;
	e.phase = ENGINE_LATE;
	tg_clock_fake(now_ms = e.check_at_ms, 0);
	run();
	ck_assert(as_it_should_be());
}
END_TEST

/* In haste only what a document can change is read of it. */
START_TEST(what_no_document_changes_is_found_in_a_network_that_each_of_them_changes)
{
	const char *documents[] = { DOCUMENT(PEER(",'persistent_keepalive':1")), DOCUMENT(PEER("")) };

	desire(documents[1]);
	run();
	fake.state.pinned = fake.state.sysctls = false;
	for (unsigned i = 0; !as_it_should_be(); i++) {
		tg_clock_fake(now_ms += 40, 0);
		ck_assert_uint_lt(i * 40, 10000);
		desire(documents[i % 2]);
	}
}
END_TEST

static uint16_t endpoint_port(void)
{
	return fake.state.peers[0].endpoint.port;
}

#define AT(port)	PEER(",'endpoint':'192.0.2.1:" port "'")
#define OTHER_MTU(port) AT(port) ",'mtu':1300"

/* Part of a document was carried out when it failed, and then it is taken back. */
START_TEST(an_endpoint_is_set_back_when_the_document_that_changed_it_failed)
{
	desire(DOCUMENT(AT("1")));
	run();
	fails = EIO;
	desire(DOCUMENT(OTHER_MTU("2")));
	ck_assert(network->failed);
	ck_assert_uint_eq(endpoint_port(), 2);
	fails = 0;
	desire(DOCUMENT(AT("1")));
	ck_assert(network->up);
	ck_assert_uint_eq(endpoint_port(), 1);
}
END_TEST

START_TEST(a_peer_that_roamed_since_its_endpoint_was_set_stays_where_it_is)
{
	desire(DOCUMENT(AT("1")));
	run();
	fails = EIO;
	desire(DOCUMENT(OTHER_MTU("2")));
	fake.state.peers[0].endpoint.port = 3;
	fails = 0;
	desire(DOCUMENT(OTHER_MTU("2")));
	ck_assert(network->up);
	ck_assert_uint_eq(endpoint_port(), 3);
	/* As often as others change something. */
	desire(DOCUMENT(AT("2")));
	ck_assert_uint_eq(endpoint_port(), 3);
	desire(DOCUMENT(AT("4")));
	ck_assert_uint_eq(endpoint_port(), 4);
}
END_TEST

/* Its kernel did not come so far as to set it. */
START_TEST(an_endpoint_that_a_failed_document_did_not_set_is_set_later)
{
	desire(DOCUMENT(AT("1")));
	run();
	fake.state.sysctls = false;
	fake.fail_at = fake.calls + 1;
	desire(DOCUMENT(AT("2")));
	ck_assert(network->failed);
	ck_assert_uint_eq(endpoint_port(), 1);
	desire(DOCUMENT(AT("2")));
	ck_assert(network->up);
	ck_assert_uint_eq(endpoint_port(), 2);
}
END_TEST

/* Somebody else had put it there. */
START_TEST(a_peer_that_is_new_to_the_document_gets_its_endpoint)
{
	struct tg_key key;

	desire(DOCUMENT(""));
	run();
	ck_assert(tg_key_read(PUBLIC_2, strlen(PUBLIC_2), &key));
	state_add_peer(&fake.state, &key);
	desire(DOCUMENT(AT("2")));
	ck_assert_uint_eq(endpoint_port(), 2);
}
END_TEST

/* The peers of the snapshot that is made now, and the key under which they are. */
static size_t peers_seen(bool ranges, struct tg_key *key)
{
	const struct msg_look ask = { .id = 7, .ranges = ranges };
	struct snapshot       snapshot;
	struct msg            msg;
	int                   fds[MSG_FDS_MOST];
	int                   given = 0;
	size_t                peers;

	engine_look_begin(&e, &ask);
	engine_look_some(&e, UINT64_MAX);
	do {
		while (given > 0)
			close(fds[--given]);
		ck_assert(!e.looking.active);
		given = channel_wait(control, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE, &msg, fds, NULL);
		ck_assert_int_ge(given, 0);
	} while (msg.type != MSG_SNAPSHOT);
	ck_assert_int_eq(snapshot_unpack(fds[0], &snapshot, NULL), 0);
	close(fds[0]);
	ck_assert_uint_eq(snapshot.networks_count, 1);
	*key = snapshot.networks[0].public_key;
	peers = snapshot.peers_count;
	snapshot_clear(&snapshot);
	return peers;
}

/* It has just died: nobody stores what the peer counted until now. */
START_TEST(what_is_counted_stays_when_control_cannot_be_told)
{
	desire(DOCUMENT(PEER("")));
	run();
	ck_assert_int_eq(shutdown(control, SHUT_RDWR), 0);
	begin_document(DOCUMENT(""));
	for (int i = 0; i < 10; i++)
		engine_step(&e);
	ck_assert_int_eq(e.phase, ENGINE_LEDGER);
	ck_assert_uint_eq(fake.state.peers_count, 1);
	e.phase = ENGINE_DOWN;
	e.at = 1;
	network->want = NULL;
	for (int i = 0; i < 10; i++)
		engine_step(&e);
	ck_assert_int_eq(e.phase, ENGINE_LAST_LEDGER);
	ck_assert_ptr_nonnull(e.networks[51820]);
}
END_TEST

#define REKEYED "{'51820':" NETWORK(PRIVATE_3, PEER("")) "}"

/* However long the apply takes of which that is a part. */
START_TEST(what_is_shown_is_read_while_a_key_changes_and_what_is_booked_behind_it)
{
	struct tg_key before, after, key;

	ck_assert(tg_key_read(PUBLIC_1, strlen(PUBLIC_1), &before));
	ck_assert(tg_key_read(PUBLIC_3, strlen(PUBLIC_3), &after));
	desire(DOCUMENT(PEER("")));
	run();
	network->tenant.ns = dup(control);	/* any will do */
	ck_assert_uint_eq(peers_seen(false, &key), 1);

	begin_document(REKEYED);
	engine_step(&e);
	ck_assert_int_eq(e.phase, ENGINE_LEDGER);
	ck_assert_uint_eq(peers_seen(false, &key), 0);
	ck_assert_uint_eq(peers_seen(true, &key), 1);
	ck_assert(tg_key_equal(&key, &before));
	e.phase = ENGINE_WORK;
	run();
	ck_assert_uint_eq(peers_seen(false, &key), 1);
	ck_assert(tg_key_equal(&key, &after));
}
END_TEST

void test_engine_documents(TCase *tc)
{
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, what_is_not_as_it_should_be_is_found_though_documents_come_without_end);
	tcase_add_test(tc, what_no_document_changes_is_found_in_a_network_that_each_of_them_changes);
	tcase_add_test(tc, what_is_not_as_it_should_be_is_found_while_a_wireguard_go_is_waited_for);
	tcase_add_test(tc, a_look_at_one_network_is_none_at_all_of_them);
	tcase_add_test(tc, an_endpoint_is_set_back_when_the_document_that_changed_it_failed);
	tcase_add_test(tc, a_peer_that_roamed_since_its_endpoint_was_set_stays_where_it_is);
	tcase_add_test(tc, an_endpoint_that_a_failed_document_did_not_set_is_set_later);
	tcase_add_test(tc, a_peer_that_is_new_to_the_document_gets_its_endpoint);
	tcase_add_test(tc, what_is_counted_stays_when_control_cannot_be_told);
	tcase_add_test(tc, what_is_shown_is_read_while_a_key_changes_and_what_is_booked_behind_it);
}
