#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accounting/store.h"
#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/claims.h"
#include "daemon/control.h"
#include "daemon/control_events.h"
#include "daemon/control_metrics.h"
#include "daemon/document.h"
#include "daemon/jobs.h"
#include "daemon/role.h"
#include "daemon/slots.h"
#include "daemon/table.h"

#define REPORTS_MOST	  2	/* of the engine, not yet answered: the newest waits for its turn */
#define WORKER_ANSWER_MS  2000
#define START_WAITS	  5	/* times that for the first: it may start on a busy machine */
#define MAKE_RETRY_MS	  1000
#define HOSTS_IN_LOOP	  500	/* a table of more is made in the thread */

/* One of the engine's reports, to be answered when the workers obey what follows from it. */
struct report {
	uint64_t seq, round;
	bool     complete;
};

enum making_result { MAKING_NEW, MAKING_SAME, MAKING_FAILED, MAKING_NOT_STORED };

/* A table on its way to the workers: its new slots are stored first. */
struct making {
	struct control    *control;	/* borrowed */
	struct document   *document;	/* held: of the table */
	struct table       table;
	int                before;	/* borrowed: the table that is in force */
	enum making_result result;
	struct tg_error    err;
};

struct control_routes {
	struct control    *control;	/* borrowed */
	struct msg_forward forwards[MSG_FORWARDS_MOST];
	size_t             forwards_count;
	struct snapshot    state;	/* the engine's last report */
	struct report      reports[REPORTS_MOST];
	size_t             reports_count;
	size_t             answering;	/* 1: the first of them gets the table under way; else 0 */
	struct slots      *slots;
	struct making     *making;	/* NULL: none */
	int                fd;		/* the table that workers have or are given, -1: none yet */
	uint64_t           version;	/* of it */
	uint64_t           asked[MSG_WORKERS_MOST];	/* newest version sent to that worker */
	uint64_t           obeyed[MSG_WORKERS_MOST];	/* newest version it acknowledged */
	uint8_t            waits[MSG_WORKERS_MOST];	/* for its first answer, that came to nothing */
	struct event      *late;	/* a worker did not answer in time */
	struct event      *retry;	/* slots could not be stored */
	bool               stale;	/* a table is wanted though no report waits for it */
};

static void routes_next(struct control_routes *routes);

static void on_late(evutil_socket_t fd, short what, void *arg);
static void on_retry(evutil_socket_t fd, short what, void *arg);

struct control_routes *control_routes_new(struct control *control)
{
	struct control_routes *routes = calloc(1, sizeof *routes);

	if (routes == NULL)
		return NULL;
	routes->control = control;
	routes->fd = -1;
	routes->slots = slots_new(MSG_SLOTS);
	routes->late = evtimer_new(control->base, on_late, routes);
	routes->retry = evtimer_new(control->base, on_retry, routes);
	if (routes->slots == NULL || routes->late == NULL || routes->retry == NULL) {
		control_routes_free(routes);
		return NULL;
	}
	return routes;
}

static void making_free(struct making *making)
{
	if (making == NULL)
		return;
	table_clear(&making->table);
	document_drop(making->document);
	free(making);
}

void control_routes_free(struct control_routes *routes)
{
	if (routes == NULL)
		return;
	making_free(routes->making);
	snapshot_clear(&routes->state);
	slots_free(routes->slots);
	tg_close_at(&routes->fd);
	if (routes->late != NULL)
		event_free(routes->late);
	if (routes->retry != NULL)
		event_free(routes->retry);
	free(routes);
}

int control_routes_forward(struct control_routes *routes, const struct msg_forward *forward)
{
	if (routes->forwards_count == MSG_FORWARDS_MOST || memchr(forward->host, '\0', MSG_HOST_MOST) == NULL)
		return -1;
	routes->forwards[routes->forwards_count++] = *forward;
	return 0;
}

const struct snapshot *control_routes_state(const struct control_routes *routes)
{
	return &routes->state;
}

struct slots *control_routes_slots(struct control_routes *routes)
{
	return routes->slots;
}

void control_routes_claimed(const struct control_routes *routes, const struct model *model,
                            struct model_faults *faults)
{
	claims_find(routes->forwards, routes->forwards_count, model, faults);
}

