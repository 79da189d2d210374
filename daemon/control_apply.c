#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/model.h"
#include "daemon/control.h"
#include "daemon/control_edit.h"
#include "daemon/control_etag.h"
#include "daemon/control_events.h"
#include "daemon/desire.h"
#include "daemon/document.h"
#include "daemon/jobs.h"
#include "daemon/role.h"

#define APPLIES_WAITING_MOST 16
#define ENGINE_GONE_MOST_MS  30000	/* an apply waits no longer for an engine that does not come back */

enum apply_state {
	APPLY_WAITING,	/* for its turn */
	APPLY_READING,	/* the thread parses and compares */
	APPLY_STORING,	/* the thread writes it to the disk */
	APPLY_ENGINE,	/* kernel and workers are being brought to it */
};

struct apply {
	struct apply        *next;
	struct control      *control;	/* borrowed */
	struct api_request  *request;	/* NULL: from --config */
	enum apply_state     state;
	bool                 first;	/* --config at the start: a refusal ends the process */
	bool                 store_meta_only;
	char                *if_match;	/* NULL: none */
	struct control_edit  edit;
	bool                 news;	/* the active document is another by this one */
	struct timespec      begun;
	char                 config[DOCUMENT_DIGEST_TEXT];
	uint64_t             round;
	struct document_meta meta;	/* to be stored */
	int                  stored;
	struct tg_error      err;
};

struct control_apply {
	struct control      *control;	/* borrowed */
	struct apply        *first, **last;	/* the first is the one being done */
	size_t               count;
	struct apply        *spent;	/* done, and to be freed behind the answer: that may take a while */
	struct event        *sweep;
	int                  state_dir;
	struct document_meta meta;	/* as stored */
	uint64_t             round;	/* of the last MSG_DESIRED: only grows, also over a restart */
	bool                 round_done;	/* it is in force */
	struct desire        desire;
	bool                 going;	/* MSG_GO came */
	struct event        *engine_gone;
};

static void apply_next(struct control_apply *apply);

static void apply_free(struct apply *a)
{
	control_edit_clear(&a->edit);
	free(a->if_match);
	free(a);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct control_apply *apply = arg;

	(void)fd;
	(void)what;
	while (apply->spent != NULL) {
		struct apply *next = apply->spent->next;

		apply_free(apply->spent);
		apply->spent = next;
	}
}

static void on_engine_gone(evutil_socket_t fd, short what, void *arg);

struct control_apply *control_apply_new(struct control *control)
{
	struct control_apply *apply = calloc(1, sizeof *apply);

	if (apply == NULL)
		return NULL;
	apply->control = control;
	apply->last = &apply->first;
	/* The engine may outlive this process: its words on rounds of before must not pass for answers. */
	apply->round = tg_clock_ms() << 16;
	apply->state_dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	apply->engine_gone = evtimer_new(control->base, on_engine_gone, apply);
	apply->sweep = evtimer_new(control->base, on_sweep, apply);
	if (apply->state_dir == -1 || apply->engine_gone == NULL || apply->sweep == NULL) {
		control_apply_free(apply);
		return NULL;
	}
	return apply;
}

void control_apply_free(struct control_apply *apply)
{
	if (apply == NULL)
		return;
	while (apply->first != NULL) {
		struct apply *next = apply->first->next;

		if (apply->first->request != NULL)
			api_reply_error(apply->first->request, API_NOT_READY, "the daemon stops", NULL);
		apply_free(apply->first);
		apply->first = next;
	}
	on_sweep(-1, 0, apply);
	desire_forget(&apply->desire);
	tg_close_at(&apply->state_dir);
	if (apply->engine_gone != NULL)
		event_free(apply->engine_gone);
	if (apply->sweep != NULL)
		event_free(apply->sweep);
	free(apply);
}

