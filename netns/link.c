#include "netns/link.h"

#include <assert.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/model.h"
#include "netns/differ.h"
#include "netns/namespace.h"
#include "netns/netlink.h"
#include "netns/state.h"
#include "netns/wireguard.h"

static size_t address_bytes(int family)
{
	return family == AF_INET6 ? 16 : 4;
}

static struct nl_msg *link_message(uint16_t type, uint16_t flags, const struct ifinfomsg *head,
                                   const char *name)
{
	struct nl_msg *msg = netlink_message(type, flags, head, sizeof *head, NETLINK_SMALL);

	if (msg != NULL && name != NULL && nla_put_string(msg, IFLA_IFNAME, name) < 0) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

static int put_kind(struct nl_msg *msg, const char *kind)
{
	struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO);

	if (info == NULL || nla_put_string(msg, IFLA_INFO_KIND, kind) < 0)
		return -1;
	nla_nest_end(msg, info);
	return 0;
}

/* The kernel shall not make up IPv6 addresses: a network has those of the document. */
static int put_no_addresses(struct nl_msg *msg)
{
	struct nlattr *families = nla_nest_start(msg, IFLA_AF_SPEC);
	struct nlattr *inet6 = families == NULL ? NULL : nla_nest_start(msg, AF_INET6);

	if (inet6 == NULL || nla_put_u8(msg, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE) < 0)
		return -1;
	nla_nest_end(msg, inet6);
	nla_nest_end(msg, families);
	return 0;
}

int link_make(const struct netns_host *host, const struct tenant *tenant, const char *kind, uint32_t mtu,
              struct tg_error *err)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	struct nl_msg   *msg = link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, tenant->link);

	if (msg == NULL || nla_put_u32(msg, IFLA_MTU, mtu) < 0 ||
	    nla_put_u32(msg, IFLA_NET_NS_FD, (uint32_t)tenant->ns) < 0 || put_kind(msg, kind) != 0) {
		nlmsg_free(msg);
		return tg_fail_memory(err);
	}
	return netlink_ask(host->route, msg, NULL, NULL, err);
}

int link_move(const struct netns_host *host, const struct tenant *tenant, uint32_t mtu, struct tg_error *err)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	struct nl_msg   *msg = link_message(RTM_NEWLINK, 0, &head, tenant->link);

	if (msg == NULL || nla_put_u32(msg, IFLA_NET_NS_FD, (uint32_t)tenant->ns) < 0) {
		nlmsg_free(msg);
		return tg_fail_memory(err);
	}
	if (netlink_ask(host->route, msg, NULL, NULL, err) != 0)
		return -1;
	msg = link_message(RTM_NEWLINK, 0, &head, tenant->link);
	if (msg == NULL || nla_put_u32(msg, IFLA_MTU, mtu) < 0) {
		nlmsg_free(msg);
		return tg_fail_memory(err);
	}
	if (netlink_ask(tenant->route, msg, NULL, NULL, err) != 0)
		return -1;
	msg = link_message(RTM_NEWLINK, 0, &head, tenant->link);
	if (msg == NULL || put_no_addresses(msg) != 0) {
		nlmsg_free(msg);
		return tg_fail_memory(err);
	}
	/* Refused where IPv6 is off. */
	netlink_ask(tenant->route, msg, NULL, NULL, NULL);
	return 0;
}

int link_delete(const struct tenant *tenant, struct tg_error *err)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	struct tg_error  why = { .sys = 0 };
	struct nl_msg   *msg = link_message(RTM_DELLINK, 0, &head, tenant->link);

	if (netlink_ask(tenant->route, msg, NULL, NULL, &why) == 0 || why.sys == ENODEV)
		return 0;
	if (err != NULL)
		*err = why;
	return -1;
}

int link_down(const struct tenant *tenant, struct tg_error *err)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_change = IFF_UP };

	return netlink_ask(tenant->route, link_message(RTM_NEWLINK, 0, &head, tenant->link), NULL, NULL, err);
}

int link_in_host(const struct netns_host *host, const struct tenant *tenant, struct tg_error *err)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };

	return netlink_ask(host->route, link_message(RTM_GETLINK, 0, &head, tenant->link), NULL, NULL, err);
}

int link_rename(const struct tenant *tenant, struct tg_error *err)
{
	int                  index = (int)tenant->ifindex;
	struct ifinfomsg     down = { .ifi_family = AF_UNSPEC, .ifi_index = index, .ifi_change = IFF_UP };
	struct ifinfomsg     name = { .ifi_family = AF_UNSPEC, .ifi_index = index };
	struct netlink_batch batch = { .count = 0 };
	struct tg_error      why = { .sys = 0 };

	/* Kernels before 6.2 rename no link that is up. */
	netlink_batch_add(&batch, link_message(RTM_NEWLINK, 0, &down, NULL), 0);
	netlink_batch_add(&batch, link_message(RTM_NEWLINK, 0, &name, tenant->link), 0);
	if (netlink_batch_send(&batch, tenant->route, &why) == 0)
		return 0;
	return tg_fail_errno(err, why.sys, "cannot rename a link to %s", tenant->link);
}

