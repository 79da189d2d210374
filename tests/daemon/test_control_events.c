#include "daemon/control_events.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/control.h"
#include "tests/support/document.h"

void test_control_events(TCase *tc);

#define RARELY_MS 3600000
#define NETWORKS  (CONTROL_EVENTS_KEPT / 2)

static struct snapshot_network networks[NETWORKS];

/* An event for each of the first `count`. */
static void all_become(enum snapshot_state state, size_t count)
{
	static uint64_t seq;

	for (size_t i = 0; i < count; i++) {
		networks[i].state = (uint8_t)state;
		memset(networks[i].reason, state == SNAPSHOT_FAILED ? 'x' : '\0', sizeof networks[i].reason - 1);
	}
	control_engine_reports(++seq, 1, networks, NETWORKS);
	if (seq == 1)
		close(control_worker_obeys());
}

static void begin(void)
{
	control_begin(RARELY_MS);
	for (size_t i = 0; i < NETWORKS; i++)
		control_network_up(&networks[i], (uint16_t)(i + 1), PUBLIC_1);
}

static size_t count_of(const char *text, const char *part)
{
	size_t count = 0;

	for (; (text = strstr(text, part)) != NULL; text += strlen(part))
		count++;
	return count;
}

/* The id in the last event of `text`. */
static void last_id(const char *text, char to[64])
{
	const char *id = NULL;

	for (const char *at = text; (at = strstr(at, "\nid: ")) != NULL; at++)
		id = at + 5;
	ck_assert_ptr_nonnull(id);
	snprintf(to, 64, "%.*s", (int)strcspn(id, "\n"), id);
}

static int resume(const char *id)
{
	char fields[128];

	snprintf(fields, sizeof fields, "Last-Event-ID: %s\r\n", id);
	return control_ask("GET", "/events", fields, "");
}

/* Larger than what is given to a reader at a time: it was dropped for reading so much. */
START_TEST(all_events_that_are_kept_are_resumed)
{
	char id[64];

	begin();

	int   client = control_ask("GET", "/events", "", "");
	char *text = control_answer_until(client, ":\n\n");

	free(text);
	all_become(SNAPSHOT_FAILED, 1);
	text = control_answer_until(client, "\ndata: {");
	last_id(text, id);
	free(text);
	close(client);
	all_become(SNAPSHOT_UP, 1);
	all_become(SNAPSHOT_FAILED, NETWORKS);
	all_become(SNAPSHOT_UP, NETWORKS - 1);
	client = resume(id);
	text = control_answer_until(client, "\"port\":4999,\"network\":\"" PUBLIC_1 "\"}\n\n");
	ck_assert_uint_eq(count_of(text, "\nevent: "), CONTROL_EVENTS_KEPT);
	ck_assert_uint_eq(count_of(text, "\nevent: reset"), 0);
	free(text);
	close(client);

	/* One more, and the first that it missed is gone. */
	all_become(SNAPSHOT_UP, NETWORKS);
	client = resume(id);
	text = control_answer_until(client, "event: reset\ndata: {\"time\":");
	ck_assert_uint_eq(count_of(text, "\nevent: "), 1);
	last_id(text, id);
	free(text);
	close(client);

	/* From the reset it goes on without another. */
	all_become(SNAPSHOT_FAILED, 1);
	client = resume(id);
	text = control_answer_until(client, "network-failed");
	ck_assert_uint_eq(count_of(text, "\nevent: "), 1);
	free(text);
	close(client);
	control_end(NULL);
}
END_TEST

static const char *const strangers[] = { "", "x", "00000000-1", "1", "-", "ffffffff-18446744073709551616" };

START_TEST(an_id_of_another_life_resets)
{
	begin();

	int   client = resume(strangers[_i]);
	char *text = control_answer_until(client, "event: reset\n");

	free(text);
	close(client);
	control_end(NULL);
}
END_TEST

void test_control_events(TCase *tc)
{
	tcase_add_test(tc, all_events_that_are_kept_are_resumed);
	tcase_add_loop_test(tc, an_id_of_another_life_resets, 0, (int)(sizeof strangers / sizeof strangers[0]));
}
