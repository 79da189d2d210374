#include "daemon/control_events.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define uthash_nonfatal_oom(entry) ((entry)->in_table = false)
#define HASH_NONFATAL_OOM 1
#include "base/uthash.h"

#include "api/api.h"
#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/model.h"
#include "daemon/control.h"
#include "daemon/document.h"
#include "daemon/role.h"

#define BEAT_S	    15	/* a comment, so that a reader who left is noticed */
#define LOOK_S	    5	/* peers are looked at so often, also when samples are rarer */
#define PEERS_A_TURN 500	/* are compared, then others have theirs: each may be an event */
#define BATCH_BYTES 8192	/* of events that go to a reader in one chunk */
#define NO_HANDSHAKE "no handshake for 180 s"

struct peer_name {
	struct tg_key network;
	struct tg_key peer;
};

struct peer {
	struct peer_name   name;
	UT_hash_handle     hh;
	struct tg_endpoint endpoint;
	int64_t            handshake_unix_s;	/* when it was seen last */
	uint16_t           port;
	bool               connected;
	uint64_t           seen;	/* number of the last scan that found it */
	bool               in_table;
};

enum scan_state { SCAN_NONE, SCAN_PEERS, SCAN_GONE };

/* A snapshot that is gone through, peer by peer, then the peers that it does not have. */
struct scan {
	enum scan_state state;
	uint64_t        number;		/* from 1 */
	struct snapshot snapshot;	/* owned */
	size_t          network;	/* the next one to compare */
	uint32_t        peer;		/* of it */
	struct peer    *gone;		/* the next one that may be gone */
};

struct reader {
	struct control_events *events;	/* borrowed */
	struct api_request    *request;	/* NULL: the place is free */
	uint64_t               next;	/* number of the first event that it was not given */
};

struct control_events {
	struct control *control;	/* borrowed */
	struct peer    *peers;
	char           *kept[CONTROL_EVENTS_KEPT];	/* text of event n at n % KEPT */
	uint64_t        next;		/* number of the next event, from 1 */
	uint32_t        life;		/* random: numbers begin anew with each life of this process */
	struct reader   readers[CONTROL_EVENTS_READERS];
	struct event   *beat, *look;
	struct event   *feed;		/* readers have something to get */
	struct event   *step;		/* the scan goes on */
	struct scan     scan;
	bool            begun;		/* there was a snapshot */
	int64_t         start_unix_s;	/* what was connected before is no news */
};

static void reader_end(struct reader *reader, bool whole)
{
	struct api_request *request = reader->request;

	reader->request = NULL;
	api_stream_end(request, whole);
}

static void reader_say(struct reader *reader, const char *text)
{
	api_stream_chunk(reader->request, text, strlen(text));
}

/* Gives what the reader has yet to get, as long as it takes it.  Called again when it has. */
static void reader_feed(struct reader *reader)
{
	struct control_events *events = reader->events;
	char                   batch[BATCH_BYTES];

	if (events->next - reader->next > CONTROL_EVENTS_KEPT) {
		reader_end(reader, false);
		return;
	}
	while (reader->next < events->next &&
	       api_stream_waiting(reader->request) <= CONTROL_EVENTS_WAITING_BYTES) {
		size_t bytes = 0;

		for (; reader->next < events->next; reader->next++) {
			const char *text = events->kept[reader->next % CONTROL_EVENTS_KEPT];
			size_t      len = text != NULL ? strlen(text) : 0;

			assert(len <= sizeof batch);	/* the longest is a network's reason, escaped */
			if (len > sizeof batch - bytes)
				break;
			if (len > 0)
				memcpy(batch + bytes, text, len);
			bytes += len;
		}
		if (bytes > 0)
			api_stream_chunk(reader->request, batch, bytes);
	}
}

