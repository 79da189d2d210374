/* However a document is read, as one tree, member by member, or with what did not change copied from the
 * document before: what comes of it is the same. */
#include "base/model_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <check.h>

#include "base/error.h"
#include "tests/support/document.h"
#include "tests/support/failing.h"
#include "tests/support/random_document.h"

void test_model_members(TCase *tc);

/* What reading gave. */
struct reading {
	enum model_result   result;
	struct model       *model;
	struct model_faults faults, warnings;
};

static void reading_clear(struct reading *r)
{
	model_free(r->model);
	model_faults_clear(&r->faults);
	model_faults_clear(&r->warnings);
}

static void read_whole(const char *text, struct reading *r)
{
	struct model_build b = { .faults = &r->faults, .warnings = &r->warnings };
	struct cJSON      *tree = NULL;

	memset(r, 0, sizeof *r);
	r->result = model_parse_tree(&b, text, strlen(text), &tree);
	if (r->result == MODEL_OK)
		r->result = model_read_tree(&b, tree, strlen(text), &r->model);
	model_build_clear(&b);
	cJSON_Delete(tree);
}

static void read_next(const struct model *before, const char *text, struct reading *r)
{
	memset(r, 0, sizeof *r);
	r->result = model_parse_next(before, text, strlen(text), &r->model, &r->faults, &r->warnings);
}

static void check_faults(const struct model_faults *a, const struct model_faults *b, const char *text)
{
	ck_assert_msg(a->total == b->total, "%zu, %zu: %s", a->total, b->total, text);
	ck_assert_uint_eq(a->count, b->count);
	for (size_t i = 0; i < a->count; i++) {
		ck_assert_str_eq(a->list[i].path, b->list[i].path);
		ck_assert_str_eq(a->list[i].text, b->list[i].text);
	}
}

#define CHECK_ARRAY(a, b, array, count) do {						\
		ck_assert_uint_eq((a)->count, (b)->count);				\
		ck_assert_mem_eq((a)->array, (b)->array, (a)->count * sizeof *(a)->array);	\
	} while (0)

static void check_models(const struct model *a, const struct model *b)
{
	CHECK_ARRAY(a, b, networks, networks_count);
	CHECK_ARRAY(a, b, cidrs, cidrs_count);
	CHECK_ARRAY(a, b, peers, peers_count);
	CHECK_ARRAY(a, b, hosts, hosts_count);
	CHECK_ARRAY(a, b, upstreams, upstreams_count);
	CHECK_ARRAY(a, b, texts, texts_bytes);
}

static void check_printed(const struct model *model, const struct model *before)
{
	size_t               bytes;
	char                *text = model_print(model, true, &bytes);
	struct model_printed printed, next;

	ck_assert_int_eq(model_print_next(before, NULL, NULL, &printed), 0);
	ck_assert_int_eq(model_print_next(model, before, &printed, &next), 0);
	ck_assert_uint_eq(bytes, next.bytes);
	ck_assert_str_eq(text, next.text);
	free(text);
	model_printed_clear(&printed);
	model_printed_clear(&next);
}

/* Reads `text` in each way.  Returns the model, the caller's, or NULL when it is refused in each. */
static struct model *read_each(const struct model *before, const char *text)
{
	struct reading whole, first, next;

	read_whole(text, &whole);
	read_next(NULL, text, &first);
	read_next(before, text, &next);
	ck_assert_msg(first.result == whole.result && next.result == whole.result, "%d %d %d: %s",
	              whole.result, first.result, next.result, text);
	check_faults(&whole.faults, &first.faults, text);
	check_faults(&whole.faults, &next.faults, text);
	check_faults(&whole.warnings, &first.warnings, text);
	check_faults(&whole.warnings, &next.warnings, text);
	if (whole.model != NULL) {
		check_models(whole.model, first.model);
		check_models(whole.model, next.model);
		check_printed(next.model, before);
	}

	struct model *model = next.model;

	next.model = NULL;
	reading_clear(&whole);
	reading_clear(&first);
	reading_clear(&next);
	return model;
}

