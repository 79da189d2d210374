#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/channel.h"
#include "base/fd.h"
#include "base/model.h"
#include "daemon/control.h"
#include "daemon/control_etag.h"
#include "daemon/control_events.h"
#include "daemon/control_metrics.h"
#include "daemon/control_traffic.h"
#include "daemon/document.h"
#include "daemon/jobs.h"
#include "daemon/live_print.h"
#include "daemon/role.h"

#define LOOKS_MOST 64	/* requests that wait for a snapshot, or are printed from one */

/* A snapshot that the thread prints, counted: several requests may have waited for it. */
struct seen {
	unsigned        refs;	/* changed from the loop only */
	struct snapshot snapshot;
};

/* A request that the engine's next snapshot answers. */
struct look {
	struct api_request *request;	/* NULL: the place is free */
	uint64_t            id;
	enum api_action     action;
	uint16_t            port;
	bool                has_peer;
	struct tg_key       peer;
	/* While the thread prints: */
	struct seen        *seen;	/* NULL: the engine is waited for */
	struct document    *document;	/* held */
	const char         *netns_prefix;	/* borrowed */
	struct evbuffer    *text;
	enum live_result    result;
};

struct control_api {
	struct control *control;	/* borrowed */
	struct look     looks[LOOKS_MOST];
};

struct control_api *control_api_new(struct control *control)
{
	struct control_api *api = calloc(1, sizeof *api);

	if (api != NULL)
		api->control = control;
	return api;
}

void control_api_free(struct control_api *api)
{
	free(api);
}

static void call_look(struct control_api *api, struct api_request *request, const struct api_call *call)
{
	struct control *control = api->control;
	struct look    *look = NULL;
	uint64_t        id;

	if (call->port != 0 && model_find(control->active->model, call->port) == NULL) {
		api_reply_error(request, API_NOT_FOUND, "there is no such network", NULL);
		return;
	}
	for (size_t i = 0; i < LOOKS_MOST && look == NULL; i++)
		if (api->looks[i].request == NULL)
			look = &api->looks[i];
	id = look != NULL ? control_looks_ask(control->looks, CONTROL_LOOK_API, true, call->port) : 0;
	if (id == 0) {
		api_reply_error(request, API_NOT_READY,
		                look == NULL ? "too many requests are waiting" : "the engine is down", NULL);
		return;
	}
	*look = (struct look){ .request = request, .id = id, .action = call->action, .port = call->port,
			       .has_peer = call->has_peer, .peer = call->peer,
			       .netns_prefix = control->role->start.netns_prefix };
}

static void seen_drop(struct seen *seen)
{
	if (--seen->refs > 0)
		return;
	snapshot_clear(&seen->snapshot);
	free(seen);
}

static void look_refuse(struct look *look, enum api_error error, const char *why)
{
	struct api_request *request = look->request;

	look->request = NULL;
	api_reply_error(request, error, why, NULL);
}

static void run_look(void *arg)
{
	struct look *look = arg;

	if (look->action == API_NETWORKS_GET)
		look->result = live_print_networks(look->text, look->document->model, &look->seen->snapshot,
		                                   look->port, look->netns_prefix);
	else
		look->result = live_print_peers(look->text, look->document->model, &look->seen->snapshot,
		                                look->port, look->has_peer ? &look->peer : NULL);
}

static void look_end(struct look *look)
{
	evbuffer_free(look->text);
	document_drop(look->document);
	seen_drop(look->seen);
	look->seen = NULL;
}

static void on_look(void *arg)
{
	struct look        *look = arg;
	struct api_request *request = look->request;

	switch (look->result) {
	case LIVE_PRINTED:
		look->request = NULL;
		api_reply_buffer(request, look->text);
		break;
	case LIVE_NOT_FOUND:	/* an apply may have removed it meanwhile */
		look_refuse(look, API_NOT_FOUND, "there is no such network or peer");
		break;
	case LIVE_NOT_SEEN:
		look_refuse(look, API_NOT_READY, "its network cannot be read now");
		break;
	case LIVE_NO_MEMORY:
		look_refuse(look, API_NOT_READY, "out of memory");
		break;
	}
	look_end(look);
}

/* Each by itself, though several may want the same: what one turn of the loop hands out stays small, and
 * so does what was printed and waits for that. */
static void look_print(struct control *control, struct look *look, struct seen *seen)
{
	look->text = evbuffer_new();
	if (look->text == NULL) {
		look_refuse(look, API_NOT_READY, "out of memory");
		return;
	}
	look->document = document_hold(control->active);
	look->seen = seen;
	seen->refs++;
	if (jobs_put(control->jobs, run_look, on_look, look) == 0)
		return;
	look_refuse(look, API_NOT_READY, "too much is waiting");
	look_end(look);
}

static bool look_waits(const struct look *look)
{
	return look->request != NULL && look->seen == NULL;
}

