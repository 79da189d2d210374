#include "api/tls.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "api/server.h"
#include "base/clock.h"
#include "base/error.h"
#include "tests/support/api_server.h"

void test_tls(TCase *tc);

#define REQUEST "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_ADMIN "\r\n"

/* A certificate, signed by `issuer` or by itself, and its key. */
struct identity {
	EVP_PKEY *key;
	X509 *cert;
	char *key_text, *cert_text;
	size_t key_bytes, cert_bytes;
};

static struct identity server_id, client_id, ca_id, stranger_id;
static struct api_server server;
static struct api_server_client client;
static struct tg_error err;
static bool said_goodbye;	/* the server ended what ask() was told last as TLS wants it */

static char *text_of(BIO *bio, size_t *bytes)
{
	char *data = NULL;
	long len = BIO_get_mem_data(bio, &data);
	char *copy = malloc((size_t)len); /* without a NUL: the lengths must be heeded */

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, data, (size_t)len);
	*bytes = (size_t)len;
	BIO_free(bio);
	return copy;
}

static void make_identity(struct identity *to, const char *name, const struct identity *issuer)
{
	BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_mem());
	X509_NAME *subject;

	to->key = EVP_EC_gen("P-256");
	to->cert = X509_new();
	X509_set_version(to->cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(to->cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(to->cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(to->cert), 3600);
	subject = X509_get_subject_name(to->cert);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(to->cert, issuer == NULL ? subject : X509_get_subject_name(issuer->cert));
	X509_set_pubkey(to->cert, to->key);
	if (issuer == NULL) {
		X509_EXTENSION *ca = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "CA:TRUE");

		X509_add_ext(to->cert, ca, -1);
		X509_EXTENSION_free(ca);
	}
	ck_assert_int_gt(X509_sign(to->cert, issuer == NULL ? to->key : issuer->key, EVP_sha256()), 0);
	PEM_write_bio_X509(cert_bio, to->cert);
	PEM_write_bio_PrivateKey(key_bio, to->key, NULL, NULL, 0, NULL, NULL);
	to->cert_text = text_of(cert_bio, &to->cert_bytes);
	to->key_text = text_of(key_bio, &to->key_bytes);
}

static void clear_identity(struct identity *identity)
{
	EVP_PKEY_free(identity->key);
	X509_free(identity->cert);
	free(identity->key_text);
	free(identity->cert_text);
}

static void set_up(void)
{
	make_identity(&ca_id, "authority", NULL);
	make_identity(&server_id, "gateway", &ca_id);
	make_identity(&client_id, "client", &ca_id);
	make_identity(&stranger_id, "stranger", NULL);
	api_server_init(&server);
	api_server_start(&server);
}

static void tear_down(void)
{
	api_server_leave(&client);
	api_server_stop(&server);
	clear_identity(&ca_id);
	clear_identity(&server_id);
	clear_identity(&client_id);
	clear_identity(&stranger_id);
}

static int use(const struct identity *cert, const struct identity *key, const struct identity *ca)
{
	return api_tls(server.api, cert->cert_text, cert->cert_bytes, key->key_text, key->key_bytes,
	               ca == NULL ? NULL : ca->cert_text, ca == NULL ? 0 : ca->cert_bytes, &err);
}

