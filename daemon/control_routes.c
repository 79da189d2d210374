#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accounting/store.h"
#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/model.h"
#include "daemon/control.h"
#include "daemon/control_events.h"
#include "daemon/control_metrics.h"
#include "daemon/document.h"
#include "daemon/jobs.h"
#include "daemon/role.h"
#include "daemon/slots.h"
#include "proxy/routes.h"

#define FORWARDS_MOST	  1024
#define REPORTS_MOST	  64	/* of the engine, not yet answered: it waits for answers itself */
#define WORKER_ANSWER_MS  2000
#define SLOTS_RETRY_MS	  1000

/* One of the engine's reports, to be answered when the workers obey what follows from it. */
struct report {
	uint64_t seq, round;
	bool     complete;
};

/* A table on its way to the workers: its new slots are stored first. */
struct table {
	struct control    *control;	/* borrowed */
	int                fd;
	uint64_t           version;
	struct store_slot *slots;
	size_t             slots_count;
	int                stored;
	struct tg_error    err;
};

struct control_routes {
	struct control    *control;	/* borrowed */
	struct msg_forward forwards[FORWARDS_MOST];
	size_t             forwards_count;
	struct snapshot    state;	/* the engine's last report */
	struct report      reports[REPORTS_MOST];
	size_t             reports_count;	/* the first `answering` of them get the table under way */
	size_t             answering;
	struct slots      *slots;
	struct table      *making;	/* its slots are being stored */
	int                fd;		/* the table that workers have or are given, -1: none yet */
	uint64_t           version;	/* of it */
	uint64_t           asked[MSG_WORKERS_MOST];	/* newest version sent to that worker */
	uint64_t           obeyed[MSG_WORKERS_MOST];	/* newest version it acknowledged */
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

static void table_free(struct table *table)
{
	if (table == NULL)
		return;
	tg_close_at(&table->fd);
	free(table->slots);
	free(table);
}

void control_routes_free(struct control_routes *routes)
{
	if (routes == NULL)
		return;
	table_free(routes->making);
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
	if (routes->forwards_count == FORWARDS_MOST || memchr(forward->host, '\0', MSG_HOST_MOST) == NULL)
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

/* Whether `name` of a document takes the operator's `host`: itself, or as a wildcard over it. */
static bool host_claims(const char *name, const char *host)
{
	const char *rest = strchr(host, '.');

	return strcmp(name, host) == 0 || (name[0] == '*' && rest != NULL && strcmp(name + 1, rest) == 0);
}

void control_routes_claimed(const struct control_routes *routes, const struct model *model,
                            struct model_faults *faults)
{
	for (size_t i = 0; i < model->networks_count && routes->forwards_count > 0; i++) {
		const struct model_network *network = &model->networks[i];

		for (uint32_t k = 0; k < network->hosts_count; k++) {
			const struct model_host *host = &model->hosts[network->hosts_first + k];
			const char              *name = model_text(model, host->name_at);
			char                     path[320];

			if (host->scheme == MODEL_SSH)
				continue;
			snprintf(path, sizeof path, "/%u/proxy/%s:~1~1%s", network->port,
			         host->scheme == MODEL_HTTPS ? "https" : "http", name);
			for (size_t f = 0; f < routes->forwards_count; f++)
				if (host_claims(name, routes->forwards[f].host)) {
					model_faults_add(faults, path, "%s is the operator's own (--forward)",
					                 routes->forwards[f].host);
					break;
				}
		}
	}
}

/* Hosts under construction. */
struct building {
	struct routes_host *hosts;
	size_t              count;
	struct store_slot  *fresh;
	size_t              fresh_count;
};

static void target_fill(const struct model *model, const struct model_host *from, struct routes_target *to)
{
	to->present = 1;
	to->host_header = from->host_header_at != 0 ? model_text(model, from->host_header_at) : NULL;
	to->upstreams = from->upstreams_count > 0 ? &model->upstreams[from->upstreams_first] : NULL;
	to->upstreams_count = from->upstreams_count;
	to->max_connections = from->max_connections;
	to->proxy_protocol = from->proxy_protocol;
	to->redirect_to_https = from->redirect_to_https;
}

/* Hosts of a network are sorted by name, so the two schemes of one name stand together. */
static int building_network(struct control_routes *routes, struct building *b, const struct model *model,
                            const struct model_network *network)
{
	const struct snapshot_network *live = snapshot_find(&routes->state, network->port);
	bool up = live != NULL && live->state == SNAPSHOT_UP &&
	          tg_key_equal(&live->public_key, &network->public_key);

	for (uint32_t i = 0; i < network->hosts_count; i++) {
		const struct model_host *host = &model->hosts[network->hosts_first + i];
		const char              *name = model_text(model, host->name_at);
		struct routes_host      *to = b->count > 0 ? &b->hosts[b->count - 1] : NULL;

		if (host->scheme == MODEL_SSH)
			continue;
		if (to == NULL || strcmp(to->name, name) != 0) {
			bool fresh = false;

			to = &b->hosts[b->count];
			memset(to, 0, sizeof *to);
			to->name = name;
			to->netns_cookie = up ? live->epoch.netns_cookie : 0;
			to->network_id = to->netns_cookie;
			to->slot = slots_take(routes->slots, &network->public_key, name, &fresh);
			if (to->slot == SLOTS_NONE)
				return -1;
			b->count++;
			if (fresh) {
				struct store_slot *slot = &b->fresh[b->fresh_count++];

				slot->slot = to->slot;
				slot->network = network->public_key;
				snprintf(slot->host, sizeof slot->host, "%s", name);
			}
		}
		target_fill(model, host, &to->scheme[host->scheme == MODEL_HTTPS ? ROUTES_HTTPS : ROUTES_HTTP]);
	}
	return 0;
}

static void building_forwards(const struct control_routes *routes, struct building *b)
{
	size_t first = b->count;

	for (size_t i = 0; i < routes->forwards_count; i++) {
		const struct msg_forward *forward = &routes->forwards[i];
		struct routes_host       *to = NULL;

		for (size_t k = first; k < b->count; k++)
			if (strcmp(b->hosts[k].name, forward->host) == 0)
				to = &b->hosts[k];
		if (to == NULL) {
			to = &b->hosts[b->count++];
			memset(to, 0, sizeof *to);
			to->name = forward->host;
			to->network_id = 1;
			to->slot = SLOTS_NONE;
		}

		struct routes_target *target = &to->scheme[forward->https ? ROUTES_HTTPS : ROUTES_HTTP];

		target->present = 1;
		target->upstreams = &forward->upstream;
		target->upstreams_count = 1;
		target->max_connections = MODEL_UNLIMITED;
	}
}

static struct table *table_build(struct control_routes *routes, struct tg_error *err)
{
	const struct model *model = routes->control->active->model;
	size_t              most = model->hosts_count + routes->forwards_count;
	struct building     b = { .hosts = calloc(most + 1, sizeof *b.hosts),
				  .fresh = calloc(model->hosts_count + 1, sizeof *b.fresh) };
	struct table       *table = calloc(1, sizeof *table);
	int                 failed = b.hosts == NULL || b.fresh == NULL || table == NULL ? tg_fail_memory(err) : 0;

	if (failed == 0) {
		slots_table_begin(routes->slots);
		for (size_t i = 0; i < model->networks_count && failed == 0; i++)
			if (building_network(routes, &b, model, &model->networks[i]) == -1)
				failed = tg_fail(err, TG_CODE_LIMIT, "more than %u hosts have counters", MSG_SLOTS);
		slots_table_end(routes->slots, routes->version + 1);
	}
	if (failed == 0) {
		building_forwards(routes, &b);
		table->fd = routes_build(b.hosts, b.count, err);
		failed = table->fd == -1 ? -1 : 0;
	}
	free(b.hosts);
	if (failed == -1) {
		free(b.fresh);
		free(table);
		return NULL;
	}
	table->control = routes->control;
	table->version = routes->version + 1;
	table->slots = b.fresh;
	table->slots_count = b.fresh_count;
	return table;
}

static void run_slots(void *arg)
{
	struct table            *table = arg;
	const struct store_batch batch = { .slots = table->slots, .slots_count = table->slots_count };
	struct store_outcome     outcome;

	table->stored = store_commit(table->control->store, tg_clock_unix_ms(), &batch, &outcome, &table->err);
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

	size_t        count = routes->answering;
	struct report last = routes->reports[count - 1];

	for (size_t i = 0; i < count && control->engine != NULL; i++) {
		const struct msg_routed body = { .seq = routes->reports[i].seq };

		channel_send(control->engine, MSG_ROUTED, &body, NULL, 0);
	}
	routes->reports_count -= count;
	memmove(routes->reports, routes->reports + count, routes->reports_count * sizeof routes->reports[0]);
	routes->answering = 0;
	control_apply_routed(control->apply, last.round, last.complete);
	routes_next(routes);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct control_routes *routes = arg;
	struct control        *control = routes->control;

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < control->role->start.workers; i++) {
		const struct msg_worker body = { .index = i };

		if (!worker_owes(routes, i))
			continue;
		tg_log(TG_LOG_ERROR, "a worker does not obey its routes: it is killed", "worker=%u", i);
		channel_send(control->supervisor, MSG_WORKER_STUCK, &body, NULL, 0);
	}
}

static void routes_wait(struct control_routes *routes)
{
	static const struct timeval wait = { .tv_sec = WORKER_ANSWER_MS / 1000 };

	evtimer_add(routes->late, &wait);
}

static void table_publish(struct control_routes *routes, struct table *table)
{
	tg_close_at(&routes->fd);
	routes->fd = tg_take_fd(&table->fd);
	routes->version = table->version;
	routes->making = NULL;
	table_free(table);
	for (uint32_t i = 0; i < routes->control->role->start.workers; i++)
		worker_send(routes, i);
	routes_wait(routes);
	routes_settle(routes);
}

static void slots_put(struct control_routes *routes);

static void on_slots(void *arg)
{
	static const struct timeval wait = { .tv_sec = SLOTS_RETRY_MS / 1000 };
	struct table               *table = arg;
	struct control_routes      *routes = table->control->routes;

	if (table->stored == 0) {
		slots_stored(routes->slots);
		table_publish(routes, table);
		return;
	}
	tg_log(TG_LOG_ERROR, "cannot store the hosts' counters", "reason=\"%s\"", table->err.text);
	evtimer_add(routes->retry, &wait);
	control_apply_hindered(table->control->apply, table->err.text);
}

static void slots_put(struct control_routes *routes)
{
	static const struct timeval wait = { .tv_sec = SLOTS_RETRY_MS / 1000 };

	if (jobs_put(routes->control->jobs, run_slots, on_slots, routes->making) == -1)
		evtimer_add(routes->retry, &wait);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct control_routes *routes = arg;

	(void)fd;
	(void)what;
	if (routes->making != NULL)
		slots_put(routes);
	else
		routes_next(routes);
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

/* Makes a table of the newest state and document, unless one is under way or nothing waits. */
static void routes_next(struct control_routes *routes)
{
	static const struct timeval wait = { .tv_sec = SLOTS_RETRY_MS / 1000 };
	struct tg_error             err;
	struct table               *table;

	if (routes->making != NULL || routes->answering > 0 || (routes->reports_count == 0 && !routes->stale))
		return;
	routes->stale = false;
	table = table_build(routes, &err);
	if (table == NULL) {
		tg_log(TG_LOG_ERROR, "cannot make a route table", "reason=\"%s\"", err.text);
		routes->stale = true;
		evtimer_add(routes->retry, &wait);
		control_apply_hindered(routes->control->apply, err.text);
		return;
	}
	routes->answering = routes->reports_count;
	if (table_same(routes->fd, table->fd)) {
		table_free(table);
		routes_settle(routes);
		return;
	}
	routes->making = table;
	if (table->slots_count > 0) {
		slots_put(routes);
		return;
	}
	table_publish(routes, table);
}

void control_routes_networks(struct control_routes *routes, const struct msg_networks *body, int fd)
{
	struct tg_error err;
	struct snapshot state;

	if (routes->reports_count == REPORTS_MOST)
		tg_die("the engine reports without waiting for answers");
	if (snapshot_unpack(fd, &state, &err) == -1) {
		/* Without an answer the engine, and a client's apply with it, would wait for ever. */
		tg_die("the engine's report cannot be taken up: %s", err.text);
	}
	control_events_networks(routes->control->events, &routes->state, &state);
	control_metrics_repaired(routes->control->metrics, body->repaired);
	snapshot_clear(&routes->state);
	routes->state = state;
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