static bool table_same(int a, int b)
{
	size_t      a_bytes = 0, b_bytes = 0;
	const void *a_map = a != -1 ? tg_memfd_map(a, 1, SIZE_MAX, &a_bytes, NULL) : NULL;
	const void *b_map = tg_memfd_map(b, 1, SIZE_MAX, &b_bytes, NULL);
	bool        same = a_map != NULL && b_map != NULL && a_bytes == b_bytes &&
	            memcmp(a_map, b_map, a_bytes) == 0;

	tg_memfd_unmap(a_map, a_bytes);
	tg_memfd_unmap(b_map, b_bytes);
	return same;
}

/* Again, when its slots could not be stored. */
static void run_making(void *arg)
{
	struct making           *making = arg;
	struct table            *table = &making->table;
	const struct store_batch batch = { .slots = table->slots, .slots_count = table->slots_count };
	struct store_outcome     outcome;

	if (table->fd == -1 && table_make(table, &making->err) == -1)
		making->result = MAKING_FAILED;
	else if (table_same(making->before, table->fd))
		making->result = MAKING_SAME;
	else if (table->slots_count > 0 && store_commit(making->control->store, tg_clock_unix_ms(), &batch,
	                                                &outcome, &making->err) == -1)
		making->result = MAKING_NOT_STORED;
	else
		making->result = MAKING_NEW;
}

static void worker_send(struct control_routes *routes, uint32_t index)
{
	const struct msg_routes body = { .version = routes->version };

	if (routes->fd == -1 || routes->control->workers[index] == NULL)
		return;
	routes->asked[index] = routes->version;
	channel_send(routes->control->workers[index], MSG_ROUTES, &body, &routes->fd, 1);
}

static bool worker_owes(const struct control_routes *routes, uint32_t index)
{
	return routes->control->workers[index] != NULL && routes->asked[index] > routes->obeyed[index];
}

/* Tells the engine and the apply that wait, once every worker obeys the newest table. */
static void routes_settle(struct control_routes *routes)
{
	struct control *control = routes->control;

	if (routes->making != NULL)
		return;
	if (routes->answering == 0) {
		/* The engine that asked for this table is gone; the next one's report may wait by now. */
		routes_next(routes);
		return;
	}
	for (uint32_t i = 0; i < control->role->start.workers; i++)
		if (worker_owes(routes, i))
			return;
	evtimer_del(routes->late);
	slots_obeyed(routes->slots, routes->version);

	const struct report     report = routes->reports[0];
	const struct msg_routed body = { .seq = report.seq };

	if (control->engine != NULL)
		channel_send(control->engine, MSG_ROUTED, &body, NULL, 0);
	routes->reports[0] = routes->reports[--routes->reports_count];
	routes->answering = 0;
	control_apply_routed(control->apply, report.round, report.complete);
	routes_next(routes);
}

static void routes_wait(struct control_routes *routes)
{
	static const struct timeval wait = { .tv_sec = WORKER_ANSWER_MS / 1000 };

	evtimer_add(routes->late, &wait);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct control_routes *routes = arg;
	struct control        *control = routes->control;
	bool                   starting = false;

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < control->role->start.workers; i++) {
		const struct msg_worker body = { .index = i };

		if (!worker_owes(routes, i))
			continue;
		if (routes->obeyed[i] == 0 && ++routes->waits[i] < START_WAITS) {
			starting = true;
			continue;
		}
		tg_log(TG_LOG_ERROR, "a worker does not obey its routes: it is killed", "worker=%u", i);
		channel_send(control->supervisor, MSG_WORKER_STUCK, &body, NULL, 0);
	}
	if (starting)
		routes_wait(routes);
}

static void table_publish(struct control_routes *routes, struct making *making)
{
	tg_close_at(&routes->fd);
	routes->fd = tg_take_fd(&making->table.fd);
	routes->version = making->table.version;
	routes->making = NULL;
	making_free(making);
	for (uint32_t i = 0; i < routes->control->role->start.workers; i++)
		worker_send(routes, i);
	routes_wait(routes);
	routes_settle(routes);
}

static void routes_retry(struct control_routes *routes, const char *why)
{
	static const struct timeval wait = { .tv_sec = MAKE_RETRY_MS / 1000 };

	evtimer_add(routes->retry, &wait);
	control_apply_hindered(routes->control->apply, why);
}

static void making_fail(struct control_routes *routes, const char *why)
{
	tg_log(TG_LOG_ERROR, "cannot make a route table", "reason=\"%s\"", why);
	routes->stale = true;
	routes->answering = 0;
	routes_retry(routes, why);
}

