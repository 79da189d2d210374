/* The head of an HTTP/1 request or response (RFC 9112), read as it comes and kept as places in the
 * caller's buffer.  Strict: what two readers could understand differently is refused, so that a
 * request never means one thing here and another upstream. */
#ifndef TOLLGATE_PROXY_HTTP_HEAD_H
#define TOLLGATE_PROXY_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MOST	 16384	/* bytes of a head, its last empty line included */
#define HTTP_LINE_MOST	 8192	/* bytes of a request or status line with CRLF */
#define HTTP_FIELDS_MOST 128
#define HTTP_OPTIONS_MOST 16	/* options of Connection that name other fields */

enum http_head_result {
	HTTP_HEAD_MORE,		/* no fault so far: come again with more */
	HTTP_HEAD_DONE,
	HTTP_HEAD_BAD,		/* malformed or ambiguous: 400, or 502 from upstream */
	HTTP_HEAD_LONG_LINE,	/* the first line is over HTTP_LINE_MOST: 414 */
	HTTP_HEAD_LARGE,	/* over HTTP_HEAD_MOST or one of the other limits: 431 */
};

enum http_kind { HTTP_KIND_REQUEST, HTTP_KIND_RESPONSE };

enum http_method {
	HTTP_METHOD_GET,
	HTTP_METHOD_HEAD,
	HTTP_METHOD_POST,
	HTTP_METHOD_PUT,
	HTTP_METHOD_DELETE,
	HTTP_METHOD_OPTIONS,
	HTTP_METHOD_TRACE,
	HTTP_METHOD_CONNECT,
	HTTP_METHOD_OTHER,
};

/* A piece of the head: where it begins in the buffer, and its length. */
struct http_span {
	uint16_t at;
	uint16_t len;
};

struct http_field {
	struct http_span name;	/* begins its line; fields never span lines */
	struct http_span value;	/* without the white space around it */
	uint8_t          known;	/* enum http_name */
};

struct http_head {
	enum http_kind   kind;
	enum http_method method;	/* of a request */
	uint16_t         status;	/* of a response, 100..599 */
	uint16_t         bytes;		/* of the whole head, once it is done */
	uint16_t         line_at;	/* where the line that is not whole yet begins */
	uint16_t         seen;		/* up to here there is no end of that line */
	bool             first_done;	/* the request or status line was read */
	uint8_t          minor;		/* HTTP/1.minor: 0 or 1 (later ones are taken for 1) */

	struct http_span method_name;	/* of a request */
	struct http_span target;	/* as sent */
	struct http_span path;		/* path and query; empty in an absolute-form without a path */
	struct http_span authority;	/* of the absolute-form, else empty */
	struct http_span host;		/* the Host field's value; in HTTP/1.0 also the authority */
	struct http_span reason;	/* of a response */
	bool             has_host;

	/* Framing: at most one of these. */
	bool             has_length;
	bool             chunked;
	uint64_t         length;	/* at most INT64_MAX */

	bool             close;		/* Connection has "close" */
	bool             keep_alive;	/* Connection has "keep-alive" */
	bool             upgrade;	/* Connection has "upgrade" and there is one Upgrade field */
	bool             connection_upgrade;
	bool             expect_continue;
	unsigned         upgrades;	/* Upgrade fields */
	struct http_span upgrade_to;	/* the value of the last */

	unsigned         options_count;
	unsigned         fields_count;
	struct http_span options[HTTP_OPTIONS_MOST];	/* other fields that Connection names */
	struct http_field fields[HTTP_FIELDS_MOST];
};

/* Makes `head` ready for a message that begins at the buffer's first byte. */
void http_head_init(struct http_head *head, enum http_kind kind);
/* Reads on.  `bytes` holds all `len` bytes since http_head_init(), also those of earlier calls (the
 * buffer itself may have moved).  The result does not depend on how the bytes were split. */
enum http_head_result http_head_read(struct http_head *head, const char *bytes, size_t len);
/* Whether the sender means to keep the connection after this message. */
bool http_head_persists(const struct http_head *head);

#endif
