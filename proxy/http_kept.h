/* Bytes that wait on the heap: read but not yet understood, or written but not yet taken by a slow
 * reader.  Empty almost always, so that an idle connection has no buffer. */
#ifndef TOLLGATE_PROXY_HTTP_KEPT_H
#define TOLLGATE_PROXY_HTTP_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iovec;

/* More than a forwarded head and a full buffer never wait: who reads stops while anything does. */
#define HTTP_KEPT_MOST 131072

/* All zero: nothing. */
struct http_kept {
	char    *data;
	uint32_t at;	/* what stands before was sent */
	uint32_t end;
};

/* Appends a copy.  -1: out of memory, or over HTTP_KEPT_MOST; nothing is changed. */
int http_kept_put(struct http_kept *kept, const void *data, size_t bytes);
void http_kept_clear(struct http_kept *kept);
static inline size_t http_kept_bytes(const struct http_kept *kept)
{
	return kept->end - kept->at;
}

/* Sends what is kept, as far as `fd` takes it, and gives the memory back when all of it went, unless
 * `again`: then it stays, to be sent anew.  *sent is set.  -1: the connection is broken. */
int http_kept_send(struct http_kept *kept, int fd, bool again, size_t *sent);
/* Sends the parts behind what is kept, and keeps what `fd` does not take.  *sent is set.  -1: the
 * connection is broken, or out of memory. */
int http_kept_write(struct http_kept *kept, int fd, struct iovec *parts, size_t count, size_t *sent);

#endif
