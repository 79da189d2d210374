/* The peers of a network, and which of them may send from where. */
#include "base/model_build.h"

#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#define KEEPALIVE_DEFAULT 25

enum { PEER_PRESHARED_KEY, PEER_ALLOWED_IPS, PEER_ENDPOINT, PEER_KEEPALIVE, PEER_FIELDS };
static const char *const peer_fields[PEER_FIELDS] = {
	[PEER_PRESHARED_KEY] = "preshared_key",
	[PEER_ALLOWED_IPS] = "allowed_ips",
	[PEER_ENDPOINT] = "endpoint",
	[PEER_KEEPALIVE] = "persistent_keepalive",
};

/* A member of `peers`, to be sorted before it is read. */
struct peer_item {
	const cJSON  *node;
	struct tg_key key;
};

static bool note_range(struct model_build *b, const struct tg_cidr *range, const cJSON *peer, size_t index)
{
	struct model_range *ranges = model_grow(b, b->ranges, b->ranges_count, &b->ranges_room,
	                                        sizeof *ranges);

	if (ranges == NULL)
		return false;
	b->ranges = ranges;
	ranges[b->ranges_count] = (struct model_range){
		.range = *range,
		.index = (uint32_t)index,
		.seq = (uint32_t)b->ranges_count,
		.peer = peer,
	};
	b->ranges_count++;
	b->range_lengths[range->prefix] |= range->family == AF_INET ? MODEL_LENGTH_IPV4 : MODEL_LENGTH_IPV6;
	return true;
}

static void read_allowed_ips(struct model_build *b, const struct model_place *up, const cJSON *peer,
                             const cJSON *node, struct model_peer *to)
{
	const struct model_place here = { .up = up, .key = "allowed_ips" };
	const cJSON             *element;
	size_t                   index = 0;

	to->ranges_first = (uint32_t)b->model->cidrs_count;
	if (!cJSON_IsArray(node)) {
		model_fault(b, &here, node == NULL ? "is required" : "must be an array");
		return;
	}
	cJSON_ArrayForEach(element, node) {
		const struct model_place place = { .up = &here, .index = index };
		struct tg_cidr           range;

		if (!cJSON_IsString(element) || !tg_cidr_read(element->valuestring, &range)) {
			model_fault(b, &place, "must be an IP address or range");
			index++;
			continue;
		}
		tg_cidr_mask(&range);

		struct tg_cidr *cidr = model_add_cidr(b);

		if (cidr == NULL || !note_range(b, &range, peer, index))
			return;
		*cidr = range;
		index++;
	}
	to->ranges_count = (uint32_t)b->model->cidrs_count - to->ranges_first;
	if (to->ranges_count > 0)
		qsort(b->model->cidrs + to->ranges_first, to->ranges_count, sizeof(struct tg_cidr),
		      model_cidr_order);
}

static void read_peer(struct model_build *b, const struct model_place *up, const cJSON *node,
                      struct model_peer *peer)
{
	const struct model_place keepalive = { .up = up, .key = "persistent_keepalive" };
	const struct model_place preshared = { .up = up, .key = "preshared_key" };
	const struct model_place endpoint = { .up = up, .key = "endpoint" };
	const cJSON             *fields[PEER_FIELDS];
	uint32_t                 keepalive_s = KEEPALIVE_DEFAULT;

	if (!model_fields(b, up, node, peer_fields, PEER_FIELDS, fields))
		return;
	if (!model_absent(fields[PEER_PRESHARED_KEY]))
		model_key(b, &preshared, fields[PEER_PRESHARED_KEY], &peer->preshared_key);
	read_allowed_ips(b, up, node, fields[PEER_ALLOWED_IPS], peer);
	if (!model_absent(fields[PEER_ENDPOINT]) &&
	    (!cJSON_IsString(fields[PEER_ENDPOINT]) ||
	     !tg_endpoint_read(fields[PEER_ENDPOINT]->valuestring, &peer->endpoint)))
		model_fault(b, &endpoint, "must be IP:port, [IPv6]:port or null");
	if (fields[PEER_KEEPALIVE] != NULL)
		model_whole(b, &keepalive, fields[PEER_KEEPALIVE], 0, 65535, &keepalive_s);
	peer->keepalive_s = (uint16_t)keepalive_s;
}

