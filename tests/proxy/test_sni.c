#include "proxy/sni.h"

#include <check.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/ingress.h"

void test_sni(TCase *tc);

/* As long as what has come, so that the address sanitizer sees a read past the end. */
static enum sni_result read_exact(const uint8_t *bytes, size_t count, char *host)
{
	uint8_t        *copy = malloc(count == 0 ? 1 : count);
	enum sni_result result;

	memcpy(copy, bytes, count);
	result = sni_read(copy, count, host);
	free(copy);
	return result;
}

static void every_prefix(const uint8_t *hello, size_t len, const char *name)
{
	char host[SNI_HOST_MOST + 1];

	for (size_t n = 0; n < len; n++)
		ck_assert_msg(read_exact(hello, n, host) == SNI_MORE, "after %zu bytes of %zu", n, len);
	ck_assert_int_eq(read_exact(hello, len, host), SNI_FOUND);
	ck_assert_str_eq(host, name);
}

/* Cuts the message in `hello`, which is one record, into records of 1 to `most` bytes. */
static size_t resplit(const uint8_t *hello, size_t len, size_t most, uint8_t *to)
{
	size_t at = 0;

	for (size_t from = 5; from < len;) {
		size_t piece = 1 + (size_t)rand() % most;

		if (piece > len - from)
			piece = len - from;
		to[at++] = 22;
		to[at++] = 3;
		to[at++] = 1;
		to[at++] = (uint8_t)(piece >> 8);
		to[at++] = (uint8_t)piece;
		memcpy(to + at, hello + from, piece);
		at += piece;
		from += piece;
	}
	return at;
}

static int add_key_share(SSL *ssl, unsigned type, unsigned context, const unsigned char **out, size_t *len,
                         X509 *x, size_t index, int *alert, void *arg)
{
	static const unsigned char share[1216];

	(void)ssl, (void)type, (void)context, (void)x, (void)index, (void)alert, (void)arg;
	*out = share;
	*len = sizeof share;
	return 1;
}

/* What a real library sends; `large` adds what a post-quantum key share takes. */
static size_t openssl_hello(uint8_t *to, const char *name, bool large)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL     *ssl;
	BIO     *out = BIO_new(BIO_s_mem());
	char     host[64];
	int      len;

	snprintf(host, sizeof host, "%s", name);
	if (large)
		ck_assert_int_eq(SSL_CTX_add_custom_ext(context, 65000, SSL_EXT_CLIENT_HELLO, add_key_share,
		                                        NULL, NULL, NULL, NULL),
		                 1);
	ssl = SSL_new(context);
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
	SSL_set_tlsext_host_name(ssl, host);
	SSL_connect(ssl);
	len = BIO_read(out, to, HELLO_MAX);
	ck_assert_int_gt(len, large ? 1400 : 100);
	SSL_free(ssl);
	SSL_CTX_free(context);
	return (size_t)len;
}

START_TEST(every_prefix_asks_for_more)
{
	uint8_t hello[HELLO_MAX];

	every_prefix(hello, hello_make(hello, "shop.example", 0), "shop.example");
	every_prefix(hello, hello_make(hello, "shop.example", 1700), "shop.example");
}
END_TEST

START_TEST(a_hello_of_openssl_is_read)
{
	uint8_t hello[HELLO_MAX];

	every_prefix(hello, openssl_hello(hello, "Git.Example.COM", false), "git.example.com");
	every_prefix(hello, openssl_hello(hello, "git.example.com", true), "git.example.com");
}
END_TEST

START_TEST(any_split_over_records_is_read)
{
	uint8_t hello[HELLO_MAX];
	uint8_t split[6 * HELLO_MAX];
	size_t  len = openssl_hello(hello, "a.example", true);

	srand(1);
	for (size_t most = 1; most < 2000; most = most * 3 + 1)
		every_prefix(split, resplit(hello, len, most, split), "a.example");
}
END_TEST

START_TEST(what_follows_the_hello_does_not_matter)
{
	uint8_t hello[HELLO_MAX];
	char    host[SNI_HOST_MOST + 1];
	size_t  len = hello_make(hello, "a.example", 0);

	memset(hello + len, 0xff, 100);
	ck_assert_int_eq(read_exact(hello, len + 100, host), SNI_FOUND);
}
END_TEST

