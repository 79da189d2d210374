#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/model.h"
#include "daemon/engine.h"
#include "tests/support/document.h"
#include "tests/support/engine_bench.h"

void test_engine_networks(TCase *tc);

#define PREFIX "no-namespace-has-this-"	/* so that the machine's own do not count */
#define OF(private_key, mtu) "{'private_key':'" private_key "','address':['10.0.0.1/24'],'mtu':" mtu "}"
#define ONE(port, private_key, mtu) "{'" port "':" OF(private_key, mtu) "}"
#define TWO(mtu) "{'1':{'private_key':'" PRIVATE_1 "','address':['10.0.0.1/24']}," \
                 "'65535':{'private_key':'" PRIVATE_2 "','address':['10.0.0.1/24'],'mtu':" mtu "}}"

static struct engine e;

static void set_up(void)
{
	memset(&e, 0, sizeof e);
	strcpy(e.host.prefix, PREFIX);
	e.networks = calloc(PORTS_END, sizeof(struct engine_network *));
	ck_assert_ptr_nonnull(e.networks);
}

static void tear_down(void)
{
	for (struct engine_network *n = engine_next(&e, 1); n != NULL; n = engine_next(&e, 1))
		engine_network_free(&e, n->tenant.port);
	free(e.networks);
}

static bool enlist(const char *text, bool whole)
{
	return engine_enlist(&e, engine_bench_document(text), whole);
}

static bool desire(const char *text)
{
	return enlist(text, true);
}

/* As if the kernel were equal to the document now. */
static void settle(void)
{
	for (struct engine_network *n = engine_next(&e, 1); n != NULL;
	     n = engine_next(&e, n->tenant.port + 1U)) {
		engine_in_line(n);
		n->up = true;
		n->changed = false;
		ports_remove(&e.suspect, n->tenant.port);
	}
}

START_TEST(a_walk_meets_every_network_once_and_in_order)
{
	static const uint16_t ports[] = { 65535, 64, 1, 63, 65, 30000 };
	static const uint16_t sorted[] = { 1, 63, 64, 65, 30000, 65535 };
	size_t                at = 0;

	ck_assert_ptr_null(engine_next(&e, 1));
	for (size_t i = 0; i < 6; i++)
		ck_assert_uint_eq(engine_network_get(&e, ports[i])->tenant.port, ports[i]);
	for (struct engine_network *n = engine_next(&e, 1); n != NULL;
	     n = engine_next(&e, n->tenant.port + 1U))
		ck_assert_uint_eq(n->tenant.port, sorted[at++]);
	ck_assert_uint_eq(at, 6);
	engine_network_free(&e, 64);
	ck_assert_uint_eq(engine_next(&e, 64)->tenant.port, 65);
	ck_assert_ptr_null(engine_next(&e, PORTS_END));
	/* The first and the last go too, and another becomes the last. */
	engine_network_free(&e, 1);
	engine_network_free(&e, 65535);
	engine_network_get(&e, 40000);
	ck_assert_uint_eq(engine_next(&e, 1)->tenant.port, 63);
	ck_assert_uint_eq(engine_next(&e, 64)->tenant.port, 65);
	ck_assert_uint_eq(engine_next(&e, 30001)->tenant.port, 40000);
	ck_assert_ptr_null(engine_next(&e, 40001));
}
END_TEST

START_TEST(a_walk_along_two_sets_meets_what_is_in_either)
{
	static const uint16_t either[] = { 1, 63, 64, 200, 65535 };
	struct ports          a = { { 0 } }, b = { { 0 } };
	uint32_t              port = 0;

	ck_assert_uint_eq(ports_next(&a, &b, 0), PORTS_END);
	for (size_t i = 0; i < 5; i++)
		ports_add(i % 2 == 0 ? &a : &b, either[i]);
	ports_add(&b, 64);
	ports_add(&b, 300);
	ports_remove(&b, 300);
	for (size_t i = 0; i < 5; i++, port++) {
		port = ports_next(&a, &b, port);
		ck_assert_uint_eq(port, either[i]);
		ck_assert(ports_has(&a, (uint16_t)port) || ports_has(&b, (uint16_t)port));
	}
	ck_assert_uint_eq(port, PORTS_END);
	ck_assert_uint_eq(ports_next(&a, &b, port), PORTS_END);
}
END_TEST

START_TEST(an_equal_document_changes_nothing_but_all_is_looked_at)
{
	ck_assert(desire(TWO("1420")));
	settle();
	ck_assert(!desire(TWO("1420")));
	for (uint16_t port = 1; port != 0; port = port == 1 ? 65535 : 0) {
		ck_assert(ports_has(&e.suspect, port));
		ck_assert_ptr_eq(e.networks[port]->settled, e.networks[port]->desired);
	}
}
END_TEST

