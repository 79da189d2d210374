#include "proxy/sources.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define uthash_nonfatal_oom(entry) ((entry)->connections = 0)
#define HASH_NONFATAL_OOM 1
#include "base/uthash.h"

#include "base/address.h"

/* Without padding, because it is compared as bytes. */
struct key {
	uint8_t family;
	uint8_t bytes[16];
};

struct source {
	struct key     key;
	uint32_t       connections;
	UT_hash_handle hh;
};

struct sources {
	struct source *table;
	uint32_t       most;
};

static struct key key_of(const struct tg_endpoint *client)
{
	struct key key = { .family = client->family };

	memcpy(key.bytes, client->bytes, client->family == AF_INET6 ? 8 : 16);
	return key;
}

struct sources *sources_new(uint32_t most)
{
	struct sources *sources = calloc(1, sizeof(*sources));

	if (sources != NULL)
		sources->most = most;
	return sources;
}

static void source_drop(struct sources *sources, struct source *source)
{
	HASH_DEL(sources->table, source);
	free(source);
}

void sources_free(struct sources *sources)
{
	if (sources == NULL)
		return;
	while (sources->table != NULL)
		source_drop(sources, sources->table);
	free(sources);
}

static struct source *source_find(struct sources *sources, const struct key *key)
{
	struct source *source;

	HASH_FIND(hh, sources->table, key, sizeof(*key), source);
	return source;
}

bool sources_enter(struct sources *sources, const struct tg_endpoint *client)
{
	struct key     key = key_of(client);
	struct source *source;

	if (sources->most == 0)
		return true;
	source = source_find(sources, &key);
	if (source == NULL) {
		source = calloc(1, sizeof(*source));
		if (source == NULL)
			return false;
		source->key = key;
		source->connections = 1;
		HASH_ADD(hh, sources->table, key, sizeof(key), source);
		if (source->connections == 1)
			return true;
		free(source);	/* no memory for the table */
		return false;
	}
	if (source->connections >= sources->most)
		return false;
	source->connections++;
	return true;
}

void sources_leave(struct sources *sources, const struct tg_endpoint *client)
{
	struct key     key = key_of(client);
	struct source *source;

	if (sources->most == 0)
		return;
	source = source_find(sources, &key);
	assert(source != NULL);
	if (--source->connections == 0)
		source_drop(sources, source);
}

size_t sources_count(const struct sources *sources)
{
	return HASH_COUNT(sources->table);
}

size_t sources_crowd(const struct sources *sources)
{
	size_t most = 0;

	for (unsigned i = 0; sources->table != NULL && i < sources->table->hh.tbl->num_buckets; i++)
		if (sources->table->hh.tbl->buckets[i].count > most)
			most = sources->table->hh.tbl->buckets[i].count;
	return most;
}
