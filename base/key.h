/* WireGuard's keys: 32 bytes, their base64 and their Curve25519 public half (RFC 7748). */
#ifndef TOLLGATE_BASE_KEY_H
#define TOLLGATE_BASE_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TG_KEY_BYTES 32
#define TG_KEY_TEXT  45		/* base64 with padding and the NUL */

struct tg_key {
	uint8_t bytes[TG_KEY_BYTES];
};

/* Canonical base64 of 32 bytes, 44 characters, padding included; anything else is false. */
bool tg_key_read(const char *text, size_t len, struct tg_key *to);
/* As tg_key_read(), and base64url (RFC 4648 §5) with or without padding too. */
bool tg_key_read_url(const char *text, size_t len, struct tg_key *to);
const char *tg_key_print(const struct tg_key *from, char text[TG_KEY_TEXT]);
bool tg_key_equal(const struct tg_key *a, const struct tg_key *b);
bool tg_key_is_zero(const struct tg_key *key);
/* A new private key from the kernel's random numbers, clamped. */
void tg_key_make(struct tg_key *private_key);
/* The public key of a private one: some 100 µs.  -1: libcrypto failed (out of memory). */
int tg_key_public(const struct tg_key *private_key, struct tg_key *public_key);

#endif
