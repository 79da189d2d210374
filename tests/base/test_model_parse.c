/* Rules of networks, and of a document as a whole. */
#include "base/model_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "tests/support/document.h"
#include "tests/support/failing.h"

void test_model_parse(TCase *tc);

#define ZEROS "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define SIXTY "012345678901234567890123456789012345678901234567890123456789"
#define PEER(key, more) "'" key "':{" more "}"
#define PEERS(more) DOCUMENT(",'peers':{" more "}")

static enum model_result parse(const char *text, struct model **model, struct model_faults *faults)
{
	char             *json = document_text(text);
	enum model_result result = model_parse(json, strlen(json), model, faults, NULL);

	free(json);
	return result;
}

START_TEST(a_document_without_networks_is_taken)
{
	document_taken("{}", "{}\n");
}
END_TEST

START_TEST(a_document_is_an_object)
{
	document_refused("[]", "", "must be an object");
	document_refused("null", "", "must be an object");
	document_refused("{'51820':[]}", "/51820", "must be an object");
}
END_TEST

START_TEST(what_is_no_json_is_told_from_what_breaks_a_rule)
{
	struct model_faults faults = { .count = 0 };
	struct model       *model;

	ck_assert_int_eq(parse("{'51820':", &model, &faults), MODEL_NOT_JSON);
	ck_assert_str_eq(faults.list[0].path, "");
	ck_assert_str_eq(faults.list[0].text, "line 1, column 10: the text ends too early");
	model_faults_clear(&faults);
	ck_assert_int_eq(parse("", &model, &faults), MODEL_NOT_JSON);
	model_faults_clear(&faults);
	document_refused("[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", "",
	                 "line 1, column 17: nested deeper than 16");
	document_refused("{'\\u0000':1}", "", "line 1, column 9: \\u0000 is not allowed");
}
END_TEST

START_TEST(a_networks_key_is_a_port)
{
	static const char *const bad[] = { "", "0", "01", "65536", "99999", "100000", "+1", "-1", " 1", "1 ",
		                           "1.0", "wg0", "0x10" };

	document_taken("{'1':" NETWORK(PRIVATE_1, "") "}", "'1': {");
	document_taken("{'65535':" NETWORK(PRIVATE_1, "") "}", "'65535': {");
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char text[256];
		char path[32];

		snprintf(text, sizeof text, "{'%s':" NETWORK(PRIVATE_1, "") "}", bad[i]);
		snprintf(path, sizeof path, "/%s", bad[i]);
		document_refused(text, path, "a network's key must be a port: 1 to 65535, no leading zero");
	}
}
END_TEST

START_TEST(unknown_keys_are_refused)
{
	document_refused(DOCUMENT(",'MTU':1420"), "/51820/MTU", "unknown key");
	document_refused(DOCUMENT(",'a/b~c':0"), "/51820/a~1b~0c", "unknown key");
	document_refused(DOCUMENT(",'':0"), "/51820/", "unknown key");
	document_refused(PEERS(PEER(PUBLIC_3, "'allowed_ips':[],'name':'x'")),
	                 "/51820/peers/" PUBLIC_3 "/name", "unknown key");
}
END_TEST

START_TEST(a_name_is_up_to_63_characters)
{
	document_taken(DOCUMENT(",'name':'Z\xc3\xbcrich / \\\\\\u0022'"),
	               "'name': 'Z\xc3\xbcrich / \\\\\\'',");
	document_taken(DOCUMENT(",'name':'" SIXTY "1\xc3\xa9\xc3\xa9'"), NULL);
	document_refused(DOCUMENT(",'name':'" SIXTY "1234'"), "/51820/name",
	                 "must be 1 to 63 characters, none of them a control character");
	document_refused(DOCUMENT(",'name':''"), "/51820/name",
	                 "must be 1 to 63 characters, none of them a control character");
	document_refused(DOCUMENT(",'name':'a\\nb'"), "/51820/name",
	                 "must be 1 to 63 characters, none of them a control character");
	document_refused(DOCUMENT(",'name':'a\xc2\x85'"), "/51820/name",
	                 "must be 1 to 63 characters, none of them a control character");
	document_refused(DOCUMENT(",'name':null"), "/51820/name", "must be a string");
}
END_TEST

