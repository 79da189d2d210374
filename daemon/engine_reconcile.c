#include "base/clock.h"
#include "base/error.h"
#include "base/model.h"
#include "daemon/engine.h"
#include "netns/state.h"

/* One path for boot, apply, repair and retry: look at the suspects, tell control what will stop counting,
 * work, tell the broker, tell control, remove. */

static void enter(struct engine *e, enum engine_phase phase)
{
	e->phase = phase;
	e->at = 1;
}

static void drop_plan(struct engine *e)
{
	plan_clear(&e->plan);
	e->plan_port = 0;
}

void engine_pause(struct engine *e)
{
	drop_plan(e);
	if (e->reader != ENGINE_READER_LOOK)
		engine_read_end(e);
	e->readings_count = 0;
	e->hasty = false;
	e->late = e->held = false;
	e->tell_at_ms = 0;
	enter(e, ENGINE_IDLE);
}

void engine_begin(struct engine *e, bool hasty)
{
	engine_pause(e);
	e->hasty = hasty;
	e->began_at_ms = tg_clock_ms();
	enter(e, ENGINE_LOOK);
	engine_schedule(e, 0);
}

enum planned {
	PLANNED_STEPS,	/* the state that they begin with is in e->reading */
	PLANNED_NOTHING,	/* it is settled, or has failed */
	PLANNED_MORE,	/* it is still being read */
	PLANNED_WAIT,	/* it cannot be read yet, and stays suspect */
};

static enum planned read_network(struct engine *e, struct engine_network *n, uint64_t until_ms)
{
	struct tg_error err = { .code = TG_CODE_NONE };

	/* What is told from here on may be news. */
	if (!engine_reads(e, n, ENGINE_READER_STEPS))
		ports_remove(&e->suspect, n->tenant.port);
	switch (engine_read(e, n, ENGINE_READER_STEPS, until_ms, &err)) {
	case READING_DONE:
		return PLANNED_STEPS;
	case READING_MORE:
		return PLANNED_MORE;
	case READING_WAIT:
		ports_add(&e->suspect, n->tenant.port);
		engine_read_later(e, n);
		return PLANNED_WAIT;
	case READING_FAILED:
		break;
	}
	engine_failed(e, n, &err);
	return PLANNED_NOTHING;
}

static enum planned compare(struct engine *e, struct engine_network *n, struct plan *to)
{
	const struct model *before = n->endpoints != NULL ? n->endpoints->model : NULL;
	const struct state *have = &e->reading.state;
	struct tg_error     err = { .code = TG_CODE_NONE };

	if (differ_plan(n->desired->model, n->want, have, before, to) != 0) {
		tg_fail_memory(&err);
		engine_failed(e, n, &err);
		return PLANNED_NOTHING;
	}
	if (to->steps_count > 0) {
		/* Its cookie is on routes and with the broker: those have to learn the new one. */
		if (!have->exists)
			e->announce = e->news = true;
		return PLANNED_STEPS;
	}
	engine_settled(e, n, n->want, have);
	engine_watch_network(e, n);
	/* Somebody may have told of what was not read. */
	if (e->reading.what != READING_ALL)
		ports_add(&e->suspect, n->tenant.port);
	plan_clear(to);
	return PLANNED_NOTHING;
}

/* Reads and plans. */
static enum planned plan_network(struct engine *e, struct engine_network *n, uint64_t until_ms,
                                 struct plan *to)
{
	enum planned planned = read_network(e, n, until_ms);

	if (planned == PLANNED_STEPS)
		planned = compare(e, n, to);
	if (planned == PLANNED_NOTHING)
		engine_read_end(e);
	return planned;
}

static enum planned look_at(struct engine *e, struct engine_network *n, uint64_t until_ms)
{
	struct plan  plan = { .want = NULL };
	enum planned planned = plan_network(e, n, until_ms, &plan);

	n->rounds = 0;
	if (planned != PLANNED_STEPS)
		return planned;
	n->dirty = true;
	ports_add(&e->unsettled, n->tenant.port);
	n->fresh = e->reading.state.link == STATE_LINK_NONE;
	engine_describe(&plan, n->did, sizeof n->did);
	engine_ledger_plan(e, n, &e->reading.state, &plan);
	engine_read_end(e);
	/* The others are read again when their turn comes; for the first, mostly the only one, it has. */
	if (e->plan_port == 0) {
		e->plan = plan;
		e->plan_port = n->tenant.port;
		e->plan_at = 0;
		n->rounds = 1;
	} else {
		plan_clear(&plan);
	}
	return PLANNED_STEPS;
}

