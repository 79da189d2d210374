#include "daemon/control_traffic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/traffic.h"
#include "api/api.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/model.h"
#include "daemon/control.h"
#include "daemon/document.h"
#include "daemon/jobs.h"

#define PIECE_BYTES 65536

struct answer {
	struct control      *control;	/* borrowed */
	struct api_request  *request;
	struct traffic      *traffic;
	struct traffic_query query;
	enum traffic_result  result;
	long                 got;
	bool                 reading;	/* the thread has it */
	bool                 gone;	/* the client left */
	struct tg_error      err;
	char                 piece[PIECE_BYTES];
};

static unsigned answers;

static void run_close(void *arg)
{
	struct answer *a = arg;

	traffic_close(a->traffic);
}

static void on_closed(void *arg)
{
	free(arg);
	answers--;
}

/* The database is the thread's, as long as there is one: closing is its work too. */
static void answer_end(struct answer *a)
{
	if (a->traffic != NULL && jobs_put(a->control->jobs, run_close, on_closed, a) == 0)
		return;
	if (a->control->jobs == NULL)
		run_close(a);
	on_closed(a);
}

static void run_read(void *arg)
{
	struct answer *a = arg;

	a->got = traffic_read(a->traffic, a->piece, sizeof a->piece, &a->err);
}

static void on_read(void *arg)
{
	struct answer *a = arg;

	a->reading = false;
	if (a->got > 0 && !a->gone) {
		api_stream_chunk(a->request, a->piece, (size_t)a->got);
		return;
	}
	if (a->got < 0)
		tg_log(TG_LOG_ERROR, "cannot read the traffic database", "reason=\"%s\"", a->err.text);
	api_stream_end(a->request, a->got == 0 && !a->gone);
	answer_end(a);
}

static void on_more(struct api_request *request, void *arg)
{
	struct answer *a = arg;

	(void)request;
	if (a->reading || a->gone)
		return;
	a->reading = true;
	if (jobs_put(a->control->jobs, run_read, on_read, a) == 0)
		return;
	a->got = -1;
	tg_fail(&a->err, TG_CODE_LIMIT, "too much is waiting");
	on_read(a);
}

static void on_gone(struct api_request *request, void *arg)
{
	struct answer *a = arg;

	a->gone = true;
	if (a->reading)
		return;
	api_stream_end(request, false);
	answer_end(a);
}

static void run_open(void *arg)
{
	struct answer *a = arg;

	a->result = traffic_open(a->control->store, &a->query, tg_clock_unix_ms(), &a->traffic, &a->err);
}

static void on_opened(void *arg)
{
	static const char *const types[] = { [TRAFFIC_JSON] = "application/json",
					     [TRAFFIC_NDJSON] = "application/x-ndjson",
					     [TRAFFIC_CSV] = "text/csv" };
	struct answer           *a = arg;

	switch (a->result) {
	case TRAFFIC_OK:
		api_stream_begin(a->request, types[a->query.format],
		                 a->query.format == TRAFFIC_JSON ? -1 : traffic_stop_time(a->traffic),
		                 on_more, on_gone, a);
		on_more(a->request, a);
		return;
	case TRAFFIC_CONFLICT:
		api_reply_error(a->request, API_CONFLICT, a->err.text, NULL);
		break;
	case TRAFFIC_GONE:
		api_reply_error(a->request, API_GONE, a->err.text, NULL);
		break;
	case TRAFFIC_FAILED:
		tg_log(TG_LOG_ERROR, "cannot read the traffic database", "reason=\"%s\"", a->err.text);
		api_reply_error(a->request, API_INTERNAL, "the traffic database cannot be read", NULL);
		break;
	}
	answer_end(a);
}

/* A port stands for the network that has it now.  API_ERRORS: no error. */
static enum api_error network_read(const struct control *control, const char *text, struct traffic_query *to)
{
	const struct model_network *network;
	char                       *end;
	unsigned long               port;

	to->has_network = true;
	if (tg_key_read(text, strlen(text), &to->network) ||
	    tg_key_read_url(text, strlen(text), &to->network))
		return API_ERRORS;
	errno = 0;
	port = strtoul(text, &end, 10);
	if (text[0] < '1' || text[0] > '9' || *end != '\0' || errno != 0 || port > UINT16_MAX)
		return API_BAD_REQUEST;
	network = model_find(control->active->model, (uint16_t)port);
	if (network == NULL)
		return API_NOT_FOUND;
	to->network = network->public_key;
	return API_ERRORS;
}

static void network_refuse(struct api_request *request, enum api_error error)
{
	struct model_faults faults = { .count = 0 };

	if (error == API_NOT_FOUND) {
		api_reply_error(request, API_NOT_FOUND, "no network has that port", NULL);
		return;
	}
	model_faults_add(&faults, "network", "neither a public key nor a port");
	api_reply_error(request, API_BAD_REQUEST, "bad query", &faults);
	model_faults_clear(&faults);
}

void control_traffic_call(struct control *control, struct api_request *request, const struct api_call *call)
{
	struct answer *a = answers < CONTROL_TRAFFIC_MOST ? calloc(1, sizeof *a) : NULL;
	enum api_error refused = API_ERRORS;

	if (a == NULL) {
		api_reply_error(request, API_NOT_READY, "too many answers at a time", NULL);
		return;
	}
	answers++;
	a->control = control;
	a->request = request;
	a->query.since_unix_s = call->since_unix_s;
	a->query.until_unix_s = call->until_unix_s;
	a->query.format = call->accept == API_ACCEPT_CSV      ? TRAFFIC_CSV
			  : call->accept == API_ACCEPT_NDJSON ? TRAFFIC_NDJSON
							      : TRAFFIC_JSON;
	if (call->resolution != NULL)
		a->query.resolution = strcmp(call->resolution, "hour") == 0 ? TRAFFIC_HOURS : TRAFFIC_DAYS;
	if (call->ledger != NULL)
		snprintf(a->query.ledger, sizeof a->query.ledger, "%s", call->ledger);
	if (call->network != NULL)
		refused = network_read(control, call->network, &a->query);
	if (refused != API_ERRORS) {
		network_refuse(request, refused);
		on_closed(a);
		return;
	}
	if (jobs_put(control->jobs, run_open, on_opened, a) == 0)
		return;
	api_reply_error(request, API_NOT_READY, "too much is waiting", NULL);
	on_closed(a);
}