START_TEST(what_the_document_changed_is_changed_until_it_is_settled)
{
	ck_assert(desire(TWO("1420")));
	settle();
	ck_assert(desire(TWO("1400")));
	ck_assert(!e.networks[1]->changed);
	ck_assert(e.networks[65535]->changed);
	/* It was half made when the next document came. */
	ck_assert(desire(TWO("1420")));
	ck_assert(e.networks[65535]->changed);
	settle();
	ck_assert(!desire(TWO("1420")));
}
END_TEST

START_TEST(what_failed_or_is_being_worked_on_is_changed)
{
	desire(TWO("1420"));
	settle();
	e.networks[1]->up = false;
	ck_assert(desire(TWO("1420")));
	ck_assert(e.networks[1]->changed);
	settle();
	e.networks[1]->dirty = true;
	ck_assert(desire(TWO("1420")));
	ck_assert(e.networks[1]->changed);
	ck_assert(!e.networks[65535]->changed);
}
END_TEST

START_TEST(what_the_document_lacks_is_a_change)
{
	desire(TWO("1420"));
	settle();
	ck_assert(desire("{'1':{'private_key':'" PRIVATE_1 "','address':['10.0.0.1/24']}}"));
	ck_assert_ptr_null(e.networks[65535]->want);
	ck_assert(!e.networks[1]->changed);
}
END_TEST

START_TEST(what_is_new_in_a_document_leaves_the_rest_wanted_and_settled)
{
	desire(TWO("1420"));
	settle();

	struct engine_model *first = e.networks[1]->desired;

	ck_assert_uint_eq(first->refs, 6);
	ck_assert(enlist(ONE("65535", PRIVATE_2, "1400"), false));
	ck_assert_uint_eq(e.networks[65535]->want->mtu, 1400);
	ck_assert(e.networks[65535]->changed);
	ck_assert_ptr_eq(e.networks[1]->desired, first);
	/* Whoever works on it has no need to look at the rest. */
	ck_assert_ptr_eq(engine_next_of(&e, &e.unsettled, 1), e.networks[65535]);
	ck_assert(ports_has(&e.suspect, 1));
	ck_assert(!e.networks[1]->changed);
	settle();
	ck_assert_uint_eq(first->refs, 3);
	/* And one that was not there. */
	ck_assert(enlist(ONE("2", PRIVATE_3, "1420"), false));
	ck_assert(e.networks[2]->changed);
	ck_assert(!e.networks[65535]->changed);
	settle();
	ck_assert(!enlist("{}", false));
	ck_assert_ptr_nonnull(e.networks[2]->want);
	/* The whole, as control has it: nothing is new in it. */
	ck_assert(!desire("{'1':" OF(PRIVATE_1, "1420") ",'2':" OF(PRIVATE_3, "1420") ",'65535':" OF(
		PRIVATE_2, "1400") "}"));
	ck_assert_ptr_eq(e.networks[1]->desired, e.networks[2]->desired);
}
END_TEST

START_TEST(control_hears_what_is_up_when_that_is_another)
{
	desire(TWO("1420"));
	ck_assert(e.news);
	settle();
	e.news = false;
	enlist(ONE("65535", PRIVATE_2, "1400"), false);
	ck_assert(!e.news);
	enlist(ONE("65535", PRIVATE_3, "1400"), false);
	ck_assert(e.news);
	e.news = false;
	enlist(ONE("2", PRIVATE_1, "1420"), false);
	ck_assert(e.news);
}
END_TEST

/* Control had no room for it, or died: it asks for the document once more. */
START_TEST(a_last_reading_is_taken_again_for_each_document)
{
	desire(TWO("1420"));
	desire("{}");
	e.networks[1]->counted = true;
	desire("{}");
	ck_assert(!e.networks[1]->counted);
}
END_TEST

/* No inotify instance was left at first, for one.  Nobody told of names that came before there was. */
START_TEST(names_are_listed_once_more_when_somebody_watches)
{
	desire(TWO("1420"));
	ck_assert(e.unlisted);
	e.names = (struct event *)&e;	/* any will do */
	enlist("{}", false);
	ck_assert(!e.unlisted);
	desire(TWO("1420"));
	ck_assert(!e.unlisted);
}
END_TEST

void test_engine_networks(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_walk_meets_every_network_once_and_in_order);
	tcase_add_test(tc, a_walk_along_two_sets_meets_what_is_in_either);
	tcase_add_test(tc, an_equal_document_changes_nothing_but_all_is_looked_at);
	tcase_add_test(tc, what_the_document_changed_is_changed_until_it_is_settled);
	tcase_add_test(tc, what_failed_or_is_being_worked_on_is_changed);
	tcase_add_test(tc, what_the_document_lacks_is_a_change);
	tcase_add_test(tc, what_is_new_in_a_document_leaves_the_rest_wanted_and_settled);
	tcase_add_test(tc, control_hears_what_is_up_when_that_is_another);
	tcase_add_test(tc, a_last_reading_is_taken_again_for_each_document);
	tcase_add_test(tc, names_are_listed_once_more_when_somebody_watches);
}
