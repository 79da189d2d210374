#include "netns/namespace.h"

#include <asm/socket.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "netns/netlink.h"

#define OWN_NETNS "/proc/thread-self/ns/net"
#define BOOT_ID	  "/proc/sys/kernel/random/boot_id"

uint64_t netns_cookie_of(int socket_fd)
{
	uint64_t  cookie = 0;
	socklen_t size = sizeof cookie;

	if (getsockopt(socket_fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) == -1)
		return 0;
	return cookie;
}

static int read_boot_id(uint8_t to[16], struct tg_error *err)
{
	TG_AUTO_FD fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	char       text[64] = "";
	size_t     at = 0;

	if (fd == -1 || read(fd, text, sizeof text - 1) <= 0)
		return tg_fail_sys(err, "cannot read %s", BOOT_ID);
	for (const char *c = text; *c != '\0' && at < 16; c++) {
		char     pair[3] = { c[0], c[1], '\0' };
		unsigned value;

		if (*c == '-')
			continue;
		if (sscanf(pair, "%2x", &value) != 1)
			break;
		to[at++] = (uint8_t)value;
		c++;
	}
	if (at != 16)
		return tg_fail(err, TG_CODE_SYSTEM, "%s is no boot id", BOOT_ID);
	return 0;
}

int netns_host_init(struct netns_host *host, const char *prefix, struct tg_error *err)
{
	*host = (struct netns_host){ .home = -1, .route = -1 };
	snprintf(host->prefix, sizeof host->prefix, "%s", prefix);
	if (read_boot_id(host->boot_id, err) != 0)
		return -1;
	host->home = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
	if (host->home == -1)
		return tg_fail_sys(err, "cannot open the host's namespace");
	host->route = netlink_open(NETLINK_ROUTE, err);
	if (host->route == -1)
		return -1;
	host->cookie = netns_cookie_of(host->route);
	if (host->cookie == 0)
		return tg_fail(err, TG_CODE_SYSTEM, "this kernel has no SO_NETNS_COOKIE (Linux 5.14)");
	return 0;
}

void netns_host_clear(struct netns_host *host)
{
	tg_close_at(&host->home);
	tg_close_at(&host->route);
}

void tenant_init(struct tenant *tenant, uint16_t port)
{
	*tenant = (struct tenant){ .port = port, .ns = -1, .route = -1, .genl = -1, .pidfd = -1,
		                   .asked = -1, .changing = -1 };
	for (size_t i = 0; i < NETNS_SYSCTLS; i++)
		tenant->sysctls[i] = -1;
	snprintf(tenant->link, sizeof tenant->link, "wg%u", (unsigned)port);
}

void tenant_clear(struct tenant *tenant)
{
	tg_close_at(&tenant->ns);
	tg_close_at(&tenant->route);
	tg_close_at(&tenant->genl);
	tg_close_at(&tenant->pidfd);
	tg_close_at(&tenant->asked);
	tg_close_at(&tenant->changing);
	for (size_t i = 0; i < NETNS_SYSCTLS; i++)
		tg_close_at(&tenant->sysctls[i]);
	tenant->pid = 0;
	tenant->cookie = 0;
	tenant->ifindex = 0;
}

int netns_enter(int ns, struct tg_error *err)
{
	if (setns(ns, CLONE_NEWNET) == -1)
		return tg_fail_sys(err, "cannot enter a network namespace");
	return 0;
}

void netns_leave(const struct netns_host *host)
{
	/* From here every socket would be the tenant's: better to stop than to go on. */
	if (setns(host->home, CLONE_NEWNET) == -1)
		tg_die("cannot return to the host's namespace");
}

void netns_path(const struct netns_host *host, uint16_t port, char path[NETNS_PATH_MOST])
{
	snprintf(path, NETNS_PATH_MOST, "%s/%s%u", NETNS_DIR, host->prefix, (unsigned)port);
}

