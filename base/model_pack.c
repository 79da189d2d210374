/* A model on its way to another process: a head with the counts, then the arrays one behind the other.
 * A model that was read from a document lies in one way only (networks in order, what belongs to each in
 * order behind what belongs to the one before), and the reader takes no other. */
#include "base/model_build.h"

#include <string.h>

#include "base/error.h"
#include "base/fd.h"

#define PACK_MAGIC UINT64_C(0x31444f4d4c4c4f54)	/* "TOLLMOD1" */
/* A document of 64 MiB makes less: its arrays are no larger than the text that they are read from, but
 * for peers and hosts, which are twice as large at most. */
#define PACK_MOST  ((size_t)256 << 20)

struct pack_head {
	uint64_t magic;
	uint64_t networks_count;
	uint64_t cidrs_count;
	uint64_t peers_count;
	uint64_t hosts_count;
	uint64_t upstreams_count;
	uint64_t texts_bytes;
};

/* Padding would carry bytes of this process's memory. */
_Static_assert(sizeof(struct model_network) == 2 * 32 + 2 * 2 + 8 * 4, "padding");
_Static_assert(sizeof(struct tg_endpoint) == 20, "padding");
_Static_assert(sizeof(struct model_peer) == 2 * 32 + 20 + 2 * 2 + 2 * 4, "padding");
_Static_assert(sizeof(struct model_host) == 6 * 4 + 4, "padding");

int model_pack(const struct model *model, struct tg_error *err)
{
	const struct pack_head head = {
		.magic = PACK_MAGIC,
		.networks_count = model->networks_count,
		.cidrs_count = model->cidrs_count,
		.peers_count = model->peers_count,
		.hosts_count = model->hosts_count,
		.upstreams_count = model->upstreams_count,
		.texts_bytes = model->texts_bytes,
	};
	const struct tg_part parts[] = {
		{ &head, sizeof head },
		{ model->networks, model->networks_count * sizeof *model->networks },
		{ model->cidrs, model->cidrs_count * sizeof *model->cidrs },
		{ model->peers, model->peers_count * sizeof *model->peers },
		{ model->hosts, model->hosts_count * sizeof *model->hosts },
		{ model->upstreams, model->upstreams_count * sizeof *model->upstreams },
		{ model->texts, model->texts_bytes },
	};

	return tg_memfd_make("tollgate-model", parts, sizeof parts / sizeof parts[0], err);
}

/* What is still to be read of a mapped file. */
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

	memcpy(&head, u->at, sizeof head);
	u->at += sizeof head;
	u->left -= sizeof head;
	if (head.magic != PACK_MAGIC)
		return false;
	m->networks = take(u, &m->networks_count, head.networks_count, sizeof *m->networks);
	m->cidrs = take(u, &m->cidrs_count, head.cidrs_count, sizeof *m->cidrs);
	m->peers = take(u, &m->peers_count, head.peers_count, sizeof *m->peers);
	m->hosts = take(u, &m->hosts_count, head.hosts_count, sizeof *m->hosts);
	m->upstreams = take(u, &m->upstreams_count, head.upstreams_count, sizeof *m->upstreams);
	m->texts = take(u, &m->texts_bytes, head.texts_bytes, 1);
	return !u->too_short && !u->no_memory && u->left == 0;
}

/* How far the slices have come. */
struct cursor {
	size_t cidrs, peers, hosts, upstreams;
};

/* A slice begins where the one before it ended. */
static bool follows(size_t *at, uint32_t first, uint32_t count, size_t total)
{
	if (first != *at || count > total - *at)
		return false;
	*at += count;
	return true;
}

static bool texts_good(const struct model *m)
{
	return m->texts_bytes > 0 && m->texts_bytes <= UINT32_MAX && m->texts[0] == '\0' &&
	       m->texts[m->texts_bytes - 1] == '\0';
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

static bool host_good(const struct model *m, const struct model_host *host, struct cursor *at)
{
	char name[MSG_HOST_MOST];

	if (host->name_at == 0 || host->name_at >= m->texts_bytes || host->host_header_at >= m->texts_bytes ||
	    host->raw_at >= m->texts_bytes)
		return false;
	if (host->scheme > MODEL_SSH || host->proxy_protocol > MODEL_PROXY_V2 || host->redirect_to_https > 1)
		return false;
	if (!follows(&at->upstreams, host->upstreams_first, host->upstreams_count, m->upstreams_count))
		return false;
	for (uint32_t i = 0; i < host->upstreams_count; i++)
		if (!endpoint_good(&m->upstreams[host->upstreams_first + i]))
			return false;

	const char *text = model_text(m, host->name_at);

	if (host->scheme == MODEL_SSH)
		return host->raw_at != 0;
	return model_host_read(text, strlen(text), true, name) && strcmp(name, text) == 0;
}

static bool hosts_good(const struct model *m, const struct model_network *network, struct cursor *at)
{
	const struct model_host *hosts = m->hosts + network->hosts_first;

	for (uint32_t i = 0; i < network->hosts_count; i++) {
		if (!host_good(m, &hosts[i], at))
			return false;
		if (i == 0)
			continue;

		int order = strcmp(model_text(m, hosts[i - 1].name_at), model_text(m, hosts[i].name_at));

		if (order > 0 || (order == 0 && hosts[i - 1].scheme >= hosts[i].scheme))
			return false;
	}
	return true;
}

static bool network_good(const struct model *m, const struct model_network *network, struct cursor *at)
{
	if (network->port == 0 || network->mtu == 0 || network->mtu > 65535 ||
	    network->name_at >= m->texts_bytes)
		return false;
	return follows(&at->cidrs, network->addresses_first, network->addresses_count, m->cidrs_count) &&
	       cidrs_good(m->cidrs + network->addresses_first, network->addresses_count, false) &&
	       follows(&at->peers, network->peers_first, network->peers_count, m->peers_count) &&
	       peers_good(m, network, at) &&
	       follows(&at->hosts, network->hosts_first, network->hosts_count, m->hosts_count) &&
	       hosts_good(m, network, at);
}

static bool model_good(const struct model *m)
{
	struct cursor at = { .cidrs = 0 };

	if (!texts_good(m))
		return false;
	for (size_t i = 0; i < m->networks_count; i++) {
		if (i > 0 && m->networks[i - 1].port >= m->networks[i].port)
			return false;
		if (!network_good(m, &m->networks[i], &at))
			return false;
	}
	return at.cidrs == m->cidrs_count && at.peers == m->peers_count && at.hosts == m->hosts_count &&
	       at.upstreams == m->upstreams_count;
}

struct model *model_unpack(int fd, struct tg_error *err)
{
	size_t        bytes = 0;
	const void   *map = tg_memfd_map(fd, sizeof(struct pack_head), PACK_MOST, &bytes, err);
	struct unpack u = { .at = map, .left = bytes };
	struct model *m;

	if (map == NULL)
		return NULL;
	m = model_alloc(sizeof *m);
	if (m == NULL) {
		tg_memfd_unmap(map, bytes);
		tg_fail_memory(err);
		return NULL;
	}
	memset(m, 0, sizeof *m);

	bool good = unpack_arrays(&u, m) && model_good(m);

	tg_memfd_unmap(map, bytes);
	if (good)
		return m;
	model_free(m);
	if (u.no_memory)
		tg_fail_memory(err);
	else
		tg_fail(err, TG_CODE_PROTOCOL, "a packed model is not in order");
	return NULL;
}