START_TEST(a_private_key_is_32_bytes)
{
	static const char bad[] = "must be 32 bytes in base64";

	document_refused("{'1':{'address':['10.0.0.1/16']}}", "/1/private_key", "is required");
	document_refused("{'1':" NETWORK("", "") "}", "/1/private_key", bad);
	document_refused("{'1':" NETWORK("OKZGQyal6EJcttis+2YVoAkmY3leRhDDjAymKdMUIn==", "") "}",
	                 "/1/private_key", bad);
	document_refused("{'1':" NETWORK("OKZGQyal6EJcttis-2YVoAkmY3leRhDDjAymKdMUIng=", "") "}",
	                 "/1/private_key", bad);
	document_refused("{'1':" NETWORK("OKZGQyal6EJcttis+2YVoAkmY3leRhDDjAymKdMUIngAAAA=", "") "}",
	                 "/1/private_key", bad);
	document_refused("{'1':" NETWORK(ZEROS, "") "}", "/1/private_key",
	                 "is all zeros, which WireGuard takes for none");
	document_refused("{'1':{'private_key':null,'address':['10.0.0.1/16']}}", "/1/private_key",
	                 "must be a string");
}
END_TEST

START_TEST(two_networks_may_not_share_a_private_key)
{
	document_taken("{'1':" NETWORK(PRIVATE_1, "") ",'2':" NETWORK(PRIVATE_2, "") "}", NULL);
	document_refused("{'2':" NETWORK(PRIVATE_1, "") ",'1':" NETWORK(PRIVATE_1, "") "}", "/2/private_key",
	                 "is the private key of another network too");
}
END_TEST

/* X25519 ignores the lowest three bits of the first byte: this is PRIVATE_1 with one of them set. */
START_TEST(private_keys_of_one_public_key_are_one)
{
	document_refused("{'1':" NETWORK(PRIVATE_1, "") ",'2':"
	                 NETWORK("OaZGQyal6EJcttis+2YVoAkmY3leRhDDjAymKdMUIng=", "") "}", "/2/private_key",
	                 "is the private key of another network too");
}
END_TEST

START_TEST(listen_port_says_nothing_new)
{
	document_taken(DOCUMENT(",'listen_port':0"), NULL);
	document_taken(DOCUMENT(",'listen_port':51820"), "'51820': {\n    'private_key'");
	document_taken(DOCUMENT(",'listen_port':5.182e4"), NULL);
	document_refused(DOCUMENT(",'listen_port':51821"), "/51820/listen_port",
	                 "must be 0 or 51820, the network's key");
	document_refused(DOCUMENT(",'listen_port':'51820'"), "/51820/listen_port", "must be an integer");
	document_refused(DOCUMENT(",'listen_port':null"), "/51820/listen_port", "must be an integer");
	document_refused(DOCUMENT(",'listen_port':-1"), "/51820/listen_port", "must be from 0 to 65535");
	document_refused(DOCUMENT(",'listen_port':0.5"), "/51820/listen_port", "must be an integer");
}
END_TEST

START_TEST(addresses_are_kept_with_their_host_bits)
{
	document_taken("{'1':{'private_key':'" PRIVATE_1 "','address':['FD00:1:0::1/64','10.0.0.1/16',"
	               "'10.0.0.1/16',"
	               "'10.0.0.9']}}", "'address': ['10.0.0.1/16', '10.0.0.9/32', 'fd00:1::1/64']");
}
END_TEST

START_TEST(an_address_is_required)
{
	static const char bad[] = "must be an IP address with a prefix length";

#define ADDRESS(value) "{'1':{'private_key':'" PRIVATE_1 "','address':" value "}}"
	document_refused("{'1':{'private_key':'" PRIVATE_1 "'}}", "/1/address", "is required");
	document_refused(ADDRESS("[]"), "/1/address", "must be an array of one address or more");
	document_refused(ADDRESS("null"), "/1/address", "must be an array of one address or more");
	document_refused(ADDRESS("'10.0.0.1/16'"), "/1/address", "must be an array of one address or more");
	document_refused(ADDRESS("['10.0.0.1/33']"), "/1/address/0", bad);
	document_refused(ADDRESS("['10.0.0.1/16','10.0.0.1/016']"), "/1/address/1", bad);
	document_refused(ADDRESS("['10.0.1/16']"), "/1/address/0", bad);
	document_refused(ADDRESS("['fe80::1%eth0/64']"), "/1/address/0", bad);
	document_refused(ADDRESS("['fd00::1/129']"), "/1/address/0", bad);
	document_refused(ADDRESS("['']"), "/1/address/0", bad);
	document_refused(ADDRESS("[7]"), "/1/address/0", bad);
}
END_TEST

