#include "daemon/control_events.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/support/control.h"
#include "tests/support/document.h"

void test_control_events(TCase *tc);

#define RARELY_MS 3600000
#define NETWORKS  (CONTROL_EVENTS_KEPT / 2)
#define PEERS	  1201	/* more than two turns of the loop compare */

static struct snapshot_network networks[NETWORKS];

/* An event for each of the first `count`. */
static void all_become(enum snapshot_state state, size_t count)
{
	static uint64_t seq;

	for (size_t i = 0; i < count; i++) {
		networks[i].state = (uint8_t)state;
		memset(networks[i].reason, state == SNAPSHOT_FAILED ? 'x' : '\0',
		       sizeof networks[i].reason - 1);
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

/* The next look, which comes by time, sees these peers. */
static void look_sees(struct snapshot_peer *peers, uint32_t count)
{
	static unsigned ms;
	struct snapshot snapshot = { .networks = networks, .networks_count = 1,
		                     .peers = peers, .peers_count = count };

	/* Timers that come again count from when they were due. */
	ms += 5000;
	networks[0].peers_count = count;
	control_passes(ms);
	control_looks(control_hears_look(), &snapshot);
}

static void events_are(int client, const char *type, const struct snapshot_peer *last, size_t count)
{
	char  part[64];
	char  end[128] = "\"peer\":\"";
	char *text;

	tg_key_print(&last->public_key, end + strlen(end));
	text = control_answer_until(client, end);
	snprintf(part, sizeof part, "\nevent: %s\n", type);
	ck_assert_uint_eq(count_of(text, part), count);
	ck_assert_uint_eq(count_of(text, "\nevent: "), count);
	free(text);
}

/* Others have their turn in between, and none is left out for it. */
START_TEST(many_peers_are_compared_in_several_turns)
{
	static struct snapshot_peer peers[PEERS];

	begin();
	for (uint32_t i = 0; i < PEERS; i++) {
		peers[i].handshake_unix_s = tg_clock_unix_ms() / 1000;
		memcpy(peers[i].public_key.bytes, &i, sizeof i);
	}

	int client = control_ask("GET", "/events", "", "");

	free(control_answer_until(client, ":\n\n"));
	look_sees(NULL, 0);
	look_sees(peers, PEERS);
	events_are(client, "peer-connected", &peers[PEERS - 1], PEERS);
	look_sees(peers, 1);
	events_are(client, "peer-disconnected", &peers[PEERS - 1], PEERS - 1);
	peers[0].handshake_unix_s = 0;
	look_sees(peers, 1);
	events_are(client, "peer-disconnected", &peers[0], 1);
	close(client);
	control_end(NULL);
}
END_TEST

/* Reads up to the event that has this, which is the next one. */
static void next_event_has(int client, const char *part)
{
	char *text = control_answer_until(client, part);

	ck_assert_msg(count_of(text, "\nevent: ") == 1, "%s", text);
	free(text);
}

#define NOW_S 1700000000

/* wireguard-go was late, say, or its link is being made anew. */
START_TEST(peers_of_a_network_that_could_not_be_read_are_not_removed)
{
	struct snapshot_peer peer = { .handshake_unix_s = NOW_S };
	struct msg           msg;
	int                  table;

	tg_clock_fake(1000000, NOW_S * INT64_C(1000));
	begin();
	control_network_up(&networks[0], 51820, PUBLIC_1);
	tg_key_read(PUBLIC_2, strlen(PUBLIC_2), &peer.public_key);
	control_hear(control_supervisor(), MSG_ROLE_SUPERVISOR, MSG_READY, &msg, NULL);
	free(control_applies(DOCUMENT(",'peers':{'" PUBLIC_2 "':{'allowed_ips':[]}}"), networks, 1, &table));
	close(table);

	int client = control_ask("GET", "/events", "", "");

	free(control_answer_until(client, ":\n\n"));
	look_sees(NULL, 0);
	look_sees(&peer, 1);
	next_event_has(client, "event: peer-connected\n");
	look_sees(NULL, 0);
	peer.endpoint = (struct tg_endpoint){ .family = AF_INET, .port = 7 };
	look_sees(&peer, 1);
	next_event_has(client, "event: peer-endpoint\n");
	/* That it cannot be read does not keep it connected for ever. */
	tg_clock_fake(1000000, (NOW_S + 180) * INT64_C(1000));
	look_sees(NULL, 0);
	next_event_has(client, "\"reason\":\"no handshake for 180 s\"");
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
	tcase_add_test(tc, many_peers_are_compared_in_several_turns);
	tcase_add_test(tc, peers_of_a_network_that_could_not_be_read_are_not_removed);
	tcase_add_loop_test(tc, an_id_of_another_life_resets, 0,
	                    (int)(sizeof strangers / sizeof strangers[0]));
}