START_TEST(a_hello_of_16_kib_is_read_and_a_larger_one_refused)
{
	uint8_t hello[HELLO_MAX];
	uint8_t split[2 * HELLO_MAX];
	char    host[SNI_HOST_MOST + 1];
	/* 16384 bytes with the message's header of 4 fill the record: more than that needs two. */
	size_t  rest = hello_make(hello, "a.example", 1) - 5 - 1;
	size_t  len = hello_make(hello, "a.example", SNI_HELLO_MOST + 4 - rest);

	ck_assert_uint_eq(len, 5 + 4 + SNI_HELLO_MOST);
	srand(2);
	ck_assert_int_eq(read_exact(split, resplit(hello, len, 9000, split), host), SNI_FOUND);

	len = hello_make(hello, "a.example", SNI_HELLO_MOST + 4 - rest + 1);
	ck_assert_int_eq(read_exact(split, resplit(hello, len, 9000, split), host), SNI_TOO_LARGE);
	ck_assert_int_eq(read_exact(split, 5 + 4, host), SNI_TOO_LARGE);
}
END_TEST

START_TEST(a_hello_in_too_many_small_records_is_refused)
{
	uint8_t hello[HELLO_MAX];
	uint8_t split[6 * HELLO_MAX];
	char    host[SNI_HOST_MOST + 1];
	size_t  len = hello_make(hello, "a.example", 8000);

	resplit(hello, len, 1, split);
	ck_assert_int_eq(read_exact(split, SNI_BYTES_MOST - 1, host), SNI_MORE);
	ck_assert_int_eq(read_exact(split, SNI_BYTES_MOST, host), SNI_TOO_LARGE);
}
END_TEST

START_TEST(without_a_usable_name_there_is_none)
{
	static const char *const names[] = { "a b.example", "-.example!", "a..example", "*.example",
		                             "\xc3\xa4.example" };
	uint8_t hello[HELLO_MAX];
	char    host[SNI_HOST_MOST + 1];

	ck_assert_int_eq(read_exact(hello, hello_make(hello, NULL, 0), host), SNI_NONE);
	ck_assert_int_eq(read_exact(hello, hello_make(hello, NULL, 500), host), SNI_NONE);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		ck_assert_msg(read_exact(hello, hello_make(hello, names[i], 0), host) == SNI_NONE, "%s",
		              names[i]);
}
END_TEST

START_TEST(a_name_with_a_zero_byte_is_not_cut_short)
{
	uint8_t hello[HELLO_MAX];
	char    host[SNI_HOST_MOST + 1];
	size_t  len = hello_make(hello, "shop.exampleX.evil", 0);

	hello[len - 6] = '\0';
	ck_assert_int_eq(read_exact(hello, len, host), SNI_NONE);
}
END_TEST

/* Offsets in what hello_make() makes without `more`. */
enum {
	AT_RECORD = 0,
	AT_VERSION = 1,
	AT_LENGTH = 3,
	AT_MESSAGE = 5,
	AT_LEGACY = 9,
	AT_SESSION = 43,
	AT_SUITES = 76,
	AT_COMPRESSION = 82,
	AT_EXTENSIONS = 84,
	AT_EXTENSION = 86,
	AT_LIST = 90,
	AT_NAME = 92
};

START_TEST(what_breaks_the_rules_is_malformed)
{
	static const struct {
		size_t  at;
		uint8_t value;
	} cases[] = {
		{ AT_RECORD, 23 },          { AT_RECORD, 0x80 },     { AT_VERSION, 2 },
		{ AT_MESSAGE, 2 },          { AT_MESSAGE, 0 },       { AT_LEGACY, 2 },
		{ AT_SESSION, 33 },         { AT_SUITES + 1, 3 },    { AT_SUITES + 1, 0 },
		{ AT_COMPRESSION, 0 },      { AT_COMPRESSION, 9 },   { AT_EXTENSIONS + 1, 0 },
		{ AT_EXTENSIONS + 1, 255 }, { AT_EXTENSION + 3, 1 }, { AT_EXTENSION + 3, 200 },
		{ AT_LIST + 1, 0 },         { AT_LIST + 1, 200 },    { AT_NAME + 2, 0 },
		{ AT_NAME + 2, 200 },       { AT_LENGTH, 0x41 },
	};
	uint8_t hello[HELLO_MAX];
	char    host[SNI_HOST_MOST + 1];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		size_t len = hello_make(hello, "shop.example", 0);

		hello[cases[i].at] = cases[i].value;
		ck_assert_msg(read_exact(hello, len, host) == SNI_MALFORMED, "byte %zu is %u", cases[i].at,
		              cases[i].value);
	}
}
END_TEST

