#include "api/gate.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_routes.h"
#include "api/limits.h"
#include "api/tokens.h"

void test_gate(TCase *tc);

#define HOST "Host: gateway\r\n"

static struct tokens *tokens;
static struct gate gate;
static char *text;

static void set_up(void)
{
	static const char lines[] = "boss\nread guest\n";

	tokens = tokens_read(lines, sizeof(lines) - 1, NULL);
	ck_assert_ptr_nonnull(tokens);
	text = NULL;
}

static void tear_down(void)
{
	tokens_free(tokens);
	free(text);
}

/* The status that the head is refused with, or 0. */
static int check(const char *head, bool local)
{
	size_t bytes = strlen(head);

	free(text);
	text = strdup(head);
	ck_assert_ptr_nonnull(text);
	gate_check(text, bytes, local, tokens, &api_limits_usual, &gate);
	return gate.status;
}

START_TEST(a_call_has_all_that_the_head_says)
{
	ck_assert_int_eq(check("POST /api/v1/apply?dry_run=true HTTP/1.1\r\n" HOST "Token: boss\r\n"
	                       "If-Match: \"x\"\r\nContent-Length: 2\r\n\r\n",
	                       false),
	                 0);
	ck_assert_int_eq(gate.call.action, API_CONFIG_APPLY);
	ck_assert(gate.call.dry_run && gate.call.secrets && gate.call.authenticated);
	ck_assert_str_eq(gate.call.if_match, "\"x\"");
	ck_assert(!gate.close);

	ck_assert_int_eq(check("GET /api/v1/traffic?since=5&network=51820 HTTP/1.1\r\n" HOST
	                       "Token: guest\r\nAccept: text/csv\r\n\r\n",
	                       false),
	                 0);
	ck_assert_int_eq(gate.call.action, API_TRAFFIC_GET);
	ck_assert_int_eq(gate.call.accept, API_ACCEPT_CSV);
	ck_assert_int_eq(gate.call.since_unix_s, 5);
	ck_assert_int_eq(gate.call.until_unix_s, INT64_MAX);
	ck_assert_str_eq(gate.call.network, "51820");
	ck_assert(!gate.call.secrets && gate.call.authenticated);

	ck_assert_int_eq(check("GET /api/v1/events HTTP/1.1\r\n" HOST "Last-Event-ID: 17\r\n\r\n", true), 0);
	ck_assert_str_eq(gate.call.last_event_id, "17");
	ck_assert(gate.call.secrets);
}
END_TEST

START_TEST(a_read_token_writes_nothing)
{
	size_t count;
	const struct api_routes_row *rows = api_routes_table(&count);
	char head[256];

	for (size_t i = 0; i < count; i++) {
		snprintf(head, sizeof(head), "%s /api/v1%s HTTP/1.1\r\n" HOST "Token: guest\r\n\r\n",
		         api_routes_method(rows[i].method), rows[i].path);
		if (rows[i].method != HEAD_GET)
			ck_assert_msg(check(head, false) == 403, "%s", head);
	}
}
END_TEST

START_TEST(without_a_token_only_health_answers)
{
	size_t count;
	const struct api_routes_row *rows = api_routes_table(&count);
	char head[256];

	for (size_t i = 0; i < count; i++) {
		snprintf(head, sizeof(head), "%s /api/v1%s HTTP/1.1\r\n" HOST "\r\n",
		         api_routes_method(rows[i].method), rows[i].path);
		ck_assert_int_eq(check(head, false), rows[i].open ? 0 : 401);
		ck_assert_int_eq(gate.close, !rows[i].open);
	}
	ck_assert_int_eq(check("HEAD /api/v1/health HTTP/1.1\r\n" HOST "\r\n", false), 0);
	ck_assert(!gate.call.authenticated && !gate.call.secrets);
}
END_TEST

START_TEST(no_tokens_at_all_let_nobody_in)
{
	tokens_free(tokens);
	tokens = NULL;
	ck_assert_int_eq(check("GET /api/v1/config HTTP/1.1\r\n" HOST "Token: boss\r\n\r\n", false), 401);
	ck_assert_int_eq(check("GET /api/v1/config HTTP/1.1\r\n" HOST "\r\n", true), 0);
}
END_TEST

START_TEST(a_body_may_be_as_large_as_a_document)
{
	ck_assert_int_eq(
	        check("POST /api/v1/apply HTTP/1.1\r\n" HOST "Content-Length: 67108864\r\n\r\n", true), 0);
	ck_assert_int_eq(
	        check("POST /api/v1/apply HTTP/1.1\r\n" HOST "Content-Length: 67108865\r\n\r\n", true), 413);
	ck_assert(gate.close);
}
END_TEST

START_TEST(a_patch_has_a_type_of_its_own)
{
	ck_assert_int_eq(check("PATCH /api/v1/config HTTP/1.1\r\n" HOST
	                       "Content-Type: application/merge-patch+json\r\n\r\n",
	                       true),
	                 0);
	ck_assert_int_eq(check("POST /api/v1/config HTTP/1.1\r\n" HOST
	                       "Content-Type: application/merge-patch+json\r\n\r\n",
	                       true),
	                 415);
}
END_TEST

START_TEST(a_refusal_is_printed_with_its_detail)
{
	ck_assert_int_eq(check("GET /api/v1/networks/5/peers/nokey HTTP/1.1\r\n" HOST "\r\n", true), 400);

	char *json = gate_print(&gate);

	ck_assert_str_eq(json,
	                 "{\"error\":{\"code\":\"BAD_REQUEST\",\"message\":\"not a public key\",\"details\":["
	                 "{\"path\":\"key\",\"message\":\"must be base64 of 32 bytes, percent-encoded, or "
	                 "base64url\"}]}}");
	free(json);
	ck_assert(!gate.close);
	ck_assert_int_eq(check("DELETE /api/v1/traffic HTTP/1.1\r\n" HOST "\r\n", true), 405);
	ck_assert_str_eq(gate.allow, "GET, HEAD");
}
END_TEST

void test_gate(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_call_has_all_that_the_head_says);
	tcase_add_test(tc, a_read_token_writes_nothing);
	tcase_add_test(tc, without_a_token_only_health_answers);
	tcase_add_test(tc, no_tokens_at_all_let_nobody_in);
	tcase_add_test(tc, a_body_may_be_as_large_as_a_document);
	tcase_add_test(tc, a_patch_has_a_type_of_its_own);
	tcase_add_test(tc, a_refusal_is_printed_with_its_detail);
}
