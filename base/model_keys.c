/* Public keys by private key.  X25519 takes some 100 µs: too much for each network of a document that
 * comes again and again with little changed in it. */
#include "base/model_build.h"

#include <pthread.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM	     1
#define uthash_malloc(bytes)	     model_alloc(bytes)
#define uthash_free(memory, bytes)   model_release(memory)
#define uthash_nonfatal_oom(element) model_release(element)
#include "base/uthash.h"

/* A document has 65,535 networks at most: all of its keys fit. */
#define KEYS_MOST 65536

struct key_pair {
	struct tg_key  private_key;
	struct tg_key  public_key;
	UT_hash_handle hh;
};

static struct {
	pthread_mutex_t  lock;
	struct key_pair *pairs;		/* in the order they came */
	size_t           most;
} keys = { .lock = PTHREAD_MUTEX_INITIALIZER, .most = KEYS_MOST };

static bool keys_find(const struct tg_key *private_key, struct tg_key *public_key)
{
	struct key_pair *pair;

	HASH_FIND(hh, keys.pairs, private_key, sizeof *private_key, pair);
	if (pair == NULL)
		return false;
	*public_key = pair->public_key;
	return true;
}

static void keys_shrink(size_t most)
{
	while (HASH_COUNT(keys.pairs) > most) {
		struct key_pair *oldest = keys.pairs;

		HASH_DELETE(hh, keys.pairs, oldest);
		model_release(oldest);
	}
}

/* Without memory the pair is not kept: it is only slower next time. */
static void keys_add(const struct tg_key *private_key, const struct tg_key *public_key)
{
	struct key_pair *pair;

	if (keys.most == 0)
		return;
	keys_shrink(keys.most - 1);
	pair = model_alloc(sizeof *pair);
	if (pair == NULL)
		return;
	pair->private_key = *private_key;
	pair->public_key = *public_key;
	HASH_ADD(hh, keys.pairs, private_key, sizeof pair->private_key, pair);
}

int model_public_key(const struct tg_key *private_key, struct tg_key *public_key)
{
	pthread_mutex_lock(&keys.lock);

	bool found = keys_find(private_key, public_key);

	pthread_mutex_unlock(&keys.lock);
	if (found)
		return 0;
	if (tg_key_public(private_key, public_key) == -1)
		return -1;
	pthread_mutex_lock(&keys.lock);
	if (!keys_find(private_key, public_key))
		keys_add(private_key, public_key);
	pthread_mutex_unlock(&keys.lock);
	return 0;
}

size_t model_public_keys_keep(size_t most)
{
	pthread_mutex_lock(&keys.lock);
	keys.most = most < KEYS_MOST ? most : KEYS_MOST;
	keys_shrink(keys.most);

	size_t kept = HASH_COUNT(keys.pairs);

	pthread_mutex_unlock(&keys.lock);
	return kept;
}
