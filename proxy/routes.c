#include "proxy/routes.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/msg.h"

#define MAGIC	   0x326574756f726774ULL	/* "tgroute2": the layout below */
#define HOSTS_MOST (2 * MSG_SLOTS)
#define BYTES_MOST (1U << 30)

/* The file: head, networks, buckets, hosts, upstreams, texts.  All is checked when it is opened. */
struct head {
	uint64_t           magic;
	struct tg_hash_key hash_key;
	uint32_t           buckets_count;	/* a power of two, at least twice the hosts */
	uint32_t           hosts_count;
	uint32_t           upstreams_count;
	uint32_t           texts_bytes;
	uint32_t           networks_count;	/* cookies, ascending */
	uint32_t           zero;
};

struct target {
	uint32_t host_header_at;	/* in texts; 0: none */
	uint32_t upstreams_first;
	uint32_t upstreams_count;
	uint32_t max_connections;
	uint8_t  present;
	uint8_t  proxy_protocol;
	uint8_t  redirect_to_https;
	uint8_t  zero;
};

struct entry {
	uint64_t      netns_cookie;
	uint64_t      network_id;
	uint32_t      name_at;
	uint32_t      hash;
	uint32_t      slot;
	struct target scheme[2];
	uint32_t      zero;
};

struct routes {
	const void               *map;
	size_t                    map_bytes;
	struct tg_hash_key        hash_key;
	uint32_t                  mask;		/* of buckets */
	const uint64_t           *networks;
	uint32_t                  networks_count;
	const uint32_t           *buckets;	/* 1 + index of the host, 0: free.  Linear probing */
	const struct entry       *entries;
	const struct tg_endpoint *upstreams;
	const char               *texts;
};

static uint32_t hash_of(const struct tg_hash_key *key, const char *name)
{
	return (uint32_t)tg_hash(key, name, strlen(name));
}

/* What routes_build() fills before it goes into the file. */
struct draft {
	struct head         head;
	uint64_t           *networks;
	uint32_t           *buckets;
	struct entry       *entries;
	struct tg_endpoint *upstreams;
	char               *texts;
};

static void draft_clear(struct draft *draft)
{
	free(draft->networks);
	free(draft->buckets);
	free(draft->entries);
	free(draft->upstreams);
	free(draft->texts);
}

/* The same in all tables of a process, so that equal hosts make equal tables. */
static int key_read(struct tg_hash_key *to)
{
	static struct tg_hash_key key;
	static bool               made;

	if (!made && tg_hash_key_make(&key) == -1)
		return -1;
	made = true;
	*to = key;
	return 0;
}

static int draft_measure(struct draft *draft, const struct routes_host *hosts, size_t count,
                         struct tg_error *err)
{
	uint64_t upstreams = 0;
	uint64_t texts = 1;
	uint32_t buckets = 2;

	if (count > HOSTS_MOST)
		return tg_fail(err, TG_CODE_LIMIT, "%zu host names are too many", count);
	for (size_t i = 0; i < count; i++) {
		texts += strlen(hosts[i].name) + 1;
		for (int s = 0; s < 2; s++) {
			const struct routes_target *target = &hosts[i].scheme[s];

			if (!target->present)
				continue;
			upstreams += target->upstreams_count;
			if (target->host_header != NULL)
				texts += strlen(target->host_header) + 1;
		}
	}
	while (buckets < 2 * count)
		buckets *= 2;
	if (upstreams * sizeof(struct tg_endpoint) + texts > BYTES_MOST / 2)
		return tg_fail(err, TG_CODE_LIMIT, "the route table is too large");

	draft->head = (struct head){
		.magic = MAGIC,
		.buckets_count = buckets,
		.hosts_count = (uint32_t)count,
		.upstreams_count = (uint32_t)upstreams,
		.texts_bytes = (uint32_t)texts,
	};
	if (key_read(&draft->head.hash_key) == -1)
		return tg_fail_sys(err, "no random numbers");

