#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/model.h"
#include "netns/differ.h"
#include "netns/link.h"
#include "netns/namespace.h"
#include "netns/reading.h"
#include "netns/uapi.h"
#include "netns/userspace.h"
#include "netns/wireguard.h"

/* WireGuard in a process: wireguard-go, one for each network.  It is started in the host's namespace,
 * where its UDP socket stays, and its TUN then moves into the tenant's.  It outlives this process. */

#define START_MS      30000	/* it takes 14 ms to start, but hundreds may do so at a time */
#define FOUND_MS      1000	/* for one whose link is there and that somebody else started */
#define END_MS	      20	/* it ends in 2; the loop must not wait for long */
#define MARK_MOST     (sizeof "TOLLGATE_NETNS=" + NETNS_NAME_MOST)

static const char *const programs[] = {
	"/usr/bin/wireguard-go",
	"/usr/local/bin/wireguard-go",
	"/usr/sbin/wireguard-go",
	"/usr/local/sbin/wireguard-go",
};

const char *userspace_program(void)
{
	for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++)
		if (access(programs[i], X_OK) == 0)
			return programs[i];
	return NULL;
}

/* Stands in the environment of what we start, by which a later engine knows it again. */
static void make_mark(const struct netns_host *host, const struct tenant *tenant, char mark[MARK_MOST])
{
	snprintf(mark, MARK_MOST, "TOLLGATE_NETNS=%s%u", host->prefix, (unsigned)tenant->port);
}

enum owner { OWNER_WE, OWNER_OTHER, OWNER_ENDING };

/* Whether the process was started for this network.  The host may have a wireguard-go of somebody else, whose
 * link has the same name.  One that ends has no environment any more. */
static enum owner owner_of(const struct netns_host *host, const struct tenant *tenant, pid_t pid)
{
	char path[32];
	char mark[MARK_MOST];
	char text[4096];

	make_mark(host, tenant, mark);
	snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);

	TG_AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t    bytes = fd == -1 ? -1 : read(fd, text, sizeof text - 1);

	if (bytes == 0 || (bytes == -1 && (errno == ENOENT || errno == ESRCH)))
		return OWNER_ENDING;
	if (bytes == -1)
		return OWNER_OTHER;
	text[bytes] = '\0';
	for (const char *at = text; at < text + bytes; at += strlen(at) + 1)
		if (strcmp(at, mark) == 0)
			return OWNER_WE;
	return OWNER_OTHER;
}

/* In a session of its own and with its own output, so that nothing of ours holds on to it or is held. */
static int start(const struct netns_host *host, struct tenant *tenant, struct tg_error *err)
{
	char               mark[MARK_MOST];
	char               quiet[] = "LOG_LEVEL=silent";
	char              *environment[] = { quiet, mark, NULL };
	char               name[NETNS_LINK_MOST];
	char               program[] = "wireguard-go";
	char               foreground[] = "-f";
	char              *argv[] = { program, foreground, name, NULL };
	const char        *path = userspace_program();
	posix_spawnattr_t  attributes;
	posix_spawn_file_actions_t files;
	sigset_t           all;
	sigset_t           none;
	pid_t              pid;

	if (path == NULL)
		return tg_fail(err, TG_CODE_NOT_FOUND, "wireguard-go is not installed");
	memcpy(name, tenant->link, sizeof name);
	make_mark(host, tenant, mark);
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_setflags(&attributes,
	                         POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);

	int bad = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDWR, 0) ||
	          posix_spawn_file_actions_adddup2(&files, STDIN_FILENO, STDOUT_FILENO) ||
	          posix_spawn_file_actions_adddup2(&files, STDIN_FILENO, STDERR_FILENO);
	int sys = bad ? ENOMEM : posix_spawn(&pid, path, &files, &attributes, argv, environment);

	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	if (sys != 0)
		return tg_fail_errno(err, sys, "cannot start %s", path);
	tenant->pid = pid;
	tenant->pidfd = pidfd_open(pid, 0);
	return 0;
}

static void forget(struct tenant *tenant)
{
	tg_close_at(&tenant->pidfd);
	tg_close_at(&tenant->asked);
	tg_close_at(&tenant->changing);
	tenant->pid = 0;
	tenant->port_refused = false;
	tenant->deaf_since_ms = 0;
}

void userspace_watch(struct tenant *tenant, pid_t pid)
{
	tenant->started_at_ms = 0;
	if (tenant->pid != pid) {
		forget(tenant);
		tenant->pid = pid;
	}
	/* Or again: there may have been no descriptor left. */
	if (tenant->pidfd == -1)
		tenant->pidfd = pidfd_open(pid, 0);
}

static bool ended(int pidfd, int wait_ms)
{
	struct pollfd until = { .fd = pidfd, .events = POLLIN };

	return poll(&until, 1, wait_ms) == 1;
}

/* We started it, and it lives. */
static bool starts(const struct tenant *tenant)
{
	return tenant->pid != 0 && tenant->pidfd != -1 && !ended(tenant->pidfd, 0);
}

/* Ends what we started and what has not answered. */
static void give_up(struct tenant *tenant)
{
	tenant->started_at_ms = 0;
	if (tenant->pidfd != -1)
		pidfd_send_signal(tenant->pidfd, SIGTERM, NULL, 0);
	forget(tenant);
}