static void on_feed(evutil_socket_t fd, short what, void *arg)
{
	struct control_events *events = arg;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < CONTROL_EVENTS_READERS; i++)
		if (events->readers[i].request != NULL)
			reader_feed(&events->readers[i]);
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
	struct control_events *events = arg;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < CONTROL_EVENTS_READERS; i++) {
		struct reader *reader = &events->readers[i];

		if (reader->request != NULL && api_stream_waiting(reader->request) == 0)
			reader_say(reader, ":\n\n");
	}
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct control_events *events = arg;

	(void)fd;
	(void)what;
	control_looks_ask(events->control->looks, CONTROL_LOOK_EVENTS, false, 0);
}

static void on_step(evutil_socket_t fd, short what, void *arg);

struct control_events *control_events_new(struct control *control)
{
	static const struct timeval beat = { .tv_sec = BEAT_S };
	static const struct timeval look = { .tv_sec = LOOK_S };
	bool                        rare = control->role->start.sample_interval_ms > LOOK_S * 1000;
	struct control_events      *events = calloc(1, sizeof *events);

	if (events == NULL)
		return NULL;
	events->control = control;
	events->next = 1;
	events->start_unix_s = tg_clock_unix_ms() / 1000;
	if (getrandom(&events->life, sizeof events->life, 0) != (ssize_t)sizeof events->life)
		tg_die("the kernel has no random numbers");
	events->beat = event_new(control->base, -1, EV_PERSIST, on_beat, events);
	events->look = event_new(control->base, -1, EV_PERSIST, on_look, events);
	events->feed = evtimer_new(control->base, on_feed, events);
	events->step = evtimer_new(control->base, on_step, events);
	if (events->beat == NULL || events->look == NULL || events->feed == NULL || events->step == NULL ||
	    event_add(events->beat, &beat) == -1 || (rare && event_add(events->look, &look) == -1)) {
		control_events_free(events);
		return NULL;
	}
	return events;
}

void control_events_free(struct control_events *events)
{
	struct peer  *peer, *next;
	struct event *timers[4];

	if (events == NULL)
		return;
	HASH_ITER (hh, events->peers, peer, next) {
		HASH_DEL(events->peers, peer);
		free(peer);
	}
	for (size_t i = 0; i < CONTROL_EVENTS_KEPT; i++)
		free(events->kept[i]);
	snapshot_clear(&events->scan.snapshot);
	timers[0] = events->beat;
	timers[1] = events->look;
	timers[2] = events->feed;
	timers[3] = events->step;
	for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++)
		if (timers[i] != NULL)
			event_free(timers[i]);
	free(events);
}

void control_events_stop(struct control_events *events)
{
	on_feed(-1, 0, events);
	for (size_t i = 0; i < CONTROL_EVENTS_READERS; i++)
		if (events->readers[i].request != NULL)
			reader_end(&events->readers[i], true);
}

static const struct timeval at_once = { .tv_sec = 0 };

/* Takes `data`.  Without memory an event is lost to resuming readers, not the others' order. */
static void emit(struct control_events *events, const char *type, cJSON *data)
{
	uint64_t number = events->next++;
	char   **place = &events->kept[number % CONTROL_EVENTS_KEPT];
	char    *text = cJSON_PrintUnformatted(data);
	char    *event = NULL;

	cJSON_Delete(data);
	if (text != NULL && asprintf(&event, "id: %08" PRIx32 "-%" PRIu64 "\nevent: %s\ndata: %s\n\n",
	                             events->life, number, type, text) == -1)
		event = NULL;
	free(text);
	free(*place);
	*place = event;
	/* What else happens in this turn of the loop goes with it. */
	evtimer_add(events->feed, &at_once);
}

static cJSON *data_new(void)
{
	cJSON *data = cJSON_CreateObject();

	json_add_u64(data, "time", (uint64_t)(tg_clock_unix_ms() / 1000));
	return data;
}

static cJSON *data_network(uint16_t port, const struct tg_key *network)
{
	cJSON *data = data_new();
	char   key[TG_KEY_TEXT];

	json_add_u64(data, "port", port);
	cJSON_AddStringToObject(data, "network", tg_key_print(network, key));
	return data;
}

