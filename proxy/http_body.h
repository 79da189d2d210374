/* Where the body of an HTTP/1 message ends (RFC 9112 §6, §7).  A body is never copied or decoded to
 * be relayed: this says how many bytes of a buffer belong to it, and refuses chunked coding that
 * another reader could understand differently. */
#ifndef TOLLGATE_PROXY_HTTP_BODY_H
#define TOLLGATE_PROXY_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_head;

#define HTTP_BODY_EXTENSION_MOST 256	/* bytes of one chunk's size line after the size */
#define HTTP_BODY_TRAILER_MOST	 4096	/* bytes of all trailer fields */
#define HTTP_BODY_NAME_MOST	 64	/* of a trailer field's name */

enum http_body_result {
	HTTP_BODY_MORE,		/* every byte belonged to it, more are to come */
	HTTP_BODY_DONE,		/* it ended after *used bytes */
	HTTP_BODY_BAD,		/* malformed; *used bytes before the fault are fine */
};

enum http_body_kind {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH,
	HTTP_BODY_CHUNKED,
	HTTP_BODY_CLOSE,	/* a response that ends with its connection */
};

struct http_body {
	uint8_t  kind;		/* enum http_body_kind */
	uint8_t  state;		/* place within chunked coding */
	uint8_t  name_len;	/* of the trailer field now read */
	uint8_t  digits;	/* of the chunk size so far */
	uint16_t line_bytes;	/* of the extension or the trailer part so far */
	uint64_t left;		/* of the body, or of the chunk */
	char     name[HTTP_BODY_NAME_MOST];	/* of the trailer field now read */
};

/* What follows the head of a request. */
void http_body_of_request(struct http_body *body, const struct http_head *head);
/* What follows the head of a final response (to a HEAD request: nothing, whatever the head says). */
void http_body_of_response(struct http_body *body, const struct http_head *head, bool to_head);
/* No byte is left to come: also before the first read. */
bool http_body_is_done(const struct http_body *body);
/* Reads on; *used (at most `len`) bytes belong to the body and are to be relayed as they are.  The
 * result does not depend on how the bytes were split. */
enum http_body_result http_body_read(struct http_body *body, const char *bytes, size_t len, size_t *used);
/* The same, and takes the chunked coding off in place: *kept bytes of data stand at the front of
 * `bytes` then.  For HTTP/1.0 clients, who know no chunks. */
enum http_body_result http_body_strip(struct http_body *body, char *bytes, size_t len, size_t *used,
                                      size_t *kept);
/* The connection has ended: whether the body is whole. */
bool http_body_end(struct http_body *body);

#endif
