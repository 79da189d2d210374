#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define uthash_nonfatal_oom(entry) ((entry)->in_table = false)
#define HASH_NONFATAL_OOM 1
#include "base/uthash.h"

#include "base/channel.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/role.h"
#include "netns/namespace.h"

/* The broker: the one process that may make sockets inside a tenant's namespace for the workers, which may
 * not enter it.  It does nothing else, so that no apply ever delays a connection. */

#define OWN_NETNS	"/proc/thread-self/ns/net"
#define NAMESPACES_MOST 65536	/* one a port */

struct broker_netns {
	uint64_t       cookie;
	int            fd;
	bool           in_table;
	bool           told;	/* by the engine that is there now */
	UT_hash_handle hh;
};

struct broker;

struct broker_worker {
	struct broker  *broker;	/* borrowed */
	struct channel *channel;
};

struct broker {
	struct event_base   *base;	/* borrowed */
	struct channel      *supervisor, *engine;
	struct broker_netns *namespaces;	/* by cookie */
	struct broker_worker workers[MSG_WORKERS_MOST];
	int                  home;
};

static struct broker_netns *broker_find(const struct broker *b, uint64_t cookie)
{
	struct broker_netns *found;

	HASH_FIND(hh, b->namespaces, &cookie, sizeof cookie, found);
	return found;
}

static void broker_forget(struct broker *b, struct broker_netns *netns)
{
	HASH_DEL(b->namespaces, netns);
	close(netns->fd);
	free(netns);
}

/* What a former engine was about to remove, its successor may not know that it is here. */
static void broker_forget_untold(struct broker *b)
{
	struct broker_netns *netns, *next;

	HASH_ITER(hh, b->namespaces, netns, next)
		if (!netns->told)
			broker_forget(b, netns);
}

static int broker_enter(int fd)
{
	return setns(fd, CLONE_NEWNET) == 0 ? 0 : errno;
}

static void broker_leave(const struct broker *b)
{
	/* Every socket from here on would be one tenant's, given to another's connections. */
	if (setns(b->home, CLONE_NEWNET) == -1)
		tg_die("cannot return to the host's namespace");
}

/* Makes up to `count` sockets in the namespace of that cookie, 0 being the host's; *sys says why there are
 * fewer. */
