#include "tests/support/sends.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/msg.h"

static struct {
	const struct msg_counters *counters;
	uint64_t                   bytes;
	uint16_t                   port;
} watched;

void sends_watch(uint16_t port, const struct msg_slot *slots)
{
	watched.port = port;
	watched.counters = (const struct msg_counters *)slots;
	watched.bytes = 0;
}

uint64_t sends_seen(void)
{
	return watched.bytes;
}

/* As the reader of a dead worker's segment takes them. */
static uint64_t accounted(void)
{
	const struct msg_slot *slots = watched.counters->slots;
	uint64_t               sending = watched.counters->sending;
	uint64_t               sum = 0;

	for (uint32_t i = 0; i < 16; i++)
		sum += slots[i].tx + (sending >> 32 == i ? (uint32_t)sending - (uint32_t)slots[i].tx : 0);
	return sum;
}

static ssize_t look(int fd, ssize_t sent)
{
	struct sockaddr_in at = { 0 };
	socklen_t          bytes = sizeof at;
	int                error = errno;

	if (watched.port != 0 && sent > 0 && getsockname(fd, (struct sockaddr *)&at, &bytes) == 0 &&
	    at.sin_family == AF_INET && ntohs(at.sin_port) == watched.port) {
		watched.bytes += (uint64_t)sent;
		ck_assert_msg(accounted() >= watched.bytes, "%lu bytes went, and %lu would be known",
		              watched.bytes, accounted());
	}
	errno = error;
	return sent;
}

/* The linker leads our files here. */
ssize_t __real_send(int fd, const void *data, size_t bytes, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t bytes, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __real_splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t bytes, unsigned flags);
ssize_t __wrap_splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t bytes, unsigned flags);

ssize_t __wrap_send(int fd, const void *data, size_t bytes, int flags)
{
	return look(fd, __real_send(fd, data, bytes, flags));
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return look(fd, __real_sendmsg(fd, msg, flags));
}

ssize_t __wrap_splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t bytes, unsigned flags)
{
	return look(to, __real_splice(from, from_at, to, to_at, bytes, flags));
}