static int on_nsid(struct nlmsghdr *head, void *arg)
{
	struct nlattr *found = nlmsg_find_attr(head, sizeof(struct rtgenmsg), NETNSA_NSID);
	int32_t       *nsid = arg;

	if (head->nlmsg_type == RTM_NEWNSID && found != NULL)
		*nsid = nla_get_s32(found);
	return 0;
}

static struct nl_msg *nsid_message(uint16_t type, const struct tenant *tenant)
{
	/* Padded: the kernel wants attributes at a multiple of four. */
	struct {
		struct rtgenmsg head;
		uint8_t         zero[3];
	} body = { .head = { .rtgen_family = AF_UNSPEC } };
	struct nl_msg *msg = netlink_message(type, 0, &body, sizeof body, NETLINK_SMALL);

	if (msg == NULL || nla_put_u32(msg, NETNSA_FD, (uint32_t)tenant->ns) < 0 ||
	    (type == RTM_NEWNSID && nla_put_s32(msg, NETNSA_NSID, NETNSA_NSID_NOT_ASSIGNED) < 0)) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

int link_nsid(const struct netns_host *host, const struct tenant *tenant, int32_t *nsid, struct tg_error *err)
{
	*nsid = NETNSA_NSID_NOT_ASSIGNED;
	if (netlink_ask(host->route, nsid_message(RTM_GETNSID, tenant), on_nsid, nsid, err) != 0)
		return -1;
	if (*nsid >= 0)
		return 0;
	if (netlink_ask(host->route, nsid_message(RTM_NEWNSID, tenant), NULL, NULL, err) != 0)
		return -1;
	return netlink_ask(host->route, nsid_message(RTM_GETNSID, tenant), on_nsid, nsid, err);
}

int link_probe(const char *kind, struct tg_error *err)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	TG_AUTO_FD       fd = netlink_open(NETLINK_ROUTE, err);

	if (fd == -1)
		return -1;

	struct nl_msg *msg = link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, "probe");

	if (msg == NULL || put_kind(msg, kind) != 0) {
		nlmsg_free(msg);
		return tg_fail_memory(err);
	}
	return netlink_ask(fd, msg, NULL, NULL, err);
}

static struct nl_msg *flags_message(int ifindex, const char *name, unsigned flags)
{
	struct ifinfomsg head = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = ifindex,
		.ifi_flags = flags,
		.ifi_change = IFF_UP,
	};

	return link_message(RTM_NEWLINK, 0, &head, name);
}

static struct nl_msg *mtu_message(const char *name, uint32_t mtu)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	struct nl_msg   *msg = link_message(RTM_NEWLINK, 0, &head, name);

	if (msg != NULL && nla_put_u32(msg, IFLA_MTU, mtu) < 0) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

static struct nl_msg *address_message(const struct step *step, uint32_t ifindex)
{
	const struct tg_cidr *address = &step->cidr;
	int                   bytes = (int)address_bytes(address->family);
	bool                  add = step->kind == STEP_ADDRESS_ADD;
	struct ifaddrmsg      head = {
		     .ifa_family = address->family,
		     .ifa_prefixlen = address->prefix,
		     .ifa_flags = add && address->family == AF_INET6 ? IFA_F_NODAD : 0,
		     .ifa_index = ifindex,
	};
	struct nl_msg *msg =
	        netlink_message(add ? RTM_NEWADDR : RTM_DELADDR, add ? NLM_F_CREATE | NLM_F_EXCL : 0, &head,
	                        sizeof head, NETLINK_SMALL);

	if (msg == NULL || nla_put(msg, IFA_LOCAL, bytes, address->bytes) < 0 ||
	    (add && nla_put(msg, IFA_ADDRESS, bytes, address->bytes) < 0)) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

static struct nl_msg *route_message(const struct step *step, uint32_t ifindex)
{
	const struct tg_cidr *range = &step->cidr;
	bool                  add = step->kind == STEP_ROUTE_ADD;
	struct rtmsg          head = {
		         .rtm_family = range->family,
		         .rtm_dst_len = range->prefix,
		         .rtm_table = RT_TABLE_MAIN,
		         .rtm_protocol = LINK_PROTOCOL,
		         .rtm_scope = add ? (range->family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE)
		                          : RT_SCOPE_NOWHERE,
		         .rtm_type = add ? RTN_UNICAST : RTN_UNSPEC,
	};
	struct nl_msg *msg =
	        netlink_message(add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_EXCL : 0, &head,
	                        sizeof head, NETLINK_SMALL);

