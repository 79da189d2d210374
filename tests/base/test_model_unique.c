#include "base/model.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/document.h"
#include "tests/support/hashes.h"

void test_model_unique(TCase *tc);

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
	tcase_add_test(tc, names_chosen_to_meet_in_one_bucket_do_not);
}