START_TEST(an_empty_record_is_malformed)
{
	static const uint8_t empty[] = { 22, 3, 1, 0, 0 };
	char                 host[SNI_HOST_MOST + 1];

	ck_assert_int_eq(read_exact(empty, sizeof empty, host), SNI_MALFORMED);
}
END_TEST

START_TEST(a_double_extension_is_malformed)
{
	uint8_t hello[HELLO_MAX];
	char    host[SNI_HOST_MOST + 1];
	size_t  len = hello_make(hello, "shop.example", 17);

	/* The unknown one, of as many bytes, becomes a second server name. */
	memcpy(hello + AT_EXTENSION, hello + AT_EXTENSION + 4 + 17, 4 + 17);
	ck_assert_int_eq(read_exact(hello, len, host), SNI_MALFORMED);
}
END_TEST

/* As many as a hello may have, all different, the name among them; and one more. */
START_TEST(a_hello_with_too_many_extensions_is_malformed)
{
	uint8_t hello[HELLO_MAX];
	char    host[SNI_HOST_MOST + 1];

	for (size_t count = 126; count <= 128; count++) {
		size_t len = hello_make(hello, "shop.example", 4 * (count - 1));

		/* The unknown one becomes many empty ones. */
		for (size_t i = 0; i < count; i++) {
			uint8_t *extension = hello + AT_EXTENSION + 4 * i;

			extension[0] = 0xff;
			extension[1] = (uint8_t)i;
			extension[2] = extension[3] = 0;
		}
		ck_assert_int_eq(read_exact(hello, len, host), count < 128 ? SNI_FOUND : SNI_MALFORMED);
	}
}
END_TEST

START_TEST(a_plain_request_is_told_from_noise)
{
	static const char request[] = "GET / HTTP/1.1\r\n\r\n";
	char              host[SNI_HOST_MOST + 1];

	for (size_t n = 0; n < 4; n++)
		ck_assert_int_eq(read_exact((const uint8_t *)request, n, host), SNI_MORE);
	ck_assert_int_eq(read_exact((const uint8_t *)request, 4, host), SNI_HTTP);
	ck_assert_int_eq(read_exact((const uint8_t *)"OPTIONS *", 9, host), SNI_HTTP);
	ck_assert_int_eq(read_exact((const uint8_t *)"GOT ", 4, host), SNI_MALFORMED);
	ck_assert_int_eq(read_exact((const uint8_t *)"\x80\x2e\x01\x03\x01", 5, host), SNI_MALFORMED);
	ck_assert_int_eq(read_exact((const uint8_t *)"SSH-2.0-x", 9, host), SNI_MALFORMED);
}
END_TEST

START_TEST(random_bytes_end_in_some_result)
{
	uint8_t bytes[600];
	char    host[SNI_HOST_MOST + 1];

	srand(3);
	for (int i = 0; i < 20000; i++) {
		size_t len = hello_make(bytes, "shop.example", 100);

		for (int k = 0; k < 1 + i % 5; k++)
			bytes[(size_t)rand() % len] = (uint8_t)rand();
		ck_assert_int_le(read_exact(bytes, (size_t)rand() % len, host), SNI_HTTP);
	}
}
END_TEST

void test_sni(TCase *tc)
{
	tcase_add_test(tc, every_prefix_asks_for_more);
	tcase_add_test(tc, a_hello_of_openssl_is_read);
	tcase_add_test(tc, any_split_over_records_is_read);
	tcase_add_test(tc, what_follows_the_hello_does_not_matter);
	tcase_add_test(tc, a_hello_of_16_kib_is_read_and_a_larger_one_refused);
	tcase_add_test(tc, a_hello_in_too_many_small_records_is_refused);
	tcase_add_test(tc, without_a_usable_name_there_is_none);
	tcase_add_test(tc, a_name_with_a_zero_byte_is_not_cut_short);
	tcase_add_test(tc, what_breaks_the_rules_is_malformed);
	tcase_add_test(tc, an_empty_record_is_malformed);
	tcase_add_test(tc, a_double_extension_is_malformed);
	tcase_add_test(tc, a_hello_with_too_many_extensions_is_malformed);
	tcase_add_test(tc, a_plain_request_is_told_from_noise);
	tcase_add_test(tc, random_bytes_end_in_some_result);
}
