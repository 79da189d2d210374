/* A model on its way to another process: a head with the counts, then the arrays one behind the other.
 * A model that was read from a document lies in one way only (networks in order, what belongs to each in
 * order behind what belongs to the one before), and the reader takes no other. */
#include "base/model_build.h"

#include <string.h>

#include "base/error.h"

#define PACK_MAGIC UINT64_C(0x33444f4d4c4c4f54)	/* "TOLLMOD3" */

struct pack_head {
	uint64_t magic;
	uint64_t networks_count;
	uint64_t peers_count;
	uint64_t cidrs_count;
};

/* Padding would carry bytes of this process's memory. */
_Static_assert(sizeof(struct model_network) == 2 * 32 + 2 * 2 + 8 * 4, "padding");
_Static_assert(sizeof(struct tg_endpoint) == 20, "padding");
_Static_assert(sizeof(struct model_peer) == 2 * 32 + 20 + 2 * 2 + 2 * 4, "padding");

static void pack_ranges(const struct model *from, uint32_t *first, uint32_t count, struct model *to)
{
	memcpy(to->cidrs + to->cidrs_count, from->cidrs + *first, count * sizeof *to->cidrs);
	*first = (uint32_t)to->cidrs_count;
	to->cidrs_count += count;
}

static void pack_network(const struct model *from, const struct model_network *network, struct model *to)
{
	struct model_network *copy = &to->networks[to->networks_count++];

	*copy = *network;
	copy->name_at = copy->hosts_first = copy->hosts_count = 0;
	pack_ranges(from, &copy->addresses_first, copy->addresses_count, to);
	copy->peers_first = (uint32_t)to->peers_count;
	for (uint32_t i = 0; i < copy->peers_count; i++) {
		struct model_peer *peer = &to->peers[to->peers_count++];

		*peer = from->peers[network->peers_first + i];
		pack_ranges(from, &peer->ranges_first, peer->ranges_count, to);
	}
}

/* How far a walk through the networks has come in what a diff says is new. */
struct news {
	const struct model_diff *diff;	/* borrowed; NULL: everything is */
	size_t                   added, changed;
};

static bool is_news(struct news *news, uint16_t port)
{
	const struct model_diff *diff = news->diff;

	if (diff == NULL)
		return true;
	if (news->added < diff->added_count && diff->added[news->added] == port) {
		news->added++;
		return true;
	}
	if (news->changed < diff->changed_count && diff->changed[news->changed] == port) {
		news->changed++;
		return true;
	}
	return false;
}

static void count_news(const struct model *model, struct news news, struct model *to)
{
	for (size_t i = 0; i < model->networks_count; i++) {
		const struct model_network *network = &model->networks[i];

		if (!is_news(&news, network->port))
			continue;
		to->networks_count++;
		to->cidrs_count += network->addresses_count;
		to->peers_count += network->peers_count;
		for (uint32_t k = 0; k < network->peers_count; k++)
			to->cidrs_count += model->peers[network->peers_first + k].ranges_count;
	}
}

void *model_pack(const struct model *model, const struct model_diff *diff, size_t *bytes,
                 struct tg_error *err)
{
	struct news       news = { .diff = diff };
	struct model      copy = { .networks_count = 0 };
	struct pack_head *head;

	count_news(model, news, &copy);
	/* The longer members come first: each array is aligned as it must be. */
	*bytes = sizeof *head + copy.networks_count * sizeof *copy.networks +
	         copy.peers_count * sizeof *copy.peers + copy.cidrs_count * sizeof *copy.cidrs;
	head = model_alloc(*bytes);
	if (head == NULL) {
		tg_fail_memory(err);
		return NULL;
	}
	*head = (struct pack_head){ PACK_MAGIC, copy.networks_count, copy.peers_count, copy.cidrs_count };
	copy.networks = (void *)(head + 1);
	copy.peers = (void *)(copy.networks + copy.networks_count);
	copy.cidrs = (void *)(copy.peers + copy.peers_count);
	copy.networks_count = copy.cidrs_count = copy.peers_count = 0;
	for (size_t i = 0; i < model->networks_count; i++)
		if (is_news(&news, model->networks[i].port))
			pack_network(model, &model->networks[i], &copy);
	return head;
}

void model_packed_free(void *packed)
{
	model_release(packed);
}

/* What is still to be read. */
struct unpack {
	const char *at;
	size_t      left;
	bool        too_short;
	bool        no_memory;
};

static void *take(struct unpack *u, size_t *to_count, uint64_t count, size_t size)
{
	void *array;

	*to_count = 0;
	if (u->no_memory || count > u->left / size) {
		u->too_short = true;
		return NULL;
	}
	/* One more, so that no array is NULL. */
	array = model_alloc(((size_t)count + 1) * size);
	if (array == NULL) {
		u->no_memory = true;
		return NULL;
	}
	memcpy(array, u->at, (size_t)count * size);
	u->at += count * size;
	u->left -= (size_t)count * size;
	*to_count = (size_t)count;
	return array;
}