static int range_order(const void *a, const void *b)
{
	const struct model_range *one = a;
	const struct model_range *two = b;
	int                       order = model_cidr_order(&one->range, &two->range);

	return order != 0 ? order : (one->seq > two->seq) - (one->seq < two->seq);
}

/* Sorts the network's ranges, for the look-ups to come too, and complains of what stands twice. */
static void check_ranges(struct model_build *b, const struct model_place *peers)
{
	char text[TG_CIDR_TEXT];

	if (b->ranges_count == 0)
		return;
	qsort(b->ranges, b->ranges_count, sizeof *b->ranges, range_order);
	for (size_t i = 1; i < b->ranges_count; i++) {
		const struct model_range *r = &b->ranges[i];
		const struct model_place  peer = { .up = peers, .key = r->peer->string };
		const struct model_place  ips = { .up = &peer, .key = "allowed_ips" };
		const struct model_place  here = { .up = &ips, .index = r->index };

		if (model_cidr_order(&r[-1].range, &r->range) == 0)
			model_fault(b, &here, "%s stands twice in this network", tg_cidr_print(&r->range,
			                                                                       text));
	}
}

static int peer_item_order(const void *a, const void *b)
{
	const struct peer_item *one = a;
	const struct peer_item *two = b;

	return memcmp(one->key.bytes, two->key.bytes, TG_KEY_BYTES);
}

/* The members of `peers` sorted by key: *items is the caller's (model_release). */
static size_t peers_sort(struct model_build *b, const struct model_place *up, const cJSON *node,
                         struct peer_item **items)
{
	const cJSON *member;
	size_t       count = (size_t)cJSON_GetArraySize(node);
	size_t       at = 0;

	*items = model_alloc((count + 1) * sizeof **items);
	if (*items == NULL) {
		b->no_memory = true;
		return 0;
	}
	cJSON_ArrayForEach(member, node) {
		const struct model_place here = { .up = up, .key = member->string };
		struct peer_item        *item = &(*items)[at++];

		memset(item, 0, sizeof *item);
		item->node = member;
		if (!tg_key_read(member->string, strlen(member->string), &item->key))
			model_fault(b, &here, "a peer's public key must be 32 bytes in base64");
		else if (tg_key_is_zero(&item->key))
			model_fault(b, &here, "is all zeros, which is nobody's key");
	}
	qsort(*items, count, sizeof **items, peer_item_order);
	return count;
}

/* Nothing is wrong with these ranges, but no packet gets to them. */
static void warn_of_ipv6(struct model_build *b, const struct model_place *up,
                         const struct model_network *network)
{
	const struct model_place here = { .up = up, .key = "mtu" };
	size_t                   i = 0;

	while (i < b->ranges_count && b->ranges[i].range.family != AF_INET6)
		i++;
	if (network->mtu < MODEL_MTU_IPV6 && i < b->ranges_count)
		model_warn(b, &here, "is too small for IPv6: its allowed_ips get no route");
}

void model_read_peers(struct model_build *b, const struct model_place *up, const struct cJSON *node,
                      struct model_network *network)
{
	const struct model_place here = { .up = up, .key = "peers" };
	struct peer_item        *items;

	b->ranges_count = 0;
	memset(b->range_lengths, 0, sizeof b->range_lengths);
	network->peers_first = (uint32_t)b->model->peers_count;
	if (node == NULL)
		return;
	if (!cJSON_IsObject(node)) {
		model_fault(b, &here, "must be an object");
		return;
	}

	size_t count = peers_sort(b, &here, node, &items);

	for (size_t i = 0; i < count && !b->no_memory; i++) {
		const struct model_place place = { .up = &here, .key = items[i].node->string };
		struct model            *m = b->model;
		struct model_peer       *peers;
		struct model_peer       *peer;

		peers = model_grow(b, m->peers, m->peers_count, &b->peers_room, sizeof *peers);
		if (peers == NULL)
			break;
		m->peers = peers;
		peer = &peers[m->peers_count++];
		memset(peer, 0, sizeof *peer);
		peer->public_key = items[i].key;
		if (!tg_key_is_zero(&items[i].key) && tg_key_equal(&items[i].key, &network->public_key))
			model_fault(b, &place, "is the network's own public key");
		read_peer(b, &place, items[i].node, peer);
	}
	model_release(items);
	network->peers_count = (uint32_t)b->model->peers_count - network->peers_first;
	check_ranges(b, &here);
	warn_of_ipv6(b, up, network);
}
