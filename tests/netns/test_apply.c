#include "netns/apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/error.h"
#include "base/model.h"
#include "netns/differ.h"
#include "tests/support/document.h"
#include "tests/support/kernel.h"

void test_apply(TCase *tc);

#define PORT 51820

#define FULL \
	DOCUMENT(",'mtu':1400,'peers':{'" PUBLIC_2 "':{'allowed_ips':['10.0.0.2','10.7.0.0/16']},'" PUBLIC_3 \
		 "':{'allowed_ips':['10.0.0.3'],'preshared_key':'" PRIVATE_2 "','endpoint':'192.0.2.1:7'}}")
#define OTHER                           \
	DOCUMENT(",'peers':{'" PUBLIC_3 \
	         "':{'allowed_ips':['10.0.0.2','10.9.0.0/16'],'persistent_keepalive':7}}")

START_TEST(an_empty_kernel_comes_up_in_one_round)
{
	struct model *model = document_read(FULL, NULL);

	fake_reset();
	/* The second round finds nothing to do. */
	ck_assert_uint_eq(fake_apply(model, PORT, NULL), 2);
	ck_assert(fake.state.up);
	ck_assert_uint_eq(fake.state.peers_count, 2);
	ck_assert_uint_eq(fake.state.mtu, 1400);
	fake_reset();
	model_free(model);
}
END_TEST

START_TEST(what_is_equal_is_not_touched)
{
	struct model *model = document_read(FULL, NULL);

	fake_reset();
	fake_apply(model, PORT, NULL);
	fake.calls = 0;
	ck_assert_uint_eq(fake_apply(model, PORT, model), 1);
	ck_assert_uint_eq(fake.calls, 0);
	fake_reset();
	model_free(model);
}
END_TEST

/* From `from` (NULL: nothing) to `to`, with each call failing in turn; then once more, as the engine does. */
static void fail_each(const char *from, const char *to)
{
	struct model *before = from != NULL ? document_read(from, NULL) : NULL;
	struct model *after = document_read(to, NULL);
	bool          failed = true;

	for (unsigned k = 1; failed; k++) {
		fake_reset();
		if (before != NULL)
			ck_assert_uint_gt(fake_apply(before, PORT, NULL), 0);
		fake.calls = 0;
		fake.fail_at = k;
		failed = fake_apply(after, PORT, before) == 0;
		ck_assert_msg(failed == (fake.calls >= k), "call %u", k);
		fake.fail_at = 0;
		ck_assert_msg(fake_apply(after, PORT, before) > 0, "after the failure of call %u", k);
		ck_assert_uint_lt(k, 100);
	}
	fake_reset();
	model_free(before);
	model_free(after);
}

START_TEST(any_failed_call_is_made_good_by_the_next_apply)
{
	fail_each(NULL, FULL);
	fail_each(FULL, OTHER);
	fail_each(OTHER, FULL);
	fail_each("{'51820':" NETWORK(PRIVATE_3, "") "}", FULL);
}
END_TEST

START_TEST(a_link_that_takes_its_time_is_waited_for)
{
	struct model *model = document_read(FULL, NULL);

	fake_reset();
	fake.waits = 3;
	ck_assert_uint_eq(fake_apply(model, PORT, NULL), 5);
	ck_assert(fake.state.up);
	fake_reset();
	model_free(model);
}
END_TEST

START_TEST(without_wireguard_nothing_is_made_and_the_reason_told)
{
	struct model       *model = document_read(FULL, NULL);
	struct apply_kernel kernel = fake_kernel_of();
	struct netns_host   host = { .reason = "no module, no TUN" };
	struct tenant       tenant;
	struct plan         plan;
	struct state        have = { .exists = false };
	struct tg_error     err;
	size_t              at = 0;

	fake_reset();
	tenant_init(&tenant, PORT);
	kernel.wireguard = NULL;
	ck_assert_int_eq(differ_plan(model, model_find(model, PORT), &have, NULL, &plan), 0);
	ck_assert_int_eq(apply_some(&kernel, &host, &tenant, &plan, &at, 0, &err), APPLY_FAILED);
	ck_assert_str_eq(err.text, "no WireGuard here: no module, no TUN");
	ck_assert_uint_eq(fake.calls, 0);
	plan_clear(&plan);
	model_free(model);
}
END_TEST

