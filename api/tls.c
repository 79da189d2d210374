#include "api/tls.h"

#include <limits.h>
#include <stdbool.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/error.h"

static BIO *open_text(const char *text, size_t bytes)
{
	return bytes > INT_MAX ? NULL : BIO_new_mem_buf(text, (int)bytes);
}

/* Nobody is there to be asked for a passphrase. */
static int no_passphrase(char *to, int size, int writing, void *arg)
{
	(void)to;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static bool use_cert(SSL_CTX *tls, const char *text, size_t bytes)
{
	BIO *bio = open_text(text, bytes);
	X509 *cert = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
	bool used = cert != NULL && SSL_CTX_use_certificate(tls, cert) == 1;
	X509 *link;

	X509_free(cert);
	while (used && (link = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
		used = SSL_CTX_add0_chain_cert(tls, link) == 1;
		if (!used)
			X509_free(link);
	}
	BIO_free(bio);
	return used;
}

static bool use_key(SSL_CTX *tls, const char *text, size_t bytes)
{
	BIO *bio = open_text(text, bytes);
	EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	bool used = key != NULL && SSL_CTX_use_PrivateKey(tls, key) == 1;

	EVP_PKEY_free(key);
	BIO_free(bio);
	return used;
}

static bool use_ca(SSL_CTX *tls, const char *text, size_t bytes)
{
	BIO *bio = open_text(text, bytes);
	X509_STORE *store = SSL_CTX_get_cert_store(tls);
	X509 *cert;
	bool used = false;

	while (bio != NULL && (cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
		used = X509_STORE_add_cert(store, cert) == 1 && SSL_CTX_add_client_CA(tls, cert) == 1;
		X509_free(cert);
		if (!used)
			break;
	}
	BIO_free(bio);
	return used;
}

SSL_CTX *tls_new(const char *cert, size_t cert_bytes, const char *key, size_t key_bytes, const char *ca,
                 size_t ca_bytes, struct tg_error *err)
{
	static const unsigned char context[] = "tollgate";
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

	if (tls == NULL) {
		tg_fail_memory(err);
		return NULL;
	}
	SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
	SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(tls, context, sizeof(context) - 1);

	if (!use_cert(tls, cert, cert_bytes))
		tg_fail(err, TG_CODE_INVALID, "the API's certificate cannot be used");
	else if (!use_key(tls, key, key_bytes))
		tg_fail(err, TG_CODE_INVALID, "the API's key cannot be used");
	else if (SSL_CTX_check_private_key(tls) != 1)
		tg_fail(err, TG_CODE_INVALID, "the API's key is not that of its certificate");
	else if (ca != NULL && !use_ca(tls, ca, ca_bytes))
		tg_fail(err, TG_CODE_INVALID, "the API's client CA cannot be used");
	else {
		if (ca != NULL)
			SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		ERR_clear_error();
		return tls;
	}
	ERR_clear_error();
	SSL_CTX_free(tls);
	return NULL;
}
