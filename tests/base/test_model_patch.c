#include "base/model_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "tests/support/document.h"
#include "tests/support/failing.h"
#include "tests/support/hashes.h"

void test_model_patch(TCase *tc);

#define ACTIVE                                                                                              \
	"{'1':" NETWORK(PRIVATE_1, ",'name':'one','mtu':1300,'peers':{'" PUBLIC_2                            \
	"':{'allowed_ips':['10.0.0.2'],'endpoint':'203.0.113.1:5','preshared_key':'" PRIVATE_3               \
	"'}},'proxy':{'https://a.example':['10.0.0.2:1'],'http://a.example':{'upstreams':['10.0.0.2:2'],"    \
	"'max_connections':7},'ssh://x':[1]}") ",'2':" NETWORK(PRIVATE_2, "") "}"

static enum model_result patch(const struct model *active, const char *text, struct model **to,
                               struct model_faults *faults)
{
	char             *json = document_text(text);
	enum model_result result = model_patch(active, json, strlen(json), to, faults, NULL);

	free(json);
	return result;
}

/* Fails unless the patched document is the same as `wanted`. */
static void gives(const char *text, const char *wanted)
{
	struct model_faults faults = { .count = 0 };
	struct model       *active = document_read(ACTIVE, NULL);
	struct model       *after = document_read(wanted, NULL);
	struct model       *to;
	struct model_diff   diff;
	enum model_result   result = patch(active, text, &to, &faults);

	ck_assert_msg(result == MODEL_OK, "%s: %s: %s", text, faults.list[0].path, faults.list[0].text);
	ck_assert_int_eq(model_diff(after, to, &diff), 0);
	ck_assert_msg(diff.equal, "%s: %s differs", text, diff.changes[0].path);
	model_diff_clear(&diff);
	model_free(active);
	model_free(after);
	model_free(to);
}

static void is_refused(const char *text, enum model_result wanted, const char *path, const char *fault)
{
	struct model_faults faults = { .count = 0 };
	struct model       *active = document_read(ACTIVE, NULL);
	struct model       *to;

	ck_assert_int_eq(patch(active, text, &to, &faults), wanted);
	ck_assert_ptr_null(to);
	ck_assert_str_eq(faults.list[0].path, path);
	ck_assert_str_eq(faults.list[0].text, fault);
	ck_assert_uint_eq(faults.total, 1);
	model_faults_clear(&faults);
	model_free(active);
}

/* ACTIVE's first network with these values. */
#define ONE(fields, peer, proxy)                                                                            \
	"{'1':" NETWORK(PRIVATE_1, fields ",'peers':{" peer "},'proxy':{" proxy "}") ",'2':"                 \
	NETWORK(PRIVATE_2, "") "}"
#define FIELDS ",'name':'one','mtu':1300"
#define KEYS   ",'endpoint':'203.0.113.1:5','preshared_key':'" PRIVATE_3 "'"
#define PEER   "'" PUBLIC_2 "':{'allowed_ips':['10.0.0.2']" KEYS "}"
#define HTTP   "'http://a.example':{'upstreams':['10.0.0.2:2'],'max_connections':7}"
#define HTTPS  "'https://a.example':['10.0.0.2:1']"
#define SSH    "'ssh://x':[1]"

START_TEST(an_empty_patch_changes_nothing)
{
	gives("{}", ACTIVE);
	gives("{'1':{'peers':{},'proxy':{}}}", ACTIVE);
	gives("{'3':null,'1':{'peers':{'" PUBLIC_3 "':null},'proxy':{'https://b.example':null}}}", ACTIVE);
}
END_TEST

START_TEST(fields_are_set_and_taken_back)
{
	gives("{'1':{'mtu':1400}}", ONE(",'name':'one','mtu':1400", PEER, HTTP "," HTTPS "," SSH));
	gives("{'1':{'mtu':null,'name':null}}", ONE("", PEER, HTTP "," HTTPS "," SSH));
	gives("{'1':{'peers':{'" PUBLIC_2 "':{'endpoint':null,'preshared_key':null}}}}",
	      ONE(FIELDS, "'" PUBLIC_2 "':{'allowed_ips':['10.0.0.2']}", HTTP "," HTTPS "," SSH));
	gives("{'1':{'peers':{'" PUBLIC_2 "':{'allowed_ips':['10.0.0.9','10.0.0.8']}}}}",
	      ONE(FIELDS, "'" PUBLIC_2 "':{'allowed_ips':['10.0.0.9','10.0.0.8']" KEYS "}", HTTP "," HTTPS
	          "," SSH));
}
END_TEST

