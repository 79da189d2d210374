#include "base/key.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

void test_key(TCase *tc);

/* RFC 7748 §6.1: Alice's private and public key. */
static const uint8_t alice_private[] = {
	0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45,
	0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a,
};
static const uint8_t alice_public[] = {
	0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d, 0xdc, 0xb4, 0x3e, 0xf7, 0x5a,
	0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38, 0x1a, 0xf4, 0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b, 0x4e, 0x6a,
};

START_TEST(the_public_half_is_that_of_the_rfc)
{
	struct tg_key private_key, public_key;

	memcpy(private_key.bytes, alice_private, TG_KEY_BYTES);
	ck_assert_int_eq(tg_key_public(&private_key, &public_key), 0);
	ck_assert_mem_eq(public_key.bytes, alice_public, TG_KEY_BYTES);
}
END_TEST

START_TEST(a_key_has_one_text)
{
	struct tg_key key, back;
	char          text[TG_KEY_TEXT];

	tg_key_make(&key);
	tg_key_print(&key, text);
	ck_assert_uint_eq(strlen(text), 44);
	ck_assert(tg_key_read(text, 44, &back) && tg_key_equal(&key, &back));
	/* The last character before '=' has two spare bits: other texts decode alike, and are refused. */
	text[42] = (char)(text[42] + 1);
	ck_assert(!tg_key_read(text, 44, &back));
}
END_TEST

START_TEST(what_is_no_key_is_refused)
{
	static const char *const bad[] = { "", "=", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
					   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
					   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
					   " AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
					   "AAAAAAAAAAAAAAAAAAAAA-AAAAAAAAAAAAAAAAAAAAA=",
					   "AAAAAAAAAAAAAAAAAAAAA\nAAAAAAAAAAAAAAAAAAAAA=" };
	struct tg_key            key;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(!tg_key_read(bad[i], strlen(bad[i]), &key), "%s", bad[i]);
}
END_TEST

START_TEST(base64url_is_read_with_and_without_padding)
{
	struct tg_key key, back;
	char          text[TG_KEY_TEXT];

	memset(key.bytes, 0xfb, sizeof key.bytes);
	tg_key_print(&key, text);
	for (size_t i = 0; i < 44; i++)
		text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
	ck_assert(tg_key_read_url(text, 44, &back) && tg_key_equal(&key, &back));
	ck_assert(tg_key_read_url(text, 43, &back) && tg_key_equal(&key, &back));
	ck_assert(!tg_key_read_url(text, 42, &back));
	ck_assert(!tg_key_read(text, 44, &back));
}
END_TEST

START_TEST(made_keys_differ_and_are_clamped)
{
	struct tg_key a, b;

	tg_key_make(&a);
	tg_key_make(&b);
	ck_assert(!tg_key_equal(&a, &b) && !tg_key_is_zero(&a));
	ck_assert_uint_eq(a.bytes[0] & 7, 0);
	ck_assert_uint_eq(a.bytes[31] & 0xc0, 0x40);
}
END_TEST

void test_key(TCase *tc)
{
	tcase_add_test(tc, the_public_half_is_that_of_the_rfc);
	tcase_add_test(tc, a_key_has_one_text);
	tcase_add_test(tc, what_is_no_key_is_refused);
	tcase_add_test(tc, base64url_is_read_with_and_without_padding);
	tcase_add_test(tc, made_keys_differ_and_are_clamped);
}
