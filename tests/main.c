/* Runs the test_* function of every tests/FOLDER/test_*.c.  The build writes their names into
 * tests/names.inc as TEST(sni) TEST(routes) ... .  Check's own variables apply: CK_RUN_CASE=sni,
 * CK_FORK=no for a debugger. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define TEST_TIMEOUT_S 200	/* for a test that hangs; no other comes near it */

#define TEST(name) void test_##name(TCase *tc);
#include "tests/names.inc"
#undef TEST

typedef void add_tests_fn(TCase *tc);

static void add_case(Suite *suite, const char *name, add_tests_fn *add)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, TEST_TIMEOUT_S);
	add(tc);
	suite_add_tcase(suite, tc);
}

int main(void)
{
	Suite *suite = suite_create("tollgate");

#define TEST(name) add_case(suite, #name, test_##name);
#include "tests/names.inc"
#undef TEST

	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);

	int run = srunner_ntests_run(runner);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	if (run == 0)
		fputs("no test has that name\n", stderr);
	return run > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
