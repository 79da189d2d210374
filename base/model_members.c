/* A document read member by member.  What is written as it was in the document before is not read again
 * but copied from there, and of the others only one at a time is a tree.  That is for documents that are
 * good: which faults there are and in what order is known where the whole is one tree, in model_parse.c. */
#include "base/model_build.h"

#include <assert.h>
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
	uint32_t values;	/* of JSON */
	uint32_t texts_at;	/* where its own begin in the model's texts */
};

struct model_sources {
	struct tg_hash_key  key;
	struct model_source list[];	/* beside model->networks */
};

#define OLD_NONE UINT32_MAX

struct member {
	const char *value;
	uint32_t    bytes;
	uint32_t    values;
	uint32_t    old;	/* the network of the model before that is written alike; or OLD_NONE */
	uint16_t    port;
};

struct members {
	struct model_build *b;
	const struct model *before;	/* NULL: nothing of it can be copied */
	struct member      *list;	/* sorted by port once all are there */
	size_t              count, room;
	uint32_t            old;	/* of the member at hand */
	uint32_t            next_old;	/* most documents keep their order */
	size_t              vain;	/* bytes hashed of what was not as before */
	bool                odd;	/* some key is no port, or not written plainly, or stands twice */
};

/* The network that was under this key before; NULL: there was none. */
static const struct model_network *before_find(const struct members *all, const struct json_member *member)
{
	const struct model *before = all->before;
	uint16_t            port;

	if (!model_port_read(member->name, member->name_bytes, &port))
		return NULL;
	if (all->next_old < before->networks_count && before->networks[all->next_old].port == port)
		return &before->networks[all->next_old];
	return model_find(before, port);
}

/* What is as it was is not even scanned: its hash says that it is whole, and where it ends.  Keys that
 * stand twice must not make this long: in vain no more is hashed than a document may have. */
static bool on_known(void *arg, struct json_member *member, size_t left)
{
	struct members             *all = arg;
	const struct model_sources *sources;
	const struct model_network *network;
	const struct model_source  *source;

	all->old = OLD_NONE;
	network = all->before != NULL && !all->odd ? before_find(all, member) : NULL;
	if (network == NULL)
		return false;
	sources = all->before->sources;
	source = &sources->list[network - all->before->networks];
	if (source->bytes == 0 || source->bytes > left || source->bytes > MODEL_BYTES_MOST - all->vain)
		return false;
	if (tg_hash(&sources->key, member->value, source->bytes) != source->hash) {
		all->vain += source->bytes;
		return false;
	}
	all->old = (uint32_t)(network - all->before->networks);
	all->next_old = all->old + 1;
	member->value_bytes = source->bytes;
	member->values = source->values;
	return true;
}

static void on_member(void *arg, const struct json_member *from)
{
	struct members *all = arg;
	struct member  *list;
	uint16_t        port;

	if (all->odd || all->b->no_memory)
		return;
	if (!model_port_read(from->name, from->name_bytes, &port)) {
		all->odd = true;
		return;
	}
	list = model_grow(all->b, all->list, all->count, &all->room, sizeof *list);
	if (list == NULL)
		return;
	all->list = list;
	list[all->count++] = (struct member){ .value = from->value,
		                              .bytes = (uint32_t)from->value_bytes,
		                              .values = (uint32_t)from->values,
		                              .old = all->old,
		                              .port = port };
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
	bool sorted = true;

	/* A text without any may be no object. */
	if (all->odd || all->count == 0 || all->b->no_memory)
		return false;
	for (size_t i = 1; i < all->count && sorted; i++)
		sorted = all->list[i - 1].port < all->list[i].port;
	if (sorted)
		return true;
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

static void *make_room(struct model_build *b, void *array, size_t count, size_t most, size_t *room,
                       size_t size)
{
	void *larger = model_grow_by(b, array, count, most - count, room, size);

	return larger != NULL ? larger : array;
}

/* As much as `before` has is likely to come: growing there would copy it time and again. */
static void make_rooms(struct model_build *b, const struct model *before)
{
	struct model *m = b->model;

	m->networks = make_room(b, m->networks, 0, before->networks_count, &b->networks_room,
	                        sizeof *m->networks);
	m->cidrs = make_room(b, m->cidrs, 0, before->cidrs_count, &b->cidrs_room, sizeof *m->cidrs);
	m->peers = make_room(b, m->peers, 0, before->peers_count, &b->peers_room, sizeof *m->peers);
	m->hosts = make_room(b, m->hosts, 0, before->hosts_count, &b->hosts_room, sizeof *m->hosts);
	m->upstreams = make_room(b, m->upstreams, 0, before->upstreams_count, &b->upstreams_room,
	                         sizeof *m->upstreams);
	m->texts = make_room(b, m->texts, m->texts_bytes, before->texts_bytes, &b->texts_room, 1);
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

static void read_members(struct model_build *b, const struct model *before, const struct members *all)
{
	struct model_sources *sources = b->model->sources;

	if (before != NULL)
		make_rooms(b, before);
	for (size_t i = 0; i < all->count && b->found == 0 && !b->no_memory; i++) {
		const struct member *member = &all->list[i];
		struct model_source *source = &sources->list[i];
		size_t               warned = b->warned;

		source->bytes = member->bytes;
		source->values = member->values;
		source->texts_at = (uint32_t)b->model->texts_bytes;
		if (member->old != OLD_NONE) {
			const struct model *from = all->before;

			assert(from != NULL && from->sources != NULL);
			source->hash = from->sources->list[member->old].hash;
			copy_network(b, from, member->old);
			continue;
		}
		source->hash = tg_hash(&sources->key, member->value, member->bytes);
		read_network(b, member);
		if (b->warned != warned)
			source->bytes = 0;
	}
}

enum model_result model_read_members(struct model_build *b, const struct model *before, const char *text,
                                     size_t bytes, struct model **to)
{
	struct members    all = { .b = b, .old = OLD_NONE };
	size_t            warnings_count = b->warnings != NULL ? b->warnings->count : 0;
	size_t            warnings_total = b->warnings != NULL ? b->warnings->total : 0;
	enum model_result result = MODEL_INVALID;

	if (bytes > MODEL_BYTES_MOST)
		return MODEL_INVALID;
	if (before != NULL && before->sources != NULL)
		all.before = before;
	if (json_scan_members(text, bytes, on_known, on_member, &all, NULL) == 0 && members_sort(&all) &&
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
