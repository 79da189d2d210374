#include "daemon/role.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accounting/store.h"
#include "api/api.h"
#include "base/channel.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/model.h"
#include "daemon/control.h"
#include "daemon/control_events.h"
#include "daemon/control_metrics.h"
#include "daemon/document.h"
#include "daemon/jobs.h"

#define PEM_BYTES_MOST	(1U << 20)	/* and of a token file */
#define GIVE_BACK_MS	10000

static void control_quit(struct control *control)
{
	event_base_loopbreak(control->base);
}

static void control_stop(struct control *control)
{
	if (control->stopping)
		return;
	control->stopping = true;
	control_api_stop(control->api);
	control_count_final(control->count, control_quit);
}

/* What came cannot be read: who waits for it is told, and the next look goes to the engine. */
static void control_snapshot_lost(struct control *control, uint64_t id)
{
	control_looks_answered(control->looks, id);
	if (control_look_who(id) == CONTROL_LOOK_COUNT)
		control_count_snapshot(control->count, id, NULL);
	else if (control_look_who(id) == CONTROL_LOOK_API)
		control_api_snapshot(control->api, id, NULL);
}

static void control_snapshot(struct control *control, uint64_t id, int fd)
{
	struct snapshot snapshot;
	struct tg_error err;

	if (snapshot_unpack(fd, &snapshot, &err) == -1) {
		tg_log(TG_LOG_ERROR, "refused a snapshot of the engine", "reason=\"%s\"", err.text);
		control_snapshot_lost(control, id);
		return;
	}
	control_looks_answered(control->looks, id);
	switch (control_look_who(id)) {
	case CONTROL_LOOK_COUNT:
		control_count_snapshot(control->count, id, &snapshot);
		control_metrics_snapshot(control->metrics, &snapshot);
		control_events_snapshot(control->events, &snapshot);
		break;
	case CONTROL_LOOK_API:
		control_api_snapshot(control->api, id, &snapshot);
		break;
	case CONTROL_LOOK_EVENTS:
		control_events_snapshot(control->events, &snapshot);
		break;
	}
	snapshot_clear(&snapshot);
}

static void on_engine_message(struct channel *channel, const struct msg *msg, int *fds, size_t count,
                              void *arg)
{
	struct control *control = arg;

	(void)channel;
	if (msg->type == MSG_LEDGER)
		control_count_ledger(control->count, msg, fds);
	else if (msg->type == MSG_NETWORKS)
		control_routes_networks(control->routes, &msg->body.networks, count > 0 ? fds[0] : -1);
	else if (msg->type == MSG_SNAPSHOT)
		control_snapshot(control, msg->body.snapshot.id, fds[0]);
}

static void on_engine_closed(struct channel *channel, void *arg)
{
	struct control *control = arg;

	channel_free(channel);
	if (control->engine != channel)
		return;
	control->engine = NULL;
	control_apply_engine_gone(control->apply);
	control_looks_forget(control->looks);
	control_routes_engine_gone(control->routes);
	control_api_engine_gone(control->api);
	control_count_snapshot(control->count, 0, NULL);
}

static struct control_worker_end {
	struct control *control;
	uint32_t        index;
} worker_ends[MSG_WORKERS_MOST];

static void on_worker_message(struct channel *channel, const struct msg *msg, int *fds, size_t count,
                              void *arg)
{
	const struct control_worker_end *end = arg;

	(void)channel;
	(void)fds;
	(void)count;
	if (msg->type == MSG_ROUTES_DONE)
		control_routes_done(end->control->routes, end->index, msg->body.routes.version);
}

static void on_worker_closed(struct channel *channel, void *arg)
{
	const struct control_worker_end *end = arg;

	channel_free(channel);
	if (end->control->workers[end->index] != channel)
		return;
	end->control->workers[end->index] = NULL;
	/* What a dead worker owed counts as done: it has no connections any more. */
	control_routes_done(end->control->routes, end->index, UINT64_MAX);
}