START_TEST(however_it_is_read_a_document_is_the_same)
{
	struct random_entry   entries[RANDOM_DOCUMENT_NETWORKS];
	struct random_entry   good[RANDOM_DOCUMENT_NETWORKS];
	size_t                count = 0, good_count = 0, taken = 0, refused = 0;
	struct random_writer *w = malloc(sizeof *w);
	struct model         *before = document_read("{}", NULL);
	uint32_t              seed = 20240607;

	ck_assert_ptr_nonnull(w);
	for (int round = 0; round < 6000; round++) {
		count = random_document_edit(entries, count, &seed);
		random_document_put(w, entries, count, &seed);

		struct model *next = read_each(before, w->text);

		if (next == NULL) {
			memcpy(entries, good, sizeof good);
			count = good_count;
			refused++;
			continue;
		}
		memcpy(good, entries, sizeof good);
		good_count = count;
		taken++;
		model_free(before);
		before = next;
	}
	ck_assert_msg(taken > 1000 && refused > 500, "%zu taken, %zu refused", taken, refused);
	model_free(before);
	free(w);
}
END_TEST

#define TWO(first, second) "{'1':" NETWORK(PRIVATE_1, first) ",'2':" NETWORK(PRIVATE_2, second) "}"
#define FORGED_MTU 1333

/* The MTUs that `after` gives to both networks when the document before is `before`, but has FORGED_MTU in
 * both: who is copied shows it. */
static void check_copied(const char *before, const char *after, uint32_t one, uint32_t other)
{
	struct model  *model = document_read(before, NULL);
	char          *text = document_text(after);
	struct reading next;

	model->networks[0].mtu = FORGED_MTU;
	model->networks[1].mtu = FORGED_MTU;
	read_next(model, text, &next);
	ck_assert_int_eq(next.result, MODEL_OK);
	ck_assert_uint_eq(next.model->networks[0].mtu, one);
	ck_assert_uint_eq(next.model->networks[1].mtu, other);
	reading_clear(&next);
	model_free(model);
	free(text);
}

START_TEST(only_a_network_whose_text_changed_is_read)
{
	check_copied(TWO("", ""), TWO("", ""), FORGED_MTU, FORGED_MTU);
	check_copied(TWO("", ""), TWO("", ",'mtu':1400"), FORGED_MTU, 1400);
	check_copied(TWO("", ""), TWO(" ", ""), 1420, FORGED_MTU);
	/* Neither its place nor what stands around it is part of it. */
	check_copied(TWO("", ""),
	             " {\n'2' :\t" NETWORK(PRIVATE_2, "") " ,\n '1': " NETWORK(PRIVATE_1, "") "\n}\n",
	             FORGED_MTU, FORGED_MTU);
	/* The text of another network is another text. */
	check_copied(TWO("", ""), "{'1':" NETWORK(PRIVATE_2, "") ",'2':" NETWORK(PRIVATE_1, "") "}", 1420,
	             1420);
}
END_TEST

START_TEST(a_network_that_is_warned_of_is_read_each_time)
{
	check_copied(TWO("", ",'proxy':{'https://a':['10.9.9.9:1']}"),
	             TWO("", ",'proxy':{'https://a':['10.9.9.9:1']}"), FORGED_MTU, 1420);
}
END_TEST

START_TEST(a_key_that_is_not_written_plainly_has_all_of_it_read)
{
	check_copied(TWO("", ""), "{'\\u0031':" NETWORK(PRIVATE_1, "") ",'2':" NETWORK(PRIVATE_2, "") "}",
	             1420, 1420);
}
END_TEST

START_TEST(what_was_not_read_from_a_text_is_not_copied)
{
	struct model  *model = document_read(TWO("", ""), NULL);
	char          *text = document_text(TWO("", ""));
	struct model  *patched;
	struct reading next;

	ck_assert_int_eq(model_patch(model, "{}", 2, &patched, NULL, NULL), MODEL_OK);
	read_next(patched, text, &next);
	ck_assert_int_eq(next.result, MODEL_OK);
	check_models(next.model, model);
	reading_clear(&next);
	model_free(patched);
	model_free(model);
	free(text);
}
END_TEST

/* What it says may be right there and wrong here. */
START_TEST(a_network_that_comes_under_another_port_is_read)
{
	static const char *const more[] = { "", ",'listen_port':2" };

	for (size_t i = 0; i < 2; i++) {
		char          text[256];
		struct model *before, *after;
		char         *json;

		snprintf(text, sizeof text, "{'2':" NETWORK(PRIVATE_2, "%s") "}", more[i]);
		before = document_read(text, NULL);
		snprintf(text, sizeof text, "{'1':" NETWORK(PRIVATE_2, "%s") "}", more[i]);
		json = document_text(text);
		after = read_each(before, json);
		ck_assert((after != NULL) == (i == 0));
		model_free(after);
		model_free(before);
		free(json);
	}
}
END_TEST

