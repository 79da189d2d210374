#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdbool.h>
#include <string.h>

#include "base/error.h"
#include "netns/link.h"
#include "netns/namespace.h"
#include "netns/netlink.h"
#include "netns/state.h"

/* The reading half of link.h: dumps of links, addresses and routes. */

/* What the readers of dumps fill in. */
struct reading {
	const char   *link;
	const char   *kind;
	uint32_t      known;	/* the number that the link had when it was last seen */
	struct state *state;
};

static bool kind_is(struct nlattr *info, const char *kind)
{
	struct nlattr *found;

	if (info == NULL)
		return false;
	found = nla_find(nla_data(info), nla_len(info), IFLA_INFO_KIND);
	return found != NULL && nla_strcmp(found, kind) == 0;
}

static int on_link(struct nlmsghdr *head, void *arg)
{
	const struct reading   *reading = arg;
	const struct ifinfomsg *info = nlmsg_data(head);
	struct nlattr          *attrs[IFLA_MAX + 1];
	struct state           *to = reading->state;

	if (head->nlmsg_type != RTM_NEWLINK || nlmsg_parse(head, sizeof *info, attrs, IFLA_MAX, NULL) < 0)
		return 0;
	if ((info->ifi_flags & IFF_LOOPBACK) != 0) {
		to->lo_up = (info->ifi_flags & IFF_UP) != 0;
		return 0;
	}
	if (attrs[IFLA_IFNAME] == NULL || nla_strcmp(attrs[IFLA_IFNAME], reading->link) != 0) {
		if ((uint32_t)info->ifi_index == reading->known &&
		    kind_is(attrs[IFLA_LINKINFO], reading->kind))
			to->renamed = true;
		return 0;
	}
	to->link = kind_is(attrs[IFLA_LINKINFO], reading->kind) ? STATE_LINK_OURS : STATE_LINK_OTHER;
	if (to->link == STATE_LINK_OTHER)
		return 0;
	to->ifindex = (uint32_t)info->ifi_index;
	to->up = (info->ifi_flags & IFF_UP) != 0;
	if (attrs[IFLA_MTU] != NULL)
		to->mtu = nla_get_u32(attrs[IFLA_MTU]);
	return 0;
}

/* An address of the right length in an attribute, or none at all (a default route). */
static bool take_cidr(struct nlattr *attr, int family, int prefix, struct tg_cidr *to)
{
	if (family != AF_INET && family != AF_INET6)
		return false;
	*to = (struct tg_cidr){ .family = (uint8_t)family, .prefix = (uint8_t)prefix };
	if (attr == NULL)
		return true;

	size_t bytes = family == AF_INET6 ? 16 : 4;

	if ((size_t)nla_len(attr) != bytes)
		return false;
	memcpy(to->bytes, nla_data(attr), bytes);
	return true;
}

static int on_address(struct nlmsghdr *head, void *arg)
{
	const struct reading   *reading = arg;
	const struct ifaddrmsg *info = nlmsg_data(head);
	struct nlattr          *attrs[IFA_MAX + 1];
	struct tg_cidr          address;

	if (head->nlmsg_type != RTM_NEWADDR || nlmsg_parse(head, sizeof *info, attrs, IFA_MAX, NULL) < 0 ||
	    info->ifa_index != reading->state->ifindex)
		return 0;

	/* Of a point-to-point address IFA_ADDRESS is the other end. */
	struct nlattr *own = attrs[IFA_LOCAL] != NULL ? attrs[IFA_LOCAL] : attrs[IFA_ADDRESS];

	if (own == NULL || !take_cidr(own, info->ifa_family, info->ifa_prefixlen, &address))
		return 0;
	return state_add_address(reading->state, &address);
}

static int on_route(struct nlmsghdr *head, void *arg)
{
	const struct reading *reading = arg;
	const struct rtmsg   *info = nlmsg_data(head);
	struct nlattr        *attrs[RTA_MAX + 1];
	struct tg_cidr        range;

	if (head->nlmsg_type != RTM_NEWROUTE || nlmsg_parse(head, sizeof *info, attrs, RTA_MAX, NULL) < 0)
		return 0;
	if (info->rtm_table != RT_TABLE_MAIN || info->rtm_type != RTN_UNICAST ||
	    info->rtm_protocol == RTPROT_KERNEL || (info->rtm_flags & RTM_F_CLONED) != 0)
		return 0;
	if (attrs[RTA_OIF] == NULL || nla_get_u32(attrs[RTA_OIF]) != reading->state->ifindex ||
	    attrs[RTA_GATEWAY] != NULL)
		return 0;
	if (!take_cidr(attrs[RTA_DST], info->rtm_family, info->rtm_dst_len, &range))
		return 0;
	return state_add_route(reading->state, &range, info->rtm_protocol != LINK_PROTOCOL);
}

/* A dump; one that began with the link there and ended without it is to be begun anew. */
static int dump(const struct tenant *tenant, struct nl_msg *msg, netlink_each_fn *each,
                struct reading *reading, struct tg_error *err)
{
	struct tg_error why = { .sys = 0 };

	if (netlink_ask(tenant->route, msg, each, reading, &why) == 0)
		return 0;
	if (why.sys == ENODEV)
		why.sys = EINTR;
	if (err != NULL)
		*err = why;
	return -1;
}

/* The kernel leaves out what these ask not to have, or does not know how to (before 4.20): all is looked
 * at here once more. */
int link_read(const struct netns_host *host, const struct tenant *tenant, struct state *to,
              struct tg_error *err)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	struct rtmsg     route = { .rtm_family = AF_UNSPEC, .rtm_table = RT_TABLE_MAIN };
	struct reading   reading = {
		  .link = tenant->link,
		  .kind = host->wireguard == MSG_WIREGUARD_KERNEL ? "wireguard" : "tun",
		  .known = tenant->ifindex,
		  .state = to,
	};
	struct nl_msg *msg = netlink_message(RTM_GETLINK, NLM_F_DUMP, &link, sizeof link, NETLINK_SMALL);

	if (dump(tenant, msg, on_link, &reading, err) != 0)
		return -1;
	if (to->link != STATE_LINK_OURS)
		return 0;

	struct ifaddrmsg address = { .ifa_family = AF_UNSPEC, .ifa_index = to->ifindex };

	msg = netlink_message(RTM_GETADDR, NLM_F_DUMP, &address, sizeof address, NETLINK_SMALL);
	if (dump(tenant, msg, on_address, &reading, err) != 0)
		return -1;
	msg = netlink_message(RTM_GETROUTE, NLM_F_DUMP, &route, sizeof route, NETLINK_SMALL);
	return dump(tenant, msg, on_route, &reading, err);
}