/* It serves our network, but its link is nowhere: its namespace was removed, and it is about to go. */
static void dismiss(struct tenant *tenant, pid_t pid)
{
	TG_AUTO_FD pidfd = pidfd_open(pid, 0);

	forget(tenant);
	if (pidfd != -1)
		pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
}

/* Each one holds an instance, of which all of the host's namespaces together have 128 by default. */
static bool inotify_is_spent(void)
{
	TG_AUTO_FD fd = inotify_init1(IN_CLOEXEC);

	return fd == -1 && errno == EMFILE;
}

static enum wireguard_result never_started(struct tenant *tenant, bool link, struct tg_error *err)
{
	bool started = tenant->pid != 0;
	bool lives = starts(tenant);

	give_up(tenant);
	if (link && !started)
		tg_fail(err, TG_CODE_SYSTEM, "the host has a link %s already", tenant->link);
	else if (lives)
		tg_fail(err, TG_CODE_SYSTEM, "wireguard-go does not start for %s", tenant->link);
	else if (inotify_is_spent())
		tg_fail(err, TG_CODE_LIMIT,
		        "wireguard-go ends at its start: no more than fs.inotify.max_user_instances can run");
	else
		tg_fail(err, TG_CODE_SYSTEM,
		        "wireguard-go ends at its start: `wireguard-go -f %s` may say why", tenant->link);
	return WIREGUARD_FAILED;
}

/* Whether nothing comes any more of what is under way since started_at_ms. */
static bool is_over(const struct tenant *tenant, bool link, uint64_t now)
{
	/* With a link somebody else may be about to serve it, for whom ours made room. */
	if (tenant->pid != 0 && !link && !starts(tenant))
		return true;
	return now - tenant->started_at_ms > (starts(tenant) ? START_MS : FOUND_MS);
}

static enum wireguard_result userspace_make(const struct netns_host *host, struct tenant *tenant,
                                            const struct plan *plan, struct tg_error *err)
{
	struct tg_error why = { .code = TG_CODE_NONE };
	uint64_t        now = tg_clock_ms();
	pid_t           pid = 0;
	TG_AUTO_FD      fd = uapi_connect(tenant->link, &pid, &why);
	bool            link = link_in_host(host, tenant, NULL) == 0;

	enum owner owner = fd != -1 ? owner_of(host, tenant, pid) : OWNER_WE;

	if (owner == OWNER_ENDING)
		return WIREGUARD_WAIT;
	if (owner == OWNER_OTHER) {
		tg_fail(err, TG_CODE_SYSTEM, "another wireguard-go has the name %s", tenant->link);
		return WIREGUARD_FAILED;
	}
	if (fd != -1 && link) {
		userspace_watch(tenant, pid);
		if (link_move(host, tenant, plan->want->mtu, &why) == 0)
			return WIREGUARD_DONE;
		tg_fail_errno(err, why.sys, "cannot move %s into its namespace", tenant->link);
		return WIREGUARD_FAILED;
	}
	if (fd == -1 && why.code != TG_CODE_NOT_FOUND) {
		*err = why;
		return WIREGUARD_FAILED;
	}
	if (tenant->started_at_ms != 0 && is_over(tenant, link, now))
		return never_started(tenant, link, err);
	if (fd != -1) {
		/* Between start and the first link it may answer already: then there is nothing to end. */
		if (tenant->started_at_ms == 0)
			dismiss(tenant, pid);
		return WIREGUARD_WAIT;
	}
	if (tenant->started_at_ms != 0 && (link || tenant->pid != 0))
		return WIREGUARD_WAIT;
	forget(tenant);
	tenant->started_at_ms = now;
	/* An engine that was killed may have started it. */
	if (link)
		return WIREGUARD_WAIT;
	/* Only now: one that starts is refused for a moment too, when its socket has a name already. */
	uapi_clear(tenant->link);
	if (start(host, tenant, err) == 0)
		return WIREGUARD_WAIT;
	tenant->started_at_ms = 0;
	return WIREGUARD_FAILED;
}

/* Waits for the end, since until then it holds the port, and the next document may want that. */
static void userspace_end(const struct netns_host *host, struct tenant *tenant)
{
	pid_t pid = 0;

	if (tenant->started_at_ms != 0 && tenant->pid != 0) {
		give_up(tenant);
		return;
	}

	TG_AUTO_FD fd = uapi_connect(tenant->link, &pid, NULL);
	TG_AUTO_FD pidfd = -1;

	if (fd == -1 || owner_of(host, tenant, pid) != OWNER_WE)
		return;
	forget(tenant);
	pidfd = pidfd_open(pid, 0);
	if (pidfd == -1)
		return;
	pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
	if (ended(pidfd, END_MS))
		return;
	/* Its counters are read: nothing is lost. */
	pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	ended(pidfd, END_MS);
	uapi_clear(tenant->link);
}

const struct wireguard wireguard_userspace = {
	.make = userspace_make,
	.read = userspace_read,
	.device = userspace_device,
	.peers = userspace_peers,
	.end = userspace_end,
};
