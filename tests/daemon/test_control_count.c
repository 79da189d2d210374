#include <check.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accounting/store_db.h"
#include "base/error.h"
#include "base/fd.h"
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

static int64_t sent_by(sqlite3 *db, const char *host)
{
	sqlite3_stmt *sum = NULL;
	int64_t       tx;

	ck_assert_int_eq(sqlite3_prepare_v2(db, "SELECT total(tx) FROM records WHERE key & ? IN "
	                                    "(SELECT id FROM series WHERE CAST(name AS TEXT) = ?)",
	                                    -1, &sum, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_bind_int64(sum, 1, STORE_ID_MASK), SQLITE_OK);
	ck_assert_int_eq(sqlite3_bind_text(sum, 2, host, -1, SQLITE_STATIC), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(sum), SQLITE_ROW);
	tx = sqlite3_column_int64(sum, 0);
	sqlite3_finalize(sum);
	return tx;
}

/* Control sees a worker's end before its supervisor says that it is dead: only then is it known what it was
 * sending as it was killed, and that is still the removed host's. */
START_TEST(no_slot_changes_hands_before_a_dead_worker_has_told_of_its_last_bytes)
{
	const struct msg_slot    none = { 0 };
	const struct msg_segment dead = { .name = "young" };
	const uint64_t           sending = 100;
	sqlite3                 *db = NULL;
	int                      segment;

	control_start(OFTEN_MS);
	segment = control_segment("young", 0, true, &none);
	control_go();
	ready_comes();
	control_network_up(&up, 51820, PUBLIC_1);
	ck_assert_uint_eq(slot_of(HOST("a.example.com"), "a.example.com"), 0);
	ck_assert_int_eq(pwrite(segment, &sending, sizeof sending, offsetof(struct msg_counters, sending)),
	                 sizeof sending);
	control_worker_dies();
	free(control_applies(DOCUMENT(""), &up, 1, NULL));
	sample_passes();
	free(control_applies(HOST("b.example.com"), &up, 1, NULL));
	control_tell(control_supervisor(), MSG_SEGMENT, &dead, segment);
	sample_passes();
	done_comes("young");
	control_end(NULL);
	ck_assert_int_eq(sqlite3_open("traffic.db", &db), SQLITE_OK);
	ck_assert_int_eq(sent_by(db, "b.example.com"), 0);
	ck_assert_int_eq(sent_by(db, "a.example.com"), 100);
	sqlite3_close(db);
}
END_TEST

static void peer_counts(struct snapshot *snapshot, struct snapshot_peer *peer, uint64_t rx, uint64_t tx)
{
	*peer = (struct snapshot_peer){ .rx = rx, .tx = tx };
	ck_assert(tg_key_read(PUBLIC_2, strlen(PUBLIC_2), &peer->public_key));
	up.peers_count = 1;
	*snapshot =
	        (struct snapshot){ .networks = &up, .networks_count = 1, .peers = peer, .peers_count = 1 };
}

/* What the database has of the peer, once control has ended. */
static void recorded(int64_t rx, int64_t tx)
{
	sqlite3      *db = NULL;
	sqlite3_stmt *sums = NULL;

	ck_assert_int_eq(sqlite3_open("traffic.db", &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db, "SELECT total(rx), total(tx) FROM records", -1, &sums, NULL),
	                 SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(sums), SQLITE_ROW);
	ck_assert_int_eq(sqlite3_column_int64(sums, 0), rx);
	ck_assert_int_eq(sqlite3_column_int64(sums, 1), tx);
	sqlite3_finalize(sums);
	sqlite3_close(db);
}

static uint64_t ledger_sends(const struct msg_reading *readings, size_t count)
{
	static uint64_t   id;
	struct tg_part    part = { readings, count * sizeof *readings };
	struct msg_ledger ledger = { .id = ++id, .count = count };
	struct tg_error   err;

	control_tell(control_engine(), MSG_LEDGER, &ledger, tg_memfd_make("ledger", &part, 1, &err));
	return id;
}

static void ledger_stores(const struct msg_reading *readings, size_t count)
{
	uint64_t   id = ledger_sends(readings, count);
	struct msg msg;

	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_LEDGER_DONE, &msg, NULL);
	ck_assert_uint_eq(msg.body.ledger_done.id, id);
}

/* Samples never come by themselves here: 20 are of the ledger, which is taken in its order, 300 of the last
 * sample. */
START_TEST(the_last_sample_is_taken_at_the_end)
{
	struct snapshot      last;
	struct snapshot_peer peer;
	struct msg_reading   readings[2];

	control_begin(RARELY_MS);
	ready_comes();
	control_worker_dies();
	control_network_up(&up, 51820, PUBLIC_1);
	peer_counts(&last, &peer, 1500, 170);
	readings[0] = (struct msg_reading){ .network = up.public_key, .peer = peer.public_key,
		                            .epoch = up.epoch, .rx = 1000, .tx = 100,
		                            .kind = MSG_READING_BASELINE };
	ledger_stores(readings, 1);
	readings[1] = readings[0];
	readings[0].rx = 1020;
	readings[0].kind = MSG_READING_COUNT;
	readings[1].rx = 1200;
	ledger_stores(readings, 2);
	control_end(&last);
	recorded(320, 70);
}
END_TEST

