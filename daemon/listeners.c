#include "daemon/listeners.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/address.h"
#include "base/error.h"
#include "base/fd.h"
#include "daemon/options.h"

#define BACKLOG 4096	/* the kernel cuts it to net.core.somaxconn */

static int switch_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value);
}

int listeners_tcp(const struct tg_endpoint *at, bool shared, struct tg_error *err)
{
	struct sockaddr_storage address;
	char                    text[TG_ENDPOINT_TEXT];
	socklen_t               len = tg_endpoint_to_sockaddr(at, &address);
	TG_AUTO_FD              fd = socket(at->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	tg_endpoint_print(at, text);
	if (fd == -1)
		return tg_fail_sys(err, "cannot make a socket for %s", text);
	if (switch_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) == -1 ||
	    (shared && switch_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) == -1) ||
	    (at->family == AF_INET6 && switch_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) == -1))
		return tg_fail_sys(err, "cannot set up a socket for %s", text);
	if (bind(fd, (const struct sockaddr *)&address, len) == -1 || listen(fd, BACKLOG) == -1)
		return tg_fail_sys(err, "cannot listen on %s", text);
	return tg_take_fd(&fd);
}

bool listeners_is_taken(const struct tg_endpoint *at)
{
	struct sockaddr_storage address;
	socklen_t               len = tg_endpoint_to_sockaddr(at, &address);
	TG_AUTO_FD              fd = socket(at->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd != -1 && switch_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) == 0 &&
	       bind(fd, (const struct sockaddr *)&address, len) == -1 && errno == EADDRINUSE;
}

static bool has_ipv6(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	TG_AUTO_FD          fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* With ipv6.disable=1 there is no family; with the sysctl disable_ipv6 there is, but no address. */
	return fd != -1 && bind(fd, (const struct sockaddr *)&any, sizeof any) == 0;
}

struct tg_endpoint listeners_address(const struct options_listen *wanted)
{
	struct tg_endpoint at = wanted->at;

	if (wanted->standard && at.family == AF_INET6 && !has_ipv6())
		at.family = AF_INET;	/* the bytes are zero in both */
	return at;
}

int listeners_unix(int dir, const char *name, struct tg_error *err)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	TG_AUTO_FD         fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char               fresh[64];

	if (fd == -1)
		return tg_fail_sys(err, "cannot make a socket for %s", name);
	/* Through the descriptor, since a path of any length must do, and sun_path holds 108 bytes. */
	snprintf(fresh, sizeof fresh, "%s.new", name);
	snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/%s", dir, fresh);
	if (unlinkat(dir, fresh, 0) == -1 && errno != ENOENT)
		return tg_fail_sys(err, "cannot remove %s", fresh);

	mode_t kept = umask(0177);
	int    bound = bind(fd, (const struct sockaddr *)&at, sizeof at);

	umask(kept);
	if (bound == -1)
		return tg_fail_sys(err, "cannot bind %s", name);
	if (listen(fd, BACKLOG) == -1 || renameat(dir, fresh, dir, name) == -1) {
		tg_fail_sys(err, "cannot listen on %s", name);
		unlinkat(dir, fresh, 0);
		return -1;
	}
	return tg_take_fd(&fd);
}
