#include <event2/event.h>
#include <stdlib.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/model.h"
#include "daemon/engine.h"

/* The networks by port: an array to find one, and sets of ports to walk along those that matter. */

struct engine_network *engine_next(const struct engine *e, uint32_t port)
{
	return engine_next_of(e, &e->present, port);
}

struct engine_network *engine_next_of(const struct engine *e, const struct ports *set, uint32_t port)
{
	uint32_t next = ports_next(set, set, port);

	return next < PORTS_END ? e->networks[next] : NULL;
}

static struct engine_network *network_new(struct engine *e, uint16_t port)
{
	struct engine_network *n = calloc(1, sizeof *n);

	if (n == NULL)
		tg_die("out of memory for a network");
	tenant_init(&n->tenant, port);
	n->engine = e;
	n->watched = n->answer = -1;
	return n;
}

struct engine_network *engine_network_get(struct engine *e, uint16_t port)
{
	struct engine_network *n = e->networks[port];

	if (n != NULL)
		return n;
	n = network_new(e, port);
	e->networks[port] = n;
	ports_add(&e->present, port);
	ports_add(&e->unsettled, port);
	return n;
}

void engine_network_free(struct engine *e, uint16_t port)
{
	struct engine_network *n = e->networks[port];

	e->networks[port] = NULL;
	ports_remove(&e->present, port);
	ports_remove(&e->suspect, port);
	ports_remove(&e->unsettled, port);
	ports_remove(&e->untold, port);
	if (n->exited != NULL)
		event_free(n->exited);
	tg_close_at(&n->watched);
	engine_watch_answer_end(n);
	engine_model_drop(&n->desired);
	engine_model_drop(&n->settled);
	engine_model_drop(&n->endpoints);
	tenant_clear(&n->tenant);
	free(n);
}

void engine_suspect_all(struct engine *e)
{
	e->suspect = e->present;
	e->all_suspect_at_ms = tg_clock_ms();
}

uint64_t engine_suspect_at_times(struct engine *e, uint64_t now)
{
	if (now >= e->check_at_ms) {
		engine_suspect_all(e);
		e->check_at_ms = now + ENGINE_CHECK_MS;
	}
	return e->check_at_ms;
}

static void on_listed(uint16_t port, void *arg)
{
	engine_network_get(arg, port);
}

/* Whether the document wants what the kernel was last equal to. */
static bool is_settled(const struct engine_network *n)
{
	const struct model *before = n->settled != NULL ? n->settled->model : NULL;

	if (n->settled == NULL || !n->up || n->dirty)
		return false;
	return n->settled == n->desired ||
	       model_same_network(before, model_find(before, n->tenant.port), n->desired->model, n->want);
}

static void want(struct engine_network *n, struct engine_model *held, const struct model_network *network)
{
	if (n->want == NULL || network == NULL ||
	    !tg_key_equal(&n->want->public_key, &network->public_key))
		n->engine->news = true;
	engine_model_drop(&n->desired);
	n->want = network;
	if (network != NULL)
		n->desired = engine_model_hold(held);
	ports_add(&n->engine->unsettled, n->tenant.port);
	ports_add(&n->engine->untold, n->tenant.port);
}

void engine_in_line(struct engine_network *n)
{
	ports_remove(&n->engine->unsettled, n->tenant.port);
	engine_model_turn(&n->settled, n->desired);
	engine_model_turn(&n->endpoints, n->desired);
}

/* Whether its link is as it was, as far as anybody told, and is to stay so. */
static bool is_trusted(const struct engine_network *n)
{
	const struct engine *e = n->engine;
	const struct model  *before = n->settled != NULL ? n->settled->model : NULL;
	uint16_t             port = n->tenant.port;

	if (e->host.wireguard != MSG_WIREGUARD_KERNEL || ports_has(&e->suspect, port))
		return false;
	if (n->want == NULL || !n->up || n->dirty || before == NULL || n->tenant.ns == -1 ||
	    n->tenant.ifindex == 0)
		return false;
	return model_same_link(before, model_find(before, port), n->desired->model, n->want);
}

