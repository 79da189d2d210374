#include "daemon/claims.h"

#include <check.h>
#include <stdio.h>

#include "base/msg.h"
#include "tests/support/document.h"

void test_claims(TCase *tc);

static const struct msg_forward forwards[] = { { .host = "api.gate.example", .https = 1 },
					       { .host = "gate.example" } };

static const char *fault_of(const char *hosts, struct model_faults *faults)
{
	char          text[512];
	struct model *model;

	ck_assert_int_lt(snprintf(text, sizeof text, DOCUMENT(",'proxy':{%s}"), hosts), (int)sizeof text);
	model = document_read(text, NULL);
	*faults = (struct model_faults){ .count = 0 };
	claims_find(forwards, 2, model, faults);
	model_free(model);
	return faults->count == 1 ? faults->list[0].path : faults->count == 0 ? "none" : "many";
}

START_TEST(the_operators_names_are_refused_under_both_schemes)
{
	struct model_faults faults;

	ck_assert_str_eq(fault_of("'http://api.gate.example':['10.0.0.2:1']", &faults),
	                 "/51820/proxy/http:~1~1api.gate.example");
	ck_assert_str_eq(faults.list[0].text, "api.gate.example is the operator's own (--forward)");
	model_faults_clear(&faults);
	ck_assert_str_eq(fault_of("'https://gate.example':['10.0.0.2:1']", &faults),
	                 "/51820/proxy/https:~1~1gate.example");
	model_faults_clear(&faults);
}
END_TEST

START_TEST(a_wildcard_over_one_is_refused_and_others_are_not)
{
	struct model_faults faults;

	ck_assert_str_eq(fault_of("'https://*.gate.example':['10.0.0.2:1']", &faults),
	                 "/51820/proxy/https:~1~1*.gate.example");
	model_faults_clear(&faults);
	ck_assert_str_eq(fault_of("'https://a.gate.example':['10.0.0.2:1'],'https://*.a.gate.example':"
	                          "['10.0.0.2:1'],'ssh://gate.example':[]",
	                          &faults),
	                 "none");
}
END_TEST

void test_claims(TCase *tc)
{
	tcase_add_test(tc, the_operators_names_are_refused_under_both_schemes);
	tcase_add_test(tc, a_wildcard_over_one_is_refused_and_others_are_not);
}
