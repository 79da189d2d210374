#include "api/api_routes.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

void test_api_routes(TCase *tc);

#define KEY     "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define KEY_PCT "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg%3D"
#define KEY_URL "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg"
#define SLASHED "%2F%2bIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg%3d"

static struct api_call call;
static const struct api_routes_row *row;
static char allow[64];

static enum api_routes_result find(enum head_method method, const char *path)
{
	call = (struct api_call){ 0 };
	row = NULL;
	return api_routes_find(method, path, &row, &call, allow, sizeof(allow));
}

static const struct {
	enum head_method method;
	const char *path;
	enum api_action action;
} found[] = {
	{ HEAD_GET, "/api/v1/config", API_CONFIG_GET },
	{ HEAD_HEAD, "/api/v1/config", API_CONFIG_GET },
	{ HEAD_GET, "/api/v1/config.json", API_CONFIG_GET },
	{ HEAD_POST, "/api/v1/config", API_CONFIG_APPLY },
	{ HEAD_POST, "/api/v1/apply", API_CONFIG_APPLY },
	{ HEAD_PATCH, "/api/v1/config", API_CONFIG_PATCH },
	{ HEAD_GET, "/api/v1/networks", API_NETWORKS_GET },
	{ HEAD_GET, "/api/v1/status.json", API_NETWORKS_GET },
	{ HEAD_GET, "/api/v1/traffic", API_TRAFFIC_GET },
	{ HEAD_GET, "/api/v1/traffic.json", API_TRAFFIC_GET },
	{ HEAD_GET, "/api/v1/events", API_EVENTS_GET },
	{ HEAD_GET, "/api/v1/health", API_HEALTH_GET },
	{ HEAD_GET, "/api/v1/metrics", API_METRICS_GET },
	{ HEAD_GET, "/metrics", API_METRICS_GET },
	{ HEAD_GET, "/api/v1/%63onfig", API_CONFIG_GET },
};

START_TEST(paths_lead_to_their_action)
{
	ck_assert_msg(find(found[_i].method, found[_i].path) == API_ROUTES_FOUND, "%s", found[_i].path);
	ck_assert_int_eq(row->action, found[_i].action);
	ck_assert(!row->openapi);
	ck_assert_uint_eq(call.port, 0);
}
END_TEST

START_TEST(a_port_is_read)
{
	ck_assert_int_eq(find(HEAD_GET, "/api/v1/networks/51820"), API_ROUTES_FOUND);
	ck_assert_int_eq(row->action, API_NETWORKS_GET);
	ck_assert_uint_eq(call.port, 51820);
	ck_assert_int_eq(find(HEAD_GET, "/api/v1/networks/1/peers"), API_ROUTES_FOUND);
	ck_assert_int_eq(row->action, API_PEERS_GET);
	ck_assert_uint_eq(call.port, 1);
	ck_assert(!call.has_peer);
}
END_TEST

START_TEST(a_key_is_read_in_every_spelling)
{
	const char *const keys[] = { KEY, KEY_PCT, KEY_URL, KEY_URL "=" };
	struct tg_key key;
	char path[128];

	ck_assert(tg_key_read(KEY, strlen(KEY), &key));
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(path, sizeof(path), "/api/v1/networks/7/peers/%s", keys[i]);
		ck_assert_int_eq(find(HEAD_PUT, path), API_ROUTES_FOUND);
		ck_assert_int_eq(row->action, API_PEER_PUT);
		ck_assert_uint_eq(call.port, 7);
		ck_assert(call.has_peer);
		ck_assert(tg_key_equal(&call.peer, &key));
	}
}
END_TEST

START_TEST(slash_and_plus_of_a_key_may_be_encoded_or_not)
{
	struct tg_key encoded;

	ck_assert_int_eq(find(HEAD_DELETE, "/api/v1/networks/7/peers/" SLASHED), API_ROUTES_FOUND);
	ck_assert_int_eq(row->action, API_PEER_DELETE);
	encoded = call.peer;
	ck_assert_int_eq(
	        find(HEAD_GET, "/api/v1/networks/7/peers//+IBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="),
	        API_ROUTES_FOUND);
	ck_assert(tg_key_equal(&call.peer, &encoded));
	ck_assert_int_eq(
	        find(HEAD_GET, "/api/v1/networks/7/peers/_-IBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg"),
	        API_ROUTES_FOUND);
	ck_assert(tg_key_equal(&call.peer, &encoded));
}
END_TEST

