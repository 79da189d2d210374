#include "daemon/engine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>
#include <event2/event.h>

#include "base/channel.h"
#include "base/error.h"
#include "base/model.h"
#include "netns/state.h"
#include "tests/support/document.h"

void test_engine_ledger(TCase *tc);

#define TWO                                                                         \
	DOCUMENT(",'peers':{'" PUBLIC_2 "':{'allowed_ips':['10.0.0.2']},'" PUBLIC_3 \
	         "':{'allowed_ips':['10.0.0.3']}}")
#define ONE	DOCUMENT(",'peers':{'" PUBLIC_3 "':{'allowed_ips':['10.0.0.3']}}")
#define REKEYED "{'51820':" NETWORK(PRIVATE_2, ",'peers':{'" PUBLIC_3 "':{'allowed_ips':['10.0.0.3']}}") "}"

/* An engine of which only what the ledger uses is there, and control's end of its channel. */
struct bench {
	struct engine         engine;
	struct engine_model   desired;
	struct engine_network network;
	struct state          have;
	int                   control;
	struct msg_reading    readings[8];
	size_t                count;
};

static void begin(struct bench *b, const char *document)
{
	struct tg_error err;
	int             ends[2];

	memset(b, 0, sizeof *b);
	b->engine.base = event_base_new();
	ck_assert_int_eq(channel_pair(ends, &err), 0);
	b->control = ends[1];
	b->engine.control =
	        channel_new(b->engine.base, ends[0], MSG_ROLE_ENGINE, MSG_ROLE_CONTROL, NULL, NULL, NULL);
	b->desired.model = document_read(document, NULL);
	b->network.desired = &b->desired;
	memset(b->engine.host.boot_id, 7, sizeof b->engine.host.boot_id);
	tenant_init(&b->network.tenant, 51820);
	b->network.tenant.cookie = 99;
	b->have = (struct state){ .exists = true, .device = true, .ifindex = 3 };
}

static void end(struct bench *b)
{
	channel_free(b->engine.control);
	event_base_free(b->engine.base);
	model_free(b->desired.model);
	state_clear(&b->have);
	close(b->control);
}

static struct tg_key key_of(const char *text)
{
	struct tg_key key;

	ck_assert(tg_key_read(text, strlen(text), &key));
	return key;
}

static void has_peer(struct bench *b, const char *key, uint64_t rx)
{
	struct tg_key      public_key = key_of(key);
	struct state_peer *peer = state_add_peer(&b->have, &public_key);

	peer->rx = rx;
	peer->tx = rx + 1;
	state_sort(&b->have);
}

static void plan(struct bench *b)
{
	struct model *model = b->desired.model;
	struct plan   steps;

	ck_assert_int_eq(differ_plan(model, model_find(model, 51820), &b->have, NULL, &steps), 0);
	engine_ledger_plan(&b->engine, &b->network, &b->have, &steps);
	plan_clear(&steps);
}

/* Sends, and reads what control gets. */
static void receive(struct bench *b)
{
	struct msg      msg;
	struct tg_error err;
	int             fds[MSG_FDS_MOST];

	ck_assert(engine_ledger_send(&b->engine));
	ck_assert_int_eq(channel_wait(b->control, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE, &msg, fds, &err), 0);
	ck_assert_uint_eq(msg.type, MSG_LEDGER);
	ck_assert_uint_eq(msg.body.ledger.id, b->engine.ledger_id);
	b->count = msg.body.ledger.count;
	ck_assert_uint_le(b->count, 8);

	ck_assert_uint_eq(msg.value_bytes, b->count * sizeof *b->readings);
	memcpy(b->readings, msg_value(&msg), msg.value_bytes);
}

#define TO_COME UINT64_MAX	/* nothing, on a link that is not there yet */

static void is_reading(const struct msg_reading *reading, const char *network, const char *peer,
                       enum msg_reading_kind kind, uint64_t rx)
{
	struct tg_key    booked = key_of(network);
	struct tg_key    key = key_of(peer);
	struct msg_epoch none = { .netns_cookie = 0 };

	ck_assert(tg_key_equal(&reading->network, &booked));
	ck_assert(tg_key_equal(&reading->peer, &key));
	ck_assert_uint_eq(reading->kind, kind);
	ck_assert_uint_eq(reading->rx, rx == TO_COME ? 0 : rx);
	if (rx == TO_COME) {
		ck_assert_mem_eq(&reading->epoch, &none, sizeof none);
		return;
	}
	ck_assert_uint_eq(reading->tx, rx == 0 ? 0 : rx + 1);
	ck_assert_uint_eq(reading->epoch.boot_id[15], 7);
	ck_assert_uint_eq(reading->epoch.netns_cookie, 99);
	ck_assert_uint_eq(reading->epoch.ifindex, 3);
}

