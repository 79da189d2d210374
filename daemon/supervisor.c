#include "daemon/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/notify.h"
#include "daemon/options.h"
#include "daemon/role.h"
#include "daemon/segments.h"
#include "daemon/supervisor_state.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MOST_MS	 10000
#define LONG_LIFE_MS	 1000	/* ready for so long: its death is no sign of a fault that stays */
#define GONE_MS		 2000	/* from the end of its channel to its own end */
#define DRAIN_EXTRA_MS	 5000
#define STORE_MS	 20000
#define END_MS		 10000
#define ORPHANS_S	 1

static void begin_phase(struct supervisor *s, enum phase next);

void supervisor_set_timer(struct process *p, uint64_t after_ms)
{
	struct timeval after = { .tv_sec = (time_t)(after_ms / 1000),
				 .tv_usec = (suseconds_t)(after_ms % 1000 * 1000) };

	if (event_add(p->timer, &after) == -1)
		tg_die("out of memory");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct process *p = arg;

	(void)fd, (void)what;
	if (p->pid == 0) {
		supervisor_start(p);
		return;
	}
	tg_log(TG_LOG_WARN, "killed a process that did not end in time", "process=%s index=%u pid=%d",
	       msg_role_name(p->role), p->index, (int)p->pid);
	kill(p->pid, SIGKILL);
}

static bool all_ready(const struct supervisor *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (!s->processes[i].ready)
			return false;
	return true;
}

void supervisor_tell_down(struct supervisor *s)
{
	struct channel *control = s->processes[SUPERVISOR_CONTROL].channel;
	struct msg_down body = { { 0 } };

	for (size_t i = 0; i < s->count; i++)
		body.processes[s->processes[i].role] += !s->processes[i].ready;
	if (control != NULL)
		channel_send(control, MSG_DOWN, &body, NULL, 0);
}

static void tell_state(struct supervisor *s)
{
	if (s->phase != PHASE_RUN)
		return;
	supervisor_tell_down(s);
	if (!all_ready(s)) {
		notify_send("STATUS=waiting for a process to become ready");
	} else if (s->announced) {
		notify_send("STATUS=serving");
	} else {
		s->announced = true;
		tg_log(TG_LOG_INFO, "ready", "workers=%u", s->options->workers);
		notify_send("READY=1\nSTATUS=serving\nMAINPID=%d", (int)getpid());
	}
}

static void on_ready(struct process *p)
{
	p->ready = p->ever_ready = true;
	p->ready_at_ms = tg_clock_ms();
	tg_log(TG_LOG_DEBUG, "a process is ready", "process=%s index=%u pid=%d", msg_role_name(p->role),
	       p->index, (int)p->pid);
	tell_state(p->supervisor);
}

static void kill_stuck(struct supervisor *s, uint32_t index)
{
	if (index >= s->options->workers)
		return;

	struct process *p = &s->processes[SUPERVISOR_WORKERS + index];

	if (p->pid == 0)
		return;
	tg_log(TG_LOG_WARN, "killed a worker that did not follow a change of routes", "index=%u pid=%d",
	       index, (int)p->pid);
	kill(p->pid, SIGKILL);
}

void supervisor_on_message(struct channel *channel, const struct msg *msg, int *fds, size_t count, void *arg)
{
	struct process *p = arg;
	char            name[MSG_NAME_MOST];

	(void)channel, (void)fds, (void)count;
	if (msg->type == MSG_READY) {
		on_ready(p);
	} else if (msg->type == MSG_WORKER_STUCK) {
		kill_stuck(p->supervisor, msg->body.worker.index);
	} else if (msg->type == MSG_SEGMENT_DONE) {
		memcpy(name, msg->body.segment_done.name, sizeof name);
		name[sizeof name - 1] = '\0';
		segments_remove(p->supervisor->segments, name);
	}
}

void supervisor_on_closed(struct channel *channel, void *arg)
{
	struct process *p = arg;

	channel_free(channel);
	p->channel = NULL;
	/* It is ending, or has lost its way; SIGCHLD tells of the former. */
	supervisor_set_timer(p, GONE_MS);
}

/* Tells control that nobody writes into the segment any more. */
static void segment_ended(struct supervisor *s, const struct segment *segment)
{
	struct channel *control = s->processes[SUPERVISOR_CONTROL].channel;

	if (segment != NULL && control != NULL)
		channel_send(control, MSG_SEGMENT, &segment->is, &segment->fd, 1);
}

