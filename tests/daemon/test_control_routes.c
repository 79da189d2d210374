#include <check.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "proxy/routes.h"
#include "tests/support/control.h"
#include "tests/support/document.h"

void test_control_routes(TCase *tc);

#define RARELY_MS 3600000

#define HOST(name) DOCUMENT(",'proxy':{'https://" name "':['10.0.0.2:443']}")

static struct snapshot_network up;

/* Nothing can be stored until it is closed. */
static sqlite3 *database_held(void)
{
	sqlite3 *held = NULL;

	ck_assert_int_eq(sqlite3_open("traffic.db", &held), SQLITE_OK);
	sqlite3_busy_timeout(held, 5000);
	ck_assert_int_eq(sqlite3_exec(held, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	return held;
}

/* The table of the first report still goes out when its slots are stored at last; the second engine's
 * report then had nobody who took it up, and the apply never ended. */
START_TEST(an_engine_that_comes_while_slots_are_stored_gets_its_answer)
{
	struct msg msg;

	control_begin(RARELY_MS);
	control_network_up(&up, 51820, PUBLIC_1);
	control_hear(control_supervisor(), MSG_ROLE_SUPERVISOR, MSG_READY, &msg, NULL);

	char *document = document_text(HOST("a.example.com"));
	int   client = control_ask("POST", "/apply", "", document);

	free(document);
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_DESIRED, &msg, NULL);

	sqlite3 *held = database_held();

	control_engine_reports(1, msg.body.desired.generation, &up, 1);
	ck_assert(!control_comes(control_worker()));
	control_engine_dies();
	control_engine_again();
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_DESIRED, &msg, NULL);
	control_engine_reports(1, msg.body.desired.generation, &up, 1);
	control_hears_nothing(control_engine());
	sqlite3_close(held);
	close(control_worker_obeys());
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_ROUTED, &msg, NULL);

	char *answer = control_answer(client);

	ck_assert_ptr_nonnull(strstr(answer, " 200 "));
	free(answer);
	control_end(NULL);
}
END_TEST

#define WAIT_MS	    2500	/* two seconds, and what clocks differ by */
#define FIRST_WAITS 5		/* so many for the first answer: it may only just start */

START_TEST(a_worker_that_does_not_obey_in_time_is_to_be_killed)
{
	struct msg msg;
	char      *document = document_text(HOST("a.example.com"));

	control_begin(RARELY_MS);
	control_network_up(&up, 51820, PUBLIC_1);
	control_hear(control_supervisor(), MSG_ROLE_SUPERVISOR, MSG_READY, &msg, NULL);

	int client = control_ask("POST", "/apply", "", document);

	free(document);
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_DESIRED, &msg, NULL);
	control_engine_reports(1, msg.body.desired.generation, &up, 1);
	control_hear(control_worker(), MSG_ROLE_WORKER, MSG_ROUTES, &msg, NULL);
	control_passes(WAIT_MS);
	ck_assert(!control_comes(control_supervisor()));
	for (unsigned i = 1; i < FIRST_WAITS; i++)
		control_passes(WAIT_MS);

	struct msg stuck;

	control_hear(control_supervisor(), MSG_ROLE_SUPERVISOR, MSG_WORKER_STUCK, &stuck, NULL);
	ck_assert_uint_eq(stuck.body.worker.index, 0);
	control_tell(control_worker(), MSG_ROUTES_DONE, &msg.body.routes, -1);
	free(control_answer(client));

	/* One that runs has 2 s. */
	up.epoch.netns_cookie++;
	control_engine_reports(1000, 1, &up, 1);
	control_hear(control_worker(), MSG_ROLE_WORKER, MSG_ROUTES, &msg, NULL);
	control_passes(WAIT_MS);
	control_hear(control_supervisor(), MSG_ROLE_SUPERVISOR, MSG_WORKER_STUCK, &stuck, NULL);
	control_tell(control_worker(), MSG_ROUTES_DONE, &msg.body.routes, -1);
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_ROUTED, &msg, NULL);
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_ROUTED, &msg, NULL);
	ck_assert_uint_eq(msg.body.routed.seq, 1000);
	control_end(NULL);
}
END_TEST

#define HOSTS 501	/* more than the loop makes a table of */

static char *many_hosts(void)
{
	static const char begin[] =
	        "{'51820':{'private_key':'" PRIVATE_1 "','address':['10.0.0.1/16'],'proxy':{";
	char             *text = malloc(sizeof begin + (size_t)HOSTS * 64);
	char             *end = text;

	ck_assert_ptr_nonnull(text);
	end += sprintf(end, "%s", begin);
	for (unsigned i = 0; i < HOSTS; i++)
		end += sprintf(end, "%s'https://h%u.example':['10.0.0.2:443']", i > 0 ? "," : "", i);
	sprintf(end, "}}}");
	return text;
}

static void table_has_all(int fd, uint64_t netns_cookie)
{
	struct routes *routes = routes_open(fd, NULL);
	char           name[32];

	ck_assert_ptr_nonnull(routes);
	close(fd);
	for (unsigned i = 0; i < HOSTS; i++) {
		struct routes_host host;

		snprintf(name, sizeof name, "h%u.example", i);
		ck_assert(routes_find(routes, ROUTES_HTTPS, name, &host));
		ck_assert_uint_eq(host.netns_cookie, netns_cookie);
	}
	routes_close(routes);
}