START_TEST(null_removes_a_network_a_peer_and_a_host)
{
	gives("{'1':null}", "{'2':" NETWORK(PRIVATE_2, "") "}");
	gives("{'1':{'peers':{'" PUBLIC_2 "':null}}}", ONE(FIELDS, "", HTTP "," HTTPS "," SSH));
	gives("{'1':{'proxy':{'http://a.example':null,'ssh://x':null}}}", ONE(FIELDS, PEER, HTTPS));
	gives("{'1':{'peers':null,'proxy':null}}", ONE(FIELDS, "", ""));
}
END_TEST

START_TEST(what_is_new_is_added)
{
	gives("{'1':{'peers':{'" PUBLIC_3 "':{'allowed_ips':[],'endpoint':null}},"
	      "'proxy':{'https://b':['10.0.0.2:3']}}}",
	      ONE(FIELDS, PEER ",'" PUBLIC_3 "':{'allowed_ips':[]}", HTTP "," HTTPS "," SSH
	          ",'https://b':['10.0.0.2:3']"));
	gives("{'1':null,'3':" NETWORK(PRIVATE_3, ",'mtu':null") "}",
	      "{'2':" NETWORK(PRIVATE_2, "") ",'3':" NETWORK(PRIVATE_3, "") "}");
}
END_TEST

START_TEST(keys_are_normalised_before_merging)
{
	gives("{'1':{'proxy':{'HTTP://A.Example:80/':null}}}", ONE(FIELDS, PEER, HTTPS "," SSH));
	gives("{'1':{'proxy':{'https://A.example.:443/':['10.0.0.2:9']}}}",
	      ONE(FIELDS, PEER, HTTP "," SSH ",'https://a.example':['10.0.0.2:9']"));
	is_refused("{'1':{'proxy':{'https://a.example':null,'https://A.example':['10.0.0.2:9']}}}",
	           MODEL_INVALID,
	           "/1/proxy/https:~1~1a.example", "stands twice");
}
END_TEST

START_TEST(an_array_replaces_the_upstreams_alone)
{
	gives("{'1':{'proxy':{'http://a.example':['10.0.0.3:3']}}}",
	      ONE(FIELDS, PEER, HTTPS "," SSH ",'http://a.example':{'upstreams':['10.0.0.3:3'],"
	          "'max_connections':7}"));
	gives("{'1':{'proxy':{'https://a.example':{'proxy_protocol':'v2'}}}}",
	      ONE(FIELDS, PEER, HTTP "," SSH ",'https://a.example':{'upstreams':['10.0.0.2:1'],"
	          "'proxy_protocol':'v2'}"));
	gives("{'1':{'proxy':{'http://a.example':{'max_connections':null}}}}",
	      ONE(FIELDS, PEER, HTTPS "," SSH ",'http://a.example':['10.0.0.2:2']"));
	/* What is kept for others is an array as any. */
	gives("{'1':{'proxy':{'ssh://x':[2]}}}", ONE(FIELDS, PEER, HTTP "," HTTPS ",'ssh://x':[2]"));
}
END_TEST

START_TEST(the_outcome_obeys_all_rules)
{
	is_refused("[]", MODEL_INVALID, "", "must be an object");
	is_refused("null", MODEL_INVALID, "", "must be an object");
	is_refused("{", MODEL_NOT_JSON, "", "line 1, column 2: a string is missing");
	is_refused("{'1':{'mtu':1300,'mtu':1400}}", MODEL_INVALID, "/1/mtu", "stands twice");
	is_refused("{'1':{'mtu':0}}", MODEL_INVALID, "/1/mtu", "must be from 576 to 65535");
	is_refused("{'1':{'private_key':null}}", MODEL_INVALID, "/1/private_key", "is required");
	is_refused("{'1':{'x':1}}", MODEL_INVALID, "/1/x", "unknown key");
	is_refused("{'1':[]}", MODEL_INVALID, "/1", "must be an object");
	is_refused("{'1':{'proxy':[]}}", MODEL_INVALID, "/1/proxy", "must be an object");
	is_refused("{'1':{'proxy':{'https://a/b':['10.0.0.2:1']}}}", MODEL_INVALID, "/1/proxy/https:~1~1a~1b",
	           "must have no path");
	is_refused("{'1':{'proxy':{'https://b':[]}}}", MODEL_INVALID, "/1/proxy/https:~1~1b/upstreams",
	           "must be an array of one upstream or more");
	is_refused("{'2':{'proxy':{'https://a.example':['10.0.0.2:1']}}}", MODEL_INVALID,
	           "/2/proxy/https:~1~1a.example", "belongs to network 1 too");
	is_refused("{'2':{'private_key':'" PRIVATE_1 "'}}", MODEL_INVALID, "/2/private_key",
	           "is the private key of another network too");
}
END_TEST