static void on_orphans(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor    *s = arg;
	const struct segment *segment;

	(void)fd, (void)what;
	while ((segment = segments_orphan_ended(s->segments)) != NULL)
		segment_ended(s, segment);
}

static void log_death(const struct process *p, int status)
{
	const char *role = msg_role_name(p->role);

	if (WIFSIGNALED(status))
		tg_log(TG_LOG_ERROR,
		       WTERMSIG(status) == SIGSYS ? "a process made a forbidden system call"
		                                  : "a process died",
		       "process=%s index=%u pid=%d signal=%d", role, p->index, (int)p->pid, WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0 || !p->stopping)
		tg_log(TG_LOG_ERROR, "a process ended", "process=%s index=%u pid=%d status=%d", role,
		       p->index, (int)p->pid, WEXITSTATUS(status));
	else
		tg_log(TG_LOG_DEBUG, "a process ended as told", "process=%s index=%u pid=%d", role, p->index,
		       (int)p->pid);
}

static bool any_left(const struct supervisor *s, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++)
		if (s->processes[i].pid != 0)
			return true;
	return false;
}

/* Goes on to the next phase once everybody that this one waits for is gone. */
static void go_on(struct supervisor *s)
{
	switch (s->phase) {
	case PHASE_RUN:
		return;
	case PHASE_DRAIN:
		if (!any_left(s, SUPERVISOR_WORKERS, s->count))
			begin_phase(s, PHASE_STORE);
		return;
	case PHASE_STORE:
		if (!any_left(s, SUPERVISOR_CONTROL, SUPERVISOR_WORKERS))
			begin_phase(s, PHASE_END);
		return;
	case PHASE_END:
		if (!any_left(s, 0, s->count))
			event_base_loopbreak(s->base);
		return;
	}
}

static void start_again(struct process *p)
{
	uint64_t wait_ms = 0;

	if (p->ready && tg_clock_ms() - p->ready_at_ms >= LONG_LIFE_MS)
		p->failures = 0;
	if (p->failures > 0) {
		unsigned doublings = p->failures - 1 < 8 ? p->failures - 1 : 8;

		wait_ms = (uint64_t)BACKOFF_FIRST_MS << doublings;
		if (wait_ms > BACKOFF_MOST_MS)
			wait_ms = BACKOFF_MOST_MS;
	}
	p->failures++;
	supervisor_set_timer(p, wait_ms);
}

/* What an option names, or the stored document, is no good: the process has said so. */
static bool is_refusal(const struct process *p, int status)
{
	return !p->stopping && !p->ever_ready && WIFEXITED(status) && WEXITSTATUS(status) == ROLE_REFUSED;
}

static void on_death(struct process *p, int status)
{
	struct supervisor *s = p->supervisor;
	bool               refusal = is_refusal(p, status);

	if (!refusal)
		log_death(p, status);
	event_del(p->timer);
	channel_free(p->channel);
	p->channel = NULL;
	p->pid = 0;
	if (p->segment[0] != '\0')
		segment_ended(s, segments_end(s->segments, p->segment));
	p->segment[0] = '\0';
	if (refusal) {
		s->status = ROLE_REFUSED;
		begin_phase(s, PHASE_END);
	} else if (!p->stopping) {
		start_again(p);
	}
	p->ready = false;
	tell_state(s);
	go_on(s);
}

