#include <errno.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/model.h"
#include "netns/differ.h"
#include "netns/link.h"
#include "netns/namespace.h"
#include "netns/netlink.h"
#include "netns/reading.h"
#include "netns/state.h"
#include "netns/wireguard.h"

/* WireGuard in the kernel, through its generic netlink family (linux/wireguard.h). */

#define MESSAGE_BYTES 60000	/* nested attributes have 16 bits of length */
#define PEER_BYTES    256	/* the most that put_step() adds, but for ranges */
#define RANGE_BYTES   40	/* the same of one range */
#define PEERS_BYTES   (50000 - DIFFER_RANGES_MOST * RANGE_BYTES)	/* with as many it is sent */

static enum wireguard_result kernel_make(const struct netns_host *host, struct tenant *tenant,
                                         const struct plan *plan, struct tg_error *err)
{
	if (link_make(host, tenant, "wireguard", plan->want->mtu, err) == 0)
		return WIREGUARD_DONE;
	tg_fail_errno(err, err != NULL ? err->sys : 0, "cannot make %s", tenant->link);
	return WIREGUARD_FAILED;
}

static void take_key(struct nlattr *attr, struct tg_key *to)
{
	if (attr != NULL && nla_len(attr) == TG_KEY_BYTES)
		memcpy(to->bytes, nla_data(attr), TG_KEY_BYTES);
}

static int take_ranges(struct nlattr *list, struct state *to)
{
	struct nlattr *entry;
	int            left;

	nla_for_each_nested(entry, list, left)
	{
		struct nlattr *attrs[WGALLOWEDIP_A_MAX + 1];
		struct tg_cidr range = { .family = 0 };

		if (nla_parse_nested(attrs, WGALLOWEDIP_A_MAX, entry, NULL) < 0 ||
		    attrs[WGALLOWEDIP_A_FAMILY] == NULL || attrs[WGALLOWEDIP_A_IPADDR] == NULL ||
		    attrs[WGALLOWEDIP_A_CIDR_MASK] == NULL)
			continue;
		range.family = (uint8_t)nla_get_u16(attrs[WGALLOWEDIP_A_FAMILY]);
		range.prefix = nla_get_u8(attrs[WGALLOWEDIP_A_CIDR_MASK]);
		if ((size_t)nla_len(attrs[WGALLOWEDIP_A_IPADDR]) > sizeof range.bytes)
			continue;
		memcpy(range.bytes, nla_data(attrs[WGALLOWEDIP_A_IPADDR]),
		       (size_t)nla_len(attrs[WGALLOWEDIP_A_IPADDR]));
		if (state_add_range(to, &range) != 0)
			return -1;
	}
	return 0;
}

static void take_endpoint(struct nlattr *attr, struct tg_endpoint *to)
{
	struct sockaddr_storage at = { .ss_family = AF_UNSPEC };

	if ((size_t)nla_len(attr) > sizeof at)
		return;
	memcpy(&at, nla_data(attr), (size_t)nla_len(attr));
	tg_endpoint_from_sockaddr((const struct sockaddr *)&at, to);
}

static int take_peer(struct nlattr *entry, struct state *to)
{
	struct nlattr     *attrs[WGPEER_A_MAX + 1];
	struct tg_key      key = { .bytes = { 0 } };
	struct state_peer *peer;

	if (nla_parse_nested(attrs, WGPEER_A_MAX, entry, NULL) < 0 || attrs[WGPEER_A_PUBLIC_KEY] == NULL)
		return 0;
	take_key(attrs[WGPEER_A_PUBLIC_KEY], &key);
	peer = to->peers_count == 0 ? NULL : &to->peers[to->peers_count - 1];
	/* A peer whose ranges did not fit goes on in the next message, with its key and ranges alone. */
	if (peer == NULL || !tg_key_equal(&peer->public_key, &key)) {
		peer = state_add_peer(to, &key);
		if (peer == NULL)
			return -1;
		take_key(attrs[WGPEER_A_PRESHARED_KEY], &peer->preshared_key);
		if (attrs[WGPEER_A_ENDPOINT] != NULL)
			take_endpoint(attrs[WGPEER_A_ENDPOINT], &peer->endpoint);
		if (attrs[WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL] != NULL)
			peer->keepalive_s = nla_get_u16(attrs[WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL]);
		if (attrs[WGPEER_A_RX_BYTES] != NULL)
			peer->rx = nla_get_u64(attrs[WGPEER_A_RX_BYTES]);
		if (attrs[WGPEER_A_TX_BYTES] != NULL)
			peer->tx = nla_get_u64(attrs[WGPEER_A_TX_BYTES]);
		if (attrs[WGPEER_A_LAST_HANDSHAKE_TIME] != NULL &&
		    (size_t)nla_len(attrs[WGPEER_A_LAST_HANDSHAKE_TIME]) >= sizeof peer->handshake_unix_s)
			memcpy(&peer->handshake_unix_s, nla_data(attrs[WGPEER_A_LAST_HANDSHAKE_TIME]),
			       sizeof peer->handshake_unix_s);
	}
	if (attrs[WGPEER_A_ALLOWEDIPS] != NULL)
		return take_ranges(attrs[WGPEER_A_ALLOWEDIPS], to);
	return 0;
}

