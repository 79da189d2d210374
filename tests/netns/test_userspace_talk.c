#include "netns/userspace.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/model.h"
#include "netns/differ.h"
#include "netns/namespace.h"
#include "netns/state.h"
#include "netns/uapi.h"
#include "netns/wireguard.h"

void test_userspace_talk(TCase *tc);

#define NOW_MS	      1000000
#define ANSWER_MS     5
#define DEAF_MS	      5000
#define CHANGES_MS    250
#define REFUSED_MS    2000
#define LINKS	      8
#define QUESTION      "get=1\n\n"
#define DEVICE	      "listen_port=65529\nerrno=0\n\n"
#define NEW_PORT      "set=1\nlisten_port=65529\n\n"

/* A wireguard-go that serves every link, as this process: it hears all, and says what it is told to. */
static struct {
	int         links[LINKS];
	unsigned    count;
	const char *says;	/* at once, to each; NULL: nothing */
} go;

static const struct model_network want = { .port = 65529, .mtu = 1420 };
static const struct plan          plan = { .want = &want };
static const struct step          new_port = { .kind = STEP_DEVICE, .flags = STEP_PORT };
static struct netns_host          host;
static struct tenant              tenant;
static struct tg_error            err;

/* The linker leads our files here. */
int __real_uapi_connect(const char *link, pid_t *pid, struct tg_error *err_of_it);
int __wrap_uapi_connect(const char *link, pid_t *pid, struct tg_error *err_of_it);

static bool serves;

int __wrap_uapi_connect(const char *link, pid_t *pid, struct tg_error *err_of_it)
{
	int ends[2];

	if (!serves)
		return __real_uapi_connect(link, pid, err_of_it);
	ck_assert_uint_lt(go.count, LINKS);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	if (go.says != NULL)
		ck_assert_int_gt(send(ends[1], go.says, strlen(go.says), 0), 0);
	go.links[go.count++] = ends[1];
	*pid = getpid();
	return ends[0];
}

static void begin(void)
{
	tenant_init(&tenant, want.port);
	serves = true;
	err = (struct tg_error){ .sys = 0 };
	tg_clock_fake(NOW_MS, 0);
}

static void end(void)
{
	tenant_clear(&tenant);
	for (unsigned i = 0; i < go.count; i++)
		tg_close_at(&go.links[i]);
}

