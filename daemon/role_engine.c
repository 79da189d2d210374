#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/model.h"
#include "daemon/engine.h"
#include "daemon/role.h"
#include "netns/wireguard.h"

/* The engine: makes the kernel equal to the document that control sends, keeps it so, and tells control
 * what is up and what was counted. */

void engine_schedule(struct engine *e, uint64_t in_ms)
{
	uint64_t at_ms = tg_clock_ms() + in_ms;

	/* Several parts wait for the one timer: the first of them counts, the others ask again then. */
	if (e->tick_at_ms != 0 && e->tick_at_ms <= at_ms)
		return;
	e->tick_at_ms = at_ms;
	/* Behind the message that is being taken: another wait would tell nothing. */
	if (in_ms == 0 && !e->busy) {
		event_active(e->tick, EV_TIMEOUT, 0);
		return;
	}

	struct timeval in = { .tv_sec = (time_t)(in_ms / 1000),
		              .tv_usec = (suseconds_t)(in_ms % 1000 * 1000) };

	event_add(e->tick, &in);
}

struct engine_model *engine_model_hold(struct engine_model *held)
{
	held->refs++;
	return held;
}

void engine_model_drop(struct engine_model **at)
{
	struct engine_model *held = *at;

	*at = NULL;
	if (held == NULL || --held->refs > 0)
		return;
	model_free(held->model);
	free(held);
}

void engine_model_turn(struct engine_model **at, struct engine_model *to)
{
	if (*at == to)
		return;
	engine_model_drop(at);
	*at = engine_model_hold(to);
}

static struct engine_model *received_model(const struct msg *msg, const int *fds)
{
	struct engine_model *held = calloc(1, sizeof *held);
	struct channel_value value;
	struct tg_error      err = { .code = TG_CODE_NONE };

	if (held == NULL)
		tg_die("out of memory for a document");
	if (channel_value_open(msg, fds, 1, MODEL_PACKED_MOST, &value, &err) == 0)
		held->model = model_unpack(value.data, value.bytes, &err);
	channel_value_close(&value);
	/* Control wrote it itself a moment ago: one of the two processes is not in its right mind. */
	if (held->model == NULL)
		tg_die("control sent a document that is none: %s", err.text);
	held->refs = 1;
	return held;
}

static void on_desired(struct engine *e, const struct msg *msg, const int *fds)
{
	struct engine_model *held = received_model(msg, fds);
	bool                 whole = msg->body.desired.before == 0;
	struct tg_error      err = { .code = TG_CODE_NONE };

	if (!whole && msg->body.desired.before != e->generation)
		tg_die("control sent changes to a document that is not here");
	e->generation = msg->body.desired.generation;
	e->busy = msg->value_bytes == 0;	/* a large one took a while */
	/* Not before there is a document: until then nothing is touched. */
	if (e->names == NULL && netns_prepare(&err) != 0)
		tg_log(TG_LOG_ERROR, err.text, NULL);
	engine_watch_start(e);
	engine_watch_drain_names(e);
	engine_watch_drain(e);

	bool changed = engine_enlist(e, held, whole);

	e->announce = true;
	e->check_at_ms = tg_clock_ms() + ENGINE_CHECK_MS;
	/* Control asks again about what is in force already: it gets a full check for an answer. */
	engine_begin(e, changed);
	e->busy = false;
}

static void on_control(struct channel *channel, const struct msg *msg, int *fds, size_t count, void *arg)
{
	struct engine *e = arg;

	(void)channel;
	(void)count;
	if (msg->type == MSG_DESIRED) {
		on_desired(e, msg, fds);
	} else if (msg->type == MSG_LEDGER_DONE) {
		engine_ledger_done(e, msg->body.ledger_done.id);
	} else if (msg->type == MSG_ROUTED && msg->body.routed.seq == e->seq && e->phase == ENGINE_UNROUTE) {
		e->phase = ENGINE_DOWN;
		e->at = 1;
		engine_schedule(e, 0);
	} else if (msg->type == MSG_LOOK) {
		engine_look_begin(e, &msg->body.look);
	}
}

static void on_broker(struct channel *channel, const struct msg *msg, int *fds, size_t count, void *arg)
{
	struct engine *e = arg;

	(void)channel;
	(void)fds;
	(void)count;
	if (msg->type != MSG_NETNS_DONE)
		return;
	if (msg->body.netns.sys != 0) {
		tg_log(TG_LOG_ERROR, "the broker refused a namespace", "errno=%d", msg->body.netns.sys);
		engine_broker_refused(e, msg->body.netns.netns_cookie);
	}
	if (e->broker_waits > 0)
		e->broker_waits--;
	if (e->broker_waits > 0)
		return;
	engine_broker_greet(e);
	engine_schedule(e, 0);
}

