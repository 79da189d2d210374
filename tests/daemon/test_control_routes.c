#include <check.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

void test_control_routes(TCase *tc)
{
	tcase_add_test(tc, an_engine_that_comes_while_slots_are_stored_gets_its_answer);
}
