#include "netns/differ.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/model.h"
#include "netns/state.h"
#include "tests/support/document.h"
#include "tests/support/kernel.h"

void test_differ(TCase *tc);

#define PORT 51820
#define PEER(more) DOCUMENT(",'peers':{'" PUBLIC_2 "':{'allowed_ips':['10.0.0.2'" more "}}")

/* Makes the fake kernel equal to `before`, then plans for `after`.  The steps' names, with spaces. */
static uint64_t heard;	/* bytes of the peer that is there before */

static const char *steps_to(const char *before, const char *after, bool known)
{
	static char   text[2048];
	struct model *first = document_read(before, NULL);
	struct model *then = document_read(after, NULL);
	struct plan   plan;
	size_t        at = 0;

	fake_reset();
	ck_assert_uint_gt(fake_apply(first, PORT, NULL), 0);
	if (fake.state.peers_count > 0)
		fake.state.peers[0].rx = heard;
	ck_assert_int_eq(differ_plan(then, model_find(then, PORT), &fake.state, known ? first : NULL, &plan),
	                 0);
	text[0] = '\0';
	for (size_t i = 0; i < plan.steps_count; i++)
		at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", at > 0 ? " " : "",
		                       step_name(plan.steps[i].kind));
	plan_clear(&plan);
	model_free(first);
	model_free(then);
	fake_reset();
	return text;
}

static const char *steps_after(void (*change)(struct state *))
{
	static char   text[2048];
	struct model *model = document_read(PEER(",'10.7.0.0/16']"), NULL);
	struct plan   plan;
	size_t        at = 0;

	fake_reset();
	ck_assert_uint_gt(fake_apply(model, PORT, NULL), 0);
	change(&fake.state);
	state_sort(&fake.state);
	ck_assert_int_eq(differ_plan(model, model_find(model, PORT), &fake.state, model, &plan), 0);
	text[0] = '\0';
	for (size_t i = 0; i < plan.steps_count; i++)
		at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", at > 0 ? " " : "",
		                       step_name(plan.steps[i].kind));
	plan_clear(&plan);
	model_free(model);
	fake_reset();
	return text;
}

START_TEST(a_new_network_is_made_in_order)
{
	struct model     *model = document_read(PEER("]"), NULL);
	const struct state none = { .exists = false };
	struct plan        plan;

	ck_assert_int_eq(differ_plan(model, model_find(model, PORT), &none, NULL, &plan), 0);

	static const enum step_kind kinds[] = {
		STEP_NAMESPACE_MAKE, STEP_SYSCTLS, STEP_LINK_MAKE,   STEP_DEVICE,  STEP_PEER_SET,
		STEP_LO_UP,	     STEP_ADDRESS_ADD, STEP_LINK_UP, STEP_ROUTE_ADD,
	};

	ck_assert_uint_eq(plan.steps_count, sizeof kinds / sizeof kinds[0]);
	for (size_t i = 0; i < plan.steps_count; i++)
		ck_assert_int_eq(plan.steps[i].kind, kinds[i]);
	plan_clear(&plan);
	model_free(model);
}
END_TEST

START_TEST(each_change_of_the_document_is_its_own_step)
{
	ck_assert_str_eq(steps_to(PEER("]"), PEER("]"), true), "");
	ck_assert_str_eq(steps_to(PEER("]"), PEER("],'persistent_keepalive':1"), true), "peer");
	ck_assert_str_eq(steps_to(PEER("]"), PEER("],'preshared_key':'" PRIVATE_3 "'"), true), "peer");
	ck_assert_str_eq(steps_to(PEER("],'preshared_key':'" PRIVATE_3 "'"), PEER("]"), true), "peer");
	ck_assert_str_eq(steps_to(PEER("]"), PEER(",'10.7.0.0/16']"), true), "peer route");
	ck_assert_str_eq(steps_to(PEER(",'10.7.0.0/16']"), PEER("]"), true), "allowed_ips surplus_route");
	ck_assert_str_eq(steps_to(DOCUMENT(""), PEER("]"), true), "peer route");
	ck_assert_str_eq(steps_to(PEER("]"), DOCUMENT(""), true), "surplus_peer surplus_route");
	ck_assert_str_eq(steps_to(DOCUMENT(""), DOCUMENT(",'mtu':1300"), true), "mtu");
	ck_assert_str_eq(steps_to(DOCUMENT(""), "{'51820':" NETWORK(PRIVATE_2, "") "}", true), "key_or_port");
}
END_TEST

