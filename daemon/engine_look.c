#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/model.h"
#include "daemon/engine.h"
#include "netns/state.h"

/* What control hears: snapshots of counters, made some networks at a time, and announcements of what is
 * up, which come from memory alone. */

static void *room_for(void *list, size_t *room, size_t count, size_t size)
{
	size_t wanted = *room == 0 ? 16 : *room;

	while (wanted < count)
		wanted *= 2;
	if (wanted == *room)
		return list;

	void *grown = reallocarray(list, wanted, size);

	if (grown == NULL)
		tg_die("out of memory for a snapshot");
	*room = wanted;
	return grown;
}

static struct snapshot_network *add_network(struct engine *e, struct engine_looking *to,
                                            const struct engine_network *n)
{
	struct snapshot         *snapshot = &to->snapshot;
	struct snapshot_network *network;

	snapshot->networks = room_for(snapshot->networks, &to->networks_room, snapshot->networks_count + 1,
	                              sizeof *network);
	network = &snapshot->networks[snapshot->networks_count++];
	memset(network, 0, sizeof *network);
	network->public_key = n->want->public_key;
	if (n->tenant.cookie != 0)
		memcpy(network->epoch.boot_id, e->host.boot_id, sizeof network->epoch.boot_id);
	network->epoch.netns_cookie = n->tenant.cookie;
	network->epoch.ifindex = n->ifindex;
	network->port = n->tenant.port;
	network->state = n->up ? SNAPSHOT_UP : SNAPSHOT_FAILED;
	network->wireguard = (uint8_t)e->host.wireguard;
	network->peers_first = (uint32_t)snapshot->peers_count;
	network->mtu = n->mtu;
	if (!n->up)
		snprintf(network->reason, sizeof network->reason, "%s",
		         n->reason[0] != '\0' ? n->reason : "not up yet");
	return network;
}

static void add_peer(struct engine_looking *to, const struct state *have, const struct state_peer *peer)
{
	struct snapshot      *snapshot = &to->snapshot;
	struct snapshot_peer *added;

	snapshot->peers =
	        room_for(snapshot->peers, &to->peers_room, snapshot->peers_count + 1, sizeof *added);
	added = &snapshot->peers[snapshot->peers_count++];
	memset(added, 0, sizeof *added);
	added->public_key = peer->public_key;
	added->endpoint = peer->endpoint;
	added->rx = peer->rx;
	added->tx = peer->tx;
	added->handshake_unix_s = peer->handshake_unix_s;
	added->ranges_first = (uint32_t)snapshot->ranges_count;
	if (to->ask.ranges == 0 || peer->ranges_count == 0)
		return;
	added->ranges_count = peer->ranges_count;
	snapshot->ranges = room_for(snapshot->ranges, &to->ranges_room,
	                            snapshot->ranges_count + peer->ranges_count, sizeof *snapshot->ranges);
	memcpy(snapshot->ranges + snapshot->ranges_count, have->ranges + peer->ranges_first,
	       peer->ranges_count * sizeof *snapshot->ranges);
	snapshot->ranges_count += peer->ranges_count;
}

/* The peers of the document that are there.  Those that it lacks go soon, and their readings by the
 * ledger. */
static void add_peers(struct engine *e, struct engine_looking *to, const struct engine_network *n,
                      struct snapshot_network *network)
{
	const struct state *have = &e->reading.state;

	/* As it is booked: a key that the document is to get may not be set yet. */
	if (n->keyed)
		network->public_key = n->public_key;
	/* The link may have been made anew, and not be settled yet. */
	network->epoch.ifindex = n->tenant.ifindex;
	for (size_t i = 0; i < have->peers_count; i++)
		if (model_find_peer(n->desired->model, n->want, &have->peers[i].public_key) != NULL)
			add_peer(to, have, &have->peers[i]);
	network->peers_count = (uint32_t)to->snapshot.peers_count - network->peers_first;
}

/* Between the ledger's word on a new key and that key itself no reading can be booked: what is counted
 * meanwhile is in the next one. */
static bool is_to_be_read(const struct engine *e, const struct engine_looking *to,
                          const struct engine_network *n)
{
	return n->tenant.ns != -1 && n->ifindex != 0 && e->kernel.wireguard != NULL &&
	       (to->ask.ranges != 0 || !n->rekeying);
}