int control_apply_load(struct control_apply *apply, struct tg_error *err)
{
	struct control *control = apply->control;
	struct model   *empty = NULL;
	int             found = document_load(apply->state_dir, &control->active, &apply->meta, err);

	if (found == -1)
		return -1;
	control->has_document = found == 1;
	control->generation = apply->meta.generation;
	if (found == 1)
		return 0;
	if (model_parse("{}", 2, &empty, NULL, NULL) == MODEL_OK)
		control->active = document_new(empty, NULL);
	return control->active == NULL ? tg_fail_memory(err) : 0;
}

static void apply_ready(struct control_apply *apply)
{
	const struct msg_none none = { 0 };
	struct control       *control = apply->control;

	if (control->ready || !apply->going || apply->first != NULL)
		return;
	if (control->has_document && !apply->round_done)
		return;
	control->ready = true;
	channel_send(control->supervisor, MSG_READY, &none, NULL, 0);
}

void control_apply_go(struct control_apply *apply)
{
	apply->going = true;
	apply_ready(apply);
}

/* `edit` led to the active document; NULL: the engine is told all of it. */
static void apply_desire(struct control_apply *apply, const struct control_edit *edit)
{
	struct control *control = apply->control;

	apply->round++;
	apply->round_done = false;
	if (control->engine == NULL)
		desire_forget(&apply->desire);
	else
		desire_send(&apply->desire, control->engine, apply->round, control->active,
		            edit != NULL ? edit->before : NULL, edit != NULL ? &edit->diff : NULL);
}

void control_apply_engine(struct control_apply *apply)
{
	if (apply->control->engine != NULL)
		evtimer_del(apply->engine_gone);
	if (!apply->control->has_document)
		return;
	apply_desire(apply, NULL);
	if (apply->first != NULL && apply->first->state == APPLY_ENGINE)
		apply->first->round = apply->round;
}

static void apply_done(struct control_apply *apply)
{
	static const struct timeval at_once = { .tv_sec = 0 };
	struct apply               *a = apply->first;

	apply->first = a->next;
	if (apply->first == NULL)
		apply->last = &apply->first;
	apply->count--;
	a->next = apply->spent;
	apply->spent = a;
	/* A socket that is ready comes before a timer in the next turn of the loop. */
	evtimer_add(apply->sweep, &at_once);
	apply_ready(apply);
	apply_next(apply);
}

static double apply_ms(const struct apply *a)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - a->begun.tv_sec) * 1e3 + (double)(now.tv_nsec - a->begun.tv_nsec) / 1e6;
}

static void apply_refuse(struct control_apply *apply, enum api_error error, const char *message)
{
	struct apply       *a = apply->first;
	struct model_faults *faults = &a->edit.faults;

	/* It is the active one from here on, though it waits for something. */
	if (a->news)
		control_events_applied(apply->control->events);
	if (a->request != NULL) {
		api_reply_error(a->request, error, message, faults->count > 0 ? faults : NULL);
	} else {
		for (size_t i = 0; i < faults->count; i++) {
			char quoted[256];

			tg_log(TG_LOG_ERROR, "refused the --config file", "path=%s reason=\"%s\"",
			       tg_quote(quoted, sizeof quoted, faults->list[i].path), faults->list[i].text);
		}
		if (faults->count == 0)
			tg_log(TG_LOG_ERROR, "refused the --config file", "reason=\"%s\"", message);
		if (a->first && a->state != APPLY_ENGINE && !apply->control->stopping)
			exit(ROLE_REFUSED);
	}
	apply_done(apply);
}