uint16_t netns_port_of(const char *prefix, const char *name)
{
	size_t   len = strlen(prefix);
	unsigned port = 0;

	if (strncmp(name, prefix, len) != 0 || name[len] < '1' || name[len] > '9')
		return 0;
	for (const char *c = name + len; *c != '\0'; c++) {
		if (*c < '0' || *c > '9')
			return 0;
		port = port * 10 + (unsigned)(*c - '0');
		if (port > UINT16_MAX)
			return 0;
	}
	return (uint16_t)port;
}

int netns_prepare(struct tg_error *err)
{
	if (mkdir(NETNS_DIR, 0755) == -1 && errno != EEXIST)
		return tg_fail_sys(err, "cannot make %s", NETNS_DIR);

	TG_AUTO_FD dir = open(NETNS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir == -1)
		return tg_fail_sys(err, "cannot open %s", NETNS_DIR);
	/* ip(8) holds the same lock while it does the same; let go when `dir` is closed. */
	if (flock(dir, LOCK_EX) == -1)
		return tg_fail_sys(err, "cannot lock %s", NETNS_DIR);
	if (mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL) == 0)
		return 0;
	if (errno != EINVAL)
		return tg_fail_sys(err, "cannot share %s", NETNS_DIR);
	/* It is no mount yet: it becomes one by being bound to itself. */
	if (mount(NETNS_DIR, NETNS_DIR, "none", MS_BIND | MS_REC, NULL) == -1)
		return tg_fail_sys(err, "cannot bind %s", NETNS_DIR);
	if (mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL) == -1)
		return tg_fail_sys(err, "cannot share %s", NETNS_DIR);
	return 0;
}

/* The sockets of the namespace that this thread is in. */
static int open_sockets(const struct netns_host *host, struct tenant *tenant, struct tg_error *err)
{
	TG_AUTO_FD route = netlink_open(NETLINK_ROUTE, err);
	TG_AUTO_FD genl = -1;

	if (route == -1)
		return -1;
	if (host->wireguard == MSG_WIREGUARD_KERNEL) {
		genl = netlink_open(NETLINK_GENERIC, err);
		if (genl == -1)
			return -1;
	}
	tenant->route = tg_take_fd(&route);
	tenant->genl = tg_take_fd(&genl);
	return 0;
}

int netns_reopen(const struct netns_host *host, struct tenant *tenant, struct tg_error *err)
{
	int done;

	tg_close_at(&tenant->route);
	tg_close_at(&tenant->genl);
	if (netns_enter(tenant->ns, err) != 0)
		return -1;
	done = open_sockets(host, tenant, err);
	netns_leave(host);
	return done;
}

/* Opens what is kept of the namespace that this thread is in. */
static int open_inside(const struct netns_host *host, struct tenant *tenant, struct tg_error *err)
{
	TG_AUTO_FD  ns = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (ns == -1 || fstat(ns, &st) == -1)
		return tg_fail_sys(err, "cannot open a network namespace");

	if (open_sockets(host, tenant, err) != 0)
		return -1;

	uint64_t cookie = netns_cookie_of(tenant->route);

	if (cookie == 0 || cookie == host->cookie) {
		tg_close_at(&tenant->route);
		tg_close_at(&tenant->genl);
		return tg_fail(err, TG_CODE_INVALID, "%s%u is the host's own namespace", host->prefix,
		               (unsigned)tenant->port);
	}
	tenant->cookie = cookie;
	tenant->dev = st.st_dev;
	tenant->ino = st.st_ino;
	tenant->ns = tg_take_fd(&ns);
	return 0;
}

/* The file that a namespace is bound to.  An empty one is what a crash between the two steps leaves. */
static int make_file(const char *path, struct tg_error *err)
{
	TG_AUTO_FD  fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	struct stat st;

	if (fd != -1)
		return 0;
	if (errno != EEXIST)
		return tg_fail_sys(err, "cannot create %s", path);
	if (lstat(path, &st) == -1)
		return tg_fail_sys(err, "cannot look at %s", path);
	if (!S_ISREG(st.st_mode) || st.st_size != 0)
		return tg_fail(err, TG_CODE_INVALID, "%s is there and is not a namespace", path);
	return 0;
}