	draft->networks = calloc(count + 1, sizeof(*draft->networks));
	draft->buckets = calloc(buckets, sizeof(*draft->buckets));
	draft->entries = calloc(count + 1, sizeof(*draft->entries));
	draft->upstreams = calloc(upstreams + 1, sizeof(*draft->upstreams));
	draft->texts = calloc(texts, 1);
	if (draft->networks == NULL || draft->buckets == NULL || draft->entries == NULL ||
	    draft->upstreams == NULL || draft->texts == NULL)
		return tg_fail_memory(err);
	return 0;
}

static int compare_cookies(const void *a, const void *b)
{
	const uint64_t *left = a;
	const uint64_t *right = b;

	return (*left > *right) - (*left < *right);
}

static void draft_networks(struct draft *draft, const struct routes_host *hosts, size_t count)
{
	uint32_t kept = 0;

	for (size_t i = 0; i < count; i++)
		draft->networks[i] = hosts[i].netns_cookie;
	qsort(draft->networks, count, sizeof(*draft->networks), compare_cookies);
	for (size_t i = 0; i < count; i++) {
		if (kept == 0 || draft->networks[i] != draft->networks[kept - 1])
			draft->networks[kept++] = draft->networks[i];
	}
	draft->head.networks_count = kept;
}

/* Returns the bucket of `name`: its own, or the free one where it belongs. */
static uint32_t *draft_bucket(struct draft *draft, const char *name, uint32_t hash)
{
	uint32_t mask = draft->head.buckets_count - 1;

	for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
		uint32_t at = draft->buckets[i];

		if (at == 0 || strcmp(draft->texts + draft->entries[at - 1].name_at, name) == 0)
			return &draft->buckets[i];
	}
}

static uint32_t draft_text(struct draft *draft, uint32_t *end, const char *text)
{
	uint32_t at = *end;
	size_t   bytes = strlen(text) + 1;

	memcpy(draft->texts + at, text, bytes);
	*end += (uint32_t)bytes;
	return at;
}

static int draft_fill(struct draft *draft, const struct routes_host *hosts, size_t count,
                      struct tg_error *err)
{
	uint32_t texts_end = 1;
	uint32_t upstreams_end = 0;

	for (size_t i = 0; i < count; i++) {
		const struct routes_host *host = &hosts[i];
		struct entry             *entry = &draft->entries[i];
		uint32_t                  hash = hash_of(&draft->head.hash_key, host->name);
		uint32_t                 *bucket = draft_bucket(draft, host->name, hash);

		if (*bucket != 0)
			return tg_fail(err, TG_CODE_INVALID, "%.100s is in the route table twice",
			               host->name);
		*bucket = (uint32_t)i + 1;
		entry->netns_cookie = host->netns_cookie;
		entry->network_id = host->network_id;
		entry->name_at = draft_text(draft, &texts_end, host->name);
		entry->hash = hash;
		entry->slot = host->slot;

		for (int s = 0; s < 2; s++) {
			const struct routes_target *from = &host->scheme[s];
			struct target              *to = &entry->scheme[s];

			if (!from->present)
				continue;
			*to = (struct target){
				.upstreams_first = upstreams_end,
				.upstreams_count = from->upstreams_count,
				.max_connections = from->max_connections,
				.present = 1,
				.proxy_protocol = from->proxy_protocol,
				.redirect_to_https = from->redirect_to_https != 0,
			};
			if (from->host_header != NULL)
				to->host_header_at = draft_text(draft, &texts_end, from->host_header);
			if (from->upstreams_count != 0)
				memcpy(draft->upstreams + upstreams_end, from->upstreams,
				       from->upstreams_count * sizeof(struct tg_endpoint));
			upstreams_end += from->upstreams_count;
		}
	}
	return 0;
}

/* The cross-tenant mix-ups that a table can spell: refused when it is built and when it is read. */
static bool ids_are_sound(uint64_t netns_cookie, uint64_t network_id, uint32_t slot)
{
	if (slot == ROUTES_FORWARD)
		return netns_cookie == 0;
	return slot < MSG_SLOTS && (network_id == 0 || network_id == netns_cookie);
}

