/* A document read member by member.  What is written as it was in the document before is not read again
 * but copied from there, and of the others only one at a time is a tree.  That is for documents that are
 * good: which faults there are and in what order is known where the whole is one tree, in model_parse.c. */
#include "base/model_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"

/* How a network was written.  Its text itself would take as much memory as the model; that two texts of one
 * length have one hash happens once in 2^64, and nobody can choose them without the key. */
struct model_source {
	uint64_t hash;
	uint32_t bytes;		/* 0: it is to be read each time, for its warnings */
	uint32_t texts_at;	/* where its own begin in the model's texts */
};

struct model_sources {
	struct tg_hash_key  key;
	struct model_source list[];	/* beside model->networks */
};

struct member {
	const char *value;
	uint32_t    bytes;
	uint16_t    port;
};

struct members {
	struct model_build *b;
	struct member      *list;	/* sorted by port once all are there */
	size_t              count, room;
	bool                odd;	/* some key is no port, or not written plainly, or stands twice */
};

static void on_member(void *arg, const char *name, size_t name_bytes, const char *value, size_t value_bytes)
{
	struct members *all = arg;
	struct member  *list;
	uint16_t        port;

	if (all->odd || all->b->no_memory)
		return;
	if (!model_port_read(name, name_bytes, &port)) {
		all->odd = true;
		return;
	}
	list = model_grow(all->b, all->list, all->count, &all->room, sizeof *list);
	if (list == NULL)
		return;
	all->list = list;
	list[all->count++] = (struct member){ value, (uint32_t)value_bytes, port };
}

static int member_order(const void *a, const void *b)
{
	const struct member *one = a;
	const struct member *two = b;

	return (one->port > two->port) - (one->port < two->port);
}

/* false: they are not for here. */
static bool members_sort(struct members *all)
{
	/* A text without any may be no object. */
	if (all->odd || all->count == 0 || all->b->no_memory)
		return false;
	qsort(all->list, all->count, sizeof *all->list, member_order);
	for (size_t i = 1; i < all->count; i++)
		if (all->list[i - 1].port == all->list[i].port)
			return false;
	return true;
}

/* Where what belongs to a network begins in the arrays of its model. */
struct begins {
	size_t cidrs, peers, hosts, upstreams, texts;
};

/* `index` may be that behind the last network. */
static struct begins begins_of(const struct model *m, size_t index)
{
	const struct model_network *network = &m->networks[index];
	struct begins               to;

	if (index == m->networks_count)
		return (struct begins){ m->cidrs_count, m->peers_count, m->hosts_count, m->upstreams_count,
		                        m->texts_bytes };
	to.cidrs = network->addresses_first;
	to.peers = network->peers_first;
	to.hosts = network->hosts_first;
	to.upstreams = to.hosts < m->hosts_count ? m->hosts[to.hosts].upstreams_first : m->upstreams_count;
	to.texts = m->sources->list[index].texts_at;
	return to;
}

/* Adds `count` elements from `from` on.  Returns `array` or a larger one, NULL without memory. */
static void *append(struct model_build *b, void *array, size_t *array_count, size_t *room, size_t size,
                    const void *from, size_t count)
{
	char *to = model_grow_by(b, array, *array_count, count, room, size);

	if (to == NULL)
		return array;
	memcpy(to + *array_count * size, from, count * size);
	*array_count += count;
	return to;
}

static void append_all(struct model_build *b, const struct model *from, const struct begins *at,
                       const struct begins *end)
{
	struct model *m = b->model;

	m->cidrs = append(b, m->cidrs, &m->cidrs_count, &b->cidrs_room, sizeof *m->cidrs,
	                  from->cidrs + at->cidrs, end->cidrs - at->cidrs);
	m->peers = append(b, m->peers, &m->peers_count, &b->peers_room, sizeof *m->peers,
	                  from->peers + at->peers, end->peers - at->peers);
	m->hosts = append(b, m->hosts, &m->hosts_count, &b->hosts_room, sizeof *m->hosts,
	                  from->hosts + at->hosts, end->hosts - at->hosts);
	m->upstreams = append(b, m->upstreams, &m->upstreams_count, &b->upstreams_room, sizeof *m->upstreams,
	                      from->upstreams + at->upstreams, end->upstreams - at->upstreams);
	m->texts = append(b, m->texts, &m->texts_bytes, &b->texts_room, 1, from->texts + at->texts,
	                  end->texts - at->texts);
}

/* A place of the old model in the new one. */
static uint32_t moved(uint32_t place, size_t from, size_t to)
{
	return (uint32_t)(place - from + to);
}

static uint32_t text_moved(uint32_t place, size_t from, size_t to)
{
	return place != 0 ? moved(place, from, to) : 0;
}

