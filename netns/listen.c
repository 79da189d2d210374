#include "netns/listen.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/fd.h"
#include "netns/netlink.h"

int listen_open(struct tg_error *err)
{
	struct sockaddr_nl at = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
		             RTMGRP_IPV6_ROUTE,
	};
	int        on = 1;
	TG_AUTO_FD fd = netlink_open(NETLINK_ROUTE, err);

	if (fd == -1)
		return -1;
	/* In this order: an unbound socket refuses the option. */
	if (bind(fd, (const struct sockaddr *)&at, sizeof at) == -1 ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &on, sizeof on) == -1)
		return tg_fail_sys(err, "cannot listen to all namespaces");
	return tg_take_fd(&fd);
}

enum listen_result listen_next(int fd, int *nsid)
{
	/* What a message says does not matter, only where it came from: it is cut short. */
	char text[64];
	union {
		char           bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec  part = { .iov_base = text, .iov_len = sizeof text };
	struct msghdr head = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control,
	};

	*nsid = -1;
	if (recvmsg(fd, &head, MSG_DONTWAIT) == -1)
		return errno == ENOBUFS ? LISTEN_LOST : LISTEN_NONE;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&head); c != NULL; c = CMSG_NXTHDR(&head, c))
		if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID)
			memcpy(nsid, CMSG_DATA(c), sizeof *nsid);
	return LISTEN_EVENT;
}