int netns_make(const struct netns_host *host, struct tenant *tenant, struct tg_error *err)
{
	char path[NETNS_PATH_MOST];
	int  made = -1;

	netns_path(host, tenant->port, path);
	if (make_file(path, err) != 0)
		return -1;
	if (unshare(CLONE_NEWNET) == -1) {
		tg_fail_sys(err, "cannot make a network namespace");
		goto undo_file;
	}
	made = open_inside(host, tenant, err);
	if (made == 0 && mount(OWN_NETNS, path, NULL, MS_BIND, NULL) == -1) {
		made = tg_fail_sys(err, "cannot pin the namespace at %s", path);
		tenant_clear(tenant);
	}
	netns_leave(host);
	if (made == 0)
		return 0;

undo_file:
	unlink(path);
	return -1;
}

int netns_adopt(const struct netns_host *host, struct tenant *tenant, struct tg_error *err)
{
	struct statfs fs;
	char          path[NETNS_PATH_MOST];

	netns_path(host, tenant->port, path);

	TG_AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd == -1 && errno == ENOENT)
		return tg_fail(err, TG_CODE_NOT_FOUND, "there is no %s", path);
	if (fd == -1)
		return tg_fail_sys(err, "cannot open %s", path);
	if (fstatfs(fd, &fs) == -1)
		return tg_fail_sys(err, "cannot look at %s", path);
	if (fs.f_type != NSFS_MAGIC) {
		struct stat st;

		/* Empty: left by a crash, netns_make() completes it. */
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)
			return tg_fail(err, TG_CODE_NOT_FOUND, "%s is empty", path);
		return tg_fail(err, TG_CODE_INVALID, "%s is there and is not a namespace", path);
	}
	if (netns_enter(fd, err) != 0)
		return -1;

	int done = open_inside(host, tenant, err);

	netns_leave(host);
	return done;
}

bool netns_pinned(const struct netns_host *host, const struct tenant *tenant)
{
	struct stat st;
	char        path[NETNS_PATH_MOST];

	netns_path(host, tenant->port, path);
	return stat(path, &st) == 0 && st.st_dev == tenant->dev && st.st_ino == tenant->ino;
}

int netns_pin(const struct netns_host *host, const struct tenant *tenant, struct tg_error *err)
{
	char path[NETNS_PATH_MOST];
	char own[64];

	netns_path(host, tenant->port, path);
	/* Somebody's other namespace of our name would hide below ours and come up again later.  Below it
	 * may be ours: ip(8) mounts a while after it has made the file. */
	while (umount2(path, MNT_DETACH) == 0)
		;
	if (make_file(path, err) != 0)
		return -1;
	snprintf(own, sizeof own, "/proc/self/fd/%d", tenant->ns);
	if (mount(own, path, NULL, MS_BIND, NULL) == -1)
		return tg_fail_sys(err, "cannot pin the namespace at %s", path);
	return 0;
}

int netns_unpin(const struct netns_host *host, uint16_t port, struct tg_error *err)
{
	char path[NETNS_PATH_MOST];

	netns_path(host, port, path);
	/* EINVAL: a plain file, or the mount is gone already. */
	while (umount2(path, MNT_DETACH) == 0)
		;
	if (errno != EINVAL && errno != ENOENT)
		return tg_fail_sys(err, "cannot unmount %s", path);
	if (unlink(path) == -1 && errno != ENOENT)
		return tg_fail_sys(err, "cannot remove %s", path);
	return 0;
}

int netns_list(const char *prefix, void (*each)(uint16_t port, void *arg), void *arg, struct tg_error *err)
{
	DIR *dir = opendir(NETNS_DIR);

	if (dir == NULL && errno == ENOENT)
		return 0;
	if (dir == NULL)
		return tg_fail_sys(err, "cannot read %s", NETNS_DIR);
	for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
		uint16_t port = netns_port_of(prefix, entry->d_name);

		if (port != 0)
			each(port, arg);
	}
	closedir(dir);
	return 0;
}