void control_api_snapshot(struct control_api *api, uint64_t id, struct snapshot *snapshot)
{
	struct seen *seen = snapshot != NULL ? malloc(sizeof *seen) : NULL;

	if (seen != NULL) {
		*seen = (struct seen){ .refs = 1, .snapshot = *snapshot };
		*snapshot = (struct snapshot){ .networks_count = 0 };
	}
	for (size_t i = 0; i < LOOKS_MOST; i++) {
		if (!look_waits(&api->looks[i]) || api->looks[i].id != id)
			continue;
		if (seen != NULL)
			look_print(api->control, &api->looks[i], seen);
		else
			look_refuse(&api->looks[i], API_NOT_READY, "out of memory");
	}
	if (seen != NULL)
		seen_drop(seen);
}

void control_api_engine_gone(struct control_api *api)
{
	for (size_t i = 0; i < LOOKS_MOST; i++)
		if (look_waits(&api->looks[i]))
			look_refuse(&api->looks[i], API_NOT_READY, "the engine is down");
}

void control_api_stop(struct control_api *api)
{
	control_api_engine_gone(api);
	control_events_stop(api->control->events);
}

/* A document without secrets is printed in the thread. */
struct printing {
	struct control     *control;
	struct api_request *request;
	struct document    *document;
	char               *text;
	size_t              bytes;
};

static void run_print(void *arg)
{
	struct printing *p = arg;

	p->text = model_print(p->document->model, false, &p->bytes);
}

static void on_printed(void *arg)
{
	struct printing *p = arg;

	if (p->text == NULL)
		api_reply_error(p->request, API_NOT_READY, "out of memory", NULL);
	else
		api_reply(p->request, 200, NULL, p->document->etag_public, p->text, p->bytes);
	document_drop(p->document);
	free(p->text);
	free(p);
}

static void call_config(struct control *control, struct api_request *request, const struct api_call *call)
{
	struct document *document = control->active;
	/* What a read token sees is another text: a strong tag must tell them apart. */
	const char      *etag = call->secrets ? document->etag : document->etag_public;
	struct printing *p;

	if (call->if_none_match != NULL &&
	    control_etag_matches(call->if_none_match, etag, true, CONTROL_ETAG_WEAK)) {
		api_reply_not_modified(request, etag);
		return;
	}
	if (call->secrets) {
		api_reply(request, 200, NULL, etag, document->printed.text,
		          document->printed.bytes);
		return;
	}
	p = calloc(1, sizeof *p);
	if (p != NULL) {
		p->control = control;
		p->request = request;
		p->document = document_hold(document);
		if (jobs_put(control->jobs, run_print, on_printed, p) == 0)
			return;
		document_drop(p->document);
		free(p);
	}
	api_reply_error(request, API_NOT_READY, "too much is waiting", NULL);
}

/* NULL: healthy. */
static const char *health_fault(const struct control *control)
{
	if (control->engine == NULL)
		return "the engine is down";
	/* Of the others we know first: an apply is answered while their word to the supervisor is on its
	 * way. */
	if (control->down.processes[MSG_ROLE_BROKER] > 0)
		return "the broker is down";
	for (uint32_t i = 0; i < control->role->start.workers; i++)
		if (control->workers[i] == NULL)
			return "a worker is down";
	if (!control->has_document)
		return "no document is loaded";
	if (!control_count_healthy(control->count))
		return "traffic cannot be recorded";
	if (!control->ready)
		return "the document is not yet in force";
	return NULL;
}

static void call_health(struct control *control, struct api_request *request, const struct api_call *call)
{
	const char *fault = health_fault(control);
	size_t      failed = control_text_failed(control_routes_state(control->routes));
	char        text[64];

	if (fault != NULL) {
		api_reply_error(request, API_NOT_READY, call->authenticated ? fault : "not ready", NULL);
		return;
	}
	if (failed > 0)
		snprintf(text, sizeof text, "{\"status\":\"degraded\",\"failed\":%zu}", failed);
	else
		snprintf(text, sizeof text, "{\"status\":\"ok\"}");
	api_reply(request, 200, NULL, NULL, text, strlen(text));
}

static void call_metrics(struct control *control, struct api_request *request)
{
	size_t             bytes = 0;
	TG_AUTO_FREE char *text =
	        control_metrics_text(control->metrics, control, health_fault(control) == NULL, &bytes);

	if (text == NULL)
		api_reply_error(request, API_NOT_READY, "out of memory", NULL);
	else
		api_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, text, bytes);
}

void control_api_call(struct api_request *request, const struct api_call *call, void *arg)
{
	struct control *control = arg;

	switch (call->action) {
	case API_CONFIG_GET:
		call_config(control, request, call);
		return;
	case API_CONFIG_APPLY:
	case API_CONFIG_PATCH:
	case API_PEER_PUT:
	case API_PEER_DELETE:
		control_apply_call(control->apply, request, call);
		return;
	case API_NETWORKS_GET:
	case API_PEERS_GET:
		call_look(control->api, request, call);
		return;
	case API_TRAFFIC_GET:
		control_traffic_call(control, request, call);
		return;
	case API_EVENTS_GET:
		control_events_call(control->events, request, call);
		return;
	case API_HEALTH_GET:
		call_health(control, request, call);
		return;
	case API_METRICS_GET:
		call_metrics(control, request);
		return;
	}
}