/* All its slots are stored already, and yet it waits for the thread, with the document it is of. */
START_TEST(a_large_table_is_made_away_from_the_loop)
{
	struct msg msg;
	char      *document = many_hosts();
	int        fd;

	control_begin(RARELY_MS);
	control_network_up(&up, 51820, PUBLIC_1);
	control_hear(control_supervisor(), MSG_ROLE_SUPERVISOR, MSG_READY, &msg, NULL);
	free(control_applies(document, &up, 1, &fd));
	free(document);
	table_has_all(fd, up.epoch.netns_cookie);

	sqlite3 *held = control_thread_held();

	up.epoch.netns_cookie++;
	control_engine_reports(1000, 1, &up, 1);
	ck_assert(!control_comes(control_worker()));
	free(control_answer(control_ask("GET", "/health", "", "")));
	sqlite3_close(held);
	table_has_all(control_worker_obeys(), up.epoch.netns_cookie);
	for (unsigned i = 0; i < CONTROL_HELD_LEDGERS; i++)
		control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_LEDGER_DONE, &msg, NULL);
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_ROUTED, &msg, NULL);
	ck_assert_uint_eq(msg.body.routed.seq, 1000);

	/* What is the same does not go out again, but is answered. */
	control_engine_reports(1001, 1, &up, 1);
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_ROUTED, &msg, NULL);
	ck_assert_uint_eq(msg.body.routed.seq, 1001);
	ck_assert(!control_comes(control_worker()));
	control_end(NULL);
}
END_TEST

/* The engine reports while control has room for one descriptor, that of the report: none for a table. */
static void report_without_room(const struct msg_networks *body, const struct snapshot *state)
{
	struct tg_error err;
	struct rlimit   all, few;
	int             low = snapshot_pack(state, &err);
	int             fd = fcntl(low, F_DUPFD_CLOEXEC, 200);

	ck_assert_int_ne(fd, -1);
	close(low);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &all), 0);
	few = (struct rlimit){ .rlim_cur = (rlim_t)low + 1, .rlim_max = all.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	control_tell(control_engine(), MSG_NETWORKS, body, fd);
	/* By the second time the loop has been to the engine's channel. */
	control_passes(0);
	control_passes(0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &all), 0);
}

/* A table could not be made and was to be tried again; the next one, in the thread's hands by then, was given
 * to it a second time, and freed twice. */
START_TEST(a_table_is_made_once_though_one_before_it_failed)
{
	const struct snapshot state = { .networks = &up, .networks_count = 1 };
	struct msg_networks   body = { .seq = 1000, .complete = 1 };
	struct msg            msg;
	int                   fd;

	control_begin(RARELY_MS);
	control_network_up(&up, 51820, PUBLIC_1);
	control_hear(control_supervisor(), MSG_ROLE_SUPERVISOR, MSG_READY, &msg, NULL);
	free(control_applies(HOST("a.example.com"), &up, 1, &fd));
	close(fd);
	up.epoch.netns_cookie++;
	report_without_room(&body, &state);

	char *document = document_text(HOST("b.example.com"));
	int   client = control_ask("POST", "/apply", "", document);

	free(document);
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_DESIRED, &msg, NULL);

	sqlite3 *held = database_held();

	control_engine_reports(1001, msg.body.desired.generation, &up, 1);
	ck_assert(!control_comes(control_worker()));
	control_passes(1000);
	sqlite3_close(held);
	close(control_worker_obeys());
	do
		control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_ROUTED, &msg, NULL);
	while (msg.body.routed.seq != 1001);

	char *answer = control_answer(client);

	ck_assert_ptr_nonnull(strstr(answer, " 200 "));
	free(answer);
	control_end(NULL);
}
END_TEST

#define REPORTS 200

/* What it mends meanwhile it says at once, however long a worker takes. */
START_TEST(an_engine_that_reports_without_end_is_answered_in_the_end)
{
	char      *document = document_text(HOST("a.example.com"));
	struct msg msg, table;

	control_begin(RARELY_MS);
	control_network_up(&up, 51820, PUBLIC_1);
	control_hear(control_supervisor(), MSG_ROLE_SUPERVISOR, MSG_READY, &msg, NULL);

	int client = control_ask("POST", "/apply", "", document);

	free(document);
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_DESIRED, &msg, NULL);
	control_engine_reports(1, msg.body.desired.generation, &up, 1);
	control_hear(control_worker(), MSG_ROLE_WORKER, MSG_ROUTES, &table, NULL);
	for (uint64_t seq = 2; seq <= REPORTS; seq++)
		control_engine_reports(seq, msg.body.desired.generation, &up, 1);
	control_tell(control_worker(), MSG_ROUTES_DONE, &table.body.routes, -1);
	do
		control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_ROUTED, &msg, NULL);
	while (msg.body.routed.seq != REPORTS);

	char *answer = control_answer(client);

	ck_assert_ptr_nonnull(strstr(answer, " 200 "));
	free(answer);
	control_end(NULL);
}
END_TEST

void test_control_routes(TCase *tc)
{
	tcase_add_test(tc, an_engine_that_reports_without_end_is_answered_in_the_end);
	tcase_add_test(tc, a_worker_that_does_not_obey_in_time_is_to_be_killed);
	tcase_add_test(tc, a_large_table_is_made_away_from_the_loop);
	tcase_add_test(tc, a_table_is_made_once_though_one_before_it_failed);
	tcase_add_test(tc, an_engine_that_comes_while_slots_are_stored_gets_its_answer);
}
