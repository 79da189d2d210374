#include <check.h>

#include "base/model.h"
#include "tests/support/document.h"

void test_model_same(TCase *tc);

#define PEER(more) DOCUMENT(",'peers':{'" PUBLIC_2 "':{" more "}}")

static bool same(const char *one, const char *other)
{
	struct model *a = document_read(one, NULL);
	struct model *b = document_read(other, NULL);
	bool          result = model_same_network(a, &a->networks[a->networks_count - 1], b,
	                                          &b->networks[b->networks_count - 1]);

	model_free(a);
	model_free(b);
	return result;
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

void test_model_same(TCase *tc)
{
	tcase_add_test(tc, an_equal_network_is_the_same);
	tcase_add_test(tc, names_and_hosts_are_nothing_to_the_kernel);
	tcase_add_test(tc, every_attribute_of_the_kernel_counts);
}