static bool is_suspect(const struct engine *e, const struct engine_network *n)
{
	return ports_has(&e->suspect, n->tenant.port);
}

/* In haste the others wait, but not for ever. */
static bool is_to_be_looked_at(const struct engine *e, const struct engine_network *n, uint64_t now)
{
	return engine_reads(e, n, ENGINE_READER_STEPS) ||
	       (is_suspect(e, n) && !n->dirty && n->retry_at_ms <= now &&
	        (n->changed || !e->hasty || now - n->looked_at_ms >= ENGINE_OVERDUE_MS));
}

/* From `at` on; one that is being read may be in no set. */
static struct engine_network *next_to_look_at(const struct engine *e, uint64_t now)
{
	bool                some = e->hasty && now - e->all_looked_at_ms < ENGINE_OVERDUE_MS;
	const struct ports *suspect = some ? &e->unsettled : &e->suspect;
	uint32_t            port = e->at;

	if (e->reader != ENGINE_READER_STEPS)
		port = ports_next(&e->unsettled, suspect, port);
	return port < PORTS_END ? e->networks[port] : NULL;
}

/* What is to be done with one of the document, or to be counted of one that it lacks. */
static enum planned look_on(struct engine *e, struct engine_network *n, uint64_t until_ms, uint64_t now)
{
	if (e->reader == ENGINE_READER_NONE && n->wait_until_ms > now)
		return PLANNED_WAIT;
	if (n->want != NULL)
		return look_at(e, n, until_ms);
	if (engine_count_moved(e, n, until_ms))
		return PLANNED_NOTHING;
	return e->reader != ENGINE_READER_NONE ? PLANNED_MORE : PLANNED_WAIT;
}

/* It is not waited for: when the others are as they should be, it is looked at again.  But for one whose key
 * another is to have, or that is not known yet: it is counted under that one before anybody else is. */
static void leave(struct engine *e, const struct engine_network *n)
{
	e->held = e->held || !n->keyed || engine_key_moves(e, n);
	e->late = e->late || !e->hasty || n->changed;
}

static void after_look(struct engine *e)
{
	if (e->held) {
		drop_plan(e);	/* the network may be another by then */
		e->late = e->held = false;
		e->at = 1;
		engine_schedule(e, ENGINE_POLL_MS);
		return;
	}
	if (!e->hasty && e->all_suspect_at_ms <= e->began_at_ms)
		e->all_looked_at_ms = e->all_suspect_at_ms;
	enter(e, engine_ledger_send(e) ? ENGINE_LEDGER : ENGINE_WORK);
}

static void look_some(struct engine *e, uint64_t until_ms)
{
	bool     in_parts = e->reader != ENGINE_READER_NONE;
	uint64_t now = tg_clock_ms();

	for (struct engine_network *n = next_to_look_at(e, now); n != NULL; n = next_to_look_at(e, now)) {
		enum planned planned = PLANNED_NOTHING;

		e->at = n->tenant.port;
		if (n->want == NULL || is_to_be_looked_at(e, n, now))
			planned = look_on(e, n, until_ms, now);
		if (planned == PLANNED_MORE) {
			engine_schedule(e, 0);
			return;
		}
		if (planned == PLANNED_WAIT)
			leave(e, n);
		e->at++;
		/* Behind a reading in parts a snapshot has its turn. */
		if (in_parts || tg_clock_ms() >= until_ms) {
			engine_schedule(e, 0);
			return;
		}
	}
	after_look(e);
}

