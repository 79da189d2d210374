#include "netns/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "netns/namespace.h"

#define ROOT "/proc/sys/net/"

static const struct {
	const char *path;	/* %s: the link's name */
	const char *value;
} hub[] = {
	/* Peers reach each other through here, and nothing else: the namespace has no other link. */
	{ ROOT "ipv4/ip_forward", "1" },
	{ ROOT "ipv6/conf/all/forwarding", "1" },
	/* Packets leave by the link they came in, which is no mistake here. */
	{ ROOT "ipv4/conf/all/send_redirects", "0" },
	{ ROOT "ipv4/conf/default/send_redirects", "0" },
	{ ROOT "ipv4/conf/%s/send_redirects", "0" },
	/* Removing an address must not take others of its prefix along. */
	{ ROOT "ipv4/conf/all/promote_secondaries", "1" },
	/* Connections to one upstream at a time. */
	{ ROOT "ipv4/ip_local_port_range", "1024\t65535" },
};

#define HUB_COUNT (sizeof hub / sizeof hub[0])

_Static_assert(HUB_COUNT == NETNS_SYSCTLS, "a tenant keeps one descriptor for each");

static const char *hub_path(size_t i, const struct tenant *tenant, char to[96])
{
	const char *name = strchr(hub[i].path, '%');

	if (name == NULL)
		return hub[i].path;
	snprintf(to, 96, "%.*s%s%s", (int)(name - hub[i].path), hub[i].path, tenant->link, name + 2);
	return to;
}

static bool of_link(size_t i)
{
	return strchr(hub[i].path, '%') != NULL;
}

/* Opens one in the namespace that this thread is in.  Half of what this process may open is for other
 * things: then -1 is kept, and `fd` is the caller's to close. */
static int open_one(struct tenant *tenant, size_t i, int mode, int *fd)
{
	char          name[96];
	struct rlimit limit;

	*fd = open(hub_path(i, tenant, name), mode | O_CLOEXEC);
	if (*fd == -1)
		return -1;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && (rlim_t)*fd < limit.rlim_cur / 2)
		tenant->sysctls[i] = *fd;
	return 0;
}

static void close_one(const struct tenant *tenant, size_t i, int fd)
{
	if (fd != -1 && tenant->sysctls[i] != fd)
		close(fd);
}

/* 1: right, 0: wrong, -1: the file went, with its link. */
static int look_at(size_t i, int fd)
{
	char    value[32];
	size_t  bytes = strlen(hub[i].value);
	ssize_t n = pread(fd, value, sizeof value, 0);

	if (n == -1)
		return -1;
	return n == (ssize_t)bytes + 1 && memcmp(value, hub[i].value, bytes) == 0;
}

/* Those that are kept; false: some are to be opened first. */
static bool read_kept(struct tenant *tenant, bool link, bool *right)
{
	bool all = true;

	for (size_t i = 0; i < HUB_COUNT; i++) {
		int seen = -1;

		if (of_link(i) && !link)
			continue;
		if (tenant->sysctls[i] != -1)
			seen = look_at(i, tenant->sysctls[i]);
		if (seen == -1)
			tg_close_at(&tenant->sysctls[i]);
		all &= seen != -1;
		*right &= seen != 0;
	}
	return all;
}

static void read_others(struct tenant *tenant, bool link, bool *right)
{
	for (size_t i = 0; i < HUB_COUNT; i++) {
		int fd;

		if (tenant->sysctls[i] != -1 || (of_link(i) && !link))
			continue;
		/* A container may have /proc/sys read-only: what is wrong there is still to be seen. */
		if (open_one(tenant, i, O_RDWR, &fd) == -1 && open_one(tenant, i, O_RDONLY, &fd) == -1)
			continue;
		*right &= look_at(i, fd) != 0;
		close_one(tenant, i, fd);
	}
}

int sysctl_read(const struct netns_host *host, struct tenant *tenant, bool link, bool *right,
                struct tg_error *err)
{
	*right = true;
	if (read_kept(tenant, link, right))
		return 0;
	if (netns_enter(tenant->ns, err) != 0)
		return -1;
	read_others(tenant, link, right);
	netns_leave(host);
	return 0;
}

static int set_one(struct tenant *tenant, size_t i, struct tg_error *err)
{
	char    name[96];
	size_t  bytes = strlen(hub[i].value);
	int     fd = tenant->sysctls[i];
	ssize_t n = -1;

	if (fd != -1)
		n = pwrite(fd, hub[i].value, bytes, 0);
	if (n != -1)
		return 0;
	tg_close_at(&tenant->sysctls[i]);
	if (open_one(tenant, i, O_RDWR, &fd) == -1 && errno == ENOENT)
		return 0;
	if (fd == -1 || pwrite(fd, hub[i].value, bytes, 0) == -1) {
		tg_fail_sys(err, "cannot set %s", hub_path(i, tenant, name));
		close_one(tenant, i, fd);
		return -1;
	}
	close_one(tenant, i, fd);
	return 0;
}

int sysctl_set(const struct netns_host *host, struct tenant *tenant, struct tg_error *err)
{
	int done = netns_enter(tenant->ns, err);

	if (done != 0)
		return -1;
	for (size_t i = 0; done == 0 && i < HUB_COUNT; i++)
		done = set_one(tenant, i, err);
	netns_leave(host);
	return done;
}