/* The kernel would refuse them, with every try. */
START_TEST(an_address_is_one_that_an_interface_can_have)
{
	static const char *const none[] = { ADDRESS("['0.0.0.0/0']"), ADDRESS("['0.0.0.0/8']"),
		                            ADDRESS("['::/64']"), ADDRESS("['::1/128']"),
		                            ADDRESS("['ff02::5/64']") };

	for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
		document_refused(none[i], "/1/address/0", "is no address that an interface can have");
	document_refused(ADDRESS("['fd00::1/64','10.0.0.1/8','fd00::1/48','fd00::1/64']"), "/1/address",
	                 "has the address of fd00::1/64 with another prefix length, too");
	document_taken(ADDRESS("['10.0.0.1/8','10.0.0.1/16','10.0.0.0/8','fe80::1/64','::2/64']"), NULL);
}
END_TEST
#undef ADDRESS

START_TEST(networks_may_overlap)
{
	document_taken("{'1':" NETWORK(PRIVATE_1, ",'peers':{'" PUBLIC_3 "':{'allowed_ips':['10.0.0.2']}}")
	               ",'2':" NETWORK(PRIVATE_2, ",'peers':{'" PUBLIC_3
	                               "':{'allowed_ips':['10.0.0.2']}}") "}",
	               NULL);
}
END_TEST

START_TEST(an_mtu_has_limits)
{
	document_taken(DOCUMENT(""), "'mtu': 1420");
	document_taken(DOCUMENT(",'mtu':576"), "'mtu': 576");
	document_taken(DOCUMENT(",'mtu':65535"), "'mtu': 65535");
	document_refused(DOCUMENT(",'mtu':575"), "/51820/mtu", "must be from 576 to 65535");
	document_refused(DOCUMENT(",'mtu':65536"), "/51820/mtu", "must be from 576 to 65535");
	document_refused(DOCUMENT(",'mtu':1400.5"), "/51820/mtu", "must be an integer");
	document_refused(DOCUMENT(",'mtu':1e999"), "/51820/mtu", "must be from 576 to 65535");
	document_refused(DOCUMENT(",'mtu':'1420'"), "/51820/mtu", "must be an integer");
	document_refused(DOCUMENT(",'mtu':true"), "/51820/mtu", "must be an integer");
#define IPV6(mtu) "{'1':{'private_key':'" PRIVATE_1 "','address':['10.0.0.1/8','fd00::1/64'],'mtu':" mtu "}}"
	document_taken(IPV6("1280"), "'mtu': 1280");
	document_refused(IPV6("1279"), "/1/mtu", "must be from 1280 to 65535");
#undef IPV6
}
END_TEST

START_TEST(all_faults_are_reported)
{
	struct model_faults faults = { .count = 0 };
	struct model       *model;

	ck_assert_int_eq(parse("{'0':{'x':1},'2':" NETWORK("?", ",'mtu':1") ",'1':7,'1':8}", &model, &faults),
	                 MODEL_INVALID);
	ck_assert_uint_eq(faults.total, 8);
	ck_assert_str_eq(faults.list[0].path, "/1");
	ck_assert_str_eq(faults.list[1].path, "/0");
	ck_assert_str_eq(faults.list[2].path, "/0/x");
	ck_assert_str_eq(faults.list[3].path, "/0/private_key");
	ck_assert_str_eq(faults.list[4].path, "/0/address");
	ck_assert_str_eq(faults.list[5].path, "/1");
	ck_assert_str_eq(faults.list[6].path, "/2/private_key");
	ck_assert_str_eq(faults.list[7].path, "/2/mtu");
	model_faults_clear(&faults);
	ck_assert_uint_eq(faults.total, 0);
}
END_TEST

