#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "tests/support/control.h"
#include "tests/support/document.h"

void test_control_apply(TCase *tc);

#define RARELY_MS 3600000
#define PEER_PATH "/networks/51820/peers/3ix68B2Fj0zbVx2LOC0Va1RhsIfIQjWSsEuLhNzHQXw"

static struct snapshot_network up;

static void begin(void)
{
	struct msg msg;

	control_begin(RARELY_MS);
	control_network_up(&up, 51820, PUBLIC_1);
	control_hear(control_supervisor(), MSG_ROLE_SUPERVISOR, MSG_READY, &msg, NULL);
}

static void answer_has(int client, const char *part)
{
	char *answer = control_answer(client);

	ck_assert_msg(strstr(answer, part) != NULL, "not in it: %s\n%s", part, answer);
	free(answer);
}

static void applied(const char *document, const char *part)
{
	char *answer = control_applies(document, &up, 1, NULL);

	ck_assert_msg(strstr(answer, part) != NULL, "not in it: %s\n%s", part, answer);
	free(answer);
}

static void give_config(const char *document)
{
	struct msg_file body = { .kind = MSG_FILE_CONFIG };
	char           *text = document_text(document);
	struct tg_part  part = { text, strlen(text) };
	struct tg_error err;
	int             fd = tg_memfd_make("config", &part, 1, &err);

	free(text);
	ck_assert_int_ne(fd, -1);
	control_tell(control_supervisor(), MSG_FILE, &body, fd);
}

/* The engine is told of a document with this round, and obeys. */
static void engine_obeys(void)
{
	static uint64_t seq = 1000;
	struct msg      msg;

	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_DESIRED, &msg, NULL);
	control_engine_reports(++seq, msg.body.desired.generation, &up, 1);
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_ROUTED, &msg, NULL);
}

START_TEST(a_dry_run_makes_nothing_so_its_answer_is_200)
{
	begin();
	control_worker_dies();
	applied(DOCUMENT(""), "\"generation\":1");
	answer_has(control_ask("PUT", PEER_PATH "?dry_run=true", "", "{\"allowed_ips\":[]}"),
	           "HTTP/1.1 200 ");
	ck_assert(!control_comes(control_engine()));

	int client = control_ask("PUT", PEER_PATH, "", "{\"allowed_ips\":[]}");

	engine_obeys();
	answer_has(client, "HTTP/1.1 201 ");
	client = control_ask("PUT", PEER_PATH, "", "{\"allowed_ips\":[]}");
	engine_obeys();
	answer_has(client, "HTTP/1.1 200 ");
	control_end(NULL);
}
END_TEST

/* It makes the daemon remove strays from here on, so it is news though it equals what was there. */
START_TEST(the_first_document_is_an_event_even_when_it_is_empty)
{
	begin();
	control_worker_dies();

	int   events = control_ask("GET", "/events", "", "");
	char *text = control_answer_until(events, ":\n\n");

	free(text);

	char *answer = control_applies("{}", NULL, 0, NULL);

	ck_assert_ptr_nonnull(strstr(answer, "\"generation\":1"));
	free(answer);
	text = control_answer_until(events, "\"generation\":1");
	ck_assert_ptr_nonnull(strstr(text, "event: applied\n"));
	free(text);
	close(events);
	control_end(NULL);
}
END_TEST

/* What waits at the end is told so. */
START_TEST(an_apply_that_waits_at_the_end_leaks_nothing)
{
	struct msg msg;

	begin();

	char *document = document_text(DOCUMENT(""));
	int   one = control_ask("POST", "/apply", "", document);
	int   two = control_ask("POST", "/apply", "", document);

	free(document);
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_DESIRED, &msg, NULL);
	control_end(NULL);
	close(one);
	close(two);
}
END_TEST

/* A traffic answer that its client has not read was closed by a thread that was no more. */
START_TEST(a_traffic_answer_that_is_under_way_at_the_end_is_closed)
{
	begin();

	int client = control_ask("GET", "/traffic", "", "");

	control_end(NULL);
	close(client);
}
END_TEST

/* While the second content waits, a third that equals the first was taken for what is in force. */
START_TEST(config_goes_back_to_what_it_was_while_another_content_waits)
{
	const struct msg_none none = { 0 };
	char                 *answer;
	struct msg            msg;

	control_start(RARELY_MS);
	control_worker_dies();
	control_network_up(&up, 51820, PUBLIC_1);
	give_config(DOCUMENT(",'name':'one'"));
	control_go();
	engine_obeys();
	control_hear(control_supervisor(), MSG_ROLE_SUPERVISOR, MSG_READY, &msg, NULL);
	give_config(DOCUMENT(",'name':'two'"));
	control_tell(control_supervisor(), MSG_GO, &none, -1);
	give_config(DOCUMENT(",'name':'one'"));
	control_tell(control_supervisor(), MSG_GO, &none, -1);
	engine_obeys();
	engine_obeys();
	answer = control_answer(control_ask("GET", "/config", "", ""));
	ck_assert_msg(strstr(answer, "\"name\": \"one\"") != NULL, "%s", answer);
	free(answer);
	control_end(NULL);
}
END_TEST

