#include "base/channel.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"

#define READS_AT_ONCE 64	/* messages a callback, so that a busy channel starves no other */

struct waiting {
	struct waiting *next;
	size_t          count;
	int             fds[MSG_FDS_MOST];
	size_t          bytes;
	uint8_t         message[];
};

struct channel {
	int                 fd;
	enum msg_role       self, other;
	struct event       *readable, *writable;
	channel_message_fn *on_message;
	channel_closed_fn  *on_closed;
	void               *arg;
	struct waiting     *first, **last;	/* messages that the kernel had no room for */
	size_t              queued;
	bool                dead;
	bool               *freed;	/* set while a callback runs: it may free the channel */
};

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		tg_close_at(&fds[i]);
}

static void drop_queue(struct channel *channel)
{
	while (channel->first != NULL) {
		struct waiting *next = channel->first->next;

		close_all(channel->first->fds, channel->first->count);
		free(channel->first);
		channel->first = next;
	}
	channel->last = &channel->first;
	channel->queued = 0;
}

/* From now on sends fail; on_closed() comes from the loop. */
static void channel_kill(struct channel *channel)
{
	if (channel->dead)
		return;
	channel->dead = true;
	drop_queue(channel);
	event_del(channel->writable);
	event_active(channel->readable, EV_READ, 0);
}

/* sendmsg(2) takes what it only reads by pointers to what it might write. */
static struct iovec part_of(const void *data, size_t bytes)
{
	union {
		const void *given;
		void       *plain;
	} at = { .given = data };

	return (struct iovec){ .iov_base = at.plain, .iov_len = bytes };
}