static void emit_peer(struct control_events *events, const char *type, const struct peer *peer,
                      const char *reason)
{
	cJSON *data = data_network(peer->port, &peer->name.network);
	char   text[TG_ENDPOINT_TEXT];

	cJSON_AddStringToObject(data, "peer", tg_key_print(&peer->name.peer, text));
	if (peer->endpoint.family != 0)
		cJSON_AddStringToObject(data, "endpoint", tg_endpoint_print(&peer->endpoint, text));
	if (reason != NULL)
		cJSON_AddStringToObject(data, "reason", reason);
	emit(events, type, data);
}

static void peer_disconnect(struct control_events *events, struct peer *peer, const char *reason)
{
	peer->connected = false;
	emit_peer(events, "peer-disconnected", peer, reason);
}

static void peer_look(struct control_events *events, const struct snapshot_network *network,
                      const struct snapshot_peer *now)
{
	struct peer_name name;
	struct peer     *peer;
	bool             connected = control_peer_connected(now, tg_clock_unix_ms() / 1000);
	bool             moved;

	memset(&name, 0, sizeof name);
	name.network = network->public_key;
	name.peer = now->public_key;
	HASH_FIND(hh, events->peers, &name, sizeof name, peer);
	if (peer == NULL) {
		peer = calloc(1, sizeof *peer);
		if (peer == NULL)
			return;
		peer->name = name;
		peer->endpoint = now->endpoint;
		peer->in_table = true;
		HASH_ADD(hh, events->peers, name, sizeof peer->name, peer);
		if (!peer->in_table) {
			free(peer);
			return;
		}
	}
	moved = !tg_endpoint_equal(&peer->endpoint, &now->endpoint);
	peer->port = network->port;
	peer->endpoint = now->endpoint;
	peer->handshake_unix_s = now->handshake_unix_s;
	peer->seen = events->scan.number;
	if ((events->begun || now->handshake_unix_s >= events->start_unix_s) && connected && !peer->connected)
		emit_peer(events, "peer-connected", peer, NULL);
	else if (events->begun && connected && moved)
		emit_peer(events, "peer-endpoint", peer, NULL);
	else if (events->begun && !connected && peer->connected)
		peer_disconnect(events, peer, NO_HANDSHAKE);
	peer->connected = connected;
}

/* Both return whether they are through, before `left` more peers were compared. */
static bool scan_peers(struct control_events *events, unsigned *left)
{
	struct scan *scan = &events->scan;

	for (; scan->network < scan->snapshot.networks_count; scan->network++, scan->peer = 0) {
		const struct snapshot_network *network = &scan->snapshot.networks[scan->network];

		for (; scan->peer < network->peers_count; scan->peer++, --*left) {
			if (*left == 0)
				return false;
			peer_look(events, network, &scan->snapshot.peers[network->peers_first + scan->peer]);
		}
	}
	return true;
}

/* Its network could not be read, say: that takes no tunnel down. */
static bool is_wanted(const struct control_events *events, const struct peer *peer)
{
	const struct model         *model = events->control->active->model;
	const struct model_network *network = model_find(model, peer->port);

	return network != NULL && tg_key_equal(&network->public_key, &peer->name.network) &&
	       model_find_peer(model, network, &peer->name.peer) != NULL;
}

static void peer_gone(struct control_events *events, struct peer *peer)
{
	const struct snapshot_peer last = { .handshake_unix_s = peer->handshake_unix_s };

	if (is_wanted(events, peer)) {
		if (peer->connected && !control_peer_connected(&last, tg_clock_unix_ms() / 1000))
			peer_disconnect(events, peer, NO_HANDSHAKE);
		return;
	}
	HASH_DEL(events->peers, peer);
	if (peer->connected)
		peer_disconnect(events, peer, "removed");
	free(peer);
}

static bool scan_gone(struct control_events *events, unsigned *left)
{
	struct scan *scan = &events->scan;

	for (; scan->gone != NULL; --*left) {
		struct peer *peer = scan->gone;

		if (*left == 0)
			return false;
		scan->gone = peer->hh.next;
		if (peer->seen != scan->number)
			peer_gone(events, peer);
	}
	return true;
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
	struct control_events *events = arg;
	struct scan           *scan = &events->scan;
	unsigned               left = PEERS_A_TURN;

	(void)fd;
	(void)what;
	if (scan->state == SCAN_PEERS && scan_peers(events, &left)) {
		scan->state = SCAN_GONE;
		scan->gone = events->peers;
	}
	if (scan->state == SCAN_GONE && scan_gone(events, &left)) {
		scan->state = SCAN_NONE;
		snapshot_clear(&scan->snapshot);
		events->begun = true;
	}
	if (scan->state != SCAN_NONE)
		evtimer_add(events->step, &at_once);
}