/* What was appended to the database's log until now is all that it has room for. */
static void room_for(const char *file, bool more)
{
	struct rlimit room = { RLIM_INFINITY, RLIM_INFINITY };
	struct stat   st;

	ck_assert_int_eq(stat(file, &st), 0);
	if (!more)
		room.rlim_cur = (rlim_t)st.st_size;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &room), 0);
}

static void hears_500(int client, const char *why)
{
	char *answer = control_answer(client);

	ck_assert_msg(strstr(answer, "HTTP/1.1 500 ") != NULL && strstr(answer, why) != NULL, "%s", answer);
	free(answer);
}

static void is_healthy(bool healthy)
{
	char *answer = control_answer(control_ask("GET", "/health", "", ""));

	ck_assert_msg((strstr(answer, "\"traffic cannot be recorded\"") == NULL) == healthy, "%s", answer);
	free(answer);
}

/* The engine goes on once the readings are stored, and reads anew when they were not: old ones must not be
 * stored behind newer ones. */
START_TEST(a_ledger_that_finds_no_room_is_asked_for_again)
{
	struct msg_reading readings[2];
	struct msg         msg;
	char              *document = document_text(DOCUMENT(""));

	signal(SIGXFSZ, SIG_IGN);
	control_begin(RARELY_MS);
	ready_comes();
	control_network_up(&up, 51820, PUBLIC_1);

	int client = control_ask("POST", "/apply", "", document);

	free(document);
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_DESIRED, &msg, NULL);
	readings[0] = (struct msg_reading){ .network = up.public_key, .epoch = up.epoch, .rx = 1000,
		                            .tx = 100, .kind = MSG_READING_BASELINE };
	readings[1] = readings[0];
	readings[1].kind = MSG_READING_COUNT;
	readings[1].rx = 1200;
	room_for("traffic.db-wal", false);
	ledger_sends(readings, 2);
	hears_500(client, "the document is stored, but not yet in force: cannot write the traffic database");
	is_healthy(false);
	ck_assert(!control_comes(control_engine()));
	room_for("traffic.db-wal", true);
	control_passes(1000);
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_DESIRED, &msg, NULL);
	readings[1].rx = 1300;
	ledger_stores(readings, 2);
	is_healthy(true);
	control_end(NULL);
	recorded(300, 0);
}
END_TEST

START_TEST(hosts_that_cannot_be_counted_are_not_routed)
{
	struct msg msg;
	char      *document = document_text(HOST("a.example.com"));

	signal(SIGXFSZ, SIG_IGN);
	control_begin(RARELY_MS);
	ready_comes();
	control_network_up(&up, 51820, PUBLIC_1);

	int client = control_ask("POST", "/apply", "", document);

	free(document);
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_DESIRED, &msg, NULL);
	room_for("traffic.db-wal", false);
	control_engine_reports(1, msg.body.desired.generation, &up, 1);
	hears_500(client, "the document is stored, but not yet in force: cannot write the traffic database");
	ck_assert(!control_comes(control_worker()));
	room_for("traffic.db-wal", true);
	control_passes(1000);
	close(control_worker_obeys());
	control_hear(control_engine(), MSG_ROLE_ENGINE, MSG_ROUTED, &msg, NULL);
	ck_assert_uint_eq(msg.body.routed.seq, 1);
	control_end(NULL);
}
END_TEST

START_TEST(an_engine_that_is_gone_does_not_hold_up_the_end)
{
	control_begin(RARELY_MS);
	ready_comes();
	control_engine_dies();
	control_end(NULL);
	recorded(0, 0);
}
END_TEST

/* Each engine numbers its ledgers from the first one on, and among several a channel may well lie where the
 * one before was. */
START_TEST(an_engine_is_not_told_that_its_predecessors_ledger_is_stored)
{
	control_begin(RARELY_MS);
	ready_comes();
	for (int i = 0; i < 10; i++) {
		control_engine_dies();
		control_engine_again();
	}

	sqlite3 *held = control_thread_held();

	control_engine_dies();
	control_engine_again();
	control_hears_nothing(control_engine());
	ck_assert_int_eq(sqlite3_close(held), SQLITE_OK);
	control_hears_nothing(control_engine());
	control_end(NULL);
}
END_TEST

void test_control_count(TCase *tc)
{
	tcase_add_test(tc, the_last_sample_is_taken_at_the_end);
	tcase_add_test(tc, a_ledger_that_finds_no_room_is_asked_for_again);
	tcase_add_test(tc, hosts_that_cannot_be_counted_are_not_routed);
	tcase_add_test(tc, an_engine_that_is_gone_does_not_hold_up_the_end);
	tcase_add_test(tc, an_engine_is_not_told_that_its_predecessors_ledger_is_stored);
	tcase_add_test(tc, a_dead_workers_counters_are_committed_and_then_done);
	tcase_add_test(tc, a_segment_is_not_done_before_the_supervisor_says_that_it_is_dead);
	tcase_add_test(tc, a_slot_of_a_removed_host_is_given_to_the_next_one);
	tcase_add_test(tc, no_slot_changes_hands_while_a_worker_of_an_earlier_daemon_drains);
	tcase_add_test(tc, no_slot_changes_hands_before_a_dead_worker_has_told_of_its_last_bytes);
}
