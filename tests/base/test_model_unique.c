#include "base/model.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/document.h"
#include "tests/support/hashes.h"

void test_model_unique(TCase *tc);

#define PEER(key, more) "'" key "':{" more "}"
#define PEERS(more) DOCUMENT(",'peers':{" more "}")

START_TEST(keys_that_stand_twice_are_refused_at_any_depth)
{
	document_refused("{'51820':" NETWORK(PRIVATE_1, "") ",'51820':" NETWORK(PRIVATE_2, "") "}", "/51820",
	                 "stands twice");
	document_refused(DOCUMENT(",'mtu':1420,'mtu':1420"), "/51820/mtu", "stands twice");
	document_refused(DOCUMENT(",'mtu':1420,'\\u006dtu':1420"), "/51820/mtu", "stands twice");
	document_refused(PEERS(PEER(PUBLIC_3, "'allowed_ips':[]") "," PEER(PUBLIC_3, "'allowed_ips':[]")),
	                 "/51820/peers/" PUBLIC_3, "stands twice");
	document_refused(PEERS(PEER(PUBLIC_3, "'allowed_ips':[],'allowed_ips':[]")),
	                 "/51820/peers/" PUBLIC_3 "/allowed_ips", "stands twice");
	document_refused(DOCUMENT(",'proxy':{'ssh://a':[0,{'b':1,'b':2}]}"), "/51820/proxy/ssh:~1~1a/1/b",
	                 "stands twice");
}
END_TEST

START_TEST(keys_that_stand_twice_are_found_among_many)
{
	char   text[4096] = "{'51820':" "{'private_key':'" PRIVATE_1 "','address':['10.0.0.1/16'],'proxy':{";
	size_t at = strlen(text);

	for (int i = 0; i < 40; i++)
		at += (size_t)snprintf(text + at, sizeof text - at, "'ssh://%d':%d,", i % 39, i);
	snprintf(text + at, sizeof text - at, "'ssh://last':0}}}");
	document_refused(text, "/51820/proxy/ssh:~1~10", "stands twice");
}
END_TEST

#define MANY 100

START_TEST(names_chosen_to_meet_in_one_bucket_do_not)
{
	char     text[MANY * 32 + 256];
	char     name[32];
	unsigned last = 0;
	size_t   crowd;
	int      len = snprintf(text, sizeof text, "{'1':{'private_key':'" PRIVATE_1
	                        "','address':['10.0.0.1/16'],'proxy':{");

	for (int i = 0; i < MANY; i++) {
		hashes_name(name, sizeof name, "ssh://", &last);
		len += snprintf(text + len, sizeof text - (size_t)len, "%s'%s':[1]", i > 0 ? "," : "", name);
	}
	snprintf(text + len, sizeof text - (size_t)len, "}}}");
	hashes_begin();
	model_free(document_read(text, NULL));
	ck_assert_uint_ge(hashes_end(&crowd), MANY);
	ck_assert_uint_lt(crowd, MANY / 2);
}
END_TEST

void test_model_unique(TCase *tc)
{
	tcase_add_test(tc, keys_that_stand_twice_are_refused_at_any_depth);
	tcase_add_test(tc, keys_that_stand_twice_are_found_among_many);
	tcase_add_test(tc, names_chosen_to_meet_in_one_bucket_do_not);
}