START_TEST(a_patch_is_not_larger_than_a_document)
{
	struct model_faults faults = { .count = 0 };
	struct model       *active = document_read(ACTIVE, NULL);
	struct model       *to;
	size_t              bytes = (size_t)MODEL_BYTES_MOST + 1;
	char               *text = malloc(bytes);

	memset(text, ' ', bytes);
	ck_assert_int_eq(model_patch(active, text, bytes, &to, &faults, NULL), MODEL_TOO_LARGE);
	ck_assert_str_eq(faults.list[0].text, "is larger than 64 MiB");
	model_faults_clear(&faults);
	model_free(active);
	free(text);
}
END_TEST

START_TEST(patching_without_memory_says_so)
{
	struct model *active = document_read(ACTIVE, NULL);
	char         *text = document_text("{'3':" NETWORK(PRIVATE_3, "") ",'1':{'mtu':null,'proxy':"
	                                   "{'HTTP://A.example':['10.0.0.2:9'],"
	                                   "'https://b':{'upstreams':['10.0.0.2:1']},"
	                                   "'https://a.example':null}}}");
	bool          failed = true;

	/* What is remembered would look like a leak. */
	model_public_keys_keep(0);
	for (size_t good = 0; failed; good++) {
		struct model_faults faults = { .count = 0 };
		struct model       *to;
		enum model_result   result;

		failing_begin(good);
		result = model_patch(active, text, strlen(text), &to, &faults, NULL);
		model_free(to);
		model_faults_clear(&faults);
		ck_assert_uint_eq(failing_held(), 0);
		failed = failing_end();
		ck_assert_int_eq(result, failed ? MODEL_NO_MEMORY : MODEL_OK);
		ck_assert_uint_lt(good, 2000);
	}
	free(text);
	model_free(active);
}
END_TEST

#define TAKEN_OUT "ssh://1"
#define ALIKE	  "ssh://2"

/* Where all hashes are alike, members are told apart by their names alone: that of one which the patch took
 * out is not read any more. */
START_TEST(a_name_that_was_taken_out_is_not_compared_with)
{
	struct model_faults faults = { .count = 0 };
	struct model       *active = document_read(ONE("", "", "'" TAKEN_OUT "':[1]"), NULL);
	struct model       *wanted = document_read(ONE("", "", "'" ALIKE "':[2]"), NULL);
	struct model       *to;
	struct model_diff   diff;

	hashes_alike(true);
	ck_assert_int_eq(MODEL_OK, patch(active, "{'1':{'proxy':{'" TAKEN_OUT "':null,'" ALIKE "':[2]}}}",
	                                 &to, &faults));
	hashes_alike(false);
	ck_assert_int_eq(model_diff(wanted, to, &diff), 0);
	ck_assert(diff.equal);
	model_diff_clear(&diff);
	model_faults_clear(&faults);
	model_free(active);
	model_free(wanted);
	model_free(to);
}
END_TEST

#define MANY 100

/* Three looks for names that stand twice (in the patch, in both as they are normalised) take two hashes of
 * each; what is more is the merging's. */
START_TEST(names_chosen_to_meet_in_one_bucket_are_merged_without_a_crowd)
{
	struct model_faults faults = { .count = 0 };
	struct model       *active, *to;
	char                members[MANY * 24] = "";
	char                text[sizeof members + 512];
	unsigned            last = 0;
	size_t              crowd;

	for (size_t i = 0, len = 0; i < MANY; i++) {
		char name[20];

		hashes_name(name, sizeof name, "ssh://", &last);
		len += (size_t)snprintf(members + len, sizeof members - len, "%s'%s':[1]",
		                        i > 0 ? "," : "", name);
	}
	snprintf(text, sizeof text, "{'1':" NETWORK(PRIVATE_1, ",'proxy':{%s}") "}", members);
	active = document_read(text, NULL);
	snprintf(text, sizeof text, "{'1':{'proxy':{%s}}}", members);
	hashes_begin();
	ck_assert_int_eq(MODEL_OK, patch(active, text, &to, &faults));
	ck_assert_uint_ge(hashes_end(&crowd), 7 * MANY);
	ck_assert_uint_lt(crowd, MANY);
	model_faults_clear(&faults);
	model_free(active);
	model_free(to);
}
END_TEST

void test_model_patch(TCase *tc)
{
	tcase_add_test(tc, a_name_that_was_taken_out_is_not_compared_with);
	tcase_add_test(tc, names_chosen_to_meet_in_one_bucket_are_merged_without_a_crowd);
	tcase_add_test(tc, an_empty_patch_changes_nothing);
	tcase_add_test(tc, fields_are_set_and_taken_back);
	tcase_add_test(tc, null_removes_a_network_a_peer_and_a_host);
	tcase_add_test(tc, what_is_new_is_added);
	tcase_add_test(tc, keys_are_normalised_before_merging);
	tcase_add_test(tc, an_array_replaces_the_upstreams_alone);
	tcase_add_test(tc, the_outcome_obeys_all_rules);
	tcase_add_test(tc, a_patch_is_not_larger_than_a_document);
	tcase_add_test(tc, patching_without_memory_says_so);
}
