#include <check.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/error.h"
#include "tests/support/control.h"
#include "tests/support/document.h"

void test_control_api(TCase *tc);

#define RARELY_MS    3600000
#define LOOKS_MOST   64
#define PATIENCE_MS  15000

static struct snapshot_network up;
static const struct snapshot   one = { .networks = &up, .networks_count = 1 };

static int listener(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&to, sizeof to), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	return fd;
}

static void begin(void)
{
	const struct msg_listening api = { .kind = MSG_LISTENER_API_UNIX };
	struct msg                 msg;

	control_start(RARELY_MS);
	control_tell(control_supervisor(), MSG_LISTENER, &api, listener("other.sock"));
	control_worker_dies();
	control_go();
	control_network_up(&up, 51820, PUBLIC_1);
	control_hear(control_supervisor(), MSG_ROLE_SUPERVISOR, MSG_READY, &msg, NULL);
	free(control_applies(DOCUMENT(""), &up, 1, NULL));
}

/* Whether `client` was answered with 200, else it was with 503.  The engine looks whenever it is asked to. */
static bool answered(int client)
{
	struct pollfd wait[] = { { .fd = client, .events = POLLIN },
		                 { .fd = control_engine(), .events = POLLIN } };
	struct tg_error err;
	struct msg      msg;
	int             fds[MSG_FDS_MOST];

	for (;;) {
		ck_assert_int_gt(poll(wait, 2, PATIENCE_MS), 0);
		if (wait[1].revents == 0)
			break;

		int count =
		        channel_wait(control_engine(), MSG_ROLE_ENGINE, MSG_ROLE_CONTROL, &msg, fds, &err);

		ck_assert_int_eq(count, 0);
		if (msg.type == MSG_LOOK)
			control_looks(msg.body.look.id, &one);
	}

	char *answer = control_answer(client);
	bool  good = strstr(answer, " 200 ") != NULL;

	ck_assert_msg(good ? strstr(answer, "{\"51820\":{\"port\":51820,") != NULL
	                   : strstr(answer, "too many requests are waiting") != NULL, "%s", answer);
	free(answer);
	return good;
}

/* While a disk is slow, or a large answer is printed, others hear at once. */
START_TEST(what_runs_is_printed_away_from_the_loop)
{
	begin();

	sqlite3 *held = control_thread_held();
	int      client = control_ask("GET", "/networks", "", "");

	control_looks(control_hears_look(), &one);
	free(control_answer(control_ask("GET", "/health", "", "")));
	ck_assert(!control_comes(client));
	sqlite3_close(held);
	ck_assert(answered(client));
	control_end(NULL);
}
END_TEST

START_TEST(a_client_may_leave_while_its_answer_is_printed)
{
	begin();

	sqlite3 *held = control_thread_held();
	int      client = control_ask("GET", "/networks/51820", "", "");

	control_looks(control_hears_look(), &one);
	free(control_answer(control_ask("GET", "/health", "", "")));
	close(client);
	free(control_answer(control_ask("GET", "/health", "", "")));
	sqlite3_close(held);
	ck_assert(answered(control_ask("GET", "/networks", "", "")));
	control_end(NULL);
}
END_TEST

/* One Unix socket takes no more connections than are looked for at a time: what is asked from here on comes
 * by another. */
static void other_socket(void)
{
	ck_assert_int_eq(rename("other.sock", "api.sock"), 0);
}

START_TEST(so_many_are_looked_for_at_a_time_and_no_more)
{
	int      clients[LOOKS_MOST];
	unsigned good = 0;

	begin();

	sqlite3 *held = control_thread_held();

	for (unsigned i = 0; i < LOOKS_MOST; i++) {
		if (i == LOOKS_MOST / 2)
			other_socket();
		clients[i] = control_ask("GET", "/networks", "", "");
		/* Half of them wait to be printed, the others for the engine. */
		if (i == LOOKS_MOST / 2 - 1) {
			control_looks(control_hears_look(), &one);
			control_looks(control_hears_look(), &one);
		}
	}
	/* All were heard when this one is. */
	free(control_answer(control_ask("GET", "/health", "", "")));
	ck_assert(!answered(control_ask("GET", "/networks", "", "")));
	sqlite3_close(held);
	for (unsigned i = 0; i < LOOKS_MOST; i++)
		good += answered(clients[i]);
	ck_assert_uint_eq(good, LOOKS_MOST);
	ck_assert(answered(control_ask("GET", "/networks", "", "")));
	control_end(NULL);
}
END_TEST

void test_control_api(TCase *tc)
{
	tcase_add_test(tc, what_runs_is_printed_away_from_the_loop);
	tcase_add_test(tc, a_client_may_leave_while_its_answer_is_printed);
	tcase_add_test(tc, so_many_are_looked_for_at_a_time_and_no_more);
}