START_TEST(what_is_no_key_is_told_from_a_missing_one)
{
	ck_assert_int_eq(find(HEAD_GET, "/api/v1/networks/7/peers/abc"), API_ROUTES_BAD_KEY);
	ck_assert_int_eq(find(HEAD_GET, "/api/v1/networks/7/peers/" KEY "x"), API_ROUTES_BAD_KEY);
	ck_assert_int_eq(find(HEAD_GET, "/api/v1/networks/7/peers/"), API_ROUTES_NOT_FOUND);
}
END_TEST

static const char *const nowhere[] = {
	"",
	"/",
	"/api/v1",
	"/api/v1/",
	"/api/v1config",
	"/api/v2/config",
	"/api/v1/config/",
	"/api/v1/configs",
	"/api/v1/apply.json",
	"/api/v1/networks/",
	"/api/v1/networks/0",
	"/api/v1/networks/007",
	"/api/v1/networks/65536",
	"/api/v1/networks/999999",
	"/api/v1/networks/5x",
	"/api/v1/networks/-5",
	"/api/v1/networks/5/",
	"/api/v1/networks/5/peers/x/y%",
	"/api/v1/networks/{port}",
	"/config",
	"/api/v1/%zz",
	"/api/v1/config%00",
};

START_TEST(other_paths_lead_nowhere)
{
	ck_assert_msg(find(HEAD_GET, nowhere[_i]) == API_ROUTES_NOT_FOUND, "%s", nowhere[_i]);
}
END_TEST

START_TEST(a_path_of_any_length_is_safe)
{
	char path[4096] = "/api/v1/networks/1/peers/";

	for (size_t len = strlen(path); len < sizeof(path) - 1; len++) {
		path[len] = 'A';
		ck_assert_int_ne(find(HEAD_GET, path), API_ROUTES_BAD_METHOD);
	}
}
END_TEST

START_TEST(other_methods_are_told_which_there_are)
{
	ck_assert_int_eq(find(HEAD_DELETE, "/api/v1/config"), API_ROUTES_BAD_METHOD);
	ck_assert_str_eq(allow, "GET, HEAD, POST, PATCH");
	ck_assert_int_eq(find(HEAD_HEAD, "/api/v1/apply"), API_ROUTES_BAD_METHOD);
	ck_assert_str_eq(allow, "POST");
	ck_assert_int_eq(find(HEAD_POST, "/api/v1/networks/7/peers/" KEY), API_ROUTES_BAD_METHOD);
	ck_assert_str_eq(allow, "GET, HEAD, PUT, DELETE");
	ck_assert_int_eq(find(HEAD_OPTIONS, "/metrics"), API_ROUTES_BAD_METHOD);
	ck_assert_str_eq(allow, "GET, HEAD");
}
END_TEST

START_TEST(only_health_is_open)
{
	size_t count;
	const struct api_routes_row *rows = api_routes_table(&count);

	for (size_t i = 0; i < count; i++)
		ck_assert_int_eq(rows[i].open, strcmp(rows[i].path, "/health") == 0);
}
END_TEST

void test_api_routes(TCase *tc)
{
	tcase_add_loop_test(tc, paths_lead_to_their_action, 0, (int)(sizeof(found) / sizeof(found[0])));
	tcase_add_test(tc, a_port_is_read);
	tcase_add_test(tc, a_key_is_read_in_every_spelling);
	tcase_add_test(tc, slash_and_plus_of_a_key_may_be_encoded_or_not);
	tcase_add_test(tc, what_is_no_key_is_told_from_a_missing_one);
	tcase_add_loop_test(tc, other_paths_lead_nowhere, 0, (int)(sizeof(nowhere) / sizeof(nowhere[0])));
	tcase_add_test(tc, a_path_of_any_length_is_safe);
	tcase_add_test(tc, other_methods_are_told_which_there_are);
	tcase_add_test(tc, only_health_is_open);
}