static void on_making(void *arg)
{
	struct making         *making = arg;
	struct control_routes *routes = making->control->routes;
	struct tg_error        err = making->err;

	switch (making->result) {
	case MAKING_NEW:
		if (making->table.slots_count > 0)
			slots_stored(routes->slots);
		table_publish(routes, making);
		return;
	case MAKING_SAME:
		routes->making = NULL;
		making_free(making);
		routes_settle(routes);
		return;
	case MAKING_FAILED:
		routes->making = NULL;
		making_free(making);
		making_fail(routes, err.text);
		return;
	case MAKING_NOT_STORED:
		tg_log(TG_LOG_ERROR, "cannot store the hosts' counters", "reason=\"%s\"", err.text);
		routes_retry(routes, err.text);
		return;
	}
}

static void making_put(struct control_routes *routes)
{
	static const struct timeval wait = { .tv_sec = MAKE_RETRY_MS / 1000 };

	/* It may be due for a table before this one. */
	evtimer_del(routes->retry);
	if (jobs_put(routes->control->jobs, run_making, on_making, routes->making) == -1)
		evtimer_add(routes->retry, &wait);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct control_routes *routes = arg;

	(void)fd;
	(void)what;
	if (routes->making != NULL)
		making_put(routes);
	else
		routes_next(routes);
}

static struct making *making_begin(struct control_routes *routes, struct tg_error *err)
{
	const struct table_source from = { .model = routes->control->active->model,
					   .state = &routes->state,
					   .forwards = routes->forwards,
					   .forwards_count = routes->forwards_count,
					   .slots = routes->slots,
					   .version = routes->version + 1 };
	struct making            *making = calloc(1, sizeof *making);

	if (making == NULL) {
		tg_fail_memory(err);
		return NULL;
	}
	making->control = routes->control;
	making->before = routes->fd;
	if (table_plan(&from, &making->table, err) == -1) {
		free(making);
		return NULL;
	}
	making->document = document_hold(routes->control->active);
	return making;
}

/* Makes a table of the newest state and document, unless one is under way or nothing waits. */
static void routes_next(struct control_routes *routes)
{
	struct tg_error err;
	struct making  *making;

	if (routes->making != NULL || routes->answering > 0 || (routes->reports_count == 0 && !routes->stale))
		return;
	routes->stale = false;
	making = making_begin(routes, &err);
	if (making == NULL) {
		making_fail(routes, err.text);
		return;
	}
	routes->answering = routes->reports_count;
	routes->making = making;
	if (making->table.slots_count > 0 || making->table.hosts_count > HOSTS_IN_LOOP) {
		making_put(routes);
		return;
	}
	run_making(making);
	on_making(making);
}

void control_routes_networks(struct control_routes *routes, const struct msg_networks *body, int fd)
{
	struct tg_error err;
	struct snapshot state;

	/* Without an answer the engine, and a client's apply with it, would wait for ever. */
	if (fd != -1 && snapshot_unpack(fd, &state, &err) == -1)
		tg_die("the engine's report cannot be taken up: %s", err.text);
	if (fd != -1) {
		control_events_networks(routes->control->events, &routes->state, &state);
		snapshot_clear(&routes->state);
		routes->state = state;
	}
	control_metrics_repaired(routes->control->metrics, body->repaired);
	/* The engine waits for the answer to its last one only, in which all is that those before said. */
	if (routes->reports_count > routes->answering)
		routes->reports_count = routes->answering;
	routes->reports[routes->reports_count++] =
		(struct report){ .seq = body->seq, .round = body->generation, .complete = body->complete };
	routes_next(routes);
}

void control_routes_start(struct control_routes *routes)
{
	/* With a document the engine's report comes first: a table without it would take every host down. */
	if (routes->control->has_document || routes->forwards_count == 0)
		return;
	routes->stale = true;
	routes_next(routes);
}

void control_routes_worker(struct control_routes *routes, uint32_t index)
{
	routes->asked[index] = 0;
	routes->obeyed[index] = 0;
	routes->waits[index] = 0;
	worker_send(routes, index);
	if (routes->fd != -1)
		routes_wait(routes);
}

void control_routes_done(struct control_routes *routes, uint32_t index, uint64_t version)
{
	routes->obeyed[index] = version;
	routes_settle(routes);
}

void control_routes_engine_gone(struct control_routes *routes)
{
	/* A table under way still goes out: it follows from what was true a moment ago. */
	routes->reports_count = 0;
	routes->answering = 0;
}