START_TEST(the_first_hundred_faults_are_kept_and_all_counted)
{
	struct model_faults faults = { .count = 0 };
	struct model       *model;
	char                text[4096] = "{";
	size_t              at = 1;

	for (int i = 1; i <= 150; i++)
		at += (size_t)snprintf(text + at, sizeof text - at, "%s'%d':0", i > 1 ? "," : "", i);
	snprintf(text + at, sizeof text - at, "}");
	ck_assert_int_eq(parse(text, &model, &faults), MODEL_INVALID);
	ck_assert_uint_eq(faults.total, 150);
	ck_assert_uint_eq(faults.count, MODEL_FAULTS_MOST);
	ck_assert_str_eq(faults.list[99].path, "/100");
	model_faults_clear(&faults);
}
END_TEST

START_TEST(a_pointer_has_a_limit_and_ends_between_characters)
{
	struct model_faults faults = { .count = 0 };
	struct model       *model;
	char                text[2 * MODEL_PATH_MOST] = "{'";

	for (size_t i = 2; i < 2 + 2 * (MODEL_PATH_MOST - 48); i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	strcpy(text + 2 + 2 * (MODEL_PATH_MOST - 48), "':0}");
	ck_assert_int_eq(parse(text, &model, &faults), MODEL_INVALID);

	size_t len = strlen(faults.list[0].path);

	ck_assert_uint_lt(len, MODEL_PATH_MOST);
	ck_assert_uint_gt(len, MODEL_PATH_MOST - 8);
	ck_assert_uint_eq(len % 2, 1);
	ck_assert_str_eq(faults.list[0].path + len - 2, "\xc3\xa9");
	model_faults_clear(&faults);
}
END_TEST

START_TEST(a_document_has_a_limit)
{
	struct model_faults faults = { .count = 0 };
	struct model       *model;
	size_t              bytes = (size_t)MODEL_BYTES_MOST + 1;
	char               *text = malloc(bytes);

	ck_assert_ptr_nonnull(text);
	memset(text, ' ', bytes);
	memcpy(text, "{}", 2);
	ck_assert_int_eq(model_parse(text, bytes, &model, &faults, NULL), MODEL_TOO_LARGE);
	ck_assert_str_eq(faults.list[0].text, "is larger than 64 MiB");
	ck_assert_int_eq(model_parse(text, bytes - 1, &model, &faults, NULL), MODEL_OK);
	model_free(model);
	model_faults_clear(&faults);
	free(text);
}
END_TEST

/* A peer of 69 bytes becomes one of some 150: what would not be taken back is not taken. */
START_TEST(a_document_that_would_outgrow_the_limit_is_refused)
{
	struct model_faults faults = { .count = 0 };
	struct model       *model;
	size_t              peers = 500000;
	char               *text = malloc(200 + peers * 69);
	size_t              at;

	ck_assert_ptr_nonnull(text);
	at = (size_t)sprintf(text, "{\"1\":{\"private_key\":\"" PRIVATE_1
	                     "\",\"address\":[\"10.0.0.1/8\"],\"peers\":{");
	for (size_t i = 0; i < peers; i++) {
		struct tg_key key = { .bytes = { 1, (uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16) } };
		char          base64[TG_KEY_TEXT];

		at += (size_t)sprintf(text + at, "%s\"%s\":{\"allowed_ips\":[]}", i > 0 ? "," : "",
		                      tg_key_print(&key, base64));
	}
	at += (size_t)sprintf(text + at, "}}}");
	ck_assert_int_eq(model_parse(text, at, &model, &faults, NULL), MODEL_TOO_LARGE);
	ck_assert_str_eq(faults.list[0].text, "is larger than 64 MiB with its defaults filled in");
	model_faults_clear(&faults);
	free(text);
}
END_TEST

START_TEST(networks_and_peers_are_found)
{
	struct model *model = document_read("{'2':" NETWORK(PRIVATE_1, ",'peers':{'" PUBLIC_3
	                                                    "':{'allowed_ips':[]},'"
	                                    PUBLIC_2 "':{'allowed_ips':['10.0.0.2']}}") ",'1':"
	                                    NETWORK(PRIVATE_2, "") "}", NULL);
	const struct model_network *network = model_find(model, 2);
	const struct model_peer    *peer;
	struct tg_key               key;

	ck_assert_ptr_nonnull(network);
	ck_assert_ptr_eq(model_find(model, 1), &model->networks[0]);
	ck_assert_ptr_null(model_find(model, 3));
	tg_key_read(PUBLIC_1, 44, &key);
	ck_assert(tg_key_equal(&network->public_key, &key));
	ck_assert_ptr_null(model_find_peer(model, network, &key));
	tg_key_read(PUBLIC_2, 44, &key);
	peer = model_find_peer(model, network, &key);
	ck_assert_ptr_nonnull(peer);
	ck_assert_uint_eq(peer->ranges_count, 1);
	ck_assert_ptr_null(model_find_peer(model, model_find(model, 1), &key));
	model_free(model);
}
END_TEST

START_TEST(no_prefix_of_a_document_is_taken)
{
	char  *text = document_text(PEERS(PEER(PUBLIC_2, "'allowed_ips':['10.0.0.2']")));
	size_t bytes = strlen(text);

	for (size_t n = 0; n < bytes; n++) {
		struct model_faults faults = { .count = 0 };
		struct model       *model;
		char               *part = malloc(n + 1);

		memcpy(part, text, n);
		ck_assert_int_eq(model_parse(part, n, &model, &faults, NULL), MODEL_NOT_JSON);
		ck_assert_uint_eq(faults.total, 1);
		model_faults_clear(&faults);
		free(part);
	}
	free(text);
}
END_TEST

/* Each allocation in turn fails: nothing is lost, nothing half-made is returned. */
START_TEST(parsing_without_memory_says_so)
{
	char *good_text = document_text(PEERS(PEER(PUBLIC_2, "'allowed_ips':['10.0.0.2']")) "\n");
	char *bad_text = document_text("{'1':" NETWORK(PRIVATE_2, ",'name':'n','x':1,"
	                                               "'proxy':{'https://a':['10.9.9.9:1'],"
	                               "'http://a':{'upstreams':[],'host_header':'b'},'ssh://x':{}}") "}");

	for (int i = 0; i < 2; i++) {
		const char *text = i == 0 ? good_text : bad_text;
		bool        failed = true;

		for (size_t good = 0; failed; good++) {
			struct model_faults faults = { .count = 0 };
			struct model_faults warnings = { .count = 0 };
			struct model       *model;
			enum model_result   result;

			failing_begin(good);
			model_public_keys_keep(0);
			result = model_parse(text, strlen(text), &model, &faults, &warnings);
			model_free(model);
			model_faults_clear(&faults);
			model_faults_clear(&warnings);
			ck_assert_uint_eq(failing_held(), 0);
			failed = failing_end();
			ck_assert_int_eq(result,
			                 failed ? MODEL_NO_MEMORY : i == 0 ? MODEL_OK : MODEL_INVALID);
			ck_assert_uint_lt(good, 1000);
		}
	}
	free(good_text);
	free(bad_text);
}
END_TEST

void test_model_parse(TCase *tc)
{
	tcase_add_test(tc, a_document_without_networks_is_taken);
	tcase_add_test(tc, a_document_is_an_object);
	tcase_add_test(tc, what_is_no_json_is_told_from_what_breaks_a_rule);
	tcase_add_test(tc, a_networks_key_is_a_port);
	tcase_add_test(tc, unknown_keys_are_refused);
	tcase_add_test(tc, a_name_is_up_to_63_characters);
	tcase_add_test(tc, a_private_key_is_32_bytes);
	tcase_add_test(tc, two_networks_may_not_share_a_private_key);
	tcase_add_test(tc, private_keys_of_one_public_key_are_one);
	tcase_add_test(tc, listen_port_says_nothing_new);
	tcase_add_test(tc, addresses_are_kept_with_their_host_bits);
	tcase_add_test(tc, an_address_is_required);
	tcase_add_test(tc, an_address_is_one_that_an_interface_can_have);
	tcase_add_test(tc, networks_may_overlap);
	tcase_add_test(tc, an_mtu_has_limits);
	tcase_add_test(tc, all_faults_are_reported);
	tcase_add_test(tc, the_first_hundred_faults_are_kept_and_all_counted);
	tcase_add_test(tc, a_pointer_has_a_limit_and_ends_between_characters);
	tcase_add_test(tc, a_document_has_a_limit);
	tcase_add_test(tc, a_document_that_would_outgrow_the_limit_is_refused);
	tcase_add_test(tc, networks_and_peers_are_found);
	tcase_add_test(tc, no_prefix_of_a_document_is_taken);
	tcase_add_test(tc, parsing_without_memory_says_so);
}
