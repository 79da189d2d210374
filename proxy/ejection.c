#include "proxy/ejection.h"

#include <stdlib.h>
#include <string.h>

#define uthash_nonfatal_oom(entry) ((entry)->in_table = false)
#define HASH_NONFATAL_OOM 1
#include "base/uthash.h"

#include "base/address.h"
#include "base/clock.h"

/* Without padding, because it is compared as bytes. */
struct key {
	uint64_t netns_cookie;
	uint16_t port;
	uint16_t family;
	uint8_t  bytes[16];
	uint32_t zero;
};

struct ejected {
	struct key     key;
	uint64_t       until_ms;
	bool           in_table;
	UT_hash_handle hh;
};

/* uthash keeps the order of insertion: the first is the one that failed longest ago. */
struct ejection {
	struct ejected *table;
};

struct ejection *ejection_new(void)
{
	return calloc(1, sizeof(struct ejection));
}

static void drop(struct ejection *ejection, struct ejected *ejected)
{
	HASH_DEL(ejection->table, ejected);
	free(ejected);
}

void ejection_free(struct ejection *ejection)
{
	if (ejection == NULL)
		return;
	while (ejection->table != NULL)
		drop(ejection, ejection->table);
	free(ejection);
}

static struct key key_of(uint64_t netns_cookie, const struct tg_endpoint *endpoint)
{
	struct key key = {
		.netns_cookie = netns_cookie,
		.port = endpoint->port,
		.family = endpoint->family,
	};

	memcpy(key.bytes, endpoint->bytes, sizeof(key.bytes));
	return key;
}

static struct ejected *find(struct ejection *ejection, const struct key *key)
{
	struct ejected *ejected;

	HASH_FIND(hh, ejection->table, key, sizeof(*key), ejected);
	return ejected;
}

void ejection_add(struct ejection *ejection, uint64_t netns_cookie, const struct tg_endpoint *endpoint)
{
	struct key      key = key_of(netns_cookie, endpoint);
	struct ejected *ejected = find(ejection, &key);

	if (ejected != NULL)
		drop(ejection, ejected);
	if (HASH_COUNT(ejection->table) >= EJECTION_MOST)
		drop(ejection, ejection->table);
	ejected = calloc(1, sizeof(*ejected));
	if (ejected == NULL)
		return;		/* it will be tried again, no more */
	*ejected = (struct ejected){ .key = key, .until_ms = tg_clock_ms() + EJECTION_MS, .in_table = true };
	HASH_ADD(hh, ejection->table, key, sizeof(key), ejected);
	if (!ejected->in_table)
		free(ejected);
}

void ejection_remove(struct ejection *ejection, uint64_t netns_cookie, const struct tg_endpoint *endpoint)
{
	if (ejection->table == NULL)
		return;

	struct key      key = key_of(netns_cookie, endpoint);
	struct ejected *ejected = find(ejection, &key);

	if (ejected != NULL)
		drop(ejection, ejected);
}

bool ejection_has(struct ejection *ejection, uint64_t netns_cookie, const struct tg_endpoint *endpoint)
{
	if (ejection->table == NULL)
		return false;

	struct key      key = key_of(netns_cookie, endpoint);
	struct ejected *ejected = find(ejection, &key);

	if (ejected == NULL)
		return false;
	if (tg_clock_ms() < ejected->until_ms)
		return true;
	drop(ejection, ejected);
	return false;
}