static void on_child(struct supervisor *s)
{
	pid_t pid;
	int   status;

	/* As process 1 of a container we also inherit strangers. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < s->count; i++) {
			if (s->processes[i].pid == pid) {
				on_death(&s->processes[i], status);
				break;
			}
		}
	}
}

static void stop_process(struct process *p, uint64_t most_ms)
{
	const struct msg_none none = { 0 };

	p->stopping = true;
	event_del(p->timer);
	if (p->pid == 0)
		return;
	if (p->channel != NULL)
		channel_send(p->channel, MSG_STOP, &none, NULL, 0);
	supervisor_set_timer(p, most_ms);
}

static void stop_processes(struct supervisor *s, size_t first, size_t end, uint64_t most_ms)
{
	for (size_t i = first; i < end; i++)
		if (!s->processes[i].stopping)
			stop_process(&s->processes[i], most_ms);
}

/* Our copies of the ingress sockets: once the workers have emptied the queues and closed theirs, clients
 * are refused instead of kept waiting. */
static void close_ingress(struct supervisor *s)
{
	for (size_t i = SUPERVISOR_WORKERS; i < s->count; i++) {
		tg_close_at(&s->processes[i].http);
		tg_close_at(&s->processes[i].https);
	}
}

static void begin_phase(struct supervisor *s, enum phase next)
{
	s->phase = next;
	switch (next) {
	case PHASE_RUN:
		for (size_t i = 0; i < s->count; i++)
			supervisor_start(&s->processes[i]);
		break;
	case PHASE_DRAIN:
		notify_send("STOPPING=1\nSTATUS=draining connections");
		tg_log(TG_LOG_INFO, "stopping: draining connections", NULL);
		stop_processes(s, SUPERVISOR_WORKERS, s->count,
		               s->options->drain_timeout_ms + DRAIN_EXTRA_MS);
		close_ingress(s);
		break;
	case PHASE_STORE:
		notify_send("STATUS=recording the last counters");
		stop_processes(s, SUPERVISOR_CONTROL, SUPERVISOR_WORKERS, STORE_MS);
		break;
	case PHASE_END:
		stop_processes(s, 0, s->count, END_MS);
		break;
	}
	go_on(s);
}

static void end_at_once(struct supervisor *s)
{
	tg_log(TG_LOG_WARN, "ended at once by a second signal", NULL);
	for (size_t i = 0; i < s->count; i++)
		if (s->processes[i].pid != 0)
			kill(s->processes[i].pid, SIGKILL);
	event_base_loopbreak(s->base);
}

static void reload(struct supervisor *s)
{
	struct process       *control = &s->processes[SUPERVISOR_CONTROL];
	const struct msg_none none = { 0 };

	notify_send("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)tg_clock_ms() * 1000);
	tg_log(TG_LOG_INFO, "reading files again", NULL);
	if (supervisor_read_again(s) && control->channel != NULL) {
		supervisor_send_files(s);
		channel_send(control->channel, MSG_GO, &none, NULL, 0);
	}
	if (s->announced)
		notify_send("READY=1");
	tell_state(s);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)what;
	switch (number) {
	case SIGCHLD:
		on_child(s);
		return;
	case SIGHUP:
		if (s->phase == PHASE_RUN)
			reload(s);
		return;
	case SIGUSR2:
		tg_log(TG_LOG_WARN, "SIGUSR2 is not supported by this version: nothing is done", NULL);
		return;
	case SIGINT:
	case SIGTERM:
		if (s->phase == PHASE_RUN)
			begin_phase(s, PHASE_DRAIN);
		else
			end_at_once(s);
		return;
	}
}

static int make_events(struct supervisor *s, struct tg_error *err)
{
	static const int     numbers[] = { SIGCHLD, SIGHUP, SIGUSR2, SIGINT, SIGTERM };
	const struct timeval each = { .tv_sec = ORPHANS_S };

	_Static_assert(sizeof numbers / sizeof numbers[0] <= SUPERVISOR_SIGNALS, "room for each signal");
	signal(SIGPIPE, SIG_IGN);
	s->base = event_base_new();
	if (s->base == NULL)
		return tg_fail_memory(err);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		s->signals[i] = evsignal_new(s->base, numbers[i], on_signal, s);
		if (s->signals[i] == NULL || event_add(s->signals[i], NULL) == -1)
			return tg_fail_memory(err);
	}
	for (size_t i = 0; i < s->count; i++) {
		s->processes[i].timer = evtimer_new(s->base, on_timer, &s->processes[i]);
		if (s->processes[i].timer == NULL)
			return tg_fail_memory(err);
	}
	s->orphans = event_new(s->base, -1, EV_PERSIST, on_orphans, s);
	if (s->orphans == NULL || event_add(s->orphans, &each) == -1)
		return tg_fail_memory(err);
	return 0;
}

int supervisor_run(const struct options *options)
{
	struct supervisor s;
	struct tg_error   err = { 0 };
	char              quoted[200];

	tg_log_role("supervisor");
	tg_log_level((enum tg_log_level)options->log_level);
	if (supervisor_open(&s, options, &err) == -1 || make_events(&s, &err) == -1) {
		tg_log(TG_LOG_ERROR, err.text, "where=%s", tg_quote(quoted, sizeof quoted, err.where));
		supervisor_close(&s);
		return ROLE_REFUSED;
	}
	begin_phase(&s, PHASE_RUN);
	event_base_dispatch(s.base);
	for (size_t i = 0; i < s.count; i++)
		channel_free(s.processes[i].channel);
	supervisor_close(&s);
	if (s.status != ROLE_REFUSED)
		tg_log(TG_LOG_INFO, "stopped", "status=%d", s.status);
	return s.status;
}
