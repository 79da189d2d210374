#include "proxy/http_kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

int http_kept_put(struct http_kept *kept, const void *data, size_t bytes)
{
	size_t waiting = http_kept_bytes(kept);

	if (bytes == 0)
		return 0;
	if (waiting + bytes > HTTP_KEPT_MOST)
		return -1;

	char *grown = malloc(waiting + bytes);

	if (grown == NULL)
		return -1;
	if (waiting > 0)
		memcpy(grown, kept->data + kept->at, waiting);
	memcpy(grown + waiting, data, bytes);
	free(kept->data);
	*kept = (struct http_kept){ .data = grown, .end = (uint32_t)(waiting + bytes) };
	return 0;
}

void http_kept_clear(struct http_kept *kept)
{
	free(kept->data);
	*kept = (struct http_kept){ 0 };
}

/* -1: broken. */
static int send_parts(int fd, struct iovec *parts, size_t count, size_t *sent)
{
	struct msghdr msg = { .msg_iov = parts, .msg_iovlen = count };
	ssize_t       n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

	*sent = n > 0 ? (size_t)n : 0;
	return n == -1 && errno != EAGAIN && errno != EINTR ? -1 : 0;
}

int http_kept_send(struct http_kept *kept, int fd, bool again, size_t *sent)
{
	struct iovec part = { .iov_base = kept->data + kept->at, .iov_len = http_kept_bytes(kept) };

	*sent = 0;
	if (part.iov_len == 0)
		return 0;
	if (send_parts(fd, &part, 1, sent) == -1)
		return -1;
	kept->at += (uint32_t)*sent;
	if (kept->at == kept->end && !again)
		http_kept_clear(kept);
	return 0;
}

int http_kept_write(struct http_kept *kept, int fd, struct iovec *parts, size_t count, size_t *sent)
{
	size_t skip = 0;

	*sent = 0;
	if (http_kept_bytes(kept) == 0) {
		if (send_parts(fd, parts, count, sent) == -1)
			return -1;
		skip = *sent;
	}
	for (size_t i = 0; i < count; i++) {
		size_t len = parts[i].iov_len;
		size_t gone = skip < len ? skip : len;

		skip -= gone;
		if (http_kept_put(kept, (const char *)parts[i].iov_base + gone, len - gone) == -1)
			return -1;
	}
	return 0;
}