#define SIZED(address, mtu)                                                                  \
	"{'51820':{'private_key':'" PRIVATE_1 "','address':['10.0.0.1/16'" address "],'mtu':" mtu \
	",'peers':{'" PUBLIC_2 "':{'allowed_ips':['10.7.0.0/16','fd07::/64']}}}}"

/* Each of these steps would be refused. */
START_TEST(a_link_too_small_for_ipv6_has_none_and_loses_it_by_itself)
{
	ck_assert_str_eq(steps_to(SIZED("", "1279"), SIZED("", "1279"), true), "");
	ck_assert_str_eq(steps_to(SIZED(",'fd00::1/64'", "1280"), SIZED("", "1279"), true), "mtu");
	ck_assert_str_eq(steps_to(SIZED("", "1279"), SIZED(",'fd00::1/64'", "1280"), true),
	                 "mtu address route");
}
END_TEST

START_TEST(a_private_key_that_is_not_clamped_is_no_difference)
{
	const char *drawn = "{'51820':{'private_key':'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='"
			    ",'address':['10.0.0.1/16']}}";

	ck_assert_str_eq(steps_to(drawn, drawn, true), "");
}
END_TEST

static void lose_name(struct state *state)
{
	state->pinned = false;
}

static void lose_sysctls(struct state *state)
{
	state->sysctls = false;
}

static void go_down(struct state *state)
{
	state->up = false;
	state->routes_count = 0;
}

static void lo_down(struct state *state)
{
	state->lo_up = false;
}

static void lose_port(struct state *state)
{
	state->port = 0;
}

static void lose_address(struct state *state)
{
	state->addresses_count = 0;
}

static void gain_address(struct state *state)
{
	struct tg_cidr address;

	ck_assert(tg_cidr_read("10.99.0.1/16", &address));
	state_add_address(state, &address);
}

static void gain_foreign_route(struct state *state)
{
	struct tg_cidr range;

	ck_assert(tg_cidr_read("10.99.0.0/16", &range));
	state_add_route(state, &range, true);
}

/* Somebody set the route himself: it is there, whoever did. */
static void route_becomes_foreign(struct state *state)
{
	struct tg_cidr range = state->routes[0];

	state->routes[0] = state->routes[--state->routes_count];
	state_add_route(state, &range, true);
}

static void gain_peer(struct state *state)
{
	struct tg_key key;

	ck_assert(tg_key_read(PUBLIC_3, strlen(PUBLIC_3), &key));
	state_add_peer(state, &key);
}

static void roam(struct state *state)
{
	ck_assert(tg_endpoint_read("192.0.2.9:9", &state->peers[0].endpoint));
}

static void other_link(struct state *state)
{
	state->link = STATE_LINK_OTHER;
	state->device = false;
	state->up = false;
	state->peers_count = state->addresses_count = state->routes_count = 0;
}

/* Whatever it has, its peers are not new: a plan that said so would count their bytes twice. */
static void renamed(struct state *state)
{
	other_link(state);
	state->link = STATE_LINK_NONE;
	state->renamed = true;
}