static void enlist_one(struct engine_network *n)
{
	bool before = n->changed;

	n->changed = n->changed || n->want == NULL || !is_settled(n);
	n->trusted = n->changed && !before && is_trusted(n);
	if (!n->changed) {
		engine_in_line(n);
		return;
	}
	/* Control may not have stored the last reading; one that comes twice counts nothing twice. */
	n->counted = false;
	n->dirty = false;
	n->wait_until_ms = 0;
	/* A new document may be what a failed network waited for. */
	n->retry_at_ms = 0;
	n->backoff_ms = 0;
}

static void list_names(struct engine *e)
{
	struct tg_error err;
	bool            failed = netns_list(e->host.prefix, on_listed, e, &err) != 0;

	/* Of what comes before somebody watches nobody tells. */
	e->unlisted = failed || e->names == NULL;
	if (failed)
		tg_log(TG_LOG_WARN, err.text, NULL);
}

bool engine_enlist(struct engine *e, struct engine_model *held, bool whole)
{
	const struct model *model = held->model;
	bool                changed = false;

	/* While somebody watches, a name that nobody told of is not there. */
	if (whole || e->unlisted)
		list_names(e);
	for (struct engine_network *n = whole ? engine_next(e, 1) : NULL; n != NULL;
	     n = engine_next(e, n->tenant.port + 1U))
		want(n, held, NULL);
	for (size_t i = 0; i < model->networks_count; i++)
		want(engine_network_get(e, model->networks[i].port), held, &model->networks[i]);
	engine_model_drop(&held);
	for (struct engine_network *n = engine_next_of(e, &e->unsettled, 1); n != NULL;
	     n = engine_next_of(e, &e->unsettled, n->tenant.port + 1U)) {
		enlist_one(n);
		changed |= n->changed;
	}
	engine_suspect_all(e);
	return changed;
}

void engine_broker_refused(struct engine *e, uint64_t cookie)
{
	for (struct engine_network *n = engine_next(e, 1); n != NULL;
	     n = engine_next(e, n->tenant.port + 1U)) {
		if (n->broker_cookie != cookie)
			continue;
		n->broker_cookie = 0;
		ports_add(&e->untold, n->tenant.port);
	}
}

void engine_broker_greet(struct engine *e)
{
	for (struct engine_network *n = engine_next(e, e->greet_at); n != NULL;
	     n = engine_next(e, e->greet_at)) {
		struct msg_netns add = { .netns_cookie = n->want != NULL ? n->tenant.cookie : 0 };

		if (e->broker_waits >= ENGINE_BROKER_MOST)
			return;
		e->greet_at = n->tenant.port + 1U;
		n->broker_cookie = add.netns_cookie;
		if (n->broker_cookie != 0 &&
		    channel_send(e->broker, MSG_NETNS_ADD, &add, &n->tenant.ns, 1) == 0)
			e->broker_waits++;
	}
	e->greet_at = PORTS_END;
}

/* All that is to be there has been added by now. */
static void clear_broker(struct engine *e)
{
	static const struct msg_netns all_else = { .netns_cookie = 0 };

	if (e->broker == NULL || e->broker_cleared)
		return;
	if (channel_send(e->broker, MSG_NETNS_REMOVE, &all_else, NULL, 0) == 0)
		e->broker_waits++;
	e->broker_cleared = true;
}

bool engine_broker_tell(struct engine *e)
{
	for (struct engine_network *n = engine_next_of(e, &e->untold, 1); n != NULL && e->broker != NULL;
	     n = engine_next_of(e, &e->untold, n->tenant.port + 1U)) {
		uint64_t         now = n->want != NULL ? n->tenant.cookie : 0;
		struct msg_netns add = { .netns_cookie = now };
		struct msg_netns gone = { .netns_cookie = n->broker_cookie };

		if (e->broker_waits >= ENGINE_BROKER_MOST)
			return false;
		ports_remove(&e->untold, n->tenant.port);
		if (now == n->broker_cookie)
			continue;
		if (gone.netns_cookie != 0 &&
		    channel_send(e->broker, MSG_NETNS_REMOVE, &gone, NULL, 0) == 0)
			e->broker_waits++;
		if (now != 0 && channel_send(e->broker, MSG_NETNS_ADD, &add, &n->tenant.ns, 1) == 0)
			e->broker_waits++;
		n->broker_cookie = now;
		e->announce = e->news = true;
	}
	clear_broker(e);
	return true;
}
