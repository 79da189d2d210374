#include "base/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "tests/support/document.h"
#include "tests/support/failing.h"

void test_model_diff(TCase *tc);

#define PEER(more) DOCUMENT(",'peers':{'" PUBLIC_2 "':{" more "}}")
#define PEER_PATH "/51820/peers/GGoxoXXQ3P5IXpb33~1uSwdl8Zqx2WoU8I0M9WogY1Hw="
#define HOST(value) DOCUMENT(",'proxy':{'http://a':" value "}")

static struct model_diff diff_of(const char *before, const char *after)
{
	struct model     *a = before != NULL ? document_read(before, NULL) : NULL;
	struct model     *b = document_read(after, NULL);
	struct model_diff diff;

	ck_assert_int_eq(model_diff(a, b, &diff), 0);
	model_free(a);
	model_free(b);
	return diff;
}

/* Fails unless there is just this one change, inside of network 51820. */
static void changes(const char *before, const char *after, enum model_op op, const char *path)
{
	struct model_diff diff = diff_of(before, after);

	ck_assert_msg(diff.changes_count == 1, "%s: %zu changes", path, diff.changes_count);
	ck_assert_int_eq(diff.changes[0].op, op);
	ck_assert_str_eq(diff.changes[0].path, path);
	ck_assert(!diff.equal);
	ck_assert_uint_eq(diff.added_count + diff.removed_count + diff.unchanged_count, 0);
	ck_assert_uint_eq(diff.changed_count, 1);
	ck_assert_uint_eq(diff.changed[0], 51820);
	model_diff_clear(&diff);
}

START_TEST(equal_documents_differ_in_nothing)
{
	struct model_diff diff = diff_of(PEER("'allowed_ips':['10.0.0.2','10.0.0.3']"),
	                                 PEER("'allowed_ips':['10.0.0.3/32','10.0.0.2/32'],'endpoint':null"));

	ck_assert(diff.equal);
	ck_assert_uint_eq(diff.changes_count, 0);
	ck_assert_uint_eq(diff.unchanged_count, 1);
	model_diff_clear(&diff);
	diff = diff_of(NULL, "{}");
	ck_assert(diff.equal);
	model_diff_clear(&diff);
}
END_TEST

START_TEST(networks_come_and_go_whole)
{
	struct model_diff diff = diff_of("{'1':" NETWORK(PRIVATE_1, ",'peers':{'" PUBLIC_2
	                                                 "':{'allowed_ips':[]}}")
	                                 ",'3':" NETWORK(PRIVATE_3, "") "}",
	                                 "{'2':" NETWORK(PRIVATE_2, ",'peers':{'" PUBLIC_1
	                                                 "':{'allowed_ips':[]},'"
	                                 PUBLIC_3 "':{'allowed_ips':[]}},'proxy':{'https://a':['10.0.0.2:1'],"
	                                 "'http://a':['10.0.0.2:1'],'ssh://a':1}")
	                                 ",'3':" NETWORK(PRIVATE_3, "") "}");

	ck_assert_uint_eq(diff.changes_count, 2);
	ck_assert_str_eq(diff.changes[0].path, "/1");
	ck_assert_int_eq(diff.changes[0].op, MODEL_REMOVE);
	ck_assert_str_eq(diff.changes[1].path, "/2");
	ck_assert_int_eq(diff.changes[1].op, MODEL_ADD);
	ck_assert_uint_eq(diff.added_count, 1);
	ck_assert_uint_eq(diff.added[0], 2);
	ck_assert_uint_eq(diff.removed_count, 1);
	ck_assert_uint_eq(diff.removed[0], 1);
	ck_assert_uint_eq(diff.changed_count, 0);
	ck_assert_uint_eq(diff.unchanged_count, 1);
	ck_assert_uint_eq(diff.peers.added, 2);
	ck_assert_uint_eq(diff.peers.removed, 1);
	ck_assert_uint_eq(diff.hosts.added, 3);
	ck_assert_uint_eq(diff.hosts.changed + diff.hosts.removed + diff.peers.changed, 0);
	model_diff_clear(&diff);
}
END_TEST