static int transmit(int fd, struct iovec *parts, size_t parts_count, const int *fds, size_t count)
{
	union {
		char           bytes[CMSG_SPACE(MSG_FDS_MOST * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr head = { .msg_iov = parts, .msg_iovlen = parts_count };

	if (count > 0) {
		memset(&control, 0, CMSG_SPACE(count * sizeof(int)));
		head.msg_control = control.bytes;
		head.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, count * sizeof(int));
	}
	for (;;) {
		ssize_t sent = sendmsg(fd, &head, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent >= 0)
			return 0;
		if (errno != EINTR)
			return -1;
	}
}

/* Returns the bytes of the message, 0 at the end, -1 with errno.  Descriptors that did not fit are
 * lost in the kernel; MSG_CTRUNC then shows as too few of them, or none. */
static ssize_t receive(int fd, struct msg *msg, int fds[MSG_FDS_MOST], size_t *count, int flags)
{
	union {
		char           bytes[CMSG_SPACE(MSG_FDS_MOST * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec  part = { .iov_base = msg, .iov_len = sizeof *msg };
	struct msghdr head = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
			       .msg_controllen = sizeof control.bytes };
	ssize_t       got;

	*count = 0;
	do
		got = recvmsg(fd, &head, MSG_CMSG_CLOEXEC | flags);
	while (got == -1 && errno == EINTR);
	if (got <= 0)
		return got;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&head); c != NULL; c = CMSG_NXTHDR(&head, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		*count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(c), *count * sizeof(int));
	}
	if (head.msg_flags & MSG_TRUNC) {
		close_all(fds, *count);
		errno = EMSGSIZE;
		return -1;
	}
	return got;
}

static void channel_end(struct channel *channel)
{
	channel->dead = true;
	drop_queue(channel);
	event_del(channel->readable);
	event_del(channel->writable);
	channel->on_closed(channel, channel->arg);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct channel *channel = arg;

	(void)what;
	for (int i = 0; i < READS_AT_ONCE; i++) {
		struct msg msg;
		int        fds[MSG_FDS_MOST];
		size_t     count = 0;
		bool       freed = false;

		if (channel->dead) {
			channel_end(channel);
			return;
		}

		ssize_t got = receive((int)fd, &msg, fds, &count, MSG_DONTWAIT);

		if (got == -1 && errno == EAGAIN)
			return;
		if (got <= 0) {
			channel_end(channel);
			return;
		}
		if (!msg_allowed(&msg, (size_t)got, count, channel->other, channel->self)) {
			tg_log(TG_LOG_ERROR, "closed a channel: a message that may not come",
			       "from=%s type=%s bytes=%zd fds=%zu", msg_role_name(channel->other),
			       msg_type_name(msg.type), got, count);
			close_all(fds, count);
			channel_end(channel);
			return;
		}
		channel->freed = &freed;
		channel->on_message(channel, &msg, fds, count, channel->arg);
		close_all(fds, count);
		if (freed)
			return;
		channel->freed = NULL;
	}
	/* There may be more, and no edge will tell. */
	event_active(channel->readable, EV_READ, 0);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct channel *channel = arg;

	(void)what;
	while (channel->first != NULL) {
		struct waiting *w = channel->first;

		struct iovec    part = part_of(w->message, w->bytes);

		if (transmit((int)fd, &part, 1, w->fds, w->count) == -1) {
			if (errno != EAGAIN)
				channel_kill(channel);
			return;
		}
		channel->first = w->next;
		if (channel->first == NULL)
			channel->last = &channel->first;
		channel->queued--;
		close_all(w->fds, w->count);
		free(w);
	}
	event_del(channel->writable);
}

struct channel *channel_new(struct event_base *base, int fd, enum msg_role self, enum msg_role other,
                            channel_message_fn *on_message, channel_closed_fn *on_closed, void *arg)
{
	struct channel *channel = calloc(1, sizeof *channel);

	if (channel == NULL || fcntl(fd, F_SETFL, O_NONBLOCK) == -1)
		goto undo_all;
	channel->fd = fd;
	channel->self = self;
	channel->other = other;
	channel->on_message = on_message;
	channel->on_closed = on_closed;
	channel->arg = arg;
	channel->last = &channel->first;
	channel->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, channel);
	channel->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, channel);
	if (channel->readable == NULL || channel->writable == NULL ||
	    event_add(channel->readable, NULL) == -1)
		goto undo_all;
	return channel;

undo_all:
	if (channel != NULL) {
		if (channel->readable != NULL)
			event_free(channel->readable);
		if (channel->writable != NULL)
			event_free(channel->writable);
	}
	free(channel);
	close(fd);
	return NULL;
}

void channel_free(struct channel *channel)
{
	if (channel == NULL)
		return;
	if (channel->freed != NULL)
		*channel->freed = true;
	drop_queue(channel);
	event_free(channel->readable);
	event_free(channel->writable);
	close(channel->fd);
	free(channel);
}

#define PARTS 3	/* header, body, value */

static int channel_queue(struct channel *channel, const struct iovec parts[PARTS], const int *fds,
                         size_t count)
{
	struct waiting *w = NULL;
	size_t          bytes = parts[0].iov_len + parts[1].iov_len + parts[2].iov_len;

	if (channel->queued < CHANNEL_QUEUE_MOST)
		w = malloc(sizeof *w + bytes);
	if (w == NULL)
		goto undo_none;
	w->next = NULL;
	w->bytes = 0;
	for (size_t i = 0; i < PARTS; i++) {
		if (parts[i].iov_len > 0)
			memcpy(w->message + w->bytes, parts[i].iov_base, parts[i].iov_len);
		w->bytes += parts[i].iov_len;
	}
	for (w->count = 0; w->count < count; w->count++) {
		w->fds[w->count] = fcntl(fds[w->count], F_DUPFD_CLOEXEC, 0);
		if (w->fds[w->count] == -1)
			goto undo_fds;
	}
	if (channel->first == NULL && event_add(channel->writable, NULL) == -1)
		goto undo_fds;
	*channel->last = w;
	channel->last = &w->next;
	channel->queued++;
	return 0;

undo_fds:
	close_all(w->fds, w->count);
	free(w);
undo_none:
	channel_kill(channel);
	return -1;
}