START_TEST(each_drift_is_mended_by_its_own_step)
{
	ck_assert_str_eq(steps_after(lose_name), "namespace_name");
	ck_assert_str_eq(steps_after(lose_sysctls), "sysctls");
	ck_assert_str_eq(steps_after(go_down), "link_up route route");
	ck_assert_str_eq(steps_after(lo_down), "loopback_up");
	ck_assert_str_eq(steps_after(lose_port), "key_or_port");
	ck_assert_str_eq(steps_after(lose_address), "address");
	ck_assert_str_eq(steps_after(gain_address), "surplus_address");
	ck_assert_str_eq(steps_after(gain_peer), "surplus_peer");
	ck_assert_str_eq(steps_after(renamed), "link_name");
	ck_assert_str_eq(steps_after(other_link),
	                 "foreign_link link key_or_port peer address link_up route route");
}
END_TEST

START_TEST(what_others_added_beside_is_left_alone)
{
	ck_assert_str_eq(steps_after(gain_foreign_route), "");
	ck_assert_str_eq(steps_after(route_becomes_foreign), "");
}
END_TEST

START_TEST(an_endpoint_is_set_only_when_the_documents_value_is_new)
{
	const char *with = PEER("],'endpoint':'192.0.2.1:1'");
	const char *other = PEER("],'endpoint':'192.0.2.2:2'");

	ck_assert_str_eq(steps_after(roam), "");
	ck_assert_str_eq(steps_to(PEER("]"), with, true), "peer");
	ck_assert_str_eq(steps_to(with, other, true), "peer");
	ck_assert_str_eq(steps_to(with, PEER("]"), true), "");
	/* After a restart nobody knows the document before: who was heard of may have roamed. */
	ck_assert_str_eq(steps_to(with, other, false), "peer");
	ck_assert_str_eq(steps_to(with, with, false), "");
	ck_assert_str_eq(steps_to(with, PEER("]"), false), "");
	heard = 148;
	ck_assert_str_eq(steps_to(with, other, false), "");
	ck_assert_str_eq(steps_to(with, other, true), "peer");
}
END_TEST

START_TEST(a_range_that_is_an_addresss_prefix_needs_no_route)
{
	const char *same = DOCUMENT(",'peers':{'" PUBLIC_2 "':{'allowed_ips':['10.0.0.0/16']}}");
	const char *alone =
	        "{'51820':{'private_key':'" PRIVATE_1 "','address':['10.0.0.1/32'],'peers':{'" PUBLIC_2
	        "':{'allowed_ips':['10.0.0.1/32']}}}}";

	ck_assert_str_eq(steps_to(DOCUMENT(""), same, true), "peer");
	/* For an address alone the kernel adds none. */
	ck_assert_str_eq(steps_to(alone, alone, true), "");
}
END_TEST

static const char *kernels_route_lost(const char *document)
{
	struct model      *model = document_read(document, NULL);
	static struct plan plan;
	const char        *step = "";

	fake_reset();
	ck_assert_uint_gt(fake_apply(model, PORT, NULL), 0);
	ck_assert_uint_eq(fake.state.foreign_count, 1);
	fake.state.foreign_count = 0;
	ck_assert_int_eq(differ_plan(model, model_find(model, PORT), &fake.state, model, &plan), 0);
	ck_assert_uint_le(plan.steps_count, 1);
	if (plan.steps_count == 1)
		step = step_name(plan.steps[0].kind);
	plan_clear(&plan);
	ck_assert_uint_le(fake_apply(model, PORT, model), 2);
	/* Ours goes when the kernel's comes again. */
	state_add_route(&fake.state, &fake.state.addresses[0], true);
	tg_cidr_mask(&fake.state.foreign[0]);
	ck_assert_uint_le(fake_apply(model, PORT, model), 2);
	ck_assert_uint_eq(fake.state.routes_count, 0);
	model_free(model);
	fake_reset();
	return step;
}

START_TEST(a_range_that_is_an_addresss_prefix_gets_a_route_when_the_kernels_is_gone)
{
	const char *same = DOCUMENT(",'peers':{'" PUBLIC_2 "':{'allowed_ips':['10.0.0.0/16']}}");

	ck_assert_str_eq(kernels_route_lost(same), "route");
	ck_assert_str_eq(kernels_route_lost(DOCUMENT("")), "");
}
END_TEST