START_TEST(each_field_of_a_network_is_named)
{
	changes(DOCUMENT(""), DOCUMENT(",'name':'a'"), MODEL_ADD, "/51820/name");
	changes(DOCUMENT(",'name':'a'"), DOCUMENT(",'name':'b'"), MODEL_CHANGE, "/51820/name");
	changes(DOCUMENT(",'name':'a'"), DOCUMENT(""), MODEL_REMOVE, "/51820/name");
	changes(DOCUMENT(""), DOCUMENT(",'mtu':1300"), MODEL_CHANGE, "/51820/mtu");
	changes(DOCUMENT(""), "{'51820':" NETWORK(PRIVATE_2, "") "}", MODEL_CHANGE, "/51820/private_key");
	changes(DOCUMENT(""), "{'51820':{'private_key':'" PRIVATE_1 "','address':['10.0.0.1/17']}}",
	        MODEL_CHANGE,
	        "/51820/address");
	changes(DOCUMENT(""), "{'51820':{'private_key':'" PRIVATE_1 "','address':['10.0.0.1/16',"
	        "'fd00::1/64']}}",
	        MODEL_CHANGE, "/51820/address");
}
END_TEST

START_TEST(each_field_of_a_peer_is_named)
{
	changes(DOCUMENT(""), PEER("'allowed_ips':[]"), MODEL_ADD, PEER_PATH);
	changes(PEER("'allowed_ips':[]"), DOCUMENT(""), MODEL_REMOVE, PEER_PATH);
	changes(PEER("'allowed_ips':[]"), PEER("'allowed_ips':['10.0.0.2']"), MODEL_CHANGE,
	        PEER_PATH "/allowed_ips");
	changes(PEER("'allowed_ips':['10.0.0.3']"), PEER("'allowed_ips':['10.0.0.2']"), MODEL_CHANGE,
	        PEER_PATH "/allowed_ips");
	changes(PEER("'allowed_ips':[]"), PEER("'allowed_ips':[],'endpoint':'203.0.113.1:1'"), MODEL_CHANGE,
	        PEER_PATH "/endpoint");
	changes(PEER("'allowed_ips':[]"), PEER("'allowed_ips':[],'persistent_keepalive':0"), MODEL_CHANGE,
	        PEER_PATH "/persistent_keepalive");
	changes(PEER("'allowed_ips':[]"), PEER("'allowed_ips':[],'preshared_key':'" PRIVATE_3 "'"),
	        MODEL_CHANGE,
	        PEER_PATH "/preshared_key");
}
END_TEST

START_TEST(a_host_is_named_for_whatever_changes_in_it)
{
	static const char up[] = HOST("['10.0.0.2:1']");

	changes(DOCUMENT(""), up, MODEL_ADD, "/51820/proxy/http:~1~1a");
	changes(up, DOCUMENT(""), MODEL_REMOVE, "/51820/proxy/http:~1~1a");
	changes(up, HOST("['10.0.0.2:2']"), MODEL_CHANGE, "/51820/proxy/http:~1~1a");
	changes(up, HOST("['10.0.0.2:1','10.0.0.2:1']"), MODEL_CHANGE, "/51820/proxy/http:~1~1a");
	changes(up, HOST("{'upstreams':['10.0.0.2:1'],'max_connections':5}"), MODEL_CHANGE,
	        "/51820/proxy/http:~1~1a");
	changes(up, HOST("{'upstreams':['10.0.0.2:1'],'proxy_protocol':'v1'}"), MODEL_CHANGE,
	        "/51820/proxy/http:~1~1a");
	changes(up, HOST("{'upstreams':['10.0.0.2:1'],'redirect_to_https':true}"), MODEL_CHANGE,
	        "/51820/proxy/http:~1~1a");
	changes(up, HOST("{'upstreams':['10.0.0.2:1'],'host_header':'b'}"), MODEL_CHANGE,
	        "/51820/proxy/http:~1~1a");
	changes(DOCUMENT(",'proxy':{'ssh://a/b':1}"), DOCUMENT(",'proxy':{'ssh://a/b':2}"), MODEL_CHANGE,
	        "/51820/proxy/ssh:~1~1a~1b");
}
END_TEST