/* Rules between networks hold also where none of them is read. */
START_TEST(a_copied_network_obeys_the_rules_between_networks)
{
	struct model *before = document_read(TWO(",'proxy':{'https://*.a':['10.0.0.1:1']}", ""), NULL);
	static const char *const bad[] = {
		TWO(",'proxy':{'https://*.a':['10.0.0.1:1']}", ",'proxy':{'https://b.a':['10.0.0.1:1']}"),
		TWO(",'proxy':{'https://*.a':['10.0.0.1:1']}", ",'proxy':{'https://*.a':['10.0.0.1:1']}"),
		"{'1':" NETWORK(PRIVATE_1, ",'proxy':{'https://*.a':['10.0.0.1:1']}") ",'3':"
			NETWORK(PRIVATE_1, "") "}",
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char *text = document_text(bad[i]);

		ck_assert_ptr_null(read_each(before, text));
		free(text);
	}
	model_free(before);
}
END_TEST

/* A key that comes back a hundred thousand times, and each time what follows is as long as what it held. */
START_TEST(keys_that_stand_twice_do_not_make_it_long)
{
	size_t         name = 1U << 20, doubles = 100000;
	char          *text = malloc(8 * doubles + 2 * name);
	char          *at = text;
	struct reading first, next;

	ck_assert_ptr_nonnull(text);
	at += sprintf(at, "{\"1\":{\"private_key\":\"" PRIVATE_1 "\",\"address\":[\"10.0.0.1/8\"]");
	memset(at, ' ', name);
	strcpy(at + name, "}}");
	read_next(NULL, text, &first);
	ck_assert_int_eq(first.result, MODEL_OK);

	at = text;
	*at++ = '{';
	for (size_t i = 0; i < doubles; i++)
		at += sprintf(at, "\"1\":{},");
	at += sprintf(at, "\"1\":{");
	memset(at, ' ', name);
	strcpy(at + name, "}}");
	read_next(first.model, text, &next);
	ck_assert_int_eq(next.result, MODEL_INVALID);
	reading_clear(&first);
	reading_clear(&next);
	free(text);
}
END_TEST

START_TEST(copying_without_memory_says_so)
{
	static const char proxy[] = ",'name':'n','peers':{'" PUBLIC_3 "':{'allowed_ips':['10.0.0.2']}},"
	                            "'proxy':{'https://a':['10.0.0.2:1'],'ssh://x':{}}";
	char          old_text[1024];
	char          new_text[1024];
	struct model *before;
	char         *json;
	bool          failed = true;

	snprintf(old_text, sizeof old_text, "{'1':" NETWORK(PRIVATE_1, ",'proxy':{'http://b':['10.0.0.1:1']}")
	         ",'2':" NETWORK(PRIVATE_2, "%s") "}", proxy);
	snprintf(new_text, sizeof new_text, "{'1':" NETWORK(PRIVATE_1, ",'proxy':{'http://b':['10.0.0.1:1']}")
	         ",'2':" NETWORK(PRIVATE_2, "%s,'mtu':1400") "}", proxy);
	before = document_read(old_text, NULL);
	json = document_text(new_text);
	for (size_t good = 0; failed; good++) {
		struct reading next;

		failing_begin(good);
		read_next(before, json, &next);
		ck_assert((next.result == MODEL_OK) == (next.model != NULL));
		ck_assert(next.result == MODEL_OK || next.result == MODEL_NO_MEMORY);
		ck_assert_uint_eq(next.faults.total, 0);

		enum model_result result = next.result;

		reading_clear(&next);
		ck_assert_uint_eq(failing_held(), 0);
		failed = failing_end();
		ck_assert_int_eq(result, failed ? MODEL_NO_MEMORY : MODEL_OK);
		ck_assert_uint_lt(good, 1000);
	}
	model_free(before);
	free(json);
}
END_TEST

void test_model_members(TCase *tc)
{
	tcase_add_test(tc, however_it_is_read_a_document_is_the_same);
	tcase_add_test(tc, only_a_network_whose_text_changed_is_read);
	tcase_add_test(tc, a_network_that_is_warned_of_is_read_each_time);
	tcase_add_test(tc, a_key_that_is_not_written_plainly_has_all_of_it_read);
	tcase_add_test(tc, what_was_not_read_from_a_text_is_not_copied);
	tcase_add_test(tc, a_network_that_comes_under_another_port_is_read);
	tcase_add_test(tc, keys_that_stand_twice_do_not_make_it_long);
	tcase_add_test(tc, a_copied_network_obeys_the_rules_between_networks);
	tcase_add_test(tc, copying_without_memory_says_so);
}
