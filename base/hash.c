#include "base/hash.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"

int tg_hash_key_make(struct tg_hash_key *key)
{
	return getrandom(key, sizeof *key, 0) == (ssize_t)sizeof *key ? 0 : -1;
}

static uint64_t turn(uint64_t word, unsigned bits)
{
	return word << bits | word >> (64 - bits);
}

/* Aumasson and Bernstein, "SipHash: a fast short-input PRF", §2. */
static void rounds(uint64_t v[4], int count)
{
	for (int i = 0; i < count; i++) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = turn(v[1], 13) ^ v[0];
		v[3] = turn(v[3], 16) ^ v[2];
		v[0] = turn(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = turn(v[1], 17) ^ v[2];
		v[3] = turn(v[3], 21) ^ v[0];
		v[2] = turn(v[2], 32);
	}
}

static void take_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	rounds(v, 2);
	v[0] ^= word;
}

uint64_t tg_hash(const struct tg_hash_key *key, const void *bytes, size_t len)
{
	uint64_t k0 = le64toh(key->words[0]), k1 = le64toh(key->words[1]);
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
			  k1 ^ 0x7465646279746573 };
	const uint8_t *at = bytes;
	uint64_t       word;
	size_t         left = len;

	for (; left >= sizeof word; left -= sizeof word, at += sizeof word) {
		memcpy(&word, at, sizeof word);
		take_word(v, le64toh(word));
	}
	word = 0;
	memcpy(&word, at, left);
	take_word(v, le64toh(word) | (uint64_t)len << 56);
	v[2] ^= 0xff;
	rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static struct tg_hash_key own_key;

static void own_key_make(void)
{
	if (tg_hash_key_make(&own_key) == -1)
		tg_die("no random numbers");
}

uint64_t tg_hash_own(const void *bytes, size_t len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, own_key_make);
	return tg_hash(&own_key, bytes, len);
}