void control_events_snapshot(struct control_events *events, struct snapshot *snapshot)
{
	struct scan *scan = &events->scan;

	/* The next one comes soon, and says all that this one does. */
	if (scan->state != SCAN_NONE) {
		evtimer_add(events->step, &at_once);
		return;
	}
	*scan = (struct scan){ .state = SCAN_PEERS, .number = scan->number + 1, .snapshot = *snapshot };
	*snapshot = (struct snapshot){ .networks_count = 0 };
	on_step(-1, 0, events);
}

void control_events_networks(struct control_events *events, const struct snapshot *before,
                             const struct snapshot *after)
{
	for (size_t i = 0; i < after->networks_count; i++) {
		const struct snapshot_network *now = &after->networks[i];
		const struct snapshot_network *then = snapshot_find(before, now->port);
		bool                           failed = then != NULL && then->state == SNAPSHOT_FAILED;
		cJSON                         *data;

		if ((now->state == SNAPSHOT_FAILED) == failed)
			continue;
		data = data_network(now->port, &now->public_key);
		if (now->state == SNAPSHOT_FAILED)
			cJSON_AddStringToObject(data, "reason", now->reason);
		emit(events, failed ? "network-recovered" : "network-failed", data);
	}
}

void control_events_applied(struct control_events *events)
{
	cJSON *data = data_new();

	json_add_u64(data, "generation", events->control->generation);
	emit(events, "applied", data);
}

static void on_more(struct api_request *request, void *arg)
{
	struct reader *reader = arg;

	(void)request;
	if (reader->request != NULL)
		reader_feed(reader);
}

static void on_gone(struct api_request *request, void *arg)
{
	struct reader *reader = arg;

	(void)request;
	if (reader->request != NULL)
		reader_end(reader, false);
}

/* The number after `last`, or 0 when what follows it is not kept any more. */
static uint64_t resume_from(const struct control_events *events, const char *last)
{
	uint64_t number = 0;
	uint32_t life = 0;

	if (sscanf(last, "%8" SCNx32 "-%" SCNu64, &life, &number) != 2 || life != events->life ||
	    number >= events->next || events->next - (number + 1) > CONTROL_EVENTS_KEPT)
		return 0;
	return number + 1;
}

/* With the id of the newest event: who comes again with it has missed no more. */
static void reader_reset(struct reader *reader)
{
	const struct control_events *events = reader->events;
	char                         text[128];

	snprintf(text, sizeof text,
	         "id: %08" PRIx32 "-%" PRIu64 "\nevent: reset\ndata: {\"time\":%" PRId64 "}\n\n",
	         events->life, events->next - 1, tg_clock_unix_ms() / 1000);
	reader_say(reader, text);
}

void control_events_call(struct control_events *events, struct api_request *request,
                         const struct api_call *call)
{
	struct reader *reader = NULL;
	uint64_t       from;

	for (size_t i = 0; i < CONTROL_EVENTS_READERS && reader == NULL; i++)
		if (events->readers[i].request == NULL)
			reader = &events->readers[i];
	if (reader == NULL || events->control->stopping) {
		api_reply_error(request, API_NOT_READY, "too many readers of events", NULL);
		return;
	}
	from = call->last_event_id == NULL ? events->next : resume_from(events, call->last_event_id);
	*reader = (struct reader){ .events = events, .request = request,
				   .next = from == 0 ? events->next : from };
	api_stream_begin(request, "text/event-stream", -1, on_more, on_gone, reader);
	/* Readers learn at once that they are connected. */
	reader_say(reader, ":\n\n");
	if (from == 0)
		reader_reset(reader);
	else
		reader_feed(reader);
}