/* Carries out what is planned for one network, as far as the time goes. */
static void work_on(struct engine *e, struct engine_network *n, uint64_t until_ms)
{
	struct tg_error   err = { .code = TG_CODE_NONE };
	enum apply_result result =
	        apply_some(&e->kernel, &e->host, &n->tenant, &e->plan, &e->plan_at, until_ms, &err);

	/* From here on they may roam, whatever becomes of the rest. */
	if (plan_set_peers(&e->plan, e->plan_at))
		engine_model_turn(&n->endpoints, n->desired);
	switch (result) {
	case APPLY_MORE:
		return;
	case APPLY_DONE:
		engine_carried_out(e, n, &e->plan);
		break;
	case APPLY_WAIT:
		n->wait_until_ms = tg_clock_ms() + ENGINE_POLL_MS;
		n->rounds--;	/* waiting has a limit of its own */
		break;
	case APPLY_FAILED:
		/* Its link may not be as it was: all of it is read before the next try. */
		if (!n->trusted)
			engine_failed(e, n, &err);
		n->trusted = false;
		break;
	}
	drop_plan(e);
}

static void plan_next(struct engine *e, struct engine_network *n, uint64_t until_ms)
{
	enum planned planned;

	if (!engine_reads(e, n, ENGINE_READER_STEPS)) {
		n->rounds++;
		/* What has been told until now the reading that follows shows, and most of it were we
		 * ourselves. */
		engine_watch_drain(e);
	}
	planned = plan_network(e, n, until_ms, &e->plan);
	if (planned == PLANNED_WAIT)
		n->rounds--;	/* not yet read: waiting has a limit of its own */
	if (planned != PLANNED_STEPS)
		return;
	engine_read_end(e);
	e->plan_port = n->tenant.port;
	e->plan_at = 0;
	if (n->rounds > ENGINE_ROUNDS_MOST) {
		engine_given_up(e, n, &e->plan);
		drop_plan(e);
	}
}

static struct engine_network *dirty_from(const struct engine *e, uint32_t port, uint64_t now,
                                         uint64_t *wait_until_ms)
{
	*wait_until_ms = 0;
	for (struct engine_network *n = engine_next_of(e, &e->unsettled, port); n != NULL;
	     n = engine_next_of(e, &e->unsettled, n->tenant.port + 1U)) {
		if (!n->dirty)
			continue;
		if (n->wait_until_ms <= now)
			return n;
		if (*wait_until_ms == 0 || n->wait_until_ms < *wait_until_ms)
			*wait_until_ms = n->wait_until_ms;
	}
	return NULL;
}

/* The next network that is to be worked on now, or NULL and the time until when all wait (0: none is). */
static struct engine_network *next_dirty(struct engine *e, uint64_t now, uint64_t *wait_until_ms)
{
	struct engine_network *n = dirty_from(e, e->at, now, wait_until_ms);

	if (n == NULL)
		n = dirty_from(e, 1, now, wait_until_ms);
	if (n != NULL)
		e->at = n->tenant.port;
	return n;
}

/* Whether control is to hear what is in force by now, though some are late.  Each word of that costs it a
 * table of routes. */
static bool is_time_to_tell(struct engine *e)
{
	uint64_t now = tg_clock_ms();

	if (e->tell_at_ms == 0)
		e->tell_at_ms = now + ENGINE_TELL_MS;
	return e->news && e->tell_at_ms <= now;
}

static void work_some(struct engine *e, uint64_t until_ms)
{
	bool in_parts = e->reader != ENGINE_READER_NONE;

	do {
		uint64_t               wait_until_ms = 0;
		struct engine_network *n = e->plan_port != 0 ? e->networks[e->plan_port] : NULL;

		if (n == NULL)
			n = next_dirty(e, tg_clock_ms(), &wait_until_ms);
		if (n == NULL && wait_until_ms != 0 && !e->late && !is_time_to_tell(e)) {
			uint64_t now = tg_clock_ms();

			engine_schedule(e, wait_until_ms > now ? wait_until_ms - now : 0);
			return;
		}
		if (n == NULL) {
			e->late = e->late || wait_until_ms != 0;
			enter(e, ENGINE_BROKER);
			return;
		}
		if (e->plan_port == 0)
			plan_next(e, n, until_ms);
		if (e->reader != ENGINE_READER_NONE)
			break;	/* it goes on in the next turn */
		if (e->plan_port != 0)
			work_on(e, n, until_ms);
	} while (!in_parts && tg_clock_ms() < until_ms);
	engine_schedule(e, 0);
}

