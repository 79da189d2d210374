/* A request's head, strictly (RFC 9112): what evhttp would let pass in two meanings is refused here,
 * before evhttp sees a byte. */
#ifndef TOLLGATE_API_HEAD_H
#define TOLLGATE_API_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAD_BYTES_MOST (16U << 10)

enum head_method {
	HEAD_GET,
	HEAD_HEAD,
	HEAD_POST,
	HEAD_PUT,
	HEAD_PATCH,
	HEAD_DELETE,
	HEAD_OPTIONS,
	HEAD_TRACE,
	HEAD_UNKNOWN,
};

enum head_result {
	HEAD_OK,
	HEAD_MORE,
	HEAD_MALFORMED,		/* 400 */
	HEAD_TOO_LARGE,		/* 431 */
	HEAD_BAD_VERSION,	/* 505 */
	HEAD_BAD_CODING,	/* 501: a transfer coding that is not chunked alone */
	HEAD_BAD_EXPECT,	/* 417 */
};

/* All texts point into the text that was read.  A field that did not come is NULL. */
struct head {
	enum head_method method;
	unsigned         minor;		/* HTTP/1.minor, 0 or 1 */
	const char      *path;		/* still percent-encoded */
	char            *query;		/* behind the '?' */
	bool             keep_alive;
	bool             chunked;
	bool             expect_continue;
	uint64_t         length;	/* of the body; 0 too when chunked */
	const char      *accept;
	const char      *authorization;
	const char      *content_type;
	const char      *if_match;
	const char      *if_none_match;
	const char      *last_event_id;
	const char      *token;
};

/* Looks for the end of a head in what has come so far.  *seen is where the last look stopped (0 at
 * first): a head that comes byte by byte is looked at once.  HEAD_OK: *end is its length with the
 * empty line.  HEAD_MALFORMED: a bare line feed, or a NUL. */
enum head_result head_find_end(const char *text, size_t bytes, size_t *seen, size_t *end);
/* Reads a head of `bytes` as found by head_find_end(); text[bytes] must be writable: the text is cut
 * into strings.  On anything but HEAD_OK, *to is not to be used but for method, minor and path where
 * they are not NULL. */
enum head_result head_read(char *text, size_t bytes, struct head *to);

#endif
