#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/options.h"
#include "daemon/segments.h"
#include "daemon/spawn.h"
#include "daemon/supervisor_state.h"

#define AGAIN_MS 100	/* when not even a start could be tried */

/* Who speaks with whom. */
static bool speak(enum msg_role a, enum msg_role b)
{
	static const enum msg_role pairs[][2] = {
		{ MSG_ROLE_ENGINE, MSG_ROLE_BROKER },
		{ MSG_ROLE_ENGINE, MSG_ROLE_CONTROL },
		{ MSG_ROLE_CONTROL, MSG_ROLE_WORKER },
		{ MSG_ROLE_WORKER, MSG_ROLE_BROKER },
	};

	for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
		if ((pairs[i][0] == a && pairs[i][1] == b) || (pairs[i][0] == b && pairs[i][1] == a))
			return true;
	return false;
}

static void send_end(struct process *to, const struct process *other, int end)
{
	struct msg_channel body = { .role = other->role, .index = other->index };

	channel_send_taken(to->channel, MSG_CHANNEL, &body, end);
}

/* Gives both a new channel to each other. */
static void introduce(struct process *a, struct process *b)
{
	struct tg_error err;
	int             ends[2];

	if (channel_pair(ends, &err) == -1) {
		/* Without it they would wait for each other for ever; a new life tries again. */
		tg_log(TG_LOG_ERROR, err.text, "from=%s to=%s", msg_role_name(a->role),
		       msg_role_name(b->role));
		supervisor_set_timer(a, 0);
		return;
	}
	send_end(a, b, ends[0]);
	send_end(b, a, ends[1]);
}

static void introduce_all(struct process *p)
{
	struct supervisor *s = p->supervisor;

	for (size_t i = 0; i < s->count; i++) {
		struct process *other = &s->processes[i];

		if (other != p && other->channel != NULL && !other->stopping && speak(p->role, other->role))
			introduce(p, other);
	}
}

static void send_start(struct process *p)
{
	const struct options *o = p->supervisor->options;
	struct msg_start      start = {
		     .index = p->index,
		     .workers = o->workers,
		     .log_level = o->log_level,
		     .wireguard = o->wireguard,
		     /* Rounded up, so that a limit never becomes 0, which is none. */
		     .source_connections = o->source_connections / o->workers +
			     (o->source_connections % o->workers != 0),
		     .again = p->ever_ready,
		     .sample_interval_ms = o->sample_interval_ms,
		     .retention_s = o->retention_ms / 1000,
		     .rollup_retention_s = o->rollup_retention_ms / 1000,
		     .drain_timeout_ms = o->drain_timeout_ms,
	};

	snprintf(start.netns_prefix, sizeof start.netns_prefix, "%s", o->netns_prefix);
	channel_send(p->channel, MSG_START, &start, NULL, 0);
}

static void send_fd(struct process *p, enum msg_type type, uint32_t kind, int fd)
{
	union {
		struct msg_listening listening;
		struct msg_file      file;
		struct msg_none      none;
	} body = { .listening.kind = kind };

	if (fd != -1)
		channel_send(p->channel, type, &body, &fd, 1);
}

void supervisor_send_files(struct supervisor *s)
{
	struct process *control = &s->processes[SUPERVISOR_CONTROL];

	/* The place to read from is the open file's, which an earlier control may have left at the end. */
	for (uint32_t kind = 0; kind < SUPERVISOR_FILES; kind++)
		if (s->files[kind] != -1 && lseek(s->files[kind], 0, SEEK_SET) == 0)
			send_fd(control, MSG_FILE, kind, s->files[kind]);
}

static void feed_control(struct process *p)
{
	struct supervisor    *s = p->supervisor;
	const struct options *o = s->options;

	supervisor_tell_down(s);
	send_fd(p, MSG_LISTENER, MSG_LISTENER_API_UNIX, s->api_unix);
	send_fd(p, MSG_LISTENER, MSG_LISTENER_API_TCP, s->api_tcp);
	supervisor_send_files(s);
	for (size_t i = 0; i < o->forwards_count; i++)
		channel_send(p->channel, MSG_FORWARD, &o->forwards[i], NULL, 0);
	for (size_t i = 0; segments_at(s->segments, i) != NULL; i++) {
		const struct segment *one = segments_at(s->segments, i);

		channel_send(p->channel, MSG_SEGMENT, &one->is, &one->fd, 1);
	}
}

static void feed_worker(struct process *p, const struct segment *segment)
{
	struct supervisor *s = p->supervisor;
	struct process    *control = &s->processes[SUPERVISOR_CONTROL];

	send_fd(p, MSG_LISTENER, MSG_LISTENER_HTTP, p->http);
	send_fd(p, MSG_LISTENER, MSG_LISTENER_HTTPS, p->https);
	channel_send(p->channel, MSG_SEGMENT, &segment->is, &segment->fd, 1);
	send_fd(p, MSG_ACTIVE, 0, s->active);
	if (control->channel != NULL)
		channel_send(control->channel, MSG_SEGMENT, &segment->is, &segment->fd, 1);
}

/* Forks; the process then has a pid and a channel. */
static int begin(struct process *p, struct tg_error *err)
{
	struct supervisor *s = p->supervisor;
	TG_AUTO_FD         ours = -1;
	TG_AUTO_FD         theirs = -1;
	TG_AUTO_FD         state_dir = -1;
	int                home = p->role == MSG_ROLE_WORKER ? s->run.empty : s->root;
	int                ends[2];

	if (channel_pair(ends, err) == -1)
		return -1;
	ours = ends[0];
	theirs = ends[1];
	if (p->role == MSG_ROLE_CONTROL) {
		/* Opened anew: the lock on ours must end with this process. */
		state_dir = openat(s->state_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (state_dir == -1)
			return tg_fail_sys(err, "cannot open the state directory");
		home = state_dir;
	}
	p->channel = channel_new(s->base, tg_take_fd(&ours), MSG_ROLE_SUPERVISOR, p->role,
	                         supervisor_on_message, supervisor_on_closed, p);
	if (p->channel == NULL)
		return tg_fail_memory(err);
	p->pid = spawn_role(p->role, theirs, state_dir, home, err);
	if (p->pid == -1) {
		p->pid = 0;
		channel_free(p->channel);
		p->channel = NULL;
		return -1;
	}
	return 0;
}

void supervisor_start(struct process *p)
{
	struct supervisor    *s = p->supervisor;
	const struct segment *segment = NULL;
	const struct msg_none none = { 0 };
	struct tg_error       err = { 0 };

	if (p->role == MSG_ROLE_WORKER) {
		segment = segments_add(s->segments, p->index, &err);
		snprintf(p->segment, sizeof p->segment, "%s", segment == NULL ? "" : segment->is.name);
	}
	if ((p->role == MSG_ROLE_WORKER && segment == NULL) || begin(p, &err) == -1) {
		tg_log(TG_LOG_ERROR, err.text, "start=%s", msg_role_name(p->role));
		if (segment != NULL) {
			segments_end(s->segments, p->segment);
			segments_remove(s->segments, p->segment);
		}
		supervisor_set_timer(p, AGAIN_MS);
		return;
	}
	p->ready = false;
	send_start(p);
	introduce_all(p);
	if (p->role == MSG_ROLE_CONTROL)
		feed_control(p);
	if (p->role == MSG_ROLE_WORKER)
		feed_worker(p, segment);
	channel_send(p->channel, MSG_GO, &none, NULL, 0);
}