/* None of its hosts is ssh://: those are warned of. */
static void copy_network(struct model_build *b, const struct model *before, size_t index)
{
	struct model        *m = b->model;
	struct model_network network = before->networks[index];
	const struct begins  from = begins_of(before, index);
	const struct begins  end = begins_of(before, index + 1);
	const struct begins  to = begins_of(m, m->networks_count);

	append_all(b, before, &from, &end);
	if (b->no_memory)
		return;
	network.name_at = text_moved(network.name_at, from.texts, to.texts);
	network.addresses_first = (uint32_t)to.cidrs;
	network.peers_first = (uint32_t)to.peers;
	network.hosts_first = (uint32_t)to.hosts;
	for (size_t i = to.peers; i < m->peers_count; i++)
		m->peers[i].ranges_first = moved(m->peers[i].ranges_first, from.cidrs, to.cidrs);
	for (size_t i = to.hosts; i < m->hosts_count; i++) {
		struct model_host *host = &m->hosts[i];

		host->name_at = text_moved(host->name_at, from.texts, to.texts);
		host->host_header_at = text_moved(host->host_header_at, from.texts, to.texts);
		host->upstreams_first = moved(host->upstreams_first, from.upstreams, to.upstreams);
		model_add_claim(b, host->name_at, NULL);
	}
	model_add_network(b, &network, NULL);
}

static void read_network(struct model_build *b, const struct member *member)
{
	char                     key[8];
	const struct model_place here = { .key = key };
	struct cJSON            *node = cJSON_ParseWithLength(member->value, member->bytes);
	size_t                   claims = b->claims_count;

	if (node == NULL) {
		b->no_memory = true;
		return;
	}
	snprintf(key, sizeof key, "%u", member->port);
	model_unique(b, &here, node);
	if (b->found == 0 && !b->no_memory)
		model_read_network(b, key, node, member->port);
	cJSON_Delete(node);
	for (size_t i = claims; i < b->claims_count; i++)
		b->claims[i].node = NULL;
	if (b->model->networks_count > 0)
		b->network_nodes[b->model->networks_count - 1] = NULL;
}

/* Room for how each of `count` networks is written.  Hashes of `before` are of use with its key only. */
static bool begin_sources(struct model_build *b, const struct model *before, size_t count)
{
	struct model_sources *sources = model_alloc(sizeof *sources + count * sizeof sources->list[0]);

	if (sources == NULL) {
		b->no_memory = true;
		return false;
	}
	b->model->sources = sources;
	if (before != NULL && before->sources != NULL)
		sources->key = before->sources->key;
	else if (tg_hash_key_make(&sources->key) == -1)
		tg_die("the kernel has no random numbers");
	return true;
}

static bool written_alike(const struct model_source *a, const struct model_source *b)
{
	return a->bytes != 0 && a->bytes == b->bytes && a->hash == b->hash;
}

static void read_members(struct model_build *b, const struct model *before, const struct members *all)
{
	struct model_sources *sources = b->model->sources;
	size_t                old = 0;
	size_t                old_count = 0;

	if (before != NULL && before->sources != NULL)
		old_count = before->networks_count;
	for (size_t i = 0; i < all->count && b->found == 0 && !b->no_memory; i++) {
		const struct member *member = &all->list[i];
		struct model_source *source = &sources->list[i];
		size_t               warned = b->warned;

		source->hash = tg_hash(&sources->key, member->value, member->bytes);
		source->bytes = member->bytes;
		source->texts_at = (uint32_t)b->model->texts_bytes;
		while (old < old_count && before->networks[old].port < member->port)
			old++;
		if (old < old_count && before->networks[old].port == member->port &&
		    written_alike(&before->sources->list[old], source))
			copy_network(b, before, old);
		else
			read_network(b, member);
		if (b->warned != warned)
			source->bytes = 0;
	}
}

enum model_result model_read_members(struct model_build *b, const struct model *before, const char *text,
                                     size_t bytes, struct model **to)
{
	struct members    all = { .b = b };
	size_t            warnings_count = b->warnings != NULL ? b->warnings->count : 0;
	size_t            warnings_total = b->warnings != NULL ? b->warnings->total : 0;
	enum model_result result = MODEL_INVALID;

	if (bytes > MODEL_BYTES_MOST)
		return MODEL_INVALID;
	if (json_scan_members(text, bytes, on_member, &all, NULL) == 0 && members_sort(&all) &&
	    model_build_begin(b) && begin_sources(b, before, all.count)) {
		read_members(b, before, &all);
		if (b->found == 0)
			result = model_build_end(b, bytes, to);
	}
	model_release(all.list);
	if (b->no_memory)
		return MODEL_NO_MEMORY;
	if (result == MODEL_OK)
		return MODEL_OK;
	if (b->warnings != NULL)
		model_faults_cut(b->warnings, warnings_count, warnings_total);
	return MODEL_INVALID;
}