START_TEST(a_peer_to_come_begins_at_nothing_and_one_to_go_is_read)
{
	struct bench b;

	begin(&b, ONE);
	b.have.public_key = key_of(PUBLIC_1);
	has_peer(&b, PUBLIC_2, 500);
	plan(&b);
	receive(&b);
	ck_assert_uint_eq(b.count, 2);
	is_reading(&b.readings[0], PUBLIC_1, PUBLIC_2, MSG_READING_COUNT, 500);
	is_reading(&b.readings[1], PUBLIC_1, PUBLIC_3, MSG_READING_BASELINE, 0);
	ck_assert(!b.network.rekeying);
	end(&b);
}
END_TEST

/* As if the link had been another: what the peer counted there before is no beginning on this one. */
START_TEST(a_peer_of_a_link_to_come_begins_on_none)
{
	struct bench b;

	begin(&b, ONE);
	b.have = (struct state){ .exists = true };
	plan(&b);
	receive(&b);
	ck_assert_uint_eq(b.count, 1);
	is_reading(&b.readings[0], PUBLIC_1, PUBLIC_3, MSG_READING_BASELINE, TO_COME);
	end(&b);
}
END_TEST

START_TEST(peers_that_stay_are_not_spoken_of)
{
	struct bench b;

	begin(&b, TWO);
	b.have.public_key = key_of(PUBLIC_1);
	has_peer(&b, PUBLIC_2, 500);
	has_peer(&b, PUBLIC_3, 600);
	plan(&b);
	ck_assert(!engine_ledger_send(&b.engine));
	end(&b);
}
END_TEST

START_TEST(a_new_key_takes_the_reading_over_as_its_baseline)
{
	struct bench b;

	begin(&b, REKEYED);
	b.have.public_key = key_of(PUBLIC_1);
	has_peer(&b, PUBLIC_3, 600);
	plan(&b);
	receive(&b);
	ck_assert_uint_eq(b.count, 2);
	is_reading(&b.readings[0], PUBLIC_1, PUBLIC_3, MSG_READING_COUNT, 600);
	is_reading(&b.readings[1], PUBLIC_2, PUBLIC_3, MSG_READING_BASELINE, 600);
	ck_assert(b.network.rekeying);
	end(&b);
}
END_TEST

/* Somebody set another key.  The bytes are still booked under the document's. */
START_TEST(a_key_that_others_set_is_not_booked_under)
{
	struct bench b;

	begin(&b, ONE);
	b.network.keyed = true;
	b.network.public_key = key_of(PUBLIC_1);
	b.have.public_key = key_of(PUBLIC_2);
	has_peer(&b, PUBLIC_3, 600);
	plan(&b);
	ck_assert(!engine_ledger_send(&b.engine));
	ck_assert(!b.network.rekeying);
	end(&b);
}
END_TEST

START_TEST(what_is_to_be_counted_comes_before_any_baseline)
{
	struct bench b;

	begin(&b, REKEYED);
	b.have.public_key = key_of(PUBLIC_1);
	has_peer(&b, PUBLIC_3, 600);
	plan(&b);
	/* The network that had the key until now. */
	b.network.keyed = true;
	b.network.public_key = key_of(PUBLIC_2);
	engine_ledger_last(&b.engine, &b.network, &b.have);
	receive(&b);
	ck_assert_uint_eq(b.count, 3);
	is_reading(&b.readings[0], PUBLIC_1, PUBLIC_3, MSG_READING_COUNT, 600);
	is_reading(&b.readings[1], PUBLIC_2, PUBLIC_3, MSG_READING_COUNT, 600);
	is_reading(&b.readings[2], PUBLIC_2, PUBLIC_3, MSG_READING_BASELINE, 600);
	end(&b);
}
END_TEST

void test_engine_ledger(TCase *tc)
{
	tcase_add_test(tc, a_peer_to_come_begins_at_nothing_and_one_to_go_is_read);
	tcase_add_test(tc, a_peer_of_a_link_to_come_begins_on_none);
	tcase_add_test(tc, peers_that_stay_are_not_spoken_of);
	tcase_add_test(tc, a_new_key_takes_the_reading_over_as_its_baseline);
	tcase_add_test(tc, a_key_that_others_set_is_not_booked_under);
	tcase_add_test(tc, what_is_to_be_counted_comes_before_any_baseline);
}
