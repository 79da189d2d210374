#include <stdio.h>

#include <check.h>

#include "base/model.h"
#include "tests/support/document.h"

void test_model_same(TCase *tc);

#define PEER(more) DOCUMENT(",'peers':{'" PUBLIC_2 "':{" more "}}")

typedef bool compare_fn(const struct model *a, const struct model_network *x, const struct model *b,
                        const struct model_network *y);

static bool compare(compare_fn *fn, const char *one, const char *other)
{
	struct model *a = document_read(one, NULL);
	struct model *b = document_read(other, NULL);
	bool          result = fn(a, &a->networks[a->networks_count - 1], b,
	                          &b->networks[b->networks_count - 1]);

	model_free(a);
	model_free(b);
	return result;
}

static bool same(const char *one, const char *other)
{
	return compare(model_same_network, one, other);
}

static bool equal(const char *one, const char *other)
{
	return compare(model_equal_network, one, other);
}

START_TEST(an_equal_network_is_the_same)
{
	ck_assert(same(PEER("'allowed_ips':['10.0.0.2/32','10.0.0.3/32']"),
	               PEER("'allowed_ips':['10.0.0.3/32','10.0.0.2/32']")));
	ck_assert(same(DOCUMENT(""), DOCUMENT("")));
}
END_TEST

START_TEST(names_and_hosts_are_nothing_to_the_kernel)
{
	ck_assert(same(DOCUMENT(""), DOCUMENT(",'name':'other','proxy':{'http://a':['10.0.0.2:80']}")));
}
END_TEST

START_TEST(every_attribute_of_the_kernel_counts)
{
	static const char *const others[] = {
		DOCUMENT(""),
		DOCUMENT(",'mtu':1400"),
		PEER("'allowed_ips':['10.0.0.3/32']"),
		PEER("'allowed_ips':['10.0.0.2/32','10.0.0.3/32']"),
		PEER("'allowed_ips':['10.0.0.2/32'],'persistent_keepalive':10"),
		PEER("'allowed_ips':['10.0.0.2/32'],'endpoint':'192.0.2.1:51820'"),
		PEER("'allowed_ips':['10.0.0.2/32'],'preshared_key':'" PUBLIC_2 "'"),
		DOCUMENT(",'peers':{'" PUBLIC_3 "':{'allowed_ips':['10.0.0.2/32']}}"),
	};

	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		ck_assert_msg(!same(PEER("'allowed_ips':['10.0.0.2/32']"), others[i]), "%s", others[i]);
}
END_TEST

#define HOST(host) ",'name':'n','proxy':{" host "}"
#define HTTP	   "'http://a':{'upstreams':['10.0.0.2:80'],'max_connections':5,'host_header':'b'}"

START_TEST(networks_are_equal_wherever_they_lie)
{
	ck_assert(equal(DOCUMENT(HOST(HTTP)),
	                "{'1':" NETWORK(PRIVATE_2, HOST("'https://c':['10.0.0.1:1','10.0.0.2:1']"))
	                ",'51820':" NETWORK(PRIVATE_1, HOST(HTTP)) "}"));
	ck_assert(equal(PEER("'allowed_ips':['10.0.0.2']"), PEER("'allowed_ips':['10.0.0.2/32']")));
}
END_TEST

START_TEST(every_attribute_counts_for_equal_networks)
{
	static const char *const others[] = {
		HOST(""),
		HOST(HTTP ",'http://b':['10.0.0.2:80']"),
		",'name':'m','proxy':{" HTTP "}",
		",'mtu':1400,'name':'n','proxy':{" HTTP "}",
		HOST("'http://b':{'upstreams':['10.0.0.2:80'],'max_connections':5,'host_header':'b'}"),
		HOST("'http://a':{'upstreams':['10.0.0.2:81'],'max_connections':5,'host_header':'b'}"),
		HOST("'http://a':{'upstreams':['10.0.0.2:80','10.0.0.1:80'],'max_connections':5,"
		     "'host_header':'b'}"),
		HOST("'http://a':{'upstreams':['10.0.0.2:80'],'max_connections':6,'host_header':'b'}"),
		HOST("'http://a':{'upstreams':['10.0.0.2:80'],'max_connections':5,'host_header':'c'}"),
		HOST("'http://a':{'upstreams':['10.0.0.2:80'],'max_connections':5,'host_header':'b',"
		     "'redirect_to_https':true}"),
		HOST("'http://a':{'upstreams':['10.0.0.2:80'],'max_connections':5,'host_header':'b',"
		     "'proxy_protocol':'v1'}"),
		HOST("'https://a':{'upstreams':['10.0.0.2:80'],'max_connections':5}"),
	};

	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		char text[1024];

		snprintf(text, sizeof text, DOCUMENT("%s"), others[i]);
		ck_assert_msg(!equal(DOCUMENT(HOST(HTTP)), text), "%s", text);
	}
	ck_assert(!equal(DOCUMENT(HOST("'http://a':['10.0.0.2:1']")),
	                 DOCUMENT(HOST("'https://a':['10.0.0.2:1']"))));
	ck_assert(!equal(DOCUMENT(HOST("'ssh://a':1")), DOCUMENT(HOST("'ssh://a':2"))));
	ck_assert(!equal(PEER("'allowed_ips':[]"), PEER("'allowed_ips':['10.0.0.2']")));
}
END_TEST

void test_model_same(TCase *tc)
{
	tcase_add_test(tc, networks_are_equal_wherever_they_lie);
	tcase_add_test(tc, every_attribute_counts_for_equal_networks);
	tcase_add_test(tc, an_equal_network_is_the_same);
	tcase_add_test(tc, names_and_hosts_are_nothing_to_the_kernel);
	tcase_add_test(tc, every_attribute_of_the_kernel_counts);
}