START_TEST(an_address_with_another_prefix_goes_before_it_comes)
{
#define ADDRESS(text) "{'51820':{'private_key':'" PRIVATE_1 "','address':['" text "']}}"
	ck_assert_str_eq(steps_to(ADDRESS("fd00::1/64"), ADDRESS("fd00::1/80"), true),
	                 "surplus_address address");
	/* Of two IPv4 addresses that differ in their prefix alone the wrong one might be removed. */
	ck_assert_str_eq(
	        steps_to(ADDRESS("10.0.0.1/16','10.0.0.7/16"), ADDRESS("10.0.0.1/16','10.0.0.7/32"), true),
	        "surplus_address address");
	ck_assert_str_eq(steps_to(ADDRESS("10.0.0.1/16"), ADDRESS("10.0.0.2/16"), true),
	                 "address surplus_address");
}
END_TEST

START_TEST(a_range_moves_in_one_step)
{
#define TWO(a, b) \
	DOCUMENT(",'peers':{'" PUBLIC_2 "':{'allowed_ips':[" a "]},'" PUBLIC_3 "':{'allowed_ips':[" b "]}}")
	ck_assert_str_eq(steps_to(TWO("'10.0.0.2'", ""), TWO("", "'10.0.0.2'"), true), "peer");
	ck_assert_str_eq(steps_to(TWO("'10.0.0.2'", "'10.0.0.3'"), TWO("'10.0.0.3'", "'10.0.0.2'"), true),
	                 "peer peer");
}
END_TEST

START_TEST(many_ranges_are_split_over_steps)
{
	static char   text[65536];
	size_t at = (size_t)snprintf(text, sizeof text, "%s",
	                             "{'51820':{'private_key':'" PRIVATE_1
	                             "','address':['10.0.0.1/8'],'peers':{'" PUBLIC_2 "':{'allowed_ips':[");
	const struct state none = { .exists = false };
	struct plan        plan;
	size_t             found = 0;

	for (unsigned i = 0; i < 2 * DIFFER_RANGES_MOST + 1; i++)
		at += (size_t)snprintf(text + at, sizeof text - at, "%s'10.1.%u.%u'", i > 0 ? "," : "",
		                       i / 256, i % 256);
	snprintf(text + at, sizeof text - at, "]}}}}");

	struct model *model = document_read(text, NULL);

	ck_assert_int_eq(differ_plan(model, model_find(model, PORT), &none, NULL, &plan), 0);
	for (size_t i = 0; i < plan.steps_count; i++) {
		if (plan.steps[i].kind != STEP_PEER_SET)
			continue;
		ck_assert_uint_le(plan.steps[i].ranges_count, DIFFER_RANGES_MOST);
		/* The peer is new once. */
		ck_assert_int_eq((plan.steps[i].flags & STEP_PEER_NEW) != 0, found == 0);
		found++;
	}
	ck_assert_uint_eq(found, 3);
	plan_clear(&plan);
	model_free(model);
}
END_TEST

void test_differ(TCase *tc)
{
	tcase_add_test(tc, a_new_network_is_made_in_order);
	tcase_add_test(tc, each_change_of_the_document_is_its_own_step);
	tcase_add_test(tc, a_link_too_small_for_ipv6_has_none_and_loses_it_by_itself);
	tcase_add_test(tc, a_private_key_that_is_not_clamped_is_no_difference);
	tcase_add_test(tc, each_drift_is_mended_by_its_own_step);
	tcase_add_test(tc, what_others_added_beside_is_left_alone);
	tcase_add_test(tc, an_endpoint_is_set_only_when_the_documents_value_is_new);
	tcase_add_test(tc, a_range_that_is_an_addresss_prefix_needs_no_route);
	tcase_add_test(tc, a_range_that_is_an_addresss_prefix_gets_a_route_when_the_kernels_is_gone);
	tcase_add_test(tc, an_address_with_another_prefix_goes_before_it_comes);
	tcase_add_test(tc, a_range_moves_in_one_step);
	tcase_add_test(tc, many_ranges_are_split_over_steps);
}