static size_t make_sockets(const struct broker *b, const struct msg_sockets_wanted *want, int *fds, int *sys)
{
	const struct broker_netns *netns = NULL;
	size_t                     made = 0;

	*sys = 0;
	if (want->netns_cookie != 0) {
		netns = broker_find(b, want->netns_cookie);
		*sys = netns == NULL ? ENOENT : broker_enter(netns->fd);
		if (*sys != 0)
			return 0;
	}
	while (made < want->count) {
		int fd = socket((int)want->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		if (fd == -1) {
			*sys = errno;
			break;
		}
		fds[made++] = fd;
	}
	if (netns != NULL)
		broker_leave(b);
	/* Checked once more when it is at hand anyway; the worker does so for every one. */
	if (netns != NULL && made > 0 && netns_cookie_of(fds[0]) != want->netns_cookie)
		tg_die("a socket is in the wrong namespace");
	return made;
}

static void on_worker(struct channel *channel, const struct msg *msg, int *received, size_t count, void *arg)
{
	struct broker_worker     *worker = arg;
	struct msg_sockets_wanted want = msg->body.sockets_wanted;
	int                       fds[MSG_FDS_MOST];
	int                       sys;

	(void)received;
	(void)count;
	if (msg->type != MSG_SOCKETS_WANTED)
		return;
	if (want.count < 1 || want.count > MSG_FDS_MOST ||
	    (want.family != AF_INET && want.family != AF_INET6)) {
		tg_log(TG_LOG_ERROR, "a worker asked for what it may not", "count=%u family=%u", want.count,
		       want.family);
		channel_free(channel);
		worker->channel = NULL;
		return;
	}

	size_t             made = make_sockets(worker->broker, &want, fds, &sys);
	struct msg_sockets answer = {
		.netns_cookie = want.netns_cookie,
		.family = want.family,
		.count = (uint32_t)made,
		.sys = sys,
	};

	channel_send(channel, MSG_SOCKETS, &answer, fds, made);
	for (size_t i = 0; i < made; i++)
		close(fds[i]);
}

static void on_worker_closed(struct channel *channel, void *arg)
{
	struct broker_worker *worker = arg;

	channel_free(channel);
	worker->channel = NULL;
}

/* The cookie must be the namespace's own: a mistake here would be a mix-up of tenants. */
static int verify(const struct broker *b, int fd, uint64_t cookie)
{
	int        sys = broker_enter(fd);
	TG_AUTO_FD probe = -1;

	if (sys != 0)
		return sys;
	probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sys = probe == -1 ? errno : 0;
	broker_leave(b);
	if (sys == 0 && (cookie == 0 || netns_cookie_of(probe) != cookie))
		sys = EINVAL;
	return sys;
}

static int broker_add(struct broker *b, uint64_t cookie, int *fd)
{
	struct broker_netns *netns;
	int                  sys = verify(b, *fd, cookie);

	if (sys != 0)
		return sys;
	netns = broker_find(b, cookie);
	if (netns != NULL) {
		netns->told = true;
		return 0;
	}
	if (HASH_COUNT(b->namespaces) >= NAMESPACES_MOST)
		return ENOSPC;
	netns = calloc(1, sizeof *netns);
	if (netns == NULL)
		return ENOMEM;
	netns->cookie = cookie;
	netns->in_table = netns->told = true;
	HASH_ADD(hh, b->namespaces, cookie, sizeof netns->cookie, netns);
	if (!netns->in_table) {
		free(netns);
		return ENOMEM;
	}
	netns->fd = tg_take_fd(fd);
	return 0;
}

static void on_engine(struct channel *channel, const struct msg *msg, int *fds, size_t count, void *arg)
{
	struct broker       *b = arg;
	uint64_t             cookie = msg->body.netns.netns_cookie;
	struct broker_netns *netns = broker_find(b, cookie);
	struct msg_netns     done = { .netns_cookie = cookie, .added = msg->type == MSG_NETNS_ADD };

	if (msg->type == MSG_NETNS_ADD && count == 1)
		done.sys = broker_add(b, cookie, &fds[0]);
	else if (msg->type == MSG_NETNS_REMOVE && cookie == 0)
		broker_forget_untold(b);
	else if (msg->type == MSG_NETNS_REMOVE && netns != NULL)
		broker_forget(b, netns);
	channel_send(channel, MSG_NETNS_DONE, &done, NULL, 0);
}

/* Its namespaces stay in use until a new engine says otherwise. */
static void on_engine_closed(struct channel *channel, void *arg)
{
	struct broker *b = arg;

	channel_free(channel);
	b->engine = NULL;
}

static void on_channel(struct broker *b, const struct msg *msg, int *fd)
{
	const struct msg_channel *to = &msg->body.channel;

	if (to->role == MSG_ROLE_ENGINE) {
		for (struct broker_netns *netns = b->namespaces; netns != NULL; netns = netns->hh.next)
			netns->told = false;
		channel_free(b->engine);
		b->engine = channel_new(b->base, tg_take_fd(fd), MSG_ROLE_BROKER, MSG_ROLE_ENGINE, on_engine,
		                        on_engine_closed, b);
		if (b->engine == NULL)
			tg_die("out of memory for a channel");
	} else if (to->role == MSG_ROLE_WORKER && to->index < MSG_WORKERS_MOST) {
		struct broker_worker *worker = &b->workers[to->index];

		channel_free(worker->channel);
		worker->broker = b;
		worker->channel = channel_new(b->base, tg_take_fd(fd), MSG_ROLE_BROKER, MSG_ROLE_WORKER,
		                              on_worker, on_worker_closed, worker);
		if (worker->channel == NULL)
			tg_die("out of memory for a channel");
	}
}

static void on_supervisor(struct channel *channel, const struct msg *msg, int *fds, size_t count, void *arg)
{
	struct broker  *b = arg;
	struct msg_none none = { .zero = 0 };

	(void)count;
	if (msg->type == MSG_CHANNEL)
		on_channel(b, msg, &fds[0]);
	else if (msg->type == MSG_GO)
		channel_send(channel, MSG_READY, &none, NULL, 0);
	else if (msg->type == MSG_STOP)
		event_base_loopexit(b->base, NULL);
}

static void on_supervisor_closed(struct channel *channel, void *arg)
{
	struct broker *b = arg;

	(void)channel;
	event_base_loopexit(b->base, NULL);
}

static void broker_close(struct broker *b)
{
	struct broker_netns *netns, *next;

	for (size_t i = 0; i < MSG_WORKERS_MOST; i++)
		channel_free(b->workers[i].channel);
	HASH_ITER(hh, b->namespaces, netns, next)
		broker_forget(b, netns);
	channel_free(b->engine);
	channel_free(b->supervisor);
	tg_close_at(&b->home);
}

int role_broker(struct role *role)
{
	struct broker b = { .base = role->base, .home = open(OWN_NETNS, O_RDONLY | O_CLOEXEC) };

	if (b.home == -1)
		tg_die("cannot open the host's namespace");
	b.supervisor = channel_new(role->base, role->supervisor_fd, MSG_ROLE_BROKER, MSG_ROLE_SUPERVISOR,
	                           on_supervisor, on_supervisor_closed, &b);
	if (b.supervisor == NULL)
		tg_die("out of memory for a channel");
	event_base_dispatch(role->base);
	broker_close(&b);
	return 0;
}
