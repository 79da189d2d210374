#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/model.h"
#include "daemon/files.h"
#include "daemon/listeners.h"
#include "daemon/options.h"
#include "daemon/segments.h"
#include "daemon/supervisor_state.h"

/* Puts the option's name before what went wrong. */
static int blame(struct tg_error *err, const char *option)
{
	snprintf(err->where, sizeof err->where, "%s", option);
	return -1;
}

/* The path of that file, NULL when no option names one. */
static const char *path_of(const struct options *o, enum msg_file_kind kind)
{
	switch (kind) {
	case MSG_FILE_CONFIG:
		return o->config;
	case MSG_FILE_TOKENS:
		return o->token_file;
	case MSG_FILE_API_CERT:
		return o->api_cert;
	case MSG_FILE_API_KEY:
		return o->api_key;
	case MSG_FILE_API_CLIENT_CA:
		return o->api_client_ca;
	case MSG_FILE_ACCESS_LOG:
		break;
	}
	return NULL;
}

static size_t most_of(enum msg_file_kind kind)
{
	return kind == MSG_FILE_CONFIG ? MODEL_BYTES_MOST : FILES_SMALL_BYTES_MOST;
}

static int open_files(struct supervisor *s, struct tg_error *err)
{
	for (enum msg_file_kind kind = 0; kind < SUPERVISOR_FILES; kind++) {
		const char *path = path_of(s->options, kind);

		if (path == NULL)
			continue;
		s->files[kind] = files_read(path, most_of(kind), err);
		if (s->files[kind] == -1)
			return blame(err, path);
	}
	if (s->options->token != NULL) {
		s->files[MSG_FILE_TOKENS] = files_of_text(s->options->token, err);
		if (s->files[MSG_FILE_TOKENS] == -1)
			return blame(err, "TOLLGATE_TOKEN");
	}
	return 0;
}

bool supervisor_read_again(struct supervisor *s)
{
	bool any = false;

	for (enum msg_file_kind kind = 0; kind < SUPERVISOR_FILES; kind++) {
		const char     *path = path_of(s->options, kind);
		struct tg_error err = { 0 };
		char            quoted[256];

		if (path == NULL)
			continue;

		int fresh = files_read(path, most_of(kind), &err);

		if (fresh == -1) {
			tg_log(TG_LOG_ERROR, "kept what was read before: a file cannot be read",
			       "file=%s reason=\"%s\"", tg_quote(quoted, sizeof quoted, path), err.text);
			continue;
		}
		tg_close_at(&s->files[kind]);
		s->files[kind] = fresh;
		any = true;
	}
	return any;
}

/* Sharing is for a daemon that takes over from one that was killed: its workers may still be draining. */
static void warn_if_taken(const struct tg_endpoint *at)
{
	char text[TG_ENDPOINT_TEXT];

	if (at->family != 0 && listeners_is_taken(at))
		tg_log(TG_LOG_WARN,
		       "another process listens on the same address: connections are shared with it",
		       "address=%s", tg_endpoint_print(at, text));
}

static int open_ingress(struct supervisor *s, struct tg_error *err)
{
	struct tg_endpoint http = listeners_address(&s->options->http);
	struct tg_endpoint https = listeners_address(&s->options->https);

	warn_if_taken(&http);
	warn_if_taken(&https);
	for (size_t i = SUPERVISOR_WORKERS; i < s->count; i++) {
		struct process *p = &s->processes[i];

		if (http.family != 0) {
			p->http = listeners_tcp(&http, true, err);
			if (p->http == -1)
				return blame(err, "--http");
		}
		if (https.family != 0) {
			p->https = listeners_tcp(&https, true, err);
			if (p->https == -1)
				return blame(err, "--https");
		}
	}
	return 0;
}

static int open_api(struct supervisor *s, struct tg_error *err)
{
	s->api_unix = listeners_unix(s->run.dir, RUNDIR_SOCKET, err);
	if (s->api_unix == -1)
		return blame(err, s->options->run_dir);
	if (s->options->api.at.family == 0)
		return 0;
	warn_if_taken(&s->options->api.at);
	/* Shared, since control of a daemon that was killed may still be at its last sample. */
	s->api_tcp = listeners_tcp(&s->options->api.at, true, err);
	return s->api_tcp == -1 ? blame(err, "--api") : 0;
}

