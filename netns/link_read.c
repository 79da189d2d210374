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
#include "netns/reading.h"
#include "netns/state.h"

/* The reading half of link.h: dumps of links, addresses and routes. */

static const char *kind_of(const struct reading *reading)
{
	return reading->host->wireguard == MSG_WIREGUARD_KERNEL ? "wireguard" : "tun";
}

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
	struct reading         *reading = arg;
	const struct tenant    *tenant = reading->tenant;
	const struct ifinfomsg *info = nlmsg_data(head);
	struct nlattr          *attrs[IFLA_MAX + 1];
	struct state           *to = &reading->state;

	if (head->nlmsg_type != RTM_NEWLINK || nlmsg_parse(head, sizeof *info, attrs, IFLA_MAX, NULL) < 0)
		return 0;
	if ((info->ifi_flags & IFF_LOOPBACK) != 0) {
		to->lo_up = (info->ifi_flags & IFF_UP) != 0;
		return 0;
	}
	if (attrs[IFLA_IFNAME] == NULL || nla_strcmp(attrs[IFLA_IFNAME], tenant->link) != 0) {
		if ((uint32_t)info->ifi_index == tenant->ifindex &&
		    kind_is(attrs[IFLA_LINKINFO], kind_of(reading)))
			to->renamed = true;
		return 0;
	}
	to->link = kind_is(attrs[IFLA_LINKINFO], kind_of(reading)) ? STATE_LINK_OURS : STATE_LINK_OTHER;
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
	struct reading         *reading = arg;
	const struct ifaddrmsg *info = nlmsg_data(head);
	struct nlattr          *attrs[IFA_MAX + 1];
	struct tg_cidr          address;

	if (head->nlmsg_type != RTM_NEWADDR || nlmsg_parse(head, sizeof *info, attrs, IFA_MAX, NULL) < 0 ||
	    info->ifa_index != reading->state.ifindex)
		return 0;

	/* Of a point-to-point address IFA_ADDRESS is the other end. */
	struct nlattr *own = attrs[IFA_LOCAL] != NULL ? attrs[IFA_LOCAL] : attrs[IFA_ADDRESS];

	if (own == NULL || !take_cidr(own, info->ifa_family, info->ifa_prefixlen, &address))
		return 0;
	return state_add_address(&reading->state, &address);
}

static int on_route(struct nlmsghdr *head, void *arg)
{
	struct reading     *reading = arg;
	const struct rtmsg *info = nlmsg_data(head);
	struct nlattr      *attrs[RTA_MAX + 1];
	struct tg_cidr      range;

	if (head->nlmsg_type != RTM_NEWROUTE || nlmsg_parse(head, sizeof *info, attrs, RTA_MAX, NULL) < 0)
		return 0;
	if (info->rtm_table != RT_TABLE_MAIN || info->rtm_type != RTN_UNICAST ||
	    (info->rtm_flags & RTM_F_CLONED) != 0)
		return 0;
	if (attrs[RTA_OIF] == NULL || nla_get_u32(attrs[RTA_OIF]) != reading->state.ifindex ||
	    attrs[RTA_GATEWAY] != NULL)
		return 0;
	if (!take_cidr(attrs[RTA_DST], info->rtm_family, info->rtm_dst_len, &range))
		return 0;
	return state_add_route(&reading->state, &range, info->rtm_protocol != LINK_PROTOCOL);
}

/* The kernel leaves out what these ask not to have, or does not know how to (before 4.20): all is looked
 * at here once more. */
static struct nl_msg *ask_links(const struct reading *reading)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };

	(void)reading;
	return netlink_message(RTM_GETLINK, NLM_F_DUMP, &link, sizeof link, NETLINK_SMALL);
}

static struct nl_msg *ask_addresses(const struct reading *reading)
{
	struct ifaddrmsg address = { .ifa_family = AF_UNSPEC, .ifa_index = reading->state.ifindex };

	return netlink_message(RTM_GETADDR, NLM_F_DUMP, &address, sizeof address, NETLINK_SMALL);
}

static struct nl_msg *ask_routes(const struct reading *reading)
{
	struct rtmsg route = { .rtm_family = AF_UNSPEC, .rtm_table = RT_TABLE_MAIN };

	(void)reading;
	return netlink_message(RTM_GETROUTE, NLM_F_DUMP, &route, sizeof route, NETLINK_SMALL);
}

static const struct {
	struct nl_msg *(*ask)(const struct reading *reading);
	netlink_each_fn *each;
} dumps[LINK_DUMPS] = {
	[LINK_DUMP_LINKS] = { ask_links, on_link },
	[LINK_DUMP_ADDRESSES] = { ask_addresses, on_address },
	[LINK_DUMP_ROUTES] = { ask_routes, on_route },
};

enum reading_result link_read(struct reading *reading, uint64_t until_ms, struct tg_error *err)
{
	while (reading->dump < LINK_DUMPS) {
		enum reading_result result = reading_dump(reading, reading->tenant->route,
		                                          dumps[reading->dump].ask,
		                                          dumps[reading->dump].each, until_ms, err);

		/* One that began with the link there and ended without it is to be begun anew. */
		if (result == READING_FAILED && err->sys == ENODEV)
			err->sys = EINTR;
		if (result != READING_DONE)
			return result;
		reading->dump++;
		if (reading->state.link != STATE_LINK_OURS)
			break;
	}
	return READING_DONE;
}
