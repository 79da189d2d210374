/* Hashes for tables that strangers fill: who does not know the key cannot choose what meets in one
 * bucket. */
#ifndef TOLLGATE_BASE_HASH_H
#define TOLLGATE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct tg_hash_key {
	uint64_t words[2];
};

/* Random.  -1: the kernel gives none; errno says why. */
int tg_hash_key_make(struct tg_hash_key *key);
/* SipHash-2-4. */
uint64_t tg_hash(const struct tg_hash_key *key, const void *bytes, size_t len);
/* With a key that this process alone has; from any thread.  Dies where the kernel gives no random key. */
uint64_t tg_hash_own(const void *bytes, size_t len);

#endif