START_TEST(schemes_of_one_name_are_told_apart)
{
	struct model_diff diff = diff_of(DOCUMENT(",'proxy':{'http://a':['10.0.0.2:1'],"
	                                          "'https://b':['10.0.0.2:1']}"),
	                                 DOCUMENT(",'proxy':{'https://a':['10.0.0.2:1'],"
	                                          "'https://b':['10.0.0.2:2']}"));

	ck_assert_uint_eq(diff.changes_count, 3);
	ck_assert_str_eq(diff.changes[0].path, "/51820/proxy/http:~1~1a");
	ck_assert_int_eq(diff.changes[0].op, MODEL_REMOVE);
	ck_assert_str_eq(diff.changes[1].path, "/51820/proxy/https:~1~1a");
	ck_assert_int_eq(diff.changes[1].op, MODEL_ADD);
	ck_assert_str_eq(diff.changes[2].path, "/51820/proxy/https:~1~1b");
	ck_assert_uint_eq(diff.hosts.added, 1);
	ck_assert_uint_eq(diff.hosts.removed, 1);
	ck_assert_uint_eq(diff.hosts.changed, 1);
	model_diff_clear(&diff);
}
END_TEST

START_TEST(peers_are_counted_in_changed_networks)
{
	struct model_diff diff = diff_of(PEER("'allowed_ips':[]"),
	                                 DOCUMENT(",'peers':{'" PUBLIC_2 "':{'allowed_ips':['10.0.0.2'],"
	                                 "'persistent_keepalive':1},'" PUBLIC_3 "':{'allowed_ips':[]}}"));

	ck_assert_uint_eq(diff.peers.added, 1);
	ck_assert_uint_eq(diff.peers.changed, 1);
	ck_assert_uint_eq(diff.peers.removed, 0);
	ck_assert_uint_eq(diff.changes_count, 3);
	model_diff_clear(&diff);
}
END_TEST

START_TEST(the_first_thousand_changes_are_kept)
{
	char             *text = malloc(1200 * 128);
	size_t            at;
	struct model     *before = document_read(DOCUMENT(""), NULL);
	struct model     *after;
	struct model_diff diff;

	at = (size_t)sprintf(text, "{'51820':{'private_key':'" PRIVATE_1
	                     "','address':['10.0.0.1/16'],'proxy':{");
	for (int i = 0; i < 1001; i++)
		at += (size_t)sprintf(text + at, "%s'http://h%04d':['10.0.0.2:1']", i > 0 ? "," : "", i);
	sprintf(text + at, "}}}");
	after = document_read(text, NULL);
	ck_assert_int_eq(model_diff(before, after, &diff), 0);
	ck_assert_uint_eq(diff.changes_count, MODEL_CHANGES_MOST);
	ck_assert_uint_eq(diff.hosts.added, 1001);
	ck_assert_str_eq(diff.changes[999].path, "/51820/proxy/http:~1~1h0999");
	model_diff_clear(&diff);
	model_free(before);
	model_free(after);
	free(text);
}
END_TEST

START_TEST(comparing_without_memory_says_so)
{
	struct model *after = document_read("{'1':" NETWORK(PRIVATE_1, "") ",'2':" NETWORK(PRIVATE_2, "") "}",
	                                    NULL);
	bool          failed = true;

	for (size_t good = 0; failed; good++) {
		struct model_diff diff;
		int               result;

		failing_begin(good);
		result = model_diff(NULL, after, &diff);
		model_diff_clear(&diff);
		ck_assert_uint_eq(failing_held(), 0);
		failed = failing_end();
		ck_assert_int_eq(result, failed ? -1 : 0);
	}
	model_free(after);
}
END_TEST

void test_model_diff(TCase *tc)
{
	tcase_add_test(tc, equal_documents_differ_in_nothing);
	tcase_add_test(tc, networks_come_and_go_whole);
	tcase_add_test(tc, each_field_of_a_network_is_named);
	tcase_add_test(tc, each_field_of_a_peer_is_named);
	tcase_add_test(tc, a_host_is_named_for_whatever_changes_in_it);
	tcase_add_test(tc, schemes_of_one_name_are_told_apart);
	tcase_add_test(tc, peers_are_counted_in_changed_networks);
	tcase_add_test(tc, the_first_thousand_changes_are_kept);
	tcase_add_test(tc, comparing_without_memory_says_so);
}