static bool unpack_arrays(struct unpack *u, struct model *m)
{
	struct pack_head head;

	if (u->left < sizeof head)
		return false;
	memcpy(&head, u->at, sizeof head);
	u->at += sizeof head;
	u->left -= sizeof head;
	if (head.magic != PACK_MAGIC)
		return false;
	m->networks = take(u, &m->networks_count, head.networks_count, sizeof *m->networks);
	m->peers = take(u, &m->peers_count, head.peers_count, sizeof *m->peers);
	m->cidrs = take(u, &m->cidrs_count, head.cidrs_count, sizeof *m->cidrs);
	m->hosts = take(u, &m->hosts_count, 0, sizeof *m->hosts);
	m->upstreams = take(u, &m->upstreams_count, 0, sizeof *m->upstreams);
	m->texts = take(u, &m->texts_bytes, 0, 1);
	if (u->too_short || u->no_memory || u->left > 0)
		return false;
	m->texts[m->texts_bytes++] = '\0';
	return true;
}

/* How far the slices have come. */
struct cursor {
	size_t cidrs, peers;
};

/* A slice begins where the one before it ended. */
static bool follows(size_t *at, uint32_t first, uint32_t count, size_t total)
{
	if (first != *at || count > total - *at)
		return false;
	*at += count;
	return true;
}

static bool cidrs_good(const struct tg_cidr *cidrs, uint32_t count, bool masked)
{
	for (uint32_t i = 0; i < count; i++) {
		struct tg_cidr copy = cidrs[i];

		if (copy.family != AF_INET && copy.family != AF_INET6)
			return false;
		if (copy.prefix > (copy.family == AF_INET ? 32 : 128))
			return false;
		if (masked)
			tg_cidr_mask(&copy);
		else if (copy.family == AF_INET)
			memset(copy.bytes + 4, 0, 12);
		if (model_cidr_order(&copy, &cidrs[i]) != 0)
			return false;
		if (i > 0 && model_cidr_order(&cidrs[i - 1], &cidrs[i]) >= 0)
			return false;
	}
	return true;
}

static bool endpoint_good(const struct tg_endpoint *endpoint)
{
	return (endpoint->family == AF_INET || endpoint->family == AF_INET6) && endpoint->port != 0;
}

static bool peers_good(const struct model *m, const struct model_network *network, struct cursor *at)
{
	const struct model_peer *peers = m->peers + network->peers_first;

	for (uint32_t i = 0; i < network->peers_count; i++) {
		const struct model_peer *peer = &peers[i];

		if (i > 0 &&
		    memcmp(peers[i - 1].public_key.bytes, peer->public_key.bytes, TG_KEY_BYTES) >= 0)
			return false;
		if (!follows(&at->cidrs, peer->ranges_first, peer->ranges_count, m->cidrs_count) ||
		    !cidrs_good(m->cidrs + peer->ranges_first, peer->ranges_count, true))
			return false;
		if (peer->endpoint.family != 0 && !endpoint_good(&peer->endpoint))
			return false;
	}
	return true;
}

static bool network_good(const struct model *m, const struct model_network *network, struct cursor *at)
{
	if (network->port == 0 || network->mtu == 0 || network->mtu > 65535 || network->name_at != 0 ||
	    network->hosts_first != 0 || network->hosts_count != 0)
		return false;
	return follows(&at->cidrs, network->addresses_first, network->addresses_count, m->cidrs_count) &&
	       cidrs_good(m->cidrs + network->addresses_first, network->addresses_count, false) &&
	       follows(&at->peers, network->peers_first, network->peers_count, m->peers_count) &&
	       peers_good(m, network, at);
}

static bool model_good(const struct model *m)
{
	struct cursor at = { .cidrs = 0 };

	for (size_t i = 0; i < m->networks_count; i++) {
		if (i > 0 && m->networks[i - 1].port >= m->networks[i].port)
			return false;
		if (!network_good(m, &m->networks[i], &at))
			return false;
	}
	return at.cidrs == m->cidrs_count && at.peers == m->peers_count;
}

struct model *model_unpack(const void *packed, size_t bytes, struct tg_error *err)
{
	struct unpack u = { .at = packed, .left = bytes };
	struct model *m = model_alloc(sizeof *m);

	if (m == NULL) {
		tg_fail_memory(err);
		return NULL;
	}
	memset(m, 0, sizeof *m);
	if (unpack_arrays(&u, m) && model_good(m))
		return m;
	model_free(m);
	if (u.no_memory)
		tg_fail_memory(err);
	else
		tg_fail(err, TG_CODE_PROTOCOL, "a packed model is not in order");
	return NULL;
}
