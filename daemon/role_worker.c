#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/channel.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/role.h"
#include "proxy/counters.h"
#include "proxy/sockpool.h"
#include "proxy/worker.h"

#define ROUTES_WAIT_MS 1000	/* without routes every name is unknown: connections are queued so long */

/* The process: proxy/ does the work, here it meets the others. */
struct self {
	struct role    *role;		/* borrowed */
	struct worker  *worker;
	struct channel *supervisor;
	struct channel *control;	/* NULL while control restarts */
	struct channel *broker;		/* NULL while the broker restarts */
	struct event   *routes_late;	/* since MSG_GO: accept although no routes came */
	struct event   *drain_over;
	int             segment_fd;	/* until both came */
	int             active_fd;
	bool            going;		/* MSG_GO came */
	bool            accepting;
	bool            stopping;
};

static void self_accept(struct self *self)
{
	static const struct msg_none none = { 0 };

	if (self->accepting || self->stopping)
		return;
	self->accepting = true;
	evtimer_del(self->routes_late);
	worker_accept(self->worker);
	channel_send(self->supervisor, MSG_READY, &none, NULL, 0);
}

static void self_stop(struct self *self)
{
	uint64_t             wait_ms = self->role->start.drain_timeout_ms;
	const struct timeval wait = {
		.tv_sec = (time_t)(wait_ms / 1000),
		.tv_usec = (suseconds_t)(wait_ms % 1000 * 1000),
	};

	if (self->stopping)
		return;
	self->stopping = true;
	evtimer_del(self->routes_late);
	evtimer_add(self->drain_over, &wait);
	worker_drain(self->worker);
}

static void on_routes_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	self_accept(arg);
}

static void on_drain_over(evutil_socket_t fd, short what, void *arg)
{
	struct self *self = arg;

	(void)fd;
	(void)what;
	tg_log(TG_LOG_WARN, "connections outlast the drain time-out", "connections=%zu",
	       self->worker->clients);
	event_base_loopbreak(self->role->base);
}

static void on_drained(void *arg)
{
	struct self *self = arg;

	event_base_loopbreak(self->role->base);
}

static void take_counters(struct self *self)
{
	struct tg_error  err;
	struct counters *counters;

	if (self->segment_fd == -1 || self->active_fd == -1)
		return;
	counters = counters_new(self->segment_fd, self->active_fd, self->role->start.index,
	                        self->role->start.workers, &err);
	if (counters == NULL)
		tg_die("%s", err.text);
	worker_set_counters(self->worker, counters);
	tg_close_at(&self->segment_fd);
	tg_close_at(&self->active_fd);
}

static void take_routes(struct self *self, const struct msg_routes *msg, int fd)
{
	struct tg_error err;

	/* Not acknowledged: control has this worker killed, which is what it takes to obey. */
	if (worker_set_routes(self->worker, fd, &err) == -1) {
		tg_log(TG_LOG_ERROR, "refused a route table", "reason=\"%s\"", err.text);
		return;
	}
	channel_send(self->control, MSG_ROUTES_DONE, msg, NULL, 0);
	if (self->going)
		self_accept(self);
}

static void on_control_message(struct channel *channel, const struct msg *msg, int *fds, size_t count,
                               void *arg)
{
	(void)channel;
	(void)count;
	if (msg->type == MSG_ROUTES)
		take_routes(arg, &msg->body.routes, fds[0]);
}

static void on_control_closed(struct channel *channel, void *arg)
{
	struct self *self = arg;

	if (self->control == channel)
		self->control = NULL;
	channel_free(channel);
}

static void on_broker_message(struct channel *channel, const struct msg *msg, int *fds, size_t count,
                              void *arg)
{
	struct self *self = arg;

	(void)channel;
	if (msg->type == MSG_SOCKETS)
		sockpool_answer(self->worker->sockets, &msg->body.sockets, fds, count);
}

