/* What a gateway changes in the heads that it forwards (RFC 9110 §7.6): fields of one hop go, those
 * that say who the client is are set here whatever the client said.  All else passes byte for byte. */
#ifndef TOLLGATE_PROXY_HTTP_FORWARD_H
#define TOLLGATE_PROXY_HTTP_FORWARD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/msg.h"

struct http_head;

#define HTTP_FORWARD_GROWTH 1536	/* a forwarded head is at most this much longer than it came */
#define HTTP_ANSWER_MOST    1024	/* bytes of an answer of the gateway's own, without a location */

enum http_host_result {
	HTTP_HOST_NAME,		/* *name is set */
	HTTP_HOST_ADDRESS,	/* right, but an IP address in brackets or nothing: no document has it */
	HTTP_HOST_BAD,
};

/* The name that a request is routed by: of its Host field, lower case, without port. */
enum http_host_result http_forward_host(const struct http_head *head, const char *bytes,
                                        char name[MSG_HOST_MOST]);

struct http_forward {
	const char *client;		/* the client's address as text, without brackets or port */
	const char *host_header;	/* NULL: as the client sent it */
	bool        upgrade;		/* ask upstream to upgrade */
};

/* Whether a request asks for an upgrade that the gateway lets through: without a body, and not to
 * HTTP/2, whose requests would no longer be routed each by its own name. */
bool http_forward_upgrades(const struct http_head *head, const char *bytes);
/* Writes the head as upstream is to see it; returns its length.  `to` has room for head->bytes +
 * HTTP_FORWARD_GROWTH. */
size_t http_forward_request(char *to, const struct http_head *head, const char *bytes,
                            const struct http_forward *how);

enum http_connection {
	HTTP_CONNECTION_NONE,		/* no Connection field */
	HTTP_CONNECTION_CLOSE,
	HTTP_CONNECTION_KEEP_ALIVE,	/* to an HTTP/1.0 client that asked */
	HTTP_CONNECTION_UPGRADE,
};

/* Writes the head as the client is to see it; `strip`: without the chunked coding.  As above. */
size_t http_forward_response(char *to, const struct http_head *head, const char *bytes,
                             enum http_connection connection, bool strip);
/* Whether a redirection to https leaves this target alone: it is below /.well-known/acme-challenge/. */
bool http_forward_is_acme(const struct http_head *head, const char *bytes);

/* Writes an answer of the gateway's own (400 and up); returns its
 * length, at most HTTP_ANSWER_MOST.  `head_only`: the request was a HEAD. */
size_t http_forward_answer(char *to, unsigned status, enum http_connection connection, bool head_only);
/* Writes a 308 to https://NAME and the request's path; returns its length, at most HTTP_ANSWER_MOST +
 * head->bytes + MSG_HOST_MOST. */
size_t http_forward_redirect(char *to, const struct http_head *head, const char *bytes, const char *name,
                             enum http_connection connection);

#endif
