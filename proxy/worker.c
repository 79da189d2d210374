#include "proxy/worker.h"

#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/address.h"
#include "base/error.h"
#include "proxy/alert.h"
#include "proxy/counters.h"
#include "proxy/ejection.h"
#include "proxy/host.h"
#include "proxy/http_conn.h"
#include "proxy/http_forward.h"
#include "proxy/listener.h"
#include "proxy/pipes.h"
#include "proxy/routes.h"
#include "proxy/sockpool.h"
#include "proxy/sources.h"
#include "proxy/timer.h"
#include "proxy/tls_conn.h"

#define TIDY_MS 5000

static void on_tidy(struct timer *timer)
{
	struct worker *w = (struct worker *)((char *)timer - offsetof(struct worker, tidy));

	sockpool_tidy(w->sockets);
	timer_start(w->timers, &w->tidy, TIDY_MS, on_tidy);
}

struct worker *worker_new(struct event_base *base, const struct worker_options *options)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->base = base;
	w->on_drained = options->on_drained;
	w->arg = options->arg;
	w->buffer = malloc(WORKER_BUFFER_BYTES);
	w->timers = timers_new(base);
	w->hosts = hosts_new();
	w->sockets = sockpool_new(MSG_SOCKETS_BATCH, SOCKPOOL_MOST);
	w->ejection = ejection_new();
	w->sources = sources_new(options->source_connections);
	w->pipes = pipes_new(PIPES_MOST);
	if (w->buffer == NULL || w->timers == NULL || w->hosts == NULL || w->sockets == NULL ||
	    w->ejection == NULL || w->sources == NULL || w->pipes == NULL) {
		worker_free(w);
		return NULL;
	}
	timer_start(w->timers, &w->tidy, TIDY_MS, on_tidy);
	return w;
}

void worker_free(struct worker *w)
{
	if (w == NULL)
		return;
	w->on_drained = NULL;
	for (size_t i = 0; i < w->listeners_count; i++)
		listener_free(w->listeners[i]);
	tls_conns_free(w);
	http_conns_free(w);
	sockpool_free(w->sockets);
	timer_stop(&w->tidy);
	timers_free(w->timers);
	hosts_free(w->hosts);
	ejection_free(w->ejection);
	sources_free(w->sources);
	pipes_free(w->pipes);
	counters_free(w->counters);
	routes_close(w->routes);
	free(w->buffer);
	free(w);
}

void worker_set_broker(struct worker *w, struct channel *broker)
{
	sockpool_set_broker(w->sockets, broker);
}

/* Who has too many connections learns it in the words for a host that has. */
static struct listener *listener_of(struct worker *w, int fd, enum msg_listener kind)
{
	char   answer[HTTP_ANSWER_MOST];
	size_t bytes;

	if (kind == MSG_LISTENER_HTTPS) {
		const void *alert = alert_bytes(ALERT_INTERNAL_ERROR, &bytes);

		return listener_new(w, fd, tls_conn_accept, alert, bytes);
	}
	bytes = http_forward_answer(answer, 503, HTTP_CONNECTION_CLOSE, false);
	return listener_new(w, fd, http_conn_accept, answer, bytes);
}

int worker_listen(struct worker *w, int fd, enum msg_listener kind, struct tg_error *err)
{
	struct listener *listener;

	if (w->listeners_count == WORKER_LISTENERS_MOST || w->draining ||
	    (kind != MSG_LISTENER_HTTP && kind != MSG_LISTENER_HTTPS)) {
		close(fd);
		return tg_fail(err, TG_CODE_PROTOCOL, "a worker has no use for that listener");
	}
	listener = listener_of(w, fd, kind);
	if (listener == NULL)
		return tg_fail_memory(err);
	w->listeners[w->listeners_count++] = listener;
	return 0;
}

void worker_accept(struct worker *w)
{
	for (size_t i = 0; i < w->listeners_count; i++)
		listener_start(w->listeners[i]);
}

void worker_set_counters(struct worker *w, struct counters *counters)
{
	counters_free(w->counters);
	w->counters = counters;
}

static bool network_is_routed(uint64_t netns_cookie, void *arg)
{
	struct worker *w = arg;

	return routes_have_network(w->routes, netns_cookie);
}

int worker_set_routes(struct worker *w, int fd, struct tg_error *err)
{
	struct routes *routes = routes_open(fd, err);

	if (routes == NULL)
		return -1;
	routes_close(w->routes);
	w->routes = routes;
	hosts_swapped(w);
	sockpool_forget_others(w->sockets, network_is_routed, w);
	return 0;
}

static void drained(struct worker *w)
{
	if (!w->draining || w->clients > 0 || w->on_drained == NULL)
		return;

	worker_drained_fn *on_drained = w->on_drained;

	w->on_drained = NULL;
	on_drained(w->arg);
}

void worker_drain(struct worker *w)
{
	if (w->draining)
		return;
	/* Who stands in a queue has been let in by the kernel: closing would reset him. */
	for (size_t i = 0; i < w->listeners_count; i++)
		listener_drain(w->listeners[i]);
	w->listeners_count = 0;
	w->draining = true;
	http_conns_drain(w);
	drained(w);
}

bool worker_client_came(struct worker *w, const struct tg_endpoint *client)
{
	if (!sources_enter(w->sources, client))
		return false;
	w->clients++;
	return true;
}

void worker_client_gone(struct worker *w, const struct tg_endpoint *client)
{
	sources_leave(w->sources, client);
	w->clients--;
	drained(w);
}