/* What has been said to it on that link. */
static const char *heard(unsigned link)
{
	static char text[256];
	ssize_t     n = recv(go.links[link], text, sizeof text - 1, MSG_PEEK);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void say(unsigned link, const char *text)
{
	ck_assert_int_gt(send(go.links[link], text, strlen(text), 0), 0);
}

/* What comes of a reading at that time, which is given up when it has to wait. */
static enum reading_result read_at(uint64_t now_ms, enum reading_what what)
{
	struct reading      reading;
	enum reading_result result = READING_MORE;

	reading_begin(&reading, &host, &tenant, what);
	reading.state.link = STATE_LINK_OURS;
	for (tg_clock_fake(now_ms, 0); result == READING_MORE; tg_clock_fake(now_ms += ANSWER_MS, 0))
		result = userspace_read(&reading, 0, &err);
	if (result == READING_DONE)
		ck_assert(reading.state.device);
	reading_end(&reading);
	return result;
}

START_TEST(a_question_stays_open_until_it_is_answered)
{
	for (unsigned i = 0; i < 10; i++)
		ck_assert_int_eq(read_at(NOW_MS + 100 * i, i % 2 == 0 ? READING_ALL : READING_DEVICE),
		                 READING_WAIT);
	ck_assert_uint_eq(go.count, 1);
	ck_assert_str_eq(heard(0), QUESTION);
	say(0, DEVICE);
	ck_assert_int_eq(read_at(NOW_MS + 1000, READING_ALL), READING_DONE);
	ck_assert_uint_eq(go.count, 1);
	ck_assert_uint_eq(tenant.deaf_since_ms, 0);
	ck_assert_int_eq(tenant.asked, -1);
}
END_TEST

START_TEST(who_is_deaf_fails_after_a_while_and_at_once_from_then_on)
{
	ck_assert_int_eq(read_at(NOW_MS - ANSWER_MS, READING_ALL), READING_WAIT);
	ck_assert_int_eq(read_at(NOW_MS + DEAF_MS - 1, READING_ALL), READING_WAIT);
	for (unsigned i = 0; i < 10; i++) {
		ck_assert_int_eq(read_at(NOW_MS + DEAF_MS * (i + 1), READING_ALL), READING_FAILED);
		ck_assert_str_eq(err.text, "wireguard-go does not answer");
	}
	ck_assert_uint_eq(go.count, 1);
}
END_TEST

/* It tells of a time that is over. */
START_TEST(an_answer_that_comes_late_is_a_sign_of_life_only)
{
	ck_assert_int_eq(read_at(NOW_MS, READING_ALL), READING_WAIT);
	ck_assert_int_eq(read_at(NOW_MS + 2 * DEAF_MS, READING_ALL), READING_FAILED);
	say(0, DEVICE);
	ck_assert_int_eq(read_at(NOW_MS + 3 * DEAF_MS, READING_ALL), READING_WAIT);
	ck_assert_uint_eq(go.count, 2);
	ck_assert_str_eq(heard(1), QUESTION);
	say(1, DEVICE);
	ck_assert_int_eq(read_at(NOW_MS + 3 * DEAF_MS + 1, READING_ALL), READING_DONE);
}
END_TEST

/* A snapshot waited for it in vain.  Counters only grow, but what is to be done is not told by how it was. */
START_TEST(an_answer_that_nobody_waited_for_is_enough_for_counters_only)
{
	ck_assert_int_eq(read_at(NOW_MS, READING_DEVICE), READING_WAIT);
	say(0, DEVICE);
	ck_assert_int_eq(read_at(NOW_MS + 2000, READING_DEVICE), READING_DONE);
	ck_assert_uint_eq(go.count, 1);
	ck_assert_int_eq(read_at(NOW_MS + 3000, READING_DEVICE), READING_WAIT);
	say(1, DEVICE);
	ck_assert_int_eq(read_at(NOW_MS + 5000, READING_ALL), READING_WAIT);
	ck_assert_uint_eq(go.count, 3);
	ck_assert_str_eq(heard(2), QUESTION);
	say(2, DEVICE);
	ck_assert_int_eq(read_at(NOW_MS + 5100, READING_ALL), READING_DONE);
	ck_assert_uint_eq(go.count, 3);
}
END_TEST

START_TEST(who_hangs_up_is_asked_again)
{
	ck_assert_int_eq(read_at(NOW_MS, READING_ALL), READING_WAIT);
	tg_close_at(&go.links[0]);
	go.says = DEVICE;
	ck_assert_int_eq(read_at(NOW_MS + 100, READING_ALL), READING_DONE);
	ck_assert_uint_eq(go.count, 2);
}
END_TEST

/* What is counted between the answer to an older question and the link's end would be lost. */
START_TEST(the_last_reading_is_asked_for_anew)
{
	ck_assert_int_eq(read_at(NOW_MS, READING_ALL), READING_WAIT);
	say(0, DEVICE);
	ck_assert_int_eq(read_at(NOW_MS + 100, READING_LAST), READING_WAIT);
	ck_assert_int_eq(read_at(NOW_MS + 200, READING_LAST), READING_WAIT);
	ck_assert_uint_eq(go.count, 2);
	say(1, DEVICE);
	ck_assert_int_eq(read_at(NOW_MS + 300, READING_LAST), READING_DONE);
	ck_assert_uint_eq(go.count, 2);
}
END_TEST

/* A large device whose end does not come: the beginning is of no use to anybody. */
START_TEST(an_answer_that_stops_is_given_up)
{
	go.says = "listen_port=7\n";
	ck_assert_int_eq(read_at(NOW_MS, READING_ALL), READING_WAIT);
	ck_assert_int_eq(tenant.asked, -1);
	go.says = DEVICE;
	ck_assert_int_eq(read_at(NOW_MS + 1000, READING_ALL), READING_DONE);
}
END_TEST

static int change(void)
{
	return userspace_device(&host, &tenant, &plan, &new_port, &err);
}

/* One that is not answered while the plan can wait. */
static void change_is_slow(void)
{
	ck_assert_int_eq(change(), -1);
	ck_assert_int_eq(err.sys, WIREGUARD_SOON);
	tg_clock_fake(NOW_MS + CHANGES_MS - 1, 0);
	ck_assert_int_eq(change(), -1);
	ck_assert_int_eq(err.sys, WIREGUARD_SOON);
	tg_clock_fake(NOW_MS + CHANGES_MS, 0);
	ck_assert_int_eq(change(), -1);
	ck_assert_int_eq(err.sys, WIREGUARD_SLOW);
	ck_assert_uint_eq(go.count, 1);
	ck_assert_str_eq(heard(0), NEW_PORT);
}

START_TEST(a_change_is_awaited_before_anything_is_read)
{
	change_is_slow();
	ck_assert_int_eq(read_at(NOW_MS + 300, READING_ALL), READING_WAIT);
	ck_assert_uint_eq(go.count, 1);
	say(0, "errno=0\n\n");
	go.says = DEVICE;
	/* A snapshot leaves the word on it to who made the change. */
	ck_assert_int_eq(read_at(NOW_MS + 400, READING_DEVICE), READING_WAIT);
	ck_assert_int_eq(read_at(NOW_MS + 400, READING_ALL), READING_DONE);
	ck_assert_uint_eq(go.count, 2);
	ck_assert_int_eq(tenant.changing, -1);
	ck_assert_uint_eq(tenant.deaf_since_ms, 0);
}
END_TEST

START_TEST(a_change_that_is_answered_soon_is_one_call_more)
{
	ck_assert_int_eq(change(), -1);
	ck_assert_int_eq(err.sys, WIREGUARD_SOON);
	say(0, "errno=0\n\n");
	ck_assert_int_eq(change(), 0);
	ck_assert_uint_eq(go.count, 1);
	ck_assert_uint_eq(tenant.deaf_since_ms, 0);
}
END_TEST

#define MANY_PEERS 3
#define MANY_RANGES 400

/* Steps that are more than one request can have, but no more than two: each is sent once. */
START_TEST(a_call_goes_on_behind_the_request_that_was_answered)
{
	static const struct model_peer peer = { .keepalive_s = 0 };
	struct tg_cidr                *ranges = calloc(MANY_RANGES, sizeof *ranges);
	struct plan                    large = { .want = &want, .ranges = ranges };
	struct step                    steps[MANY_PEERS];

	ck_assert_ptr_nonnull(ranges);
	for (unsigned i = 0; i < MANY_RANGES; i++)
		ck_assert(tg_cidr_read("fd00:1111:2222:3333:4444:5555:6666:7777/128", &ranges[i]));
	for (unsigned i = 0; i < MANY_PEERS; i++)
		steps[i] = (struct step){ .kind = STEP_PEER_SET,
			                  .peer = &peer,
			                  .key = { .bytes = { 9, (uint8_t)i } },
			                  .ranges_count = MANY_RANGES };
	for (unsigned requests = 1; requests <= 2; requests++) {
		ck_assert_int_eq(userspace_peers(&host, &tenant, &large, steps, MANY_PEERS, &err), -1);
		ck_assert_int_eq(err.sys, WIREGUARD_SOON);
		ck_assert_uint_eq(go.count, requests);
		say(requests - 1, "errno=0\n\n");
	}
	ck_assert_int_eq(userspace_peers(&host, &tenant, &large, steps, MANY_PEERS, &err), 0);
	ck_assert_uint_eq(go.count, 2);
	ck_assert_ptr_eq(strstr(heard(0), "public_key=0900"), strstr(heard(0), "public_key="));
	ck_assert_ptr_nonnull(strstr(heard(1), "public_key=0902"));
	free(ranges);
}
END_TEST

START_TEST(a_change_that_nobody_answers_fails_after_a_while)
{
	change_is_slow();
	ck_assert_int_eq(read_at(NOW_MS + DEAF_MS - 1, READING_ALL), READING_WAIT);
	ck_assert_int_eq(read_at(NOW_MS + DEAF_MS, READING_ALL), READING_FAILED);
	ck_assert_str_eq(err.text, "wireguard-go does not answer");
	say(0, "errno=0\n\n");
	go.says = DEVICE;
	ck_assert_int_eq(read_at(NOW_MS + 2 * DEAF_MS, READING_ALL), READING_DONE);
}
END_TEST

START_TEST(a_port_that_is_refused_late_is_refused_all_the_same)
{
	ck_assert_int_eq(change(), -1);
	say(0, "errno=-98\n\n");
	ck_assert_int_eq(read_at(NOW_MS + 100, READING_ALL), READING_WAIT);
	ck_assert(tenant.port_refused);
	go.says = "errno=-98\n\n";
	tg_clock_fake(NOW_MS + 100 + REFUSED_MS - 1, 0);
	ck_assert_int_eq(change(), -1);
	ck_assert_int_eq(err.sys, WIREGUARD_SLOW);
	tg_clock_fake(NOW_MS + 100 + REFUSED_MS, 0);
	ck_assert_int_eq(change(), -1);
	ck_assert_str_eq(err.text, "UDP port 65529 is in use");
	go.says = "errno=0\n\n";
	ck_assert_int_eq(change(), 0);
	ck_assert(!tenant.port_refused);
}
END_TEST

START_TEST(a_change_that_is_hung_up_on_fails)
{
	ck_assert_int_eq(change(), -1);
	tg_close_at(&go.links[0]);
	ck_assert_int_eq(read_at(NOW_MS + 100, READING_ALL), READING_FAILED);
	ck_assert_int_eq(tenant.changing, -1);
	go.says = DEVICE;
	ck_assert_int_eq(read_at(NOW_MS + 100, READING_ALL), READING_DONE);
}
END_TEST

/* What has been counted until then would be lost. */
START_TEST(the_last_reading_is_taken_whatever_came_of_a_change)
{
	tenant.refused_since_ms = NOW_MS - REFUSED_MS;
	ck_assert_int_eq(change(), -1);
	ck_assert_int_eq(read_at(NOW_MS + 100, READING_LAST), READING_WAIT);
	ck_assert_uint_eq(go.count, 1);
	say(0, "errno=-98\n\n");
	go.says = DEVICE;
	ck_assert_int_eq(read_at(NOW_MS + 200, READING_LAST), READING_DONE);
	ck_assert_uint_eq(go.count, 2);
}
END_TEST

START_TEST(a_change_whose_answer_stops_fails)
{
	go.says = "errno";
	ck_assert_int_eq(change(), -1);
	ck_assert_str_eq(err.text, "wireguard-go's answer has no end");
	ck_assert_int_eq(tenant.changing, -1);
}
END_TEST

/* Its answer would tell how it was before. */
START_TEST(a_change_takes_back_the_question_that_is_open)
{
	ck_assert_int_eq(read_at(NOW_MS, READING_DEVICE), READING_WAIT);
	say(0, DEVICE);
	go.says = "errno=0\n\n";
	ck_assert_int_eq(change(), 0);
	go.says = DEVICE;
	ck_assert_int_eq(read_at(NOW_MS, READING_ALL), READING_DONE);
	ck_assert_uint_eq(go.count, 3);
}
END_TEST

/* As the engine reads counters: it asks for no reason. */
START_TEST(one_that_cannot_be_reached_is_not_read)
{
	struct reading reading;
	struct rlimit  was, none;

	serves = false;
	reading_begin(&reading, &host, &tenant, READING_DEVICE);
	reading.state.link = STATE_LINK_OURS;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = (struct rlimit){ 0, was.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(userspace_read(&reading, 0, NULL), READING_FAILED);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
	reading_end(&reading);
}
END_TEST

/* No descriptor is left to watch the process by. */
START_TEST(one_that_cannot_be_watched_is_not_waited_for_without_end)
{
	struct rlimit was, two;
	int           left = dup(STDERR_FILENO);

	close(left);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
	two = (struct rlimit){ (rlim_t)left + 2, was.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &two), 0);

	ck_assert_int_eq(read_at(NOW_MS - ANSWER_MS, READING_DEVICE), READING_WAIT);
	ck_assert_int_eq(tenant.pidfd, -1);
	ck_assert_int_eq(read_at(NOW_MS + DEAF_MS - 1, READING_DEVICE), READING_WAIT);
	ck_assert_int_eq(read_at(NOW_MS + DEAF_MS, READING_DEVICE), READING_FAILED);
	ck_assert_str_eq(err.text, "wireguard-go does not answer");

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
	say(0, DEVICE);
	ck_assert_int_eq(read_at(NOW_MS + 2 * DEAF_MS, READING_DEVICE), READING_WAIT);
	ck_assert_int_ne(tenant.pidfd, -1);
}
END_TEST

void test_userspace_talk(TCase *tc)
{
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, a_question_stays_open_until_it_is_answered);
	tcase_add_test(tc, who_is_deaf_fails_after_a_while_and_at_once_from_then_on);
	tcase_add_test(tc, an_answer_that_comes_late_is_a_sign_of_life_only);
	tcase_add_test(tc, an_answer_that_nobody_waited_for_is_enough_for_counters_only);
	tcase_add_test(tc, who_hangs_up_is_asked_again);
	tcase_add_test(tc, the_last_reading_is_asked_for_anew);
	tcase_add_test(tc, an_answer_that_stops_is_given_up);
	tcase_add_test(tc, a_change_is_awaited_before_anything_is_read);
	tcase_add_test(tc, a_change_that_is_answered_soon_is_one_call_more);
	tcase_add_test(tc, a_call_goes_on_behind_the_request_that_was_answered);
	tcase_add_test(tc, a_change_that_nobody_answers_fails_after_a_while);
	tcase_add_test(tc, a_port_that_is_refused_late_is_refused_all_the_same);
	tcase_add_test(tc, a_change_that_is_hung_up_on_fails);
	tcase_add_test(tc, the_last_reading_is_taken_whatever_came_of_a_change);
	tcase_add_test(tc, a_change_whose_answer_stops_fails);
	tcase_add_test(tc, a_change_takes_back_the_question_that_is_open);
	tcase_add_test(tc, one_that_cannot_be_reached_is_not_read);
	tcase_add_test(tc, one_that_cannot_be_watched_is_not_waited_for_without_end);
}