static void on_control_closed(struct channel *channel, void *arg)
{
	struct engine *e = arg;

	channel_free(channel);
	e->control = NULL;
	e->looking.active = false;
	snapshot_clear(&e->looking.snapshot);
	e->news = true;	/* to the next one */
	/* Its successor sends the document again; until then nothing is touched. */
	engine_pause(e);
	engine_read_end(e);
}

static void on_broker_closed(struct channel *channel, void *arg)
{
	struct engine *e = arg;

	channel_free(channel);
	e->broker = NULL;
	e->broker_waits = 0;
	engine_schedule(e, 0);
}

static void on_channel(struct engine *e, const struct msg *msg, int *fd)
{
	if (msg->body.channel.role == MSG_ROLE_CONTROL) {
		if (e->control != NULL)
			on_control_closed(e->control, e);
		e->control = channel_new(e->base, tg_take_fd(fd), MSG_ROLE_ENGINE, MSG_ROLE_CONTROL,
		                         on_control, on_control_closed, e);
		if (e->control == NULL)
			tg_die("out of memory for a channel");
	} else if (msg->body.channel.role == MSG_ROLE_BROKER) {
		if (e->broker != NULL)
			on_broker_closed(e->broker, e);
		e->broker = channel_new(e->base, tg_take_fd(fd), MSG_ROLE_ENGINE, MSG_ROLE_BROKER, on_broker,
		                        on_broker_closed, e);
		if (e->broker == NULL)
			tg_die("out of memory for a channel");
		/* An old one may know what a former engine told it. */
		e->broker_cleared = false;
		e->broker_waits = 0;
		e->greet_at = 1;
		engine_broker_greet(e);
	}
}

static void on_supervisor(struct channel *channel, const struct msg *msg, int *fds, size_t count, void *arg)
{
	struct engine  *e = arg;
	struct msg_none none = { .zero = 0 };

	(void)count;
	if (msg->type == MSG_CHANNEL)
		on_channel(e, msg, &fds[0]);
	else if (msg->type == MSG_GO)
		channel_send(channel, MSG_READY, &none, NULL, 0);
	else if (msg->type == MSG_STOP)
		event_base_loopexit(e->base, NULL);
}

static void on_supervisor_closed(struct channel *channel, void *arg)
{
	struct engine *e = arg;

	(void)channel;
	event_base_loopexit(e->base, NULL);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;

	(void)fd;
	(void)what;
	e->tick_at_ms = 0;
	e->busy = true;
	engine_look_some(e, tg_clock_ms() + ENGINE_SLICE_MS);
	if (e->control != NULL)
		engine_step(e);
	e->busy = false;
}

static void engine_close(struct engine *e)
{
	engine_pause(e);
	engine_read_end(e);
	engine_watch_stop(e);
	free(e->readings);
	snapshot_clear(&e->looking.snapshot);
	for (struct engine_network *n = engine_next(e, 1); n != NULL; n = engine_next(e, 1)) {
		/* Half made: nobody would find it by its socket or its namespace. */
		if (n->tenant.started_at_ms != 0)
			e->kernel.wireguard->end(&e->host, &n->tenant);
		engine_network_free(e, n->tenant.port);
	}
	free(e->networks);
	channel_free(e->control);
	channel_free(e->broker);
	channel_free(e->supervisor);
	event_free(e->tick);
	netns_host_clear(&e->host);
}

int role_engine(struct role *role)
{
	struct engine   e = { .role = role, .base = role->base, .names_fd = -1, .links_fd = -1,
				.news = true };
	struct tg_error err = { .code = TG_CODE_NONE };

	/* wireguard-go outlives us, and its end is seen through its pidfd: no zombies. */
	signal(SIGCHLD, SIG_IGN);
	if (netns_host_init(&e.host, role->start.netns_prefix, &err) != 0)
		tg_die("%s", err.text);
	wireguard_choose(&e.host, role->start.wireguard);
	if (e.host.wireguard == MSG_WIREGUARD_AUTO)
		tg_log(TG_LOG_ERROR, "no WireGuard here", "reason=\"%s\"", e.host.reason);
	e.kernel = apply_kernel_of(&e.host);
	e.networks = calloc(PORTS_END, sizeof(struct engine_network *));
	e.tick = event_new(role->base, -1, 0, on_tick, &e);
	e.supervisor = channel_new(role->base, role->supervisor_fd, MSG_ROLE_ENGINE, MSG_ROLE_SUPERVISOR,
	                           on_supervisor, on_supervisor_closed, &e);
	if (e.networks == NULL || e.tick == NULL || e.supervisor == NULL)
		tg_die("out of memory");
	event_base_dispatch(role->base);
	engine_close(&e);
	return 0;
}