static void control_channel(struct control *control, const struct msg_channel *body, int fd)
{
	if (body->role == MSG_ROLE_ENGINE) {
		channel_free(control->engine);
		control->engines++;
		control->engine = channel_new(control->base, fd, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE,
		                              on_engine_message, on_engine_closed, control);
		if (control->engine == NULL)
			tg_die("out of memory");
		control_looks_forget(control->looks);
		control_routes_engine_gone(control->routes);
		control_api_engine_gone(control->api);
		control_count_snapshot(control->count, 0, NULL);
		if (control->going)
			control_apply_engine(control->apply);
	} else if (body->role == MSG_ROLE_WORKER && body->index < MSG_WORKERS_MOST) {
		struct control_worker_end *end = &worker_ends[body->index];

		*end = (struct control_worker_end){ control, body->index };
		channel_free(control->workers[body->index]);
		control->workers[body->index] =
		        channel_new(control->base, fd, MSG_ROLE_CONTROL, MSG_ROLE_WORKER, on_worker_message,
		                    on_worker_closed, end);
		if (control->workers[body->index] == NULL)
			tg_die("out of memory");
		control_routes_worker(control->routes, body->index);
	} else {
		close(fd);
	}
}

/* Reads all of a file that the supervisor opened.  NULL: it can't be read; else free() it. */
static char *file_text(int fd, size_t most, size_t *bytes)
{
	TG_AUTO_FREE char *text = NULL;
	size_t             got = 0;
	size_t             room = 0;

	for (;;) {
		if (got == room) {
			char *more;

			if (room > most)
				return NULL;
			room = room == 0 ? 4096 : room * 2;
			more = realloc(text, room);
			if (more == NULL)
				return NULL;
			text = more;
		}

		/* Not read(): the offset is shared with the supervisor, who gives the same file again. */
		ssize_t n = pread(fd, text + got, room - got, (off_t)got);

		if (n == -1)
			return NULL;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*bytes = got;
	return tg_take_ptr(&text);
}

static void file_forget(struct control_file *file)
{
	if (file->text != NULL)
		explicit_bzero(file->text, file->bytes);
	free(file->text);
	*file = (struct control_file){ NULL, 0 };
}

static void file_keep(struct control_file *file, const char *text, size_t bytes)
{
	file_forget(file);
	file->text = malloc(bytes + 1);
	if (file->text == NULL)
		tg_die("out of memory");
	memcpy(file->text, text, bytes);
	file->bytes = bytes;
}

static const struct {
	const char *option;
	size_t      bytes_most;
} files[] = {
	[MSG_FILE_CONFIG] = { "--config", MODEL_BYTES_MOST },
	[MSG_FILE_TOKENS] = { "--token-file", PEM_BYTES_MOST },
	[MSG_FILE_ACCESS_LOG] = { "--access-log", 0 },
	[MSG_FILE_API_CERT] = { "--api-cert", PEM_BYTES_MOST },
	[MSG_FILE_API_KEY] = { "--api-key", PEM_BYTES_MOST },
	[MSG_FILE_API_CLIENT_CA] = { "--api-client-ca", PEM_BYTES_MOST },
};

/* The daemon starts: what an option names must be good.  After a fault of this process a file that SIGHUP
 * brought may be bad, which must not keep it from coming back. */
static bool starts(const struct control *control)
{
	return !control->ready && !control->role->start.again;
}

/* At the start nothing goes on without what an option names; later the old content stays.  But without
 * certificate the API would be plain. */
static void file_refuse(const struct control *control, uint32_t kind, const char *reason)
{
	tg_log(TG_LOG_ERROR, "refused the content of a file", "option=%s reason=\"%s\"", files[kind].option,
	       reason);
	if (starts(control) || (!control->ready && kind == MSG_FILE_API_CERT))
		exit(ROLE_REFUSED);
}

static void on_file(struct control *control, uint32_t kind, int fd)
{
	size_t             bytes = 0;
	struct tg_error    err;
	TG_AUTO_FREE char *text = NULL;

	if (kind >= sizeof files / sizeof files[0])
		return;
	text = file_text(fd, files[kind].bytes_most, &bytes);
	if (text == NULL) {
		file_refuse(control, kind, "it cannot be read");
		return;
	}
	if (kind == MSG_FILE_CONFIG)
		file_keep(&control->config, text, bytes);
	else if (kind == MSG_FILE_TOKENS && api_tokens(control->http, text, bytes, &err) == -1)
		file_refuse(control, kind, err.text);
	else if (kind == MSG_FILE_API_CERT || kind == MSG_FILE_API_KEY || kind == MSG_FILE_API_CLIENT_CA)
		file_keep(&control->pem[kind - MSG_FILE_API_CERT], text, bytes);
	explicit_bzero(text, bytes);
}

/* All of the API's TLS came: it is used from here on. */
static void control_tls(struct control *control)
{
	struct control_file *cert = &control->pem[0], *key = &control->pem[1], *ca = &control->pem[2];
	struct tg_error     err;

	if (cert->text == NULL || key->text == NULL)
		return;
	if (api_tls(control->http, cert->text, cert->bytes, key->text, key->bytes, ca->text, ca->bytes,
	            &err) == -1)
		file_refuse(control, MSG_FILE_API_CERT, err.text);
	for (size_t i = 0; i < CONTROL_PEMS; i++)
		file_forget(&control->pem[i]);
}

/* Not before MSG_GO: by then tokens and TLS are there. */
static void control_listen(struct control *control, uint32_t kind, int fd)
{
	if (control->listeners_count == CONTROL_LISTENERS)
		tg_die("too many listeners");
	control->listeners[control->listeners_count++] = (struct control_listener){ fd, kind };
}

static void control_accept(struct control *control)
{
	struct tg_error err;

	for (size_t i = 0; i < control->listeners_count; i++) {
		bool local = control->listeners[i].kind == MSG_LISTENER_API_UNIX;

		if (api_listen(control->http, control->listeners[i].fd, local, &err) == -1)
			tg_die("cannot listen for the API: %s", err.text);
	}
	control->listeners_count = 0;
}

/* --forward came after the stored document was read: nothing was touched by it yet. */
static void control_check_claims(const struct control *control)
{
	struct model_faults faults = { .count = 0 };
	char                quoted[256];

	control_routes_claimed(control->routes, control->active->model, &faults);
	if (faults.count == 0)
		return;
	tg_log(TG_LOG_ERROR, "refused the stored document", "path=%s reason=\"%s\"",
	       tg_quote(quoted, sizeof quoted, faults.list[0].path), faults.list[0].text);
	exit(ROLE_REFUSED);
}

/* Comes again after each SIGHUP. */
static void control_go(struct control *control)
{
	struct tg_error err;
	bool            first = !control->going;

	control->going = true;
	control_tls(control);
	if (first && control_count_go(control->count, &err) == -1)
		tg_die("cannot take stock of the hosts' counters: %s", err.text);
	control_accept(control);
	if (first) {
		control_check_claims(control);
		control_routes_start(control->routes);
	}
	if (first && control->engine != NULL)
		control_apply_engine(control->apply);
	if (control->config.text != NULL)
		control_apply_config(control->apply, control->config.text, control->config.bytes,
		                     starts(control));
	file_forget(&control->config);
	control_apply_go(control->apply);
}

static void on_supervisor_message(struct channel *channel, const struct msg *msg, int *fds, size_t count,
                                  void *arg)
{
	struct control *control = arg;

	(void)channel;
	(void)count;
	if (msg->type == MSG_CHANNEL)
		control_channel(control, &msg->body.channel, tg_take_fd(&fds[0]));
	else if (msg->type == MSG_LISTENER)
		control_listen(control, msg->body.listening.kind, tg_take_fd(&fds[0]));
	else if (msg->type == MSG_FILE)
		on_file(control, msg->body.file.kind, fds[0]);
	else if (msg->type == MSG_FORWARD &&
	         control_routes_forward(control->routes, &msg->body.forward) == -1)
		tg_die("too many --forward");
	else if (msg->type == MSG_SEGMENT)
		control_count_segment(control->count, &msg->body.segment, tg_take_fd(&fds[0]));
	else if (msg->type == MSG_DOWN)
		control->down = msg->body.down;
	else if (msg->type == MSG_GO)
		control_go(control);
	else if (msg->type == MSG_STOP)
		control_stop(control);
}

static void on_supervisor_closed(struct channel *channel, void *arg)
{
	(void)channel;
	control_stop(arg);
}

static void control_free(struct control *control)
{
	struct jobs *jobs = control->jobs;

	/* First: what the thread still does ends in calls to all the others, who may have no more done. */
	control->jobs = NULL;
	jobs_free(jobs);
	control_api_free(control->api);
	control_events_free(control->events);
	control_looks_free(control->looks);
	control_metrics_free(control->metrics);
	control_apply_free(control->apply);
	control_count_free(control->count);
	control_routes_free(control->routes);
	api_free(control->http);
	store_close(control->store);
	document_drop(control->active);
	for (size_t i = 0; i < MSG_WORKERS_MOST; i++)
		channel_free(control->workers[i]);
	channel_free(control->engine);
	channel_free(control->supervisor);
}

/* After a supervisor's death its control stores a last sample while the next one begins: that one waits,
 * so that no two processes ever count from the same baselines.  Held until the end. */
static void control_lock(void)
{
	int fd = open("control.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd == -1)
		tg_die("cannot open control.lock");
	while (flock(fd, LOCK_EX) == -1)
		if (errno != EINTR)
			tg_die("cannot lock control.lock");
}

/* What an apply or an answer took and freed, and the next will not want soon. */
static void control_give_back(void)
{
	malloc_trim(0);
}

static void control_open(struct control *control)
{
	const struct msg_start    *start = &control->role->start;
	const struct store_options options = { .retention_s = start->retention_s,
					       .rollup_retention_s = start->rollup_retention_s };
	const struct api_options   http = { .on_call = control_api_call, .arg = control };
	struct tg_error            err;

	control_lock();
	control->store = store_open("traffic.db", &options, &err);
	if (control->store == NULL) {
		tg_log(TG_LOG_ERROR, "cannot open the traffic database", "reason=\"%s\"", err.text);
		exit(ROLE_REFUSED);
	}
	control->jobs = jobs_new(control->base, GIVE_BACK_MS, control_give_back, &err);
	if (control->jobs == NULL)
		tg_die("%s", err.text);
	control->http = api_new(control->base, &http);
	control->apply = control_apply_new(control);
	control->routes = control_routes_new(control);
	control->count = control_count_new(control);
	control->api = control_api_new(control);
	control->events = control_events_new(control);
	control->looks = control_looks_new(control);
	control->metrics = control_metrics_new();
	if (control->http == NULL || control->apply == NULL || control->routes == NULL ||
	    control->count == NULL || control->api == NULL || control->events == NULL ||
	    control->looks == NULL || control->metrics == NULL)
		tg_die("out of memory");
	if (control_count_start(control->count, &err) == -1)
		tg_die("cannot begin to count: %s", err.text);
	if (control_apply_load(control->apply, &err) == -1) {
		tg_log(TG_LOG_ERROR, "refused the stored document", "reason=\"%s\"", err.text);
		exit(ROLE_REFUSED);
	}
}

int role_control(struct role *role)
{
	static struct control control;

	control.role = role;
	control.base = role->base;
	umask(0077);
	control_open(&control);
	control.supervisor =
	        channel_new(role->base, role->supervisor_fd, MSG_ROLE_CONTROL, MSG_ROLE_SUPERVISOR,
	                    on_supervisor_message, on_supervisor_closed, &control);
	if (control.supervisor == NULL)
		tg_die("out of memory");
	event_base_dispatch(role->base);
	control_free(&control);
	return 0;
}