static void apply_report(struct control_apply *apply, const struct snapshot *state)
{
	struct apply         *a = apply->first;
	struct control       *control = apply->control;
	size_t                failed = state != NULL ? control_text_failed(state) : 0;
	char                  message[64];
	struct control_report report = { .generation = control->generation, .dry_run = a->edit.dry_run,
					 .duration_ms = apply_ms(a), .diff = &a->edit.diff, .state = state,
					 .warnings = &a->edit.warnings };
	TG_AUTO_FREE char    *error = NULL;
	TG_AUTO_FREE char    *text = NULL;

	snprintf(message, sizeof message, "%zu network%s can't be brought up", failed,
	         failed == 1 ? "" : "s");
	if (failed > 0)
		error = api_error_print(API_APPLY_INCOMPLETE, message, NULL);
	report.error = error;
	text = control_text_report(&report);
	if (a->news) {
		control_events_applied(control->events);
		tg_log(TG_LOG_INFO, "applied a document",
		       "generation=%" PRIu64 " added=%zu changed=%zu removed=%zu failed=%zu ms=%.1f",
		       control->generation, a->edit.diff.added_count, a->edit.diff.changed_count,
		       a->edit.diff.removed_count, failed, report.duration_ms);
	}
	if (a->request != NULL && text == NULL)
		api_reply_error(a->request, API_INTERNAL, "out of memory", NULL);
	else if (a->request != NULL)
		api_reply(a->request, failed > 0 ? 500 : a->edit.created && a->news ? 201 : 200, NULL,
		          control->active->etag, text, strlen(text));
	apply_done(apply);
}

void control_apply_routed(struct control_apply *apply, uint64_t round, bool complete)
{
	if (!complete || round != apply->round)
		return;
	apply->round_done = true;
	if (apply->first != NULL && apply->first->state == APPLY_ENGINE && apply->first->round == round)
		apply_report(apply, control_routes_state(apply->control->routes));
	else
		apply_ready(apply);
}

void control_apply_hindered(struct control_apply *apply, const char *why)
{
	char message[256];

	if (apply->first == NULL || apply->first->state != APPLY_ENGINE)
		return;
	snprintf(message, sizeof message, "the document is stored, but not yet in force: %s", why);
	apply_refuse(apply, API_INTERNAL, message);
}

static void on_engine_gone(evutil_socket_t fd, short what, void *arg)
{
	struct control_apply *apply = arg;

	(void)fd;
	(void)what;
	if (apply->first != NULL && apply->first->state == APPLY_ENGINE && apply->control->engine == NULL)
		apply_refuse(apply, API_INTERNAL, "the document is stored, but the engine is down");
}

void control_apply_engine_gone(struct control_apply *apply)
{
	static const struct timeval wait = { .tv_sec = ENGINE_GONE_MOST_MS / 1000 };

	if (apply->first != NULL && apply->first->state == APPLY_ENGINE)
		evtimer_add(apply->engine_gone, &wait);
}

static void apply_enforce(struct control_apply *apply)
{
	apply->first->state = APPLY_ENGINE;
	apply_desire(apply, &apply->first->edit);
	apply->first->round = apply->round;
	if (apply->control->engine == NULL)
		control_apply_engine_gone(apply);
}

static void run_store(void *arg)
{
	struct apply         *a = arg;
	struct control_apply *apply = a->control->apply;

	if (a->store_meta_only)
		a->stored = document_store_meta(apply->state_dir, a->control->active, &a->meta, &a->err);
	else
		a->stored = document_store(apply->state_dir, a->edit.after, &a->meta, &apply->meta, &a->err);
}

static void on_stored(void *arg)
{
	struct apply         *a = arg;
	struct control       *control = a->control;
	struct control_apply *apply = control->apply;

	if (a->stored == -1) {
		tg_log(TG_LOG_ERROR, "cannot store the document", "reason=\"%s\"", a->err.text);
		apply_refuse(apply, API_INTERNAL, a->err.text);
		return;
	}
	apply->meta = a->meta;
	if (!a->store_meta_only) {
		document_drop(control->active);
		control->active = document_hold(a->edit.after);
		control->generation = a->meta.generation;
		control->has_document = true;
		a->news = true;
	}
	apply_enforce(apply);
}

static void apply_store(struct control_apply *apply)
{
	struct apply *a = apply->first;
	bool          new_document = !a->edit.diff.equal || !apply->control->has_document;
	bool          new_config = a->request == NULL && strcmp(a->config, apply->meta.config) != 0;

	a->meta = apply->meta;
	if (new_config)
		memcpy(a->meta.config, a->config, sizeof a->config);
	if (new_document)
		a->meta.generation++;
	if (!new_document) {
		/* They are one, but the next is likely to be written as this was. */
		document_drop(apply->control->active);
		apply->control->active = document_hold(a->edit.after);
	}
	if (!new_document && !new_config) {
		apply_enforce(apply);
		return;
	}
	a->store_meta_only = !new_document;
	a->state = APPLY_STORING;
	if (jobs_put(apply->control->jobs, run_store, on_stored, a) == -1)
		apply_refuse(apply, API_NOT_READY, "too much is waiting for the disk");
}