/* Lets the server do its part.  false: there is no use in trying again. */
static bool again(SSL *ssl, int result)
{
	int error = SSL_get_error(ssl, result);

	api_server_turn(&server);
	usleep(200);
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* Asks over TLS.  Returns what came; "" when it was refused. */
static const char *ask(const char *request, const struct identity *identity, int version)
{
	static char answer[4096];
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	uint64_t end = tg_clock_ms() + 60000;
	size_t have = 0;
	SSL *ssl;
	int result;

	SSL_CTX_set_min_proto_version(context, version);
	SSL_CTX_set_max_proto_version(context, version);
	SSL_CTX_set_security_level(context, 0);
	if (identity != NULL) {
		SSL_CTX_use_certificate(context, identity->cert);
		SSL_CTX_use_PrivateKey(context, identity->key);
	}
	ssl = SSL_new(context);
	api_server_connect(&server, &client, false);
	SSL_set_fd(ssl, client.fd);
	while ((result = SSL_connect(ssl)) != 1 && again(ssl, result) && tg_clock_ms() < end)
		continue;
	if (result == 1)
		ck_assert_int_gt(SSL_write(ssl, request, (int)strlen(request)), 0);
	while (result == 1 && tg_clock_ms() < end && have < sizeof(answer) - 1) {
		int bytes = SSL_read(ssl, answer + have, (int)(sizeof(answer) - 1 - have));

		if (bytes > 0)
			have += (size_t)bytes;
		else if (!again(ssl, bytes))
			break;
		answer[have] = '\0';
		if (strstr(answer, "}") != NULL && strstr(request, "close") == NULL)
			break;
	}
	answer[have] = '\0';
	said_goodbye = (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
	SSL_free(ssl);
	SSL_CTX_free(context);
	return answer;
}

START_TEST(calls_come_over_tls)
{
	ck_assert_int_eq(use(&server_id, &server_id, NULL), 0);
	ck_assert_int_eq(strncmp(ask(REQUEST, NULL, TLS1_3_VERSION), "HTTP/1.1 200 ", 13), 0);
	api_server_leave(&client);
	ck_assert_int_eq(strncmp(ask(REQUEST, NULL, TLS1_2_VERSION), "HTTP/1.1 200 ", 13), 0);
	ck_assert_uint_eq(server.calls, 2);
}
END_TEST

START_TEST(older_tls_is_refused)
{
	ck_assert_int_eq(use(&server_id, &server_id, NULL), 0);
	ck_assert_str_eq(ask(REQUEST, NULL, TLS1_1_VERSION), "");
	ck_assert_uint_eq(server.calls, 0);
}
END_TEST

START_TEST(a_refusal_comes_whole_over_tls)
{
	ck_assert_int_eq(use(&server_id, &server_id, NULL), 0);

	const char *answer = ask("POST /api/v1/apply HTTP/1.1\r\n" API_SERVER_HOST
	                         "Content-Length: 1000\r\nConnection: close\r\n\r\nbegun",
	                         NULL, TLS1_3_VERSION);

	ck_assert_int_eq(strncmp(answer, "HTTP/1.1 401 ", 13), 0);
	ck_assert_ptr_nonnull(strstr(answer, "UNAUTHENTICATED"));
}
END_TEST

/* Without close_notify it looks cut off by somebody on the way (RFC 8446 §6.1). */
START_TEST(only_what_is_whole_ends_with_close_notify)
{
	server.api->limits.head_ms = 500;
	ck_assert_int_eq(use(&server_id, &server_id, NULL), 0);
	ask("GET /api/v1/config HTTP/1.1\r\nConnection: close\r\n" API_SERVER_ADMIN "\r\n", NULL,
	    TLS1_3_VERSION);
	ck_assert(said_goodbye);
	api_server_leave(&client);
	ask("GET /api/v1/config HTTP/1.0\r\nConnection: close\r\n" API_SERVER_ADMIN "\r\n", NULL,
	    TLS1_2_VERSION);
	ck_assert(said_goodbye);
	api_server_leave(&client);
	ck_assert_str_eq(ask("GET /api/v1/config HTTP/1.1\r\nConnection: close\r\n", NULL, TLS1_3_VERSION),
	                 "");
	ck_assert(!said_goodbye);
}
END_TEST

START_TEST(what_is_not_tls_gets_nothing)
{
	server.api->limits.head_ms = 500;
	ck_assert_int_eq(use(&server_id, &server_id, NULL), 0);
	api_server_ask(&server, &client, REQUEST);
	ck_assert_ptr_null(strstr(client.got, "HTTP"));
	ck_assert_uint_eq(server.calls, 0);
}
END_TEST

START_TEST(a_client_certificate_is_needed_beside_the_token)
{
	ck_assert_int_eq(use(&server_id, &server_id, &ca_id), 0);
	ck_assert_str_eq(ask(REQUEST, NULL, TLS1_3_VERSION), "");
	api_server_leave(&client);
	ck_assert_str_eq(ask(REQUEST, &stranger_id, TLS1_3_VERSION), "");
	ck_assert_uint_eq(server.calls, 0);
	api_server_leave(&client);
	ck_assert_int_eq(strncmp(ask(REQUEST, &client_id, TLS1_3_VERSION), "HTTP/1.1 200 ", 13), 0);
	api_server_leave(&client);
	ck_assert_int_eq(strncmp(ask("GET /api/v1/config HTTP/1.1\r\n" API_SERVER_HOST "\r\n", &client_id,
	                             TLS1_3_VERSION),
	                         "HTTP/1.1 401 ", 13),
	                 0);
}
END_TEST

START_TEST(bad_texts_are_named_and_change_nothing)
{
	static const char rubbish[] = "-----BEGIN CERTIFICATE-----\nrubbish\n";

	ck_assert_int_eq(use(&server_id, &server_id, NULL), 0);
	ck_assert_int_eq(use(&server_id, &client_id, NULL), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "key"));
	ck_assert_int_eq(api_tls(server.api, rubbish, sizeof(rubbish) - 1, server_id.key_text,
	                         server_id.key_bytes, NULL, 0, &err),
	                 -1);
	ck_assert_ptr_nonnull(strstr(err.text, "certificate"));
	ck_assert_int_eq(api_tls(server.api, server_id.cert_text, server_id.cert_bytes, server_id.key_text,
	                         server_id.key_bytes, rubbish, sizeof(rubbish) - 1, &err),
	                 -1);
	ck_assert_ptr_nonnull(strstr(err.text, "client CA"));
	ck_assert_int_eq(strncmp(ask(REQUEST, NULL, TLS1_3_VERSION), "HTTP/1.1 200 ", 13), 0);
}
END_TEST

START_TEST(the_unix_socket_stays_plain)
{
	ck_assert_int_eq(use(&server_id, &server_id, NULL), 0);
	api_server_connect(&server, &client, true);
	api_server_say(&client, "GET /api/v1/config HTTP/1.1\r\n" API_SERVER_HOST "\r\n");
	ck_assert(api_server_until(&client, "\"action\":0}", 1));
}
END_TEST

void test_tls(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, calls_come_over_tls);
	tcase_add_test(tc, older_tls_is_refused);
	tcase_add_test(tc, a_refusal_comes_whole_over_tls);
	tcase_add_test(tc, only_what_is_whole_ends_with_close_notify);
	tcase_add_test(tc, what_is_not_tls_gets_nothing);
	tcase_add_test(tc, a_client_certificate_is_needed_beside_the_token);
	tcase_add_test(tc, bad_texts_are_named_and_change_nothing);
	tcase_add_test(tc, the_unix_socket_stays_plain);
}
