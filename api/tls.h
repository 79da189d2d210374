/* The API's own TLS. */
#ifndef TOLLGATE_API_TLS_H
#define TOLLGATE_API_TLS_H

#include <stddef.h>

#include <openssl/types.h>

struct tg_error;

/* A server's context of PEM texts: the certificate with its chain, its key, and, when not NULL, the
 * authorities of which every client must show a certificate.  TLS 1.2 and up.  NULL: `err` says what
 * is wrong with which.  SSL_CTX_free() it. */
SSL_CTX *tls_new(const char *cert, size_t cert_bytes, const char *key, size_t key_bytes, const char *ca,
                 size_t ca_bytes, struct tg_error *err);

#endif
