#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "proxy/routes.h"
#include "tests/support/control.h"
#include "tests/support/document.h"

void test_control_count(TCase *tc);

#define OFTEN_MS  40
#define RARELY_MS 3600000

#define HOST(name) DOCUMENT(",'proxy':{'https://" name "':['10.0.0.2:443']}")

static struct snapshot_network up;

static void done_comes(const char *name)
{
	struct msg msg;

	do
		control_hear(control_supervisor(), MSG_ROLE_SUPERVISOR, MSG_SEGMENT_DONE, &msg, NULL);
	while (strcmp(msg.body.segment_done.name, name) != 0);
}

static void ready_comes(void)
{
	struct msg msg;

	control_hear(control_supervisor(), MSG_ROLE_SUPERVISOR, MSG_READY, &msg, NULL);
}

/* The slot in which the workers count the host, by the table that comes when it is applied. */
static uint32_t slot_of(const char *document, const char *host)
{
	struct tg_error    err;
	struct routes_host found;
	struct routes     *routes;
	uint32_t           slot = UINT32_MAX;
	int                table = -1;

	free(control_applies(document, &up, 1, &table));
	routes = routes_open(table, &err);
	ck_assert_ptr_nonnull(routes);
	if (host != NULL) {
		ck_assert(routes_find(routes, ROUTES_HTTPS, host, &found));
		slot = found.slot;
	}
	routes_close(routes);
	close(table);
	return slot;
}

/* Samples are taken until one that began after this is committed. */
static void sample_passes(void)
{
	for (int i = 0; i < 3; i++)
		control_looks(control_hears_look(), NULL);
}

START_TEST(a_dead_workers_counters_are_committed_and_then_done)
{
	const struct msg_slot none = { 0 };

	control_start(OFTEN_MS);
	close(control_segment("dead", 0, false, &none));
	control_go();
	ready_comes();
	done_comes("dead");
	control_end(NULL);
}
END_TEST

/* What a worker of an earlier daemon counts while it drains is lost once its segment is done. */
START_TEST(a_segment_is_not_done_before_the_supervisor_says_that_it_is_dead)
{
	const struct msg_slot none = { 0 };

	control_start(OFTEN_MS);
	close(control_segment("orphan", MSG_SEGMENT_ADOPTED, true, &none));
	close(control_segment("young", 0, true, &none));
	control_go();
	ready_comes();
	control_hears_nothing(control_engine());
	ck_assert(!control_comes(control_supervisor()));
	close(control_segment("orphan", MSG_SEGMENT_ADOPTED, false, &none));
	done_comes("orphan");
	control_end(NULL);
}
END_TEST

START_TEST(a_slot_of_a_removed_host_is_given_to_the_next_one)
{
	control_begin(OFTEN_MS);
	ready_comes();
	control_network_up(&up, 51820, PUBLIC_1);
	ck_assert_uint_eq(slot_of(HOST("a.example.com"), "a.example.com"), 0);
	slot_of(DOCUMENT(""), NULL);
	sample_passes();
	ck_assert_uint_eq(slot_of(HOST("b.example.com"), "b.example.com"), 0);
	control_end(NULL);
}
END_TEST

/* Its bytes would be booked to the next host. */
START_TEST(no_slot_changes_hands_while_a_worker_of_an_earlier_daemon_drains)
{
	const struct msg_slot none = { 0 };

	control_start(OFTEN_MS);
	close(control_segment("orphan", MSG_SEGMENT_ADOPTED, true, &none));
	control_go();
	ready_comes();
	control_network_up(&up, 51820, PUBLIC_1);
	ck_assert_uint_eq(slot_of(HOST("a.example.com"), "a.example.com"), 0);
	slot_of(DOCUMENT(""), NULL);
	sample_passes();
	ck_assert_uint_eq(slot_of(HOST("b.example.com"), "b.example.com"), 1);
	control_end(NULL);
}
END_TEST

void test_control_count(TCase *tc)
{
	tcase_add_test(tc, a_dead_workers_counters_are_committed_and_then_done);
	tcase_add_test(tc, a_segment_is_not_done_before_the_supervisor_says_that_it_is_dead);
	tcase_add_test(tc, a_slot_of_a_removed_host_is_given_to_the_next_one);
	tcase_add_test(tc, no_slot_changes_hands_while_a_worker_of_an_earlier_daemon_drains);
}