	if (msg == NULL || nla_put(msg, RTA_DST, (int)address_bytes(range->family), range->bytes) < 0 ||
	    nla_put_u32(msg, RTA_OIF, ifindex) < 0) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

static int on_index(struct nlmsghdr *head, void *arg)
{
	const struct ifinfomsg *info = nlmsg_data(head);
	uint32_t               *ifindex = arg;

	if (head->nlmsg_type == RTM_NEWLINK && nlmsg_valid_hdr(head, sizeof *info))
		*ifindex = (uint32_t)info->ifi_index;
	return 0;
}

static struct nl_msg *change_message(const struct tenant *tenant, const struct plan *plan,
                                     const struct step *step, uint32_t ifindex)
{
	switch (step->kind) {
	case STEP_LO_UP:
		return flags_message(0, "lo", IFF_UP);
	case STEP_LINK_UP:
		return flags_message(0, tenant->link, IFF_UP);
	case STEP_MTU:
		return mtu_message(tenant->link, plan->want->mtu);
	case STEP_ADDRESS_ADD:
	case STEP_ADDRESS_REMOVE:
		return address_message(step, ifindex);
	case STEP_ROUTE_ADD:
	case STEP_ROUTE_REMOVE:
		return route_message(step, ifindex);
	case STEP_NAMESPACE_MAKE:
	case STEP_NAMESPACE_PIN:
	case STEP_SYSCTLS:
	case STEP_LINK_DELETE:
	case STEP_LINK_RENAME:
	case STEP_LINK_MAKE:
	case STEP_DEVICE:
	case STEP_PEER_SET:
	case STEP_RANGES_DROP:
	case STEP_PEER_REMOVE:
	case STEP_KINDS:
		break;
	}
	assert(false);	/* not a step of links */
	return NULL;
}

/* What is gone, or there, already: the next look says whether it is as it should be. */
static int fine_refusal(enum step_kind kind)
{
	if (kind == STEP_ADDRESS_ADD || kind == STEP_ROUTE_ADD)
		return EEXIST;
	if (kind == STEP_ADDRESS_REMOVE)
		return EADDRNOTAVAIL;
	return kind == STEP_ROUTE_REMOVE ? ESRCH : 0;
}

/* Says which step was refused, in words that an operator can act on. */
static int explain(const struct step *step, const struct plan *plan, int sys, struct tg_error *err)
{
	char text[TG_CIDR_TEXT];

	if (step->kind == STEP_LINK_UP && sys == EADDRINUSE)
		return wireguard_port_used(plan->want->port, err);
	if (step->kind == STEP_LINK_UP)
		return tg_fail_errno(err, sys, "cannot set wg%u up", (unsigned)plan->want->port);
	if (step->cidr.family != 0)
		return tg_fail_errno(err, sys, "cannot change %s %s", step_name(step->kind),
		                     tg_cidr_print(&step->cidr, text));
	return tg_fail_errno(err, sys, "cannot change %s", step_name(step->kind));
}

/* tenant->ifindex is of the reading that the plan was made of, when the plan itself makes no link. */
static int know_index(struct tenant *tenant, const struct plan *plan, struct tg_error *err)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	struct nl_msg   *msg;
	bool             known = tenant->ifindex != 0;

	for (size_t i = 0; i < plan->steps_count && plan->steps[i].kind <= STEP_LINK_MAKE; i++)
		known = false;
	if (known)
		return 0;
	msg = link_message(RTM_GETLINK, 0, &head, tenant->link);
	if (netlink_ask(tenant->route, msg, on_index, &tenant->ifindex, err) != 0)
		return tg_fail_errno(err, err != NULL ? err->sys : 0, "cannot find %s", tenant->link);
	return 0;
}

int link_change(struct tenant *tenant, const struct plan *plan, const struct step *steps, size_t count,
                struct tg_error *err)
{
	struct netlink_batch batch = { .count = 0 };

	assert(count <= NETLINK_BATCH_MOST);
	if (know_index(tenant, plan, err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		netlink_batch_add(&batch, change_message(tenant, plan, &steps[i], tenant->ifindex),
		                  fine_refusal(steps[i].kind));

	struct tg_error why = { .sys = 0 };

	if (netlink_batch_send(&batch, tenant->route, &why) == 0)
		return 0;
	if (why.sys != 0)
		return explain(&steps[batch.failed], plan, why.sys, err);
	if (err != NULL)
		*err = why;
	return -1;
}
