/* Names and bytes of HTTP fields (RFC 9110 §5). */
#ifndef TOLLGATE_PROXY_HTTP_FIELD_H
#define TOLLGATE_PROXY_HTTP_FIELD_H

#include <stdbool.h>
#include <stddef.h>

/* Fields that mean something to a gateway. */
enum http_name {
	HTTP_NAME_OTHER,
	HTTP_NAME_CONNECTION,
	HTTP_NAME_CONTENT_LENGTH,
	HTTP_NAME_EXPECT,
	HTTP_NAME_FORWARDED,
	HTTP_NAME_HOST,
	HTTP_NAME_KEEP_ALIVE,
	HTTP_NAME_PROXY,
	HTTP_NAME_PROXY_AUTHENTICATE,
	HTTP_NAME_PROXY_AUTHORIZATION,
	HTTP_NAME_PROXY_CONNECTION,
	HTTP_NAME_TE,
	HTTP_NAME_TRANSFER_ENCODING,
	HTTP_NAME_UPGRADE,
	HTTP_NAME_X_FORWARDED,	/* any that begins with "X-Forwarded-" */
	HTTP_NAME_X_REAL_IP,
	HTTP_NAMES,
};

/* Which field a name is, '_' taken for '-': CGI and WSGI make the same of both.  *exact is false when
 * only that made them equal. */
enum http_name http_name_find(const char *name, size_t len, bool *exact);
/* Whether a field belongs to one hop and is never forwarded as it came (RFC 9110 §7.6.1). */
bool http_name_is_hop(enum http_name name);
/* Whether a field may not stand in a trailer: framing, routing, one hop's, or set by this gateway
 * (RFC 9110 §6.5.1). */
bool http_name_is_barred_trailer(const char *name, size_t len);
/* Whether a byte may stand in a token (RFC 9110 §5.6.2). */
bool http_is_token(char c);
/* Whether a byte may stand in a field's value: no controls but the tab (RFC 9110 §5.5). */
bool http_is_value(char c);
/* Whether a byte may stand in a request target.  More than RFC 3986 has, since browsers send `|{}^"`
 * in queries as they are; but no space, no control, no '#', and ASCII only. */
bool http_is_target(char c);
/* ASCII, whatever the locale. */
char http_lower(char c);
/* Whether `a` and `b` (lower case, a C string) are equal but for case. */
bool http_equal(const char *a, size_t len, const char *b);

#endif