int routes_build(const struct routes_host *hosts, size_t count, struct tg_error *err)
{
	struct draft draft = { 0 };
	int          fd = -1;

	for (size_t i = 0; i < count; i++) {
		if (!ids_are_sound(hosts[i].netns_cookie, hosts[i].network_id, hosts[i].slot))
			return tg_fail(err, TG_CODE_INVALID, "%.100s has a wrong network or slot",
			               hosts[i].name);
	}
	if (draft_measure(&draft, hosts, count, err) == 0 && draft_fill(&draft, hosts, count, err) == 0) {
		const struct head *head = &draft.head;

		draft_networks(&draft, hosts, count);

		const struct tg_part parts[] = {
			{ head, sizeof(*head) },
			{ draft.networks, head->networks_count * sizeof(*draft.networks) },
			{ draft.buckets, head->buckets_count * sizeof(*draft.buckets) },
			{ draft.entries, head->hosts_count * sizeof(*draft.entries) },
			{ draft.upstreams, head->upstreams_count * sizeof(*draft.upstreams) },
			{ draft.texts, head->texts_bytes },
		};

		fd = tg_memfd_make("routes", parts, sizeof(parts) / sizeof(parts[0]), err);
	}
	draft_clear(&draft);
	return fd;
}

static bool target_is_sound(const struct target *target, const struct head *head, const char *texts)
{
	return target->present <= 1 && target->proxy_protocol <= 2 && target->redirect_to_https <= 1 &&
	       target->host_header_at < head->texts_bytes &&
	       strnlen(texts + target->host_header_at, MSG_HOST_MOST) < MSG_HOST_MOST &&
	       (uint64_t)target->upstreams_first + target->upstreams_count <= head->upstreams_count;
}

/* Texts end with NUL, so every index into them is a text. */
static bool content_is_sound(const struct routes *routes, const struct head *head)
{
	uint32_t used = 0;

	if (routes->texts[0] != '\0' || routes->texts[head->texts_bytes - 1] != '\0')
		return false;
	for (uint32_t i = 0; i < head->buckets_count; i++) {
		if (routes->buckets[i] > head->hosts_count)
			return false;
		used += routes->buckets[i] != 0;
	}
	if (used > head->buckets_count / 2)
		return false;	/* a search ends at a free bucket */
	for (uint32_t i = 1; i < head->networks_count; i++) {
		if (routes->networks[i - 1] >= routes->networks[i])
			return false;
	}
	for (uint32_t i = 0; i < head->hosts_count; i++) {
		const struct entry *entry = &routes->entries[i];

		if (entry->name_at >= head->texts_bytes ||
		    strnlen(routes->texts + entry->name_at, MSG_HOST_MOST) >= MSG_HOST_MOST ||
		    !ids_are_sound(entry->netns_cookie, entry->network_id, entry->slot) ||
		    !target_is_sound(&entry->scheme[0], head, routes->texts) ||
		    !target_is_sound(&entry->scheme[1], head, routes->texts))
			return false;
	}
	for (uint32_t i = 0; i < head->upstreams_count; i++) {
		const struct tg_endpoint *upstream = &routes->upstreams[i];

		if ((upstream->family != AF_INET && upstream->family != AF_INET6) || upstream->port == 0)
			return false;
	}
	return true;
}