static void set_broker(struct self *self, struct channel *broker)
{
	channel_free(self->broker);
	self->broker = broker;
	worker_set_broker(self->worker, broker);
}

static void on_broker_closed(struct channel *channel, void *arg)
{
	(void)channel;
	set_broker(arg, NULL);
}

static void take_channel(struct self *self, const struct msg_channel *msg, int fd)
{
	struct event_base *base = self->role->base;

	if (msg->role == MSG_ROLE_CONTROL) {
		channel_free(self->control);
		self->control = channel_new(base, fd, MSG_ROLE_WORKER, MSG_ROLE_CONTROL, on_control_message,
		                            on_control_closed, self);
	} else if (msg->role == MSG_ROLE_BROKER) {
		set_broker(self, channel_new(base, fd, MSG_ROLE_WORKER, MSG_ROLE_BROKER, on_broker_message,
		                             on_broker_closed, self));
	} else {
		tg_close_at(&fd);
	}
}

static void take_go(struct self *self)
{
	static const struct timeval wait = { .tv_sec = ROUTES_WAIT_MS / 1000 };

	if (self->going)
		return;		/* the end of what SIGHUP brought */
	self->going = true;
	if (self->worker->routes != NULL)
		self_accept(self);
	else
		evtimer_add(self->routes_late, &wait);
}

static void on_supervisor_message(struct channel *channel, const struct msg *msg, int *fds, size_t count,
                                  void *arg)
{
	struct self    *self = arg;
	struct tg_error err;

	(void)channel;
	(void)count;
	if (msg->type == MSG_CHANNEL) {
		take_channel(self, &msg->body.channel, tg_take_fd(&fds[0]));
	} else if (msg->type == MSG_LISTENER) {
		if (worker_listen(self->worker, tg_take_fd(&fds[0]),
		                  (enum msg_listener)msg->body.listening.kind, &err) == -1)
			tg_log(TG_LOG_ERROR, "cannot listen", "reason=\"%s\"", err.text);
	} else if (msg->type == MSG_SEGMENT) {
		tg_close_at(&self->segment_fd);
		self->segment_fd = tg_take_fd(&fds[0]);
		take_counters(self);
	} else if (msg->type == MSG_ACTIVE) {
		tg_close_at(&self->active_fd);
		self->active_fd = tg_take_fd(&fds[0]);
		take_counters(self);
	} else if (msg->type == MSG_GO) {
		take_go(self);
	} else if (msg->type == MSG_STOP) {
		self_stop(self);
	}
}

static void on_supervisor_closed(struct channel *channel, void *arg)
{
	struct self *self = arg;

	channel_free(channel);
	self->supervisor = NULL;
	self_stop(self);
}

static void self_clear(struct self *self)
{
	worker_free(self->worker);
	channel_free(self->control);
	channel_free(self->broker);
	channel_free(self->supervisor);
	if (self->routes_late != NULL)
		event_free(self->routes_late);
	if (self->drain_over != NULL)
		event_free(self->drain_over);
	tg_close_at(&self->segment_fd);
	tg_close_at(&self->active_fd);
}

int role_worker(struct role *role)
{
	struct self                 self = { .role = role, .segment_fd = -1, .active_fd = -1 };
	const struct worker_options options = {
		.source_connections = role->start.source_connections,
		.on_drained = on_drained,
		.arg = &self,
	};

	self.worker = worker_new(role->base, &options);
	self.routes_late = evtimer_new(role->base, on_routes_late, &self);
	self.drain_over = evtimer_new(role->base, on_drain_over, &self);
	self.supervisor = channel_new(role->base, role->supervisor_fd, MSG_ROLE_WORKER, MSG_ROLE_SUPERVISOR,
	                              on_supervisor_message, on_supervisor_closed, &self);
	if (self.worker == NULL || self.routes_late == NULL || self.drain_over == NULL ||
	    self.supervisor == NULL)
		tg_die("out of memory");

	event_base_dispatch(role->base);
	self_clear(&self);
	return 0;
}
