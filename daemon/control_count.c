#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/store.h"
#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "daemon/control.h"
#include "daemon/control_metrics.h"
#include "daemon/control_segments.h"
#include "daemon/jobs.h"
#include "daemon/role.h"
#include "daemon/slots.h"

#define ENGINE_ANSWER_MS 5000	/* then hosts are recorded without peers */
#define LEDGER_RETRY_MS	 1000
#define SWEEP_MOST_S	 60
#define SWEEP_RECORDS	 20000
#define READINGS_BYTES_MOST ((size_t)1 << 30)

/* One transaction on its way through the thread. */
struct entry {
	struct control        *control;		/* borrowed */
	struct msg_reading    *readings;	/* owned */
	size_t                 readings_count;
	struct control_reading hosts;		/* owned */
	uint64_t               ledger_id;
	uint64_t               engine;		/* by number: who is to be answered */
	int                    stored;
	struct store_outcome   outcome;
	struct tg_error        err;
};

struct control_count {
	struct control *control;	/* borrowed */
	struct control_segments *segments;	/* owned */
	struct event   *tick, *engine_late, *ledger_retry, *sweep;
	uint64_t        look_id;	/* of the MSG_LOOK that waits, 0: none */
	bool            busy;		/* a sample is being stored */
	bool            sweeping;
	bool            failed;		/* the last transaction was not stored */
	bool            no_slots;	/* the database knew none at the start: it is new */
	uint32_t        unknown_end;	/* then: of the slots that were counted in before */
	void          (*final)(struct control *control);	/* the last sample is wanted */
	bool            final_begun;
};

static void count_sample(struct control_count *count);
static void count_store(struct control_count *count, const struct snapshot *snapshot);

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	count_sample(arg);
}

static void on_engine_late(evutil_socket_t fd, short what, void *arg)
{
	struct control_count *count = arg;

	(void)fd;
	(void)what;
	tg_log(TG_LOG_WARN, "the engine did not read the counters in time", NULL);
	count->look_id = 0;
	count_store(count, NULL);
}

static void on_ledger_retry(evutil_socket_t fd, short what, void *arg);
static void on_sweep(evutil_socket_t fd, short what, void *arg);

struct control_count *control_count_new(struct control *control)
{
	struct control_count *count = calloc(1, sizeof *count);

	if (count == NULL)
		return NULL;
	count->control = control;
	count->segments = control_segments_new();
	count->tick = event_new(control->base, -1, EV_PERSIST, on_tick, count);
	count->engine_late = evtimer_new(control->base, on_engine_late, count);
	count->ledger_retry = evtimer_new(control->base, on_ledger_retry, count);
	count->sweep = event_new(control->base, -1, EV_PERSIST, on_sweep, count);
	if (count->tick == NULL || count->engine_late == NULL || count->ledger_retry == NULL ||
	    count->sweep == NULL || count->segments == NULL) {
		control_count_free(count);
		return NULL;
	}
	return count;
}

static void entry_free(struct entry *entry)
{
	if (entry == NULL)
		return;
	free(entry->readings);
	control_reading_clear(&entry->hosts);
	free(entry);
}

void control_count_free(struct control_count *count)
{
	struct event *events[4];

	if (count == NULL)
		return;
	events[0] = count->tick;
	events[1] = count->engine_late;
	events[2] = count->ledger_retry;
	events[3] = count->sweep;
	for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
		if (events[i] != NULL)
			event_free(events[i]);
	control_segments_free(count->segments);
	free(count);
}

static void slot_restore(const struct store_slot *slot, void *arg)
{
	struct control_count *count = arg;

	count->no_slots = false;
	if (slots_restore(control_routes_slots(count->control->routes), slot->slot, &slot->network,
	                  slot->host) == -1)
		tg_die("cannot take up the hosts' counters");
}