/* Control knows what is in force.  What a hasty round left out comes next, once the answer is out. */
static void finish(struct engine *e)
{
	if (e->late) {
		if (is_time_to_tell(e)) {
			engine_announce(e, false);
			e->tell_at_ms = 0;
		}
		enter(e, ENGINE_LATE);
		engine_schedule(e, ENGINE_POLL_MS);
		return;
	}
	if (e->announce)
		engine_announce(e, true);
	engine_schedule(e, e->hasty ? ENGINE_BEHIND_MS : 0);
	e->hasty = false;
	enter(e, ENGINE_IDLE);
}

static void after_broker(struct engine *e)
{
	if ((!engine_broker_tell(e) || e->broker_waits > 0) && e->broker != NULL)
		return;	/* goes on with MSG_NETNS_DONE, or a new broker */
	e->broker_waits = 0;
	if (!engine_has_removals(e)) {
		finish(e);
		return;
	}
	enter(e, ENGINE_UNROUTE);
	engine_announce(e, false);
}

static void walk(struct engine *e, bool (*next)(struct engine *e, uint64_t until_ms), uint64_t until_ms)
{
	bool in_parts = e->reader != ENGINE_READER_NONE;

	while (next(e, until_ms)) {
		if (in_parts || tg_clock_ms() >= until_ms) {
			engine_schedule(e, 0);
			return;
		}
	}
	if (e->phase == ENGINE_DOWN && engine_down_waits(e)) {
		e->at = 1;
		engine_schedule(e, ENGINE_POLL_MS);
		return;
	}
	if (e->phase == ENGINE_REMOVE) {
		e->announce = e->news = true;
		finish(e);
		return;
	}
	enter(e, engine_ledger_send(e) ? ENGINE_LAST_LEDGER : ENGINE_REMOVE);
}

/* When nothing is under way: a look at everything at times, at a failed network when its time has come, and
 * at once at what somebody pointed out. */
static void idle(struct engine *e)
{
	uint64_t now = tg_clock_ms();
	uint64_t next = engine_suspect_at_times(e, now);
	uint32_t port = 1;

	if (e->generation == 0 || e->control == NULL)
		return;
	for (; (port = ports_next(&e->suspect, &e->unsettled, port)) < PORTS_END; port++) {
		struct engine_network *n = e->networks[port];

		if (n->want == NULL)
			continue;
		if (n->failed && n->retry_at_ms <= now)
			ports_add(&e->suspect, n->tenant.port);
		if (is_suspect(e, n) && n->retry_at_ms <= now) {
			engine_begin(e, false);
			return;
		}
		if (n->failed && n->retry_at_ms < next)
			next = n->retry_at_ms;
	}
	engine_schedule(e, next > now ? next - now : 0);
}

/* A part of the phase, or its end and the next one's beginning: that one need not be scheduled. */
static void step(struct engine *e, uint64_t until_ms)
{
	switch (e->phase) {
	case ENGINE_IDLE:
		idle(e);
		return;
	case ENGINE_LOOK:
		look_some(e, until_ms);
		return;
	case ENGINE_WORK:
		work_some(e, until_ms);
		return;
	case ENGINE_BROKER:
		after_broker(e);
		return;
	case ENGINE_DOWN:
		walk(e, engine_down_next, until_ms);
		return;
	case ENGINE_REMOVE:
		walk(e, engine_remove_next, until_ms);
		return;
	case ENGINE_LATE:
		e->late = false;
		e->began_at_ms = tg_clock_ms();
		engine_suspect_at_times(e, e->began_at_ms);
		enter(e, ENGINE_LOOK);
		return;
	case ENGINE_LEDGER:
	case ENGINE_UNROUTE:
	case ENGINE_LAST_LEDGER:
		return;	/* a message ends it */
	}
}

void engine_step(struct engine *e)
{
	uint64_t          until_ms = tg_clock_ms() + ENGINE_SLICE_MS;
	enum engine_phase phase;

	if (e->reader == ENGINE_READER_LOOK)
		return;	/* a network is being read for a snapshot, which goes on at once */
	do {
		phase = e->phase;
		step(e, until_ms);
		if (e->phase == phase || e->phase == ENGINE_IDLE || e->phase == ENGINE_LATE)
			return;
	} while (tg_clock_ms() < until_ms);
	engine_schedule(e, 0);
}