/* Else its client waits as long as the engine is away. */
START_TEST(an_apply_outlives_its_engine_and_ends_with_the_next)
{
	struct msg msg;

	begin();

	char *document = document_text(DOCUMENT(""));
	int   client = control_ask("POST", "/apply", "", document);

	free(document);
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_DESIRED, &msg, NULL);
	control_engine_dies();
	answer_has(control_ask("GET", "/health", "", ""), " 503 ");
	control_engine_again();
	control_worker_dies();
	engine_obeys();
	answer_has(client, "HTTP/1.1 200 ");
	control_end(NULL);
}
END_TEST

/* The document is the active one all the same: it is in force with the next engine. */
START_TEST(an_apply_waits_30_s_for_an_engine_that_stays_away)
{
	struct msg msg;
	char      *text;

	begin();
	control_worker_dies();

	char *document = document_text(DOCUMENT(""));
	int   events = control_ask("GET", "/events", "", "");
	int   client = control_ask("POST", "/apply", "", document);

	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_DESIRED, &msg, NULL);
	control_engine_dies();
	control_passes(29000);
	ck_assert(!control_comes(client));
	control_passes(30000);
	text = control_answer(client);
	ck_assert_ptr_nonnull(strstr(text, "HTTP/1.1 500 "));
	ck_assert_ptr_nonnull(strstr(text, "the document is stored, but the engine is down"));
	free(text);
	text = control_answer_until(events, "\"generation\":1");
	ck_assert_ptr_nonnull(strstr(text, "event: applied\n"));
	free(text);
	close(events);
	control_engine_again();
	engine_obeys();
	client = control_ask("POST", "/apply", "", document);
	engine_obeys();
	answer_has(client, "\"generation\":1");
	free(document);
	control_end(NULL);
}
END_TEST

START_TEST(health_answers_for_every_role)
{
	struct msg_down down = { { 0 } };
	int             table = -1;

	begin();
	answer_has(control_ask("GET", "/health", "", ""), "no document is loaded");
	free(control_applies(DOCUMENT(""), &up, 1, &table));
	close(table);
	answer_has(control_ask("GET", "/health", "", ""), "{\"status\":\"ok\"}");
	down.processes[MSG_ROLE_BROKER] = 1;
	control_tell(control_supervisor(), MSG_DOWN, &down, -1);
	answer_has(control_ask("GET", "/health", "", ""), "the broker is down");
	answer_has(control_ask("GET", "/metrics", "", ""), "tollgate_processes_down{role=\"broker\"} 1\n");
	down.processes[MSG_ROLE_BROKER] = 0;
	control_tell(control_supervisor(), MSG_DOWN, &down, -1);
	answer_has(control_ask("GET", "/health", "", ""), "{\"status\":\"ok\"}");
	control_worker_dies();
	answer_has(control_ask("GET", "/health", "", ""), "a worker is down");
	control_engine_dies();
	answer_has(control_ask("GET", "/health", "", ""), "the engine is down");
	control_end(NULL);
}
END_TEST

#define CLAIMING DOCUMENT(",'proxy':{'https://*.example.com':['10.0.0.2:443']}")

static void forward_and_go(void)
{
	struct msg_forward forward = { .https = 1, .host = "panel.example.com" };

	control_tell(control_supervisor(), MSG_FORWARD, &forward, -1);
	control_go();
	control_hear(control_supervisor(), MSG_ROLE_SUPERVISOR, MSG_READY, &(struct msg){ 0 }, NULL);
}

START_TEST(a_config_file_that_claims_an_operators_host_is_refused)
{
	control_start(RARELY_MS);
	give_config(CLAIMING);
	forward_and_go();
}
END_TEST

/* It was given by --forward after the document was stored: no table can hold both. */
START_TEST(a_stored_document_that_claims_an_operators_host_is_refused)
{
	char *text = document_text(CLAIMING);
	FILE *file;

	control_home();
	file = fopen("state.json", "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	fclose(file);
	free(text);
	control_start(RARELY_MS);
	forward_and_go();
}
END_TEST

void test_control_apply(TCase *tc)
{
	tcase_add_test(tc, a_dry_run_makes_nothing_so_its_answer_is_200);
	tcase_add_test(tc, the_first_document_is_an_event_even_when_it_is_empty);
	tcase_add_test(tc, an_apply_that_waits_at_the_end_leaks_nothing);
	tcase_add_test(tc, a_traffic_answer_that_is_under_way_at_the_end_is_closed);
	tcase_add_test(tc, config_goes_back_to_what_it_was_while_another_content_waits);
	tcase_add_test(tc, health_answers_for_every_role);
	tcase_add_exit_test(tc, a_config_file_that_claims_an_operators_host_is_refused, 2);
	tcase_add_exit_test(tc, a_stored_document_that_claims_an_operators_host_is_refused, 2);
	tcase_add_test(tc, an_apply_outlives_its_engine_and_ends_with_the_next);
	tcase_add_test(tc, an_apply_waits_30_s_for_an_engine_that_stays_away);
}
