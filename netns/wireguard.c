#include "netns/wireguard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "netns/link.h"
#include "netns/namespace.h"
#include "netns/netlink.h"
#include "netns/userspace.h"

#define TUN "/dev/net/tun"

int wireguard_port_used(unsigned port, struct tg_error *err)
{
	tg_fail(err, TG_CODE_SYSTEM, "UDP port %u is in use", port);
	if (err != NULL)
		err->sys = EADDRINUSE;
	return -1;
}

static int on_family(struct nlmsghdr *head, void *arg)
{
	uint16_t      *family = arg;
	struct nlattr *found = nlmsg_find_attr(head, GENL_HDRLEN, CTRL_ATTR_FAMILY_ID);

	if (found != NULL)
		*family = nla_get_u16(found);
	return 0;
}

/* The number of WireGuard's generic netlink family, the same in all namespaces. */
static int find_family(uint16_t *family, struct tg_error *err)
{
	struct genlmsghdr head = { .cmd = CTRL_CMD_GETFAMILY, .version = 1 };
	struct nl_msg    *msg = netlink_message(GENL_ID_CTRL, 0, &head, sizeof head, NETLINK_SMALL);
	TG_AUTO_FD        fd = netlink_open(NETLINK_GENERIC, err);

	if (fd == -1 || msg == NULL || nla_put_string(msg, CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME) < 0) {
		nlmsg_free(msg);
		return fd == -1 ? -1 : tg_fail_memory(err);
	}
	if (netlink_ask(fd, msg, on_family, family, err) != 0)
		return -1;
	return *family != 0 ? 0 : tg_fail(err, TG_CODE_NOT_FOUND, "the kernel has no WireGuard");
}

/* Makes a link in a namespace that nobody else sees and that goes with it.  Asking for the link is also
 * what loads the module. */
static int kernel_works(struct netns_host *host, struct tg_error *err)
{
	struct tg_error why = { .sys = 0 };

	if (unshare(CLONE_NEWNET) == -1)
		return tg_fail_sys(err, "cannot make a network namespace");

	int probed = link_probe("wireguard", &why);

	netns_leave(host);
	if (probed != 0)
		return tg_fail_errno(err, why.sys, "the kernel makes no WireGuard link");
	return find_family(&host->genl_family, err);
}

static int userspace_works(struct tg_error *err)
{
	TG_AUTO_FD fd = open(TUN, O_RDWR | O_CLOEXEC);

	if (fd == -1)
		return tg_fail_sys(err, "cannot open " TUN);
	if (userspace_program() == NULL)
		return tg_fail(err, TG_CODE_NOT_FOUND, "wireguard-go is not installed");
	return 0;
}

void wireguard_choose(struct netns_host *host, unsigned wanted)
{
	struct tg_error kernel = { .sys = 0 };
	struct tg_error userspace = { .sys = 0 };

	host->wireguard = MSG_WIREGUARD_AUTO;
	host->reason[0] = '\0';
	if (wanted != MSG_WIREGUARD_USERSPACE && kernel_works(host, &kernel) == 0) {
		host->wireguard = MSG_WIREGUARD_KERNEL;
		return;
	}
	if (wanted != MSG_WIREGUARD_KERNEL && userspace_works(&userspace) == 0) {
		host->wireguard = MSG_WIREGUARD_USERSPACE;
		return;
	}
	snprintf(host->reason, sizeof host->reason, "%.76s%s%.76s", kernel.text,
	         kernel.text[0] != '\0' && userspace.text[0] != '\0' ? "; " : "", userspace.text);
}

const struct wireguard *wireguard_of(const struct netns_host *host)
{
	if (host->wireguard == MSG_WIREGUARD_KERNEL)
		return &wireguard_kernel;
	return host->wireguard == MSG_WIREGUARD_USERSPACE ? &wireguard_userspace : NULL;
}
