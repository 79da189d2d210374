#include "daemon/engine.h"

#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/model.h"
#include "netns/state.h"
#include "tests/support/document.h"
#include "tests/support/engine_bench.h"
#include "tests/support/kernel.h"

void test_engine_remove(TCase *tc);

#define PEERS ",'peers':{'" PUBLIC_2 "':{'allowed_ips':['10.0.0.2']}}"
#define HERE  "{'51820':" NETWORK(PRIVATE_1, PEERS) "}"
#define MOVED "{'51821':" NETWORK(PRIVATE_1, PEERS) "}"
#define OTHER "{'51821':" NETWORK(PRIVATE_3, PEERS) "}"

/* An engine whose kernel is a value, in which network 51820 is up with one peer. */
struct bench {
	struct engine          engine;
	struct engine_model   *desired;
	struct engine_network *network;	/* the engine's */
};

static void begin(struct bench *b, const char *document)
{
	struct model *before = document_read(HERE, NULL);

	fake_reset();
	ck_assert_uint_gt(fake_apply(before, 51820, NULL), 0);
	fake.state.peers[0].rx = 500;
	model_free(before);

	memset(b, 0, sizeof *b);
	strcpy(b->engine.host.prefix, "no-namespace-has-this-");
	b->engine.kernel = fake_kernel_of();
	b->engine.networks = calloc(PORTS_END, sizeof(struct engine_network *));
	ck_assert_ptr_nonnull(b->engine.networks);
	b->engine.at = 1;
	b->desired = engine_bench_document(document);
	engine_enlist(&b->engine, engine_model_hold(b->desired), true);
	b->network = engine_network_get(&b->engine, 51820);
	b->network->tenant.cookie = 99;
}

static void end(struct bench *b)
{
	for (struct engine_network *n = engine_next(&b->engine, 1); n != NULL; n = engine_next(&b->engine, 1))
		engine_network_free(&b->engine, n->tenant.port);
	free(b->engine.readings);
	free(b->engine.networks);
	engine_model_drop(&b->desired);
	fake_reset();
}

START_TEST(a_network_to_be_removed_is_read_once)
{
	struct bench b;

	begin(&b, OTHER);
	ck_assert(engine_has_removals(&b.engine));
	ck_assert(engine_count_moved(&b.engine, b.network, 0));
	ck_assert_uint_eq(b.engine.readings_count, 0);
	ck_assert(engine_down_next(&b.engine, 0));
	ck_assert(!engine_down_next(&b.engine, 0));
	ck_assert_uint_eq(b.engine.readings_count, 1);
	ck_assert_uint_eq(b.engine.readings[0].kind, MSG_READING_COUNT);
	ck_assert_uint_eq(b.engine.readings[0].rx, 500);
	ck_assert_uint_eq(b.engine.readings[0].epoch.netns_cookie, 99);
	end(&b);
}
END_TEST

/* Its key goes on in another network, whose baseline must come behind this reading: so it is taken before
 * that one is made, and not again. */
START_TEST(a_network_whose_key_moves_is_read_before_the_other_begins)
{
	struct bench b;

	begin(&b, MOVED);
	ck_assert(engine_count_moved(&b.engine, b.network, 0));
	ck_assert_uint_eq(b.engine.readings_count, 1);
	ck_assert_uint_eq(b.engine.readings[0].rx, 500);
	ck_assert(tg_key_equal(&b.engine.readings[0].network, &b.desired->model->networks[0].public_key));
	ck_assert(engine_count_moved(&b.engine, b.network, 0));
	ck_assert(engine_down_next(&b.engine, 0));
	ck_assert_uint_eq(b.engine.readings_count, 1);
	end(&b);
}
END_TEST

START_TEST(what_the_document_has_is_not_removed)
{
	struct bench b;

	begin(&b, HERE);
	ck_assert(!engine_has_removals(&b.engine));
	ck_assert(!engine_down_next(&b.engine, 0));
	ck_assert_uint_eq(b.engine.readings_count, 0);
	end(&b);
}
END_TEST

void test_engine_remove(TCase *tc)
{
	tcase_add_test(tc, a_network_to_be_removed_is_read_once);
	tcase_add_test(tc, a_network_whose_key_moves_is_read_before_the_other_begins);
	tcase_add_test(tc, what_the_document_has_is_not_removed);
}