static int open_active(struct supervisor *s, struct tg_error *err)
{
	off_t bytes = (off_t)s->options->workers * MSG_SLOTS * (off_t)sizeof(uint32_t);

	s->active = memfd_create("tollgate-active", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->active == -1 || ftruncate(s->active, bytes) == -1 ||
	    fcntl(s->active, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1)
		return tg_fail_sys(err, "cannot make the table of open connections");
	return 0;
}

static int make_processes(struct supervisor *s, struct tg_error *err)
{
	static const enum msg_role first[SUPERVISOR_WORKERS] = { MSG_ROLE_ENGINE, MSG_ROLE_BROKER,
								 MSG_ROLE_CONTROL };

	s->processes = calloc(SUPERVISOR_WORKERS + s->options->workers, sizeof *s->processes);
	if (s->processes == NULL)
		return tg_fail_memory(err);
	s->count = SUPERVISOR_WORKERS + s->options->workers;
	for (size_t i = 0; i < s->count; i++) {
		struct process *p = &s->processes[i];

		p->supervisor = s;
		p->role = i < SUPERVISOR_WORKERS ? first[i] : MSG_ROLE_WORKER;
		p->index = i < SUPERVISOR_WORKERS ? 0 : (uint32_t)(i - SUPERVISOR_WORKERS);
		p->http = p->https = -1;
	}
	return 0;
}

/* As many descriptors as the system gives: a worker needs four for each connection. */
static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
			tg_log(TG_LOG_WARN, "cannot raise the limit of descriptors", "errno=%d", errno);
	}
}

int supervisor_open(struct supervisor *s, const struct options *options, struct tg_error *err)
{
	*s = (struct supervisor){ .options = options, .state_dir = -1, .root = -1, .api_unix = -1,
		                  .api_tcp = -1, .active = -1, .run = { -1, -1, -1, -1 } };
	for (size_t i = 0; i < SUPERVISOR_FILES; i++)
		s->files[i] = -1;
	raise_limits();
	if (make_processes(s, err) == -1 || open_files(s, err) == -1)
		return -1;
	if (account_find(&s->account, options->user, options->state_dir, err) == -1)
		return blame(err, "--user");
	if (rundir_open(&s->run, options->run_dir, err) == -1)
		return blame(err, options->run_dir);
	s->state_dir = account_state_dir(options->state_dir, &s->account, err);
	if (s->state_dir == -1)
		return blame(err, options->state_dir);
	s->segments = segments_new(s->run.segments, err);
	if (s->segments == NULL)
		return blame(err, options->run_dir);
	s->root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root == -1)
		return tg_fail_sys(err, "cannot open /");
	if (open_active(s, err) == -1 || open_ingress(s, err) == -1)
		return -1;
	return open_api(s, err);
}

static void free_event(struct event *event)
{
	if (event != NULL)
		event_free(event);
}

void supervisor_close(struct supervisor *s)
{
	for (size_t i = 0; i < s->count; i++) {
		free_event(s->processes[i].timer);
		tg_close_at(&s->processes[i].http);
		tg_close_at(&s->processes[i].https);
	}
	free(s->processes);
	for (size_t i = 0; i < SUPERVISOR_SIGNALS; i++)
		free_event(s->signals[i]);
	free_event(s->orphans);
	if (s->base != NULL)
		event_base_free(s->base);
	segments_free(s->segments);
	tg_close_at(&s->api_unix);
	tg_close_at(&s->api_tcp);
	for (size_t i = 0; i < SUPERVISOR_FILES; i++)
		tg_close_at(&s->files[i]);
	tg_close_at(&s->active);
	tg_close_at(&s->state_dir);
	tg_close_at(&s->root);
	if (s->run.dir != -1)
		rundir_close(&s->run);
}