static int send_parts(struct channel *channel, enum msg_type type, const void *body, const void *value,
                      size_t value_bytes, const int *fds, size_t count)
{
	struct msg         msg;	/* but for its header the parts are where they are */
	const size_t       header_bytes = offsetof(struct msg, body);
	const size_t       body_bytes = msg_bytes(type) - header_bytes;
	struct iovec       parts[PARTS] = {
		part_of(&msg, header_bytes),
		part_of(body, body_bytes),
		part_of(value, value_bytes),
	};

	if (channel->dead)
		return -1;
	msg.type = type;
	msg.value_bytes = (uint32_t)value_bytes;
	assert(msg_allowed(&msg, msg_bytes(type) + value_bytes, count, channel->self, channel->other));
	if (channel->first != NULL)
		return channel_queue(channel, parts, fds, count);
	if (transmit(channel->fd, parts, PARTS, fds, count) == 0)
		return 0;
	if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS)
		return channel_queue(channel, parts, fds, count);
	channel_kill(channel);
	return -1;
}

int channel_send(struct channel *channel, enum msg_type type, const void *body, const int *fds, size_t count)
{
	return send_parts(channel, type, body, NULL, 0, fds, count);
}

int channel_send_taken(struct channel *channel, enum msg_type type, const void *body, int fd)
{
	int result = channel_send(channel, type, body, &fd, 1);

	close(fd);
	return result;
}

int channel_send_value(struct channel *channel, enum msg_type type, const void *body, const void *value,
                       size_t bytes)
{
	struct tg_part  part = { value, bytes };
	struct tg_error err;
	int             fd;

	if (bytes <= MSG_VALUE_MOST)
		return send_parts(channel, type, body, value, bytes, NULL, 0);
	fd = tg_memfd_make("tollgate-value", &part, 1, &err);
	if (fd == -1)
		tg_die("cannot hand a %s to the %s: %s", msg_type_name(type), msg_role_name(channel->other),
		       err.text);
	return channel_send_taken(channel, type, body, fd);
}

int channel_value_open(const struct msg *msg, const int *fds, size_t least, size_t most,
                       struct channel_value *to, struct tg_error *err)
{
	*to = (struct channel_value){ .mapped = msg->value_bytes == 0 };
	if (to->mapped) {
		to->data = tg_memfd_map(fds[0], least, most, &to->bytes, err);
		return to->data != NULL ? 0 : -1;
	}
	to->data = msg_value(msg);
	to->bytes = msg->value_bytes;
	if (to->bytes < least || to->bytes > most)
		return tg_fail(err, TG_CODE_PROTOCOL, "a value has %zu bytes", to->bytes);
	return 0;
}

void channel_value_close(struct channel_value *value)
{
	if (value->mapped)
		tg_memfd_unmap(value->data, value->bytes);
	*value = (struct channel_value){ .mapped = false };
}

int channel_wait(int fd, enum msg_role self, enum msg_role other, struct msg *msg, int fds[MSG_FDS_MOST],
                 struct tg_error *err)
{
	size_t  count;
	ssize_t got = receive(fd, msg, fds, &count, 0);

	if (got == -1)
		return tg_fail_sys(err, "cannot read from the %s", msg_role_name(other));
	if (got == 0)
		return tg_fail(err, TG_CODE_PROTOCOL, "the %s is gone", msg_role_name(other));
	if (!msg_allowed(msg, (size_t)got, count, other, self)) {
		close_all(fds, count);
		return tg_fail(err, TG_CODE_PROTOCOL, "the %s sent a %s of %zd bytes", msg_role_name(other),
		               msg_type_name(msg->type), got);
	}
	return (int)count;
}

int channel_pair(int ends[2], struct tg_error *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == -1)
		return tg_fail_sys(err, "cannot make a channel");
	return 0;
}
