#include <stdlib.h>
#include <string.h>

#include "base/channel.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/model.h"
#include "daemon/engine.h"
#include "netns/state.h"

/* Out of memory ends the process: going on would lose bytes that somebody pays for, while a new engine
 * begins with the same readings. */
static struct msg_reading *add(struct engine *e, const struct tg_key *network, const struct tg_key *peer,
                               enum msg_reading_kind kind)
{
	if (e->readings_count == e->readings_room) {
		size_t              room = e->readings_room == 0 ? 64 : e->readings_room * 2;
		struct msg_reading *grown = reallocarray(e->readings, room, sizeof *grown);

		if (grown == NULL)
			tg_die("out of memory for readings");
		e->readings = grown;
		e->readings_room = room;
	}

	struct msg_reading *reading = &e->readings[e->readings_count++];

	*reading = (struct msg_reading){ .network = *network, .peer = *peer, .kind = kind };
	return reading;
}

static void set_epoch(const struct engine *e, const struct engine_network *n, const struct state *have,
                      struct msg_reading *reading)
{
	memcpy(reading->epoch.boot_id, e->host.boot_id, sizeof reading->epoch.boot_id);
	reading->epoch.netns_cookie = n->tenant.cookie;
	reading->epoch.ifindex = have->ifindex;
}

static void add_reading(struct engine *e, const struct engine_network *n, const struct tg_key *network,
                        const struct state *have, const struct state_peer *peer, enum msg_reading_kind kind)
{
	struct msg_reading *reading = add(e, network, &peer->public_key, kind);

	set_epoch(e, n, have, reading);
	reading->rx = peer->rx;
	reading->tx = peer->tx;
}

/* A peer that is to come.  On a link that is there it may have been before, and counted more. */
static void add_beginning(struct engine *e, const struct engine_network *n, const struct tg_key *network,
                          const struct state *have, const struct tg_key *peer)
{
	struct msg_reading *reading = add(e, network, peer, MSG_READING_BASELINE);

	if (have->device)
		set_epoch(e, n, have, reading);
}

void engine_ledger_plan(struct engine *e, struct engine_network *n, const struct state *have,
                        const struct plan *plan)
{
	const struct model  *model = n->desired->model;
	const struct tg_key *booked = n->keyed ? &n->public_key : &have->public_key;
	bool                 rekey = have->device && !tg_key_is_zero(booked) &&
	             !tg_key_equal(booked, &plan->want->public_key);

	for (size_t i = 0; i < have->peers_count && !tg_key_is_zero(booked); i++) {
		const struct state_peer *peer = &have->peers[i];
		bool stays = model_find_peer(model, plan->want, &peer->public_key) != NULL;

		if (stays && !rekey)
			continue;
		add_reading(e, n, booked, have, peer, MSG_READING_COUNT);
		if (stays)
			add_reading(e, n, &plan->want->public_key, have, peer, MSG_READING_BASELINE);
	}
	for (size_t i = 0; i < plan->steps_count; i++)
		if (plan->steps[i].kind == STEP_PEER_SET && (plan->steps[i].flags & STEP_PEER_NEW) != 0)
			add_beginning(e, n, &plan->want->public_key, have, &plan->steps[i].key);
	n->rekeying = rekey;
}

void engine_ledger_last(struct engine *e, const struct engine_network *n, const struct state *have)
{
	const struct tg_key *booked = n->keyed ? &n->public_key : &have->public_key;

	for (size_t i = 0; i < have->peers_count && !tg_key_is_zero(booked); i++)
		add_reading(e, n, booked, have, &have->peers[i], MSG_READING_COUNT);
}

/* Those to be counted first: when two networks swap their keys, a baseline of one must not come before the
 * last reading of the other.  free() it. */
static struct msg_reading *in_order(const struct engine *e)
{
	struct msg_reading *sorted = calloc(e->readings_count, sizeof *sorted);
	size_t              at = 0;

	if (sorted == NULL)
		tg_die("out of memory for readings");
	for (unsigned kind = MSG_READING_COUNT; kind <= MSG_READING_BASELINE; kind++)
		for (size_t i = 0; i < e->readings_count; i++)
			if (e->readings[i].kind == kind)
				sorted[at++] = e->readings[i];
	return sorted;
}

bool engine_ledger_send(struct engine *e)
{
	struct msg_ledger ledger = { .id = e->ledger_id + 1, .count = e->readings_count };

	if (e->readings_count == 0)
		return false;

	TG_AUTO_FREE struct msg_reading *readings = in_order(e);

	e->ledger_id++;
	/* When it cannot be sent, control has just died: its successor brings the document again. */
	channel_send_value(e->control, MSG_LEDGER, &ledger, readings, e->readings_count * sizeof *readings);
	/* One that is half made has readings older than these: it would count them twice. */
	engine_look_stop(e);
	free(e->readings);
	e->readings = NULL;
	e->readings_count = e->readings_room = 0;
	return true;
}

void engine_ledger_done(struct engine *e, uint64_t id)
{
	if (id != e->ledger_id || (e->phase != ENGINE_LEDGER && e->phase != ENGINE_LAST_LEDGER))
		return;
	e->phase = e->phase == ENGINE_LEDGER ? ENGINE_WORK : ENGINE_REMOVE;
	e->at = 1;
	engine_schedule(e, 0);
}
