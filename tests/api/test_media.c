#include "api/media.h"

#include <check.h>
#include <stddef.h>

void test_media(TCase *tc);

static const struct {
	const char *accept;
	enum api_accept best;
} accepts[] = {
	{ NULL, API_ACCEPT_JSON },
	{ "", API_ACCEPT_JSON },
	{ "*/*", API_ACCEPT_JSON },
	{ "image/png", API_ACCEPT_JSON },
	{ "application/json", API_ACCEPT_JSON },
	{ "application/x-ndjson", API_ACCEPT_NDJSON },
	{ "text/csv", API_ACCEPT_CSV },
	{ "Text/CSV ; header=present", API_ACCEPT_CSV },
	{ "text/*", API_ACCEPT_CSV },
	{ "text/html, text/csv;q=0.9, */*;q=0.1", API_ACCEPT_CSV },
	{ "text/csv, application/json", API_ACCEPT_JSON },
	{ "text/csv;q=0.5,application/x-ndjson;q=0.501", API_ACCEPT_NDJSON },
	{ "application/json;q=0, */*", API_ACCEPT_NDJSON },
	{ "application/*;q=0.2, text/csv;q=0.3", API_ACCEPT_CSV },
	{ "application/json;q=0.1, application/x-ndjson;q=0.2;ext=1", API_ACCEPT_NDJSON },
	{ "text/csv;q=nonsense, application/x-ndjson;q=0.1", API_ACCEPT_NDJSON },
	{ "text/csv;q=1.0000, application/x-ndjson;q=0.1", API_ACCEPT_NDJSON },
	{ "text/csvx", API_ACCEPT_JSON },
	{ ",,;;q=1,text/csv;", API_ACCEPT_CSV },
};

START_TEST(the_form_the_client_likes_best_is_chosen)
{
	ck_assert_msg(media_best(accepts[_i].accept) == accepts[_i].best, "%s", accepts[_i].accept);
}
END_TEST

START_TEST(json_bodies_have_these_types)
{
	ck_assert(media_is_json(NULL, false));
	ck_assert(media_is_json("", false));
	ck_assert(media_is_json("application/json", false));
	ck_assert(media_is_json("Application/JSON; charset=UTF-8", false));
	ck_assert(media_is_json("application/json;charset=\"utf-8\" ; x=y", false));
	ck_assert(media_is_json("application/merge-patch+json", true));
	ck_assert(media_is_json("application/json", true));
}
END_TEST

START_TEST(other_bodies_are_not_json)
{
	ck_assert(!media_is_json("application/merge-patch+json", false));
	ck_assert(!media_is_json("application/x-www-form-urlencoded", false));
	ck_assert(!media_is_json("application/json-seq", false));
	ck_assert(!media_is_json("application/jso", false));
	ck_assert(!media_is_json("application/json; charset=latin1", false));
	ck_assert(!media_is_json("application/json; x=y; charset=utf-16", false));
	ck_assert(!media_is_json("text/plain", true));
}
END_TEST

void test_media(TCase *tc)
{
	tcase_add_loop_test(tc, the_form_the_client_likes_best_is_chosen, 0,
	                    (int)(sizeof(accepts) / sizeof(accepts[0])));
	tcase_add_test(tc, json_bodies_have_these_types);
	tcase_add_test(tc, other_bodies_are_not_json);
}
