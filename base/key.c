#include "base/key.h"

#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"

bool tg_key_read(const char *text, size_t len, struct tg_key *to)
{
	/* Base64 of 32 bytes: ten groups of three, then two bytes and one '='. */
	unsigned char bytes[33];
	char          again[TG_KEY_TEXT];

	if (len != TG_KEY_TEXT - 1 || text[len - 1] != '=' || memchr(text, '=', len - 1) != NULL)
		return false;
	if (EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)len) != (int)sizeof bytes)
		return false;
	memcpy(to->bytes, bytes, TG_KEY_BYTES);
	/* The decoder skips white space and takes spare bits that are not zero: one key, one text. */
	tg_key_print(to, again);
	return memcmp(again, text, len) == 0;
}

bool tg_key_read_url(const char *text, size_t len, struct tg_key *to)
{
	char plain[TG_KEY_TEXT];

	if (len != TG_KEY_TEXT - 1 && len != TG_KEY_TEXT - 2)
		return false;
	memcpy(plain, text, len);
	if (len == TG_KEY_TEXT - 2)
		plain[len] = '=';
	for (size_t i = 0; i < len; i++) {
		if (plain[i] == '-')
			plain[i] = '+';
		else if (plain[i] == '_')
			plain[i] = '/';
	}
	return tg_key_read(plain, TG_KEY_TEXT - 1, to);
}

const char *tg_key_print(const struct tg_key *from, char text[TG_KEY_TEXT])
{
	EVP_EncodeBlock((unsigned char *)text, from->bytes, TG_KEY_BYTES);
	return text;
}

bool tg_key_equal(const struct tg_key *a, const struct tg_key *b)
{
	return memcmp(a->bytes, b->bytes, TG_KEY_BYTES) == 0;
}

bool tg_key_is_zero(const struct tg_key *key)
{
	static const struct tg_key zero;

	return tg_key_equal(key, &zero);
}

void tg_key_make(struct tg_key *private_key)
{
	if (getrandom(private_key->bytes, TG_KEY_BYTES, 0) != TG_KEY_BYTES)
		tg_die("the kernel has no random numbers");
	private_key->bytes[0] &= 248;
	private_key->bytes[31] = (uint8_t)((private_key->bytes[31] & 127) | 64);
}

int tg_key_public(const struct tg_key *private_key, struct tg_key *public_key)
{
	size_t    bytes = TG_KEY_BYTES;
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key->bytes, TG_KEY_BYTES);
	int       made = key != NULL && EVP_PKEY_get_raw_public_key(key, public_key->bytes, &bytes) == 1;

	EVP_PKEY_free(key);
	return made ? 0 : -1;
}