static void run_read(void *arg)
{
	struct apply *a = arg;

	control_edit_run(&a->edit);
	if (a->edit.result == CONTROL_EDIT_OK)
		control_routes_claimed(a->control->routes, a->edit.after->model, &a->edit.faults);
}

static void on_read(void *arg)
{
	struct apply         *a = arg;
	struct control_apply *apply = a->control->apply;
	const char           *message;
	enum api_error        error = control_edit_error(&a->edit, &message);

	if (a->edit.result != CONTROL_EDIT_OK)
		apply_refuse(apply, error, message);
	else if (a->edit.faults.count > 0)
		apply_refuse(apply, API_CONFIG_INVALID, "the document claims the operator's own hosts");
	else if (a->edit.dry_run)
		apply_report(apply, NULL);
	else
		apply_store(apply);
}

static void apply_next(struct control_apply *apply)
{
	struct control *control = apply->control;
	struct apply   *a = apply->first;

	if (a == NULL || a->state != APPLY_WAITING)
		return;
	a->state = APPLY_READING;
	clock_gettime(CLOCK_MONOTONIC, &a->begun);
	if (!control_etag_holds(a->if_match, control->active, control->has_document)) {
		apply_refuse(apply, API_PRECONDITION_FAILED, "the active document is another");
		return;
	}
	a->edit.before = document_hold(control->active);
	if (jobs_put(control->jobs, run_read, on_read, a) == -1)
		apply_refuse(apply, API_NOT_READY, "too much is waiting");
}

static void apply_put(struct control_apply *apply, struct apply *a)
{
	*apply->last = a;
	apply->last = &a->next;
	apply->count++;
	apply_next(apply);
}

void control_apply_call(struct control_apply *apply, struct api_request *request, const struct api_call *call)
{
	struct apply *a;

	/* One is being done, the others wait. */
	if (apply->count > APPLIES_WAITING_MOST || apply->control->stopping) {
		api_reply_error(request, API_NOT_READY,
		                apply->control->stopping ? "the daemon stops"
		                                         : "too many applies are waiting",
		                NULL);
		return;
	}
	a = calloc(1, sizeof *a);
	if (a != NULL)
		a->if_match = call->if_match != NULL ? strdup(call->if_match) : NULL;
	if (a == NULL || (call->if_match != NULL && a->if_match == NULL)) {
		free(a);
		api_reply_error(request, API_NOT_READY, "out of memory", NULL);
		return;
	}
	control_edit_init(&a->edit, call);
	a->control = apply->control;
	a->request = request;
	apply_put(apply, a);
}

/* The digest of the content that was taken from --config last, though it may still wait for its turn. */
static const char *config_last(const struct control_apply *apply)
{
	const char *last = apply->meta.config;

	for (const struct apply *a = apply->first; a != NULL; a = a->next)
		if (a->request == NULL)
			last = a->config;
	return last;
}

void control_apply_config(struct control_apply *apply, const char *text, size_t bytes, bool first)
{
	const struct api_call call = { .action = API_CONFIG_APPLY, .body = text, .body_bytes = bytes };
	struct apply         *a;
	char                  digest[DOCUMENT_DIGEST_TEXT];

	document_digest(text, bytes, digest);
	if (strcmp(digest, config_last(apply)) == 0)
		return;
	a = calloc(1, sizeof *a);
	if (a == NULL)
		tg_die("out of memory");
	control_edit_init(&a->edit, &call);
	if (control_edit_own(&a->edit) == -1)
		tg_die("out of memory");
	memcpy(a->config, digest, sizeof digest);
	a->control = apply->control;
	a->first = first;
	apply_put(apply, a);
}