static int on_device(struct nlmsghdr *head, void *arg)
{
	struct reading *reading = arg;
	struct state   *to = &reading->state;
	struct nlattr  *attrs[WGDEVICE_A_MAX + 1];
	struct nlattr  *entry;
	int             left;

	if (nlmsg_parse(head, GENL_HDRLEN, attrs, WGDEVICE_A_MAX, NULL) < 0)
		return 0;
	/* Asked for by name: another link may have it by now. */
	if (reading->what == READING_PEERS && attrs[WGDEVICE_A_IFINDEX] != NULL &&
	    nla_get_u32(attrs[WGDEVICE_A_IFINDEX]) != to->ifindex)
		return 0;
	to->device = true;
	take_key(attrs[WGDEVICE_A_PRIVATE_KEY], &to->private_key);
	take_key(attrs[WGDEVICE_A_PUBLIC_KEY], &to->public_key);
	if (attrs[WGDEVICE_A_LISTEN_PORT] != NULL)
		to->port = nla_get_u16(attrs[WGDEVICE_A_LISTEN_PORT]);
	if (attrs[WGDEVICE_A_PEERS] == NULL)
		return 0;
	nla_for_each_nested(entry, attrs[WGDEVICE_A_PEERS], left)
		if (take_peer(entry, to) != 0)
			return -1;
	return 0;
}

