#include "daemon/control_etag.h"

#include <check.h>
#include <stddef.h>

#include "daemon/document.h"

void test_control_etag(TCase *tc);

static const struct {
	const char *header;
	bool        strong, weak;
} lists[] = {
	{ "\"abc\"", true, true },
	{ " \t\"abc\" ", true, true },
	{ "\"x\", \"abc\"", true, true },
	{ "\"x\",\"abc\",\"y\"", true, true },
	{ ", ,\"abc\"", true, true },
	{ "\"a,b\", \"abc\"", true, true },	/* a comma may stand in a tag */
	{ "W/\"abc\"", false, true },
	{ "W/\"abc\", \"x\"", false, true },
	{ "W/\"abc\", \"abc\"", true, true },
	{ "*", true, true },
	{ " * ", true, true },
	{ "", false, false },
	{ "abc", false, false },
	{ "\"abc", false, false },
	{ "\"abcd\"", false, false },
	{ "\"ab\"", false, false },
	{ "\"x\"abc\"", false, false },
	{ "\"x\" \"abc\"", false, false },
	{ "x\"abc\"", false, false },
	{ "w/\"abc\"", false, false },	/* case matters: RFC 9110 §8.8.3 */
	{ "**", false, false },
	{ "*, \"x\"", false, false },
	{ ",", false, false },
	{ "W/", false, false },
};

START_TEST(a_list_of_tags_is_searched)
{
	const char *header = lists[_i].header;

	ck_assert_msg(control_etag_matches(header, "\"abc\"", true, CONTROL_ETAG_STRONG) == lists[_i].strong,
	              "strong: %s", header);
	ck_assert_msg(control_etag_matches(header, "\"abc\"", true, CONTROL_ETAG_WEAK) == lists[_i].weak,
	              "weak: %s", header);
}
END_TEST

START_TEST(a_star_is_whatever_exists)
{
	ck_assert(!control_etag_matches("*", "\"abc\"", false, CONTROL_ETAG_STRONG));
	ck_assert(control_etag_matches("\"abc\"", "\"abc\"", false, CONTROL_ETAG_STRONG));
}
END_TEST

START_TEST(a_write_may_name_either_tag_of_the_active_document)
{
	struct document active = { .etag = "\"one\"", .etag_public = "\"one-public\"" };

	ck_assert(control_etag_holds(NULL, &active, false));
	ck_assert(control_etag_holds("\"x\", \"one\"", &active, true));
	ck_assert(control_etag_holds("\"one-public\"", &active, true));
	ck_assert(control_etag_holds("*", &active, true));
	ck_assert(!control_etag_holds("*", &active, false));
	ck_assert(!control_etag_holds("\"two\"", &active, true));
	ck_assert(!control_etag_holds("W/\"one\"", &active, true));
}
END_TEST

void test_control_etag(TCase *tc)
{
	tcase_add_loop_test(tc, a_list_of_tags_is_searched, 0, (int)(sizeof lists / sizeof lists[0]));
	tcase_add_test(tc, a_star_is_whatever_exists);
	tcase_add_test(tc, a_write_may_name_either_tag_of_the_active_document);
}