/* Lays the parts over the map; false when they do not fill it exactly. */
static bool layout_is_sound(struct routes *routes, const struct head *head)
{
	uint64_t networks_at = sizeof(*head);
	uint64_t buckets_at = networks_at + (uint64_t)head->networks_count * sizeof(uint64_t);
	uint64_t entries_at = buckets_at + (uint64_t)head->buckets_count * sizeof(uint32_t);
	uint64_t upstreams_at = entries_at + (uint64_t)head->hosts_count * sizeof(struct entry);
	uint64_t texts_at = upstreams_at + (uint64_t)head->upstreams_count * sizeof(struct tg_endpoint);
	const char *map = routes->map;

	if (head->magic != MAGIC || head->buckets_count < 2 ||
	    (head->buckets_count & (head->buckets_count - 1)) != 0 || head->hosts_count > HOSTS_MOST ||
	    head->networks_count > HOSTS_MOST || head->texts_bytes == 0 ||
	    texts_at + head->texts_bytes != routes->map_bytes)
		return false;
	routes->hash_key = head->hash_key;
	routes->mask = head->buckets_count - 1;
	routes->networks = (const void *)(map + networks_at);
	routes->networks_count = head->networks_count;
	routes->buckets = (const void *)(map + buckets_at);
	routes->entries = (const void *)(map + entries_at);
	routes->upstreams = (const void *)(map + upstreams_at);
	routes->texts = map + texts_at;
	return true;
}

struct routes *routes_open(int fd, struct tg_error *err)
{
	struct routes *routes = calloc(1, sizeof(*routes));

	if (routes == NULL) {
		tg_fail_memory(err);
		return NULL;
	}
	routes->map = tg_memfd_map(fd, sizeof(struct head) + 1, BYTES_MOST, &routes->map_bytes, err);
	if (routes->map == NULL) {
		free(routes);
		return NULL;
	}
	if (!layout_is_sound(routes, routes->map) || !content_is_sound(routes, routes->map)) {
		tg_fail(err, TG_CODE_PROTOCOL, "the route table is damaged");
		routes_close(routes);
		return NULL;
	}
	return routes;
}

void routes_close(struct routes *routes)
{
	if (routes == NULL)
		return;
	tg_memfd_unmap(routes->map, routes->map_bytes);
	free(routes);
}

static const struct entry *entry_find(const struct routes *routes, enum routes_scheme scheme,
                                      const char *name)
{
	uint32_t hash = hash_of(&routes->hash_key, name);

	for (uint32_t i = hash & routes->mask; routes->buckets[i] != 0; i = (i + 1) & routes->mask) {
		const struct entry *entry = &routes->entries[routes->buckets[i] - 1];

		if (entry->hash == hash && strcmp(routes->texts + entry->name_at, name) == 0)
			return entry->scheme[scheme].present ? entry : NULL;
	}
	return NULL;
}

static void target_read(const struct routes *routes, const struct target *from, struct routes_target *to)
{
	*to = (struct routes_target){
		.host_header = from->host_header_at == 0 ? NULL : routes->texts + from->host_header_at,
		.upstreams = routes->upstreams + from->upstreams_first,
		.upstreams_count = from->upstreams_count,
		.max_connections = from->max_connections,
		.present = from->present,
		.proxy_protocol = from->proxy_protocol,
		.redirect_to_https = from->redirect_to_https,
	};
}

bool routes_find(const struct routes *routes, enum routes_scheme scheme, const char *name,
                 struct routes_host *to)
{
	const struct entry *entry = entry_find(routes, scheme, name);
	const char         *parent = strchr(name, '.');

	if (entry == NULL && parent != NULL && strlen(parent) < MSG_HOST_MOST - 1) {
		char wildcard[MSG_HOST_MOST] = "*";

		strcpy(wildcard + 1, parent);
		entry = entry_find(routes, scheme, wildcard);
	}
	if (entry == NULL)
		return false;
	*to = (struct routes_host){
		.name = routes->texts + entry->name_at,
		.netns_cookie = entry->netns_cookie,
		.network_id = entry->network_id,
		.slot = entry->slot,
	};
	target_read(routes, &entry->scheme[0], &to->scheme[0]);
	target_read(routes, &entry->scheme[1], &to->scheme[1]);
	return true;
}

bool routes_have_network(const struct routes *routes, uint64_t netns_cookie)
{
	return bsearch(&netns_cookie, routes->networks, routes->networks_count, sizeof(netns_cookie),
	               compare_cookies) != NULL;
}