/* A document of 51820 with peers and ranges by chance: `pick` is the source. */
static struct model *random_model(unsigned *pick)
{
	static const char *const keys[] = { PUBLIC_2, PUBLIC_3,
		                            "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
		                            "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=" };
	char        text[4096];
	const char *between = "";
	size_t at = (size_t)snprintf(
	        text, sizeof text,
	        "{'51820':{'private_key':'%s','address':['10.%d.0.1/16'%s],'mtu':%d,'peers':{",
	        rand_r(pick) % 2 != 0 ? PRIVATE_1 : PRIVATE_2, rand_r(pick) % 2,
	        rand_r(pick) % 2 != 0 ? ",'fd00::1/64'" : ",'fd00::1/80'", 1400 + rand_r(pick) % 2);
	int         owner[24];

	for (size_t r = 0; r < 24; r++)
		owner[r] = rand_r(pick) % 5;
	for (int p = 0; p < 4; p++) {
		if (rand_r(pick) % 4 == 0 || (p == 0 && strstr(text, PRIVATE_2) != NULL))
			continue;
		at += (size_t)snprintf(text + at, sizeof text - at,
		                       "%s'%s':{'persistent_keepalive':%d,'allowed_ips':[", between, keys[p],
		                       rand_r(pick) % 2);
		between = "";
		for (int r = 0; r < 24; r++) {
			if (owner[r] != p)
				continue;
			at += (size_t)snprintf(text + at, sizeof text - at, "%s'10.0.%d.0/24'", between, r);
			between = ",";
		}
		at += (size_t)snprintf(text + at, sizeof text - at, "]}");
		between = ",";
	}
	snprintf(text + at, sizeof text - at, "}}}");
	return document_read(text, NULL);
}

/* What both documents have is to have a peer all the time. */
static void keep_common_ranges(const struct model *a, const struct model *b)
{
	fake.keep_count = 0;
	for (size_t i = 0; i < a->peers_count; i++) {
		for (uint32_t r = 0; r < a->peers[i].ranges_count; r++) {
			const struct tg_cidr *range = &a->cidrs[a->peers[i].ranges_first + r];
			bool                  both = false;

			for (size_t p = 0; p < b->peers_count; p++)
				for (uint32_t s = 0; s < b->peers[p].ranges_count; s++)
					both |= cidr_compare(&b->cidrs[b->peers[p].ranges_first + s],
					                     range) == 0;
			if (both)
				fake.keep[fake.keep_count++] = *range;
		}
	}
}

START_TEST(random_documents_one_after_the_other_are_obeyed)
{
	unsigned      pick = 20;
	struct model *before = random_model(&pick);

	fake_reset();
	ck_assert_uint_gt(fake_apply(before, PORT, NULL), 0);
	for (int i = 0; i < 1000; i++) {
		struct model *after = random_model(&pick);

		keep_common_ranges(before, after);
		ck_assert_msg(fake_apply(after, PORT, before) <= 2, "document %d", i);
		ck_assert_msg(fake.orphaned == 0, "document %d: a range had no peer for a moment", i);
		ck_assert_uint_eq(fake.state.peers_count, after->peers_count);
		model_free(before);
		before = after;
	}
	fake_reset();
	model_free(before);
}
END_TEST

void test_apply(TCase *tc)
{
	tcase_add_test(tc, an_empty_kernel_comes_up_in_one_round);
	tcase_add_test(tc, what_is_equal_is_not_touched);
	tcase_add_test(tc, any_failed_call_is_made_good_by_the_next_apply);
	tcase_add_test(tc, a_link_that_takes_its_time_is_waited_for);
	tcase_add_test(tc, without_wireguard_nothing_is_made_and_the_reason_told);
	tcase_add_test(tc, random_documents_one_after_the_other_are_obeyed);
}
