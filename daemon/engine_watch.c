#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/engine.h"
#include "netns/link.h"
#include "netns/listen.h"

#define EVENTS_AT_ONCE 1000	/* then the loop gets its turn */

/* Who tells of drift at once.  What nobody tells of, the look at everything finds (ENGINE_CHECK_MS). */

/* Whether something is to be looked at. */
static bool on_name(struct engine *e, const struct inotify_event *event)
{
	uint16_t               port = event->len > 0 ? netns_port_of(e->host.prefix, event->name) : 0;
	struct engine_network *n = e->networks[port];

	if ((event->mask & IN_Q_OVERFLOW) != 0) {
		e->unlisted = true;
		engine_suspect_all(e);
		return true;
	}
	if (port != 0 && n == NULL)
		e->unlisted = true;
	if (n == NULL || netns_pinned(&e->host, &n->tenant))
		return false;
	ports_add(&e->suspect, port);
	return true;
}

void engine_watch_drain_names(struct engine *e)
{
	_Alignas(struct inotify_event) char buffer[4096];
	bool touched = false;

	if (e->names == NULL)
		return;
	for (ssize_t n = read(e->names_fd, buffer, sizeof buffer); n > 0;
	     n = read(e->names_fd, buffer, sizeof buffer)) {
		for (char *at = buffer; at < buffer + n;) {
			const struct inotify_event *event = (const void *)at;

			at += sizeof *event + event->len;
			touched |= on_name(e, event);
		}
	}
	if (touched && e->phase == ENGINE_IDLE)
		engine_schedule(e, 0);
}

static void on_names(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	engine_watch_drain_names(arg);
}

static void on_exited(evutil_socket_t fd, short what, void *arg)
{
	struct engine_network *n = arg;

	(void)fd;
	(void)what;
	ports_add(&n->engine->suspect, n->tenant.port);
	tg_log(TG_LOG_WARN, "wireguard-go ended", "network=%u pid=%d", (unsigned)n->tenant.port,
	       n->watched_pid);
	event_free(n->exited);
	n->exited = NULL;
	tg_close_at(&n->watched);
	n->watched_pid = 0;
	engine_schedule(n->engine, 0);
}

static void watch_process(struct engine *e, struct engine_network *n)
{
	if (n->exited != NULL && (n->tenant.pidfd == -1 || n->watched_pid != n->tenant.pid)) {
		event_free(n->exited);
		n->exited = NULL;
		tg_close_at(&n->watched);
	}
	if (n->exited != NULL || n->tenant.pidfd == -1)
		return;
	/* Of its own: the tenant closes its descriptor when it likes. */
	n->watched = fcntl(n->tenant.pidfd, F_DUPFD_CLOEXEC, 0);
	n->watched_pid = n->tenant.pid;
	if (n->watched != -1)
		n->exited = event_new(e->base, n->watched, EV_READ, on_exited, n);
	if (n->exited != NULL)
		event_add(n->exited, NULL);
	else
		tg_close_at(&n->watched);
}

void engine_watch_answer_end(struct engine_network *n)
{
	if (n->answers == NULL)
		return;
	event_free(n->answers);
	n->answers = NULL;
	tg_close_at(&n->answer);
}

static void on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct engine_network *n = arg;

	(void)fd;
	(void)what;
	engine_watch_answer_end(n);
	n->tenant.deaf_since_ms = 0;
	n->retry_at_ms = 0;
	ports_add(&n->engine->suspect, n->tenant.port);
	engine_schedule(n->engine, 0);
}

void engine_watch_answer(struct engine *e, struct engine_network *n)
{
	int open = n->tenant.changing != -1 ? n->tenant.changing : n->tenant.asked;

	engine_watch_answer_end(n);
	/* An answer that has come mends nothing else: that is tried again later. */
	if (open == -1 || n->tenant.deaf_since_ms == 0)
		return;
	n->answer = fcntl(open, F_DUPFD_CLOEXEC, 0);
	if (n->answer != -1)
		n->answers = event_new(e->base, n->answer, EV_READ, on_answer, n);
	if (n->answers != NULL)
		event_add(n->answers, NULL);
	else
		tg_close_at(&n->answer);	/* it is tried again later */
}

/* Which network an event came from, by the number that its namespace has for the host's. */
static void watch_links(struct engine *e, struct engine_network *n)
{
	struct tg_error err;
	int32_t         nsid;

	if (e->links == NULL || n->watched_cookie == n->tenant.cookie)
		return;
	if (link_nsid(&e->host, &n->tenant, &nsid, &err) != 0 || nsid < 0 ||
	    (size_t)nsid >= ENGINE_NSIDS_MOST)
		return;	/* the look at everything finds its drift, a little later */
	if ((size_t)nsid >= e->nsids_room) {
		size_t    room = (size_t)nsid + 1 + e->nsids_room;
		uint16_t *grown = reallocarray(e->nsids, room, sizeof *grown);

		if (grown == NULL)
			return;
		memset(grown + e->nsids_room, 0, (room - e->nsids_room) * sizeof *grown);
		e->nsids = grown;
		e->nsids_room = room;
	}
	e->nsids[nsid] = n->tenant.port;
	n->watched_cookie = n->tenant.cookie;
}

void engine_watch_network(struct engine *e, struct engine_network *n)
{
	watch_process(e, n);
	watch_links(e, n);
}

void engine_watch_drain(struct engine *e)
{
	for (int i = 0; e->links != NULL && i < EVENTS_AT_ONCE; i++) {
		int                nsid;
		enum listen_result result = listen_next(e->links_fd, &nsid);

		if (result == LISTEN_NONE)
			return;
		if (result == LISTEN_LOST)
			engine_suspect_all(e);
		else if (nsid >= 0 && (size_t)nsid < e->nsids_room && e->networks[e->nsids[nsid]] != NULL)
			ports_add(&e->suspect, e->nsids[nsid]);
	}
}

static void on_links(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;

	(void)fd;
	(void)what;
	engine_watch_drain(e);
	if (e->phase == ENGINE_IDLE)
		engine_schedule(e, ENGINE_EVENT_MS);
}

/* Without it drift is found a little later. */
static void watch_all_links(struct engine *e)
{
	struct tg_error err;
	TG_AUTO_FD      fd = listen_open(&err);

	if (fd == -1) {
		tg_log(TG_LOG_WARN, err.text, NULL);
		return;
	}
	e->links_fd = tg_take_fd(&fd);
	e->links = event_new(e->base, e->links_fd, EV_READ | EV_PERSIST, on_links, e);
	if (e->links != NULL)
		event_add(e->links, NULL);
	else
		tg_close_at(&e->links_fd);
}

void engine_watch_start(struct engine *e)
{
	if (e->names != NULL)
		return;
	if (e->links == NULL)
		watch_all_links(e);
	e->names_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (e->names_fd == -1 ||
	    inotify_add_watch(e->names_fd, NETNS_DIR, IN_CREATE | IN_DELETE | IN_MOVE) == -1) {
		tg_log(TG_LOG_WARN, "cannot watch " NETNS_DIR, "errno=%d", errno);
		tg_close_at(&e->names_fd);
		return;
	}
	e->names = event_new(e->base, e->names_fd, EV_READ | EV_PERSIST, on_names, e);
	if (e->names != NULL)
		event_add(e->names, NULL);
}

void engine_watch_stop(struct engine *e)
{
	if (e->names != NULL)
		event_free(e->names);
	e->names = NULL;
	tg_close_at(&e->names_fd);
	if (e->links != NULL)
		event_free(e->links);
	e->links = NULL;
	tg_close_at(&e->links_fd);
	free(e->nsids);
}
