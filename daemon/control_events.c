#include "daemon/control_events.h"

#include <cjson/cJSON.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define uthash_nonfatal_oom(entry) ((entry)->in_table = false)
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "api/api.h"
#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "daemon/control.h"
#include "daemon/role.h"

#define BEAT_S	    15	/* a comment, so that a reader who left is noticed */
#define LOOK_S	    5	/* peers are looked at so often, also when samples are rarer */

struct peer_name {
	struct tg_key network;
	struct tg_key peer;
};

struct peer {
	struct peer_name   name;
	UT_hash_handle     hh;
	struct tg_endpoint endpoint;
	uint16_t           port;
	bool               connected;
	bool               seen;	/* in the newest snapshot */
	bool               in_table;
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

	if (events->next - reader->next > CONTROL_EVENTS_KEPT) {
		reader_end(reader, false);
		return;
	}
	for (; reader->next < events->next; reader->next++) {
		const char *text = events->kept[reader->next % CONTROL_EVENTS_KEPT];

		if (api_stream_waiting(reader->request) > CONTROL_EVENTS_WAITING_BYTES)
			return;
		if (text != NULL)
			reader_say(reader, text);
	}
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
	if (events->beat == NULL || events->look == NULL || event_add(events->beat, &beat) == -1 ||
	    (rare && event_add(events->look, &look) == -1)) {
		control_events_free(events);
		return NULL;
	}
	return events;
}

void control_events_free(struct control_events *events)
{
	struct peer *peer, *next;

	if (events == NULL)
		return;
	HASH_ITER (hh, events->peers, peer, next) {
		HASH_DEL(events->peers, peer);
		free(peer);
	}
	for (size_t i = 0; i < CONTROL_EVENTS_KEPT; i++)
		free(events->kept[i]);
	if (events->beat != NULL)
		event_free(events->beat);
	if (events->look != NULL)
		event_free(events->look);
	free(events);
}

void control_events_stop(struct control_events *events)
{
	for (size_t i = 0; i < CONTROL_EVENTS_READERS; i++)
		if (events->readers[i].request != NULL)
			reader_end(&events->readers[i], true);
}

/* Takes `data`.  Without memory an event is lost to resuming readers, not the others' order. */
static void emit(struct control_events *events, const char *type, cJSON *data)
{
	uint64_t number = events->next++;
	char   **place = &events->kept[number % CONTROL_EVENTS_KEPT];
	char    *text = cJSON_PrintUnformatted(data);
	char    *event = NULL;

	cJSON_Delete(data);
	if (text != NULL &&
	    asprintf(&event, "id: %08" PRIx32 "-%" PRIu64 "\nevent: %s\ndata: %s\n\n", events->life, number, type,
	             text) == -1)
		event = NULL;
	free(text);
	free(*place);
	*place = event;
	for (size_t i = 0; i < CONTROL_EVENTS_READERS; i++)
		if (events->readers[i].request != NULL)
			reader_feed(&events->readers[i]);
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
	peer->seen = true;
	if ((events->begun || now->handshake_unix_s >= events->start_unix_s) && connected && !peer->connected)
		emit_peer(events, "peer-connected", peer, NULL);
	else if (events->begun && connected && moved)
		emit_peer(events, "peer-endpoint", peer, NULL);
	else if (events->begun && !connected && peer->connected)
		emit_peer(events, "peer-disconnected", peer, "no handshake for 180 s");
	peer->connected = connected;
}

void control_events_snapshot(struct control_events *events, const struct snapshot *snapshot)
{
	struct peer *peer, *next;

	for (peer = events->peers; peer != NULL; peer = peer->hh.next)
		peer->seen = false;
	for (size_t i = 0; i < snapshot->networks_count; i++)
		for (uint32_t k = 0; k < snapshot->networks[i].peers_count; k++)
			peer_look(events, &snapshot->networks[i],
			          &snapshot->peers[snapshot->networks[i].peers_first + k]);
	HASH_ITER (hh, events->peers, peer, next) {
		if (peer->seen)
			continue;
		HASH_DEL(events->peers, peer);
		if (peer->connected)
			emit_peer(events, "peer-disconnected", peer, "removed");
		free(peer);
	}
	events->begun = true;
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

	snprintf(text, sizeof text, "id: %08" PRIx32 "-%" PRIu64 "\nevent: reset\ndata: {\"time\":%" PRId64 "}\n\n",
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