/* A snapshot waits for all that do not answer at a time, and not for those that have not for long. */
static bool may_wait(struct engine_looking *to, const struct engine_network *n)
{
	uint64_t now = tg_clock_ms();

	if (now - n->tenant.deaf_since_ms >= ENGINE_LATE_MS)
		return false;
	if (to->late_until_ms == 0)
		to->late_until_ms = now + ENGINE_LATE_MS;
	return now < to->late_until_ms;
}

/* false: it is still being read, or waited for. */
static bool look_at(struct engine *e, struct engine_looking *to, struct engine_network *n, uint64_t until_ms)
{
	enum reading_result      result = READING_FAILED;
	struct snapshot_network *network;

	if (is_to_be_read(e, to, n))
		result = engine_read(e, n, ENGINE_READER_LOOK, until_ms, NULL);
	if (result == READING_MORE)
		return false;
	if (result == READING_WAIT && may_wait(to, n)) {
		engine_read_end(e);
		return false;
	}
	network = add_network(e, to, n);
	if (result == READING_DONE && e->reading.state.device)
		add_peers(e, to, n, network);
	engine_read_end(e);
	return true;
}

static void send_snapshot(struct engine *e, struct engine_looking *looking, enum msg_type type,
                          const void *body)
{
	struct tg_error err;
	int             fd = snapshot_pack(&looking->snapshot, &err);

	if (fd == -1)
		tg_die("%s", err.text);
	channel_send_taken(e->control, type, body, fd);
	snapshot_clear(&looking->snapshot);
}

void engine_look_stop(struct engine *e)
{
	struct engine_looking *looking = &e->looking;

	if (!looking->active)
		return;
	if (e->reader == ENGINE_READER_LOOK)
		engine_read_end(e);
	snapshot_clear(&looking->snapshot);
	/* Begun again from the start: control waits for an answer. */
	*looking = (struct engine_looking){ .active = true, .ask = looking->ask, .at = 1 };
	engine_schedule(e, 0);
}

void engine_look_begin(struct engine *e, const struct msg_look *ask)
{
	engine_look_stop(e);
	e->looking = (struct engine_looking){ .active = true, .ask = *ask, .at = 1 };
	engine_schedule(e, 0);
}

void engine_look_some(struct engine *e, uint64_t until_ms)
{
	struct engine_looking *looking = &e->looking;
	bool                   in_parts = e->reader == ENGINE_READER_LOOK;

	if (!looking->active || e->control == NULL)
		return;
	/* What is being read for a step goes on at once, and then it is our turn. */
	if (e->reader != ENGINE_READER_NONE && e->reader != ENGINE_READER_LOOK)
		return;
	for (struct engine_network *n = engine_next(e, looking->at); n != NULL;
	     n = engine_next(e, looking->at)) {
		bool through = true;

		looking->at = n->tenant.port;
		if (n->want == NULL || (looking->ask.port != 0 && looking->ask.port != n->tenant.port)) {
			if (engine_reads(e, n, ENGINE_READER_LOOK))
				engine_read_end(e);	/* a new document came */
			looking->at++;
			continue;
		}
		through = look_at(e, looking, n, until_ms);
		looking->at += through;
		/* Behind a reading in parts the steps have their turn. */
		if (!through || in_parts || tg_clock_ms() >= until_ms) {
			engine_schedule(e, through || e->reader != ENGINE_READER_NONE ? 0 : ENGINE_POLL_MS);
			return;
		}
	}

	struct msg_snapshot body = { .id = looking->ask.id };

	send_snapshot(e, looking, MSG_SNAPSHOT, &body);
	*looking = (struct engine_looking){ .active = false };
}

void engine_announce(struct engine *e, bool complete)
{
	struct engine_looking list = { .active = true };
	struct msg_networks   body = {
		  .seq = ++e->seq,
		  .generation = e->generation,
		  .complete = complete,
		  .repaired = e->repaired,
	};

	if (e->control == NULL)
		return;
	for (const struct engine_network *n = e->news ? engine_next(e, 1) : NULL; n != NULL;
	     n = engine_next(e, n->tenant.port + 1U))
		if (n->want != NULL && (complete || n->up || n->failed))
			add_network(e, &list, n);
	if (e->news)
		send_snapshot(e, &list, MSG_NETWORKS, &body);
	else
		channel_send(e->control, MSG_NETWORKS, &body, NULL, 0);
	e->news = false;
	e->repaired = 0;
	if (complete)
		e->announce = false;
}