int control_count_start(struct control_count *count, struct tg_error *err)
{
	struct control      *control = count->control;
	uint64_t             ms = control->role->start.sample_interval_ms;
	const struct timeval interval = { .tv_sec = (time_t)(ms / 1000),
					  .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
	uint64_t             retention_s = control->role->start.retention_s;
	uint64_t             sweep_s = retention_s < SWEEP_MOST_S ? retention_s : SWEEP_MOST_S;
	const struct timeval sweep = { .tv_sec = (time_t)sweep_s };

	count->no_slots = true;
	if (store_slots(control->store, slot_restore, count, err) == -1)
		return -1;
	if (event_add(count->tick, &interval) == -1 || event_add(count->sweep, &sweep) == -1)
		return tg_fail_memory(err);
	return 0;
}

void control_count_segment(struct control_count *count, const struct msg_segment *body, int fd)
{
	control_segments_add(count->segments, body, fd, count->no_slots ? &count->unknown_end : NULL);
}

static int entry_peers(struct entry *entry, const struct snapshot *snapshot)
{
	entry->readings = calloc(snapshot->peers_count + 1, sizeof *entry->readings);
	if (entry->readings == NULL)
		return -1;
	for (size_t i = 0; i < snapshot->networks_count; i++) {
		const struct snapshot_network *network = &snapshot->networks[i];

		for (uint32_t k = 0; k < network->peers_count; k++) {
			const struct snapshot_peer *peer = &snapshot->peers[network->peers_first + k];
			struct msg_reading         *to = &entry->readings[entry->readings_count++];

			to->network = network->public_key;
			to->peer = peer->public_key;
			to->epoch = network->epoch;
			to->rx = peer->rx;
			to->tx = peer->tx;
			to->kind = MSG_READING_COUNT;
		}
	}
	return 0;
}

static int entry_hosts(struct entry *entry, const struct control_count *count)
{
	uint32_t known = slots_end(control_routes_slots(count->control->routes));

	return control_segments_read(count->segments, known > count->unknown_end ? known : count->unknown_end,
	                             &entry->hosts);
}

static void run_store(void *arg)
{
	struct entry            *entry = arg;
	const struct store_batch batch = { .readings = entry->readings,
		                           .readings_count = entry->readings_count,
		                           .hosts = entry->hosts.hosts,
		                           .hosts_count = entry->hosts.hosts_count,
		                           .segments_done = entry->hosts.done,
		                           .segments_done_count = entry->hosts.done_count };

	entry->stored = store_commit(entry->control->store, tg_clock_unix_ms(), &batch, &entry->outcome,
	                             &entry->err);
}

static void count_result(struct control_count *count, const struct entry *entry)
{
	if (entry->stored == -1 && !count->failed)
		tg_log(TG_LOG_ERROR, "cannot record traffic", "reason=\"%s\"", entry->err.text);
	if (entry->stored == 0 && count->failed)
		tg_log(TG_LOG_INFO, "traffic is recorded again", NULL);
	count->failed = entry->stored == -1;
	if (entry->stored == 0 && entry->outcome.unknown_peers > 0)
		tg_log(TG_LOG_WARN, "peers had no baseline: theirs is this reading", "peers=%zu",
		       entry->outcome.unknown_peers);
	if (entry->stored == 0 && entry->outcome.unknown_slots > 0)
		tg_log(TG_LOG_WARN, "hosts had no baseline: theirs is this reading", "hosts=%zu",
		       entry->outcome.unknown_slots);
}

/* Before any slot gets a meaning: what the workers of an earlier life counted while the database was
 * another is nobody's, and must not be booked to whoever gets the slot. */
int control_count_go(struct control_count *count, struct tg_error *err)
{
	struct entry entry = { .control = count->control };
	int          result = entry_hosts(&entry, count) == -1 ? tg_fail_memory(err) : 0;

	if (result == 0)
		result = store_segments(count->control->store, entry.hosts.all, entry.hosts.all_count, err);
	if (result == 0 && count->unknown_end > 0) {
		entry.hosts.done_count = 0;
		run_store(&entry);
		count_result(count, &entry);
		if (entry.stored == -1)
			*err = entry.err;
		result = entry.stored;
	}
	count->no_slots = false;
	count->unknown_end = 0;
	control_reading_clear(&entry.hosts);
	return result;
}

static void segments_drop(struct control_count *count, const struct control_reading *hosts)
{
	for (size_t i = 0; i < hosts->done_count; i++) {
		struct msg_segment_done body = { { 0 } };

		if (!control_segments_drop(count->segments, hosts->done[i]))
			continue;
		memcpy(body.name, hosts->done[i], sizeof body.name);
		channel_send(count->control->supervisor, MSG_SEGMENT_DONE, &body, NULL, 0);
	}
}

/* After a sample: if a last one is wanted, this was it, or it begins now, since what was on its way
 * may have been read before the last byte. */
static void count_finish(struct control_count *count)
{
	if (count->final == NULL)
		return;
	if (count->final_begun) {
		count->final(count->control);
		return;
	}
	count->final_begun = true;
	count_sample(count);
}

static void on_stored(void *arg)
{
	struct entry         *entry = arg;
	struct control_count *count = entry->control->count;

	count->busy = false;
	count_result(count, entry);
	control_metrics_sample(count->control->metrics, entry->stored == 0);
	if (entry->stored == 0) {
		slots_committed(control_routes_slots(entry->control->routes));
		segments_drop(count, &entry->hosts);
	}
	entry_free(entry);
	count_finish(count);
}

/* A worker that an earlier daemon left behind obeys no table of ours, and of one that has just died the last
 * bytes are read only once it is known to be dead: till then no slot that it may count in can stand for
 * another host. */
static bool slots_may_go(const struct control_count *count)
{
	const struct control *control = count->control;

	for (uint32_t i = 0; i < control->role->start.workers; i++)
		if (control->workers[i] == NULL && control_segments_live(count->segments, i))
			return false;
	return !control_segments_live(count->segments, MSG_SEGMENT_ADOPTED);
}

/* `snapshot` NULL: hosts alone. */
static void count_store(struct control_count *count, const struct snapshot *snapshot)
{
	struct entry *entry = calloc(1, sizeof *entry);

	evtimer_del(count->engine_late);
	if (entry == NULL)
		goto undo_entry;
	entry->control = count->control;
	if (slots_may_go(count))
		slots_reading(control_routes_slots(count->control->routes));
	if (entry_hosts(entry, count) == -1 || (snapshot != NULL && entry_peers(entry, snapshot) == -1))
		goto undo_entry;
	count->busy = true;
	if (jobs_put(count->control->jobs, run_store, on_stored, entry) == 0)
		return;
	count->busy = false;

undo_entry:
	tg_log(TG_LOG_ERROR, "a sample is left out: no memory or too much is waiting", NULL);
	count->failed = true;
	control_metrics_sample(count->control->metrics, false);
	entry_free(entry);
	count_finish(count);
}

static void count_sample(struct control_count *count)
{
	static const struct timeval wait = { .tv_sec = ENGINE_ANSWER_MS / 1000 };

	/* Only ever one on its way: what a slow disk makes late is in the next. */
	if (count->busy || count->look_id != 0)
		return;
	count->look_id = control_looks_ask(count->control->looks, CONTROL_LOOK_COUNT, false, 0);
	if (count->look_id == 0) {
		count_store(count, NULL);
		return;
	}
	evtimer_add(count->engine_late, &wait);
}

void control_count_snapshot(struct control_count *count, uint64_t id, const struct snapshot *snapshot)
{
	/* An answer that came too late is not for the sample that waits now. */
	if (count->look_id == 0 || (id != 0 && count->look_id != id))
		return;
	count->look_id = 0;
	count_store(count, snapshot);
}

static void on_ledger(void *arg)
{
	static const struct timeval wait = { .tv_sec = LEDGER_RETRY_MS / 1000 };
	struct entry               *entry = arg;
	struct control_count       *count = entry->control->count;
	struct channel             *engine = entry->control->engine;

	count_result(count, entry);
	if (engine != NULL && entry->control->engines == entry->engine) {
		const struct msg_ledger_done body = { .id = entry->ledger_id };

		if (entry->stored == 0)
			channel_send(engine, MSG_LEDGER_DONE, &body, NULL, 0);
		else
			evtimer_add(count->ledger_retry, &wait);
	}
	if (entry->stored == -1)
		control_apply_hindered(entry->control->apply, entry->err.text);
	entry_free(entry);
}

/* The same readings must not be stored later: a sample may have passed them by, and an older reading
 * looks like a counter that began anew.  The engine reads again when it is told the document again. */
static void on_ledger_retry(evutil_socket_t fd, short what, void *arg)
{
	struct control_count *count = arg;

	(void)fd;
	(void)what;
	control_apply_engine(count->control->apply);
}

/* NULL: it is refused. */
static struct entry *ledger_of(const struct msg *msg, const int *fds)
{
	const struct msg_ledger *body = &msg->body.ledger;
	struct entry            *entry = calloc(1, sizeof *entry);
	struct channel_value     value = { .mapped = false };
	struct tg_error          err = { .text = "out of memory" };

	if (entry == NULL ||
	    channel_value_open(msg, fds, sizeof *entry->readings, READINGS_BYTES_MOST, &value, &err) != 0)
		goto undo_entry;
	if (value.bytes != body->count * sizeof *entry->readings) {
		tg_fail(&err, TG_CODE_PROTOCOL, "it has %zu bytes", value.bytes);
		goto undo_entry;
	}
	entry->readings = malloc(value.bytes);
	if (entry->readings == NULL)
		goto undo_entry;
	memcpy(entry->readings, value.data, value.bytes);
	channel_value_close(&value);
	entry->ledger_id = body->id;
	entry->readings_count = body->count;
	return entry;

undo_entry:
	tg_log(TG_LOG_ERROR, "refused a ledger of the engine", "reason=\"%s\"", err.text);
	channel_value_close(&value);
	entry_free(entry);
	return NULL;
}

void control_count_ledger(struct control_count *count, const struct msg *msg, const int *fds)
{
	struct entry *entry = ledger_of(msg, fds);

	/* Without an answer the engine would wait for ever: it begins anew on a new channel. */
	if (entry == NULL)
		tg_die("the engine's ledger cannot be taken up");
	entry->control = count->control;
	entry->engine = count->control->engines;
	if (jobs_put(count->control->jobs, run_store, on_ledger, entry) == 0)
		return;
	tg_fail(&entry->err, TG_CODE_LIMIT, "too much is waiting");
	entry->stored = -1;
	on_ledger(entry);
}

static void run_sweep(void *arg)
{
	struct control *control = arg;
	struct tg_error err;
	int             left = store_sweep(control->store, tg_clock_unix_ms(), SWEEP_RECORDS, &err);

	if (left == -1)
		tg_log(TG_LOG_ERROR, "cannot sweep the traffic database", "reason=\"%s\"", err.text);
	control->count->sweeping = left == 1;
}

static void on_swept(void *arg)
{
	struct control *control = arg;

	if (control->count->sweeping && !control->stopping &&
	    jobs_put(control->jobs, run_sweep, on_swept, control) == 0)
		return;
	control->count->sweeping = false;
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct control_count *count = arg;

	(void)fd;
	(void)what;
	if (count->sweeping)
		return;
	count->sweeping = jobs_put(count->control->jobs, run_sweep, on_swept, count->control) == 0;
}

void control_count_final(struct control_count *count, void (*done)(struct control *control))
{
	event_del(count->tick);
	event_del(count->sweep);
	count->final = done;
	if (!count->busy && count->look_id == 0)
		count_finish(count);
}

bool control_count_healthy(const struct control_count *count)
{
	return !count->failed;
}