static struct nl_msg *device_message(const struct netns_host *host, const struct tenant *tenant,
                                     uint8_t command, uint16_t flags, size_t room)
{
	struct genlmsghdr head = { .cmd = command, .version = WG_GENL_VERSION };
	struct nl_msg    *msg = netlink_message(host->genl_family, flags, &head, sizeof head, room);

	if (msg != NULL && nla_put_string(msg, WGDEVICE_A_IFNAME, tenant->link) < 0) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

static struct nl_msg *ask_device(const struct reading *reading)
{
	return device_message(reading->host, reading->tenant, WG_CMD_GET_DEVICE, NLM_F_DUMP, NETLINK_SMALL);
}

static enum reading_result kernel_read(struct reading *reading, uint64_t until_ms, struct tg_error *err)
{
	if (reading->state.link != STATE_LINK_OURS)
		return READING_DONE;
	return reading_dump(reading, reading->tenant->genl, ask_device, on_device, until_ms, err);
}

static int kernel_device(const struct netns_host *host, struct tenant *tenant, const struct plan *plan,
                         const struct step *step, struct tg_error *err)
{
	struct nl_msg *msg = device_message(host, tenant, WG_CMD_SET_DEVICE, 0, NETLINK_SMALL);
	int            bad = msg == NULL;

	if (!bad && (step->flags & STEP_KEY) != 0)
		bad = nla_put(msg, WGDEVICE_A_PRIVATE_KEY, TG_KEY_BYTES, plan->want->private_key.bytes);
	if (!bad && (step->flags & STEP_PORT) != 0)
		bad = nla_put_u16(msg, WGDEVICE_A_LISTEN_PORT, plan->want->port);
	if (bad) {
		nlmsg_free(msg);
		return tg_fail_memory(err);
	}

	struct tg_error why = { .sys = 0 };

	if (netlink_ask(tenant->genl, msg, NULL, NULL, &why) == 0)
		return 0;
	if (why.sys == EADDRINUSE)
		return wireguard_port_used(tenant->port, err);
	return tg_fail_errno(err, why.sys, "cannot set key and port of %s", tenant->link);
}

static int put_ranges(struct nl_msg *msg, const struct tg_cidr *ranges, uint32_t count)
{
	struct nlattr *list = nla_nest_start(msg, NLA_F_NESTED | WGPEER_A_ALLOWEDIPS);

	if (list == NULL)
		return -1;
	for (uint32_t i = 0; i < count; i++) {
		struct nlattr *entry = nla_nest_start(msg, NLA_F_NESTED);
		int            bytes = ranges[i].family == AF_INET6 ? 16 : 4;

		if (entry == NULL || nla_put_u16(msg, WGALLOWEDIP_A_FAMILY, ranges[i].family) < 0 ||
		    nla_put(msg, WGALLOWEDIP_A_IPADDR, bytes, ranges[i].bytes) < 0 ||
		    nla_put_u8(msg, WGALLOWEDIP_A_CIDR_MASK, ranges[i].prefix) < 0)
			return -1;
		nla_nest_end(msg, entry);
	}
	nla_nest_end(msg, list);
	return 0;
}

static int put_endpoint(struct nl_msg *msg, const struct tg_endpoint *endpoint)
{
	struct sockaddr_storage at = { .ss_family = AF_UNSPEC };
	socklen_t               bytes = tg_endpoint_to_sockaddr(endpoint, &at);

	return nla_put(msg, WGPEER_A_ENDPOINT, (int)bytes, &at);
}

static int put_set(struct nl_msg *msg, const struct plan *plan, const struct step *step)
{
	bool           fresh = (step->flags & STEP_PEER_NEW) != 0;
	struct nlattr *peer = nla_nest_start(msg, NLA_F_NESTED);

	if (peer == NULL || nla_put(msg, WGPEER_A_PUBLIC_KEY, TG_KEY_BYTES, step->key.bytes) < 0)
		return -1;
	/* One that somebody removed meanwhile must not come back half. */
	if (!fresh && nla_put_u32(msg, WGPEER_A_FLAGS, WGPEER_F_UPDATE_ONLY) < 0)
		return -1;
	if ((step->flags & STEP_PEER_PRESHARED) != 0 &&
	    nla_put(msg, WGPEER_A_PRESHARED_KEY, TG_KEY_BYTES, step->peer->preshared_key.bytes) < 0)
		return -1;
	if ((step->flags & STEP_PEER_ENDPOINT) != 0 && put_endpoint(msg, &step->peer->endpoint) < 0)
		return -1;
	if ((step->flags & STEP_PEER_KEEPALIVE) != 0 &&
	    nla_put_u16(msg, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, step->peer->keepalive_s) < 0)
		return -1;
	if (step->ranges_count > 0 &&
	    put_ranges(msg, plan->ranges + step->ranges_first, step->ranges_count) != 0)
		return -1;
	nla_nest_end(msg, peer);
	return 0;
}

static int put_remove(struct nl_msg *msg, const struct tg_key *key)
{
	struct nlattr *peer = nla_nest_start(msg, NLA_F_NESTED);

	if (peer == NULL || nla_put(msg, WGPEER_A_PUBLIC_KEY, TG_KEY_BYTES, key->bytes) < 0 ||
	    nla_put_u32(msg, WGPEER_A_FLAGS, WGPEER_F_REMOVE_ME) < 0)
		return -1;
	nla_nest_end(msg, peer);
	return 0;
}

/* Kernels before 6.16 can't take one range from a peer, only replace all it has, which leaves a moment
 * with none.  So the ranges move to a peer made for it, which goes at once, in the same message: the
 * kernel carries that out under one lock. */
static int put_drop(struct nl_msg *msg, const struct plan *plan, const struct step *step)
{
	struct step   scratch = *step;
	struct tg_key secret;

	tg_key_make(&secret);
	if (tg_key_public(&secret, &scratch.key) != 0)
		return -1;
	scratch.flags = STEP_PEER_NEW;
	if (put_set(msg, plan, &scratch) != 0)
		return -1;
	return put_remove(msg, &scratch.key);
}

static int put_step(struct nl_msg *msg, const struct plan *plan, const struct step *step)
{
	if (step->kind == STEP_PEER_SET)
		return put_set(msg, plan, step);
	if (step->kind == STEP_RANGES_DROP)
		return put_drop(msg, plan, step);
	return put_remove(msg, &step->key);
}

/* A message is cleared when it is made: for most, its largest size would cost more than all the rest. */
static struct nl_msg *peers_message(const struct netns_host *host, const struct tenant *tenant,
                                    const struct step *steps, size_t count)
{
	size_t room = 0;

	for (size_t i = 0; i < count; i++)
		room += PEER_BYTES + steps[i].ranges_count * RANGE_BYTES;
	return device_message(host, tenant, WG_CMD_SET_DEVICE, 0,
	                      NETLINK_SMALL + (room < MESSAGE_BYTES ? room : MESSAGE_BYTES));
}

static int kernel_peers(const struct netns_host *host, struct tenant *tenant, const struct plan *plan,
                        const struct step *steps, size_t count, struct tg_error *err)
{
	for (size_t i = 0; i < count;) {
		struct nl_msg *msg = peers_message(host, tenant, steps + i, count - i);
		struct nlattr *peers =
		        msg == NULL ? NULL : nla_nest_start(msg, NLA_F_NESTED | WGDEVICE_A_PEERS);
		int            bad = peers == NULL;

		while (!bad && i < count && nlmsg_hdr(msg)->nlmsg_len < PEERS_BYTES)
			bad = put_step(msg, plan, &steps[i++]);
		if (bad) {
			nlmsg_free(msg);
			return tg_fail_memory(err);
		}
		nla_nest_end(msg, peers);

		struct tg_error why = { .sys = 0 };

		if (netlink_ask(tenant->genl, msg, NULL, NULL, &why) != 0)
			return tg_fail_errno(err, why.sys, "cannot change peers of %s", tenant->link);
	}
	return 0;
}

static void kernel_end(const struct netns_host *host, struct tenant *tenant)
{
	(void)host;
	(void)tenant;	/* the link goes with its namespace */
}

const struct wireguard wireguard_kernel = {
	.make = kernel_make,
	.read = kernel_read,
	.device = kernel_device,
	.peers = kernel_peers,
	.end = kernel_end,
};
