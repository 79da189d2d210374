#include "netns/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
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

static const char *hub_path(size_t i, const struct tenant *tenant, char to[96])
{
	const char *name = strchr(hub[i].path, '%');

	if (name == NULL)
		return hub[i].path;
	snprintf(to, 96, "%.*s%s%s", (int)(name - hub[i].path), hub[i].path, tenant->link, name + 2);
	return to;
}

bool sysctl_right(const struct tenant *tenant, bool link)
{
	for (size_t i = 0; i < HUB_COUNT; i++) {
		char        name[96];
		char        value[32];
		const char *path = hub_path(i, tenant, name);
		size_t      bytes = strlen(hub[i].value);

		if (path == name && !link)
			continue;

		TG_AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd == -1)
			continue;

		ssize_t n = read(fd, value, sizeof value);

		if (n != (ssize_t)bytes + 1 || memcmp(value, hub[i].value, bytes) != 0)
			return false;
	}
	return true;
}

int sysctl_set(const struct tenant *tenant, struct tg_error *err)
{
	for (size_t i = 0; i < HUB_COUNT; i++) {
		char        name[96];
		const char *path = hub_path(i, tenant, name);
		TG_AUTO_FD  fd = open(path, O_WRONLY | O_CLOEXEC);

		if (fd == -1 && errno == ENOENT)
			continue;
		if (fd == -1 || write(fd, hub[i].value, strlen(hub[i].value)) == -1)
			return tg_fail_sys(err, "cannot set %s", path);
	}
	return 0;
}
