/* One end of a SOCK_SEQPACKET pair between two of the daemon's processes.  What arrives is checked
 * against the table of messages; a message of a wrong size or type closes the channel, not the
 * process.  Used from one event loop only. */
#ifndef TOLLGATE_BASE_CHANNEL_H
#define TOLLGATE_BASE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/msg.h"

struct channel;
struct event_base;
struct tg_error;

#define CHANNEL_QUEUE_MOST 4096	/* messages that wait for the other end to read */

/* `msg` and `fds` are valid during the call; descriptors are closed after it, but for those that
 * the callee took (tg_take_fd(&fds[i])).  The callee may free the channel. */
typedef void channel_message_fn(struct channel *channel, const struct msg *msg, int *fds, size_t count,
                                void *arg);
/* The other end is gone, sent what it may not, or does not read.  Comes once; the channel is dead,
 * sends fail, and the callee frees it (now or later).  Never called from inside channel_send(). */
typedef void channel_closed_fn(struct channel *channel, void *arg);

/* Takes `fd`, makes it non-blocking.  `self` and `other` say which messages may come.  NULL when out
 * of memory (then `fd` is closed). */
struct channel *channel_new(struct event_base *base, int fd, enum msg_role self, enum msg_role other,
                            channel_message_fn *on_message, channel_closed_fn *on_closed, void *arg);
/* Closes; queued messages are lost.  NULL is fine. */
void channel_free(struct channel *channel);
/* Sends or queues a message of `type` with `body` (msg_bytes() says how large) and descriptors, which
 * are duplicated when queued and stay the caller's.  -1: the channel is dead or the queue full (it is
 * then dead); on_closed() tells, from the loop. */
int channel_send(struct channel *channel, enum msg_type type, const void *body, const int *fds, size_t count);
/* channel_send() with one descriptor that is closed here, whatever happens. */
int channel_send_taken(struct channel *channel, enum msg_type type, const void *body, int fd);
/* channel_send() with a value of 1 byte or more: behind the body when it is small, else in a memory file.
 * Ends the process when none can be made. */
int channel_send_value(struct channel *channel, enum msg_type type, const void *body, const void *value,
                       size_t bytes);

/* The value that came with a message: valid as long as that, and until it is closed. */
struct channel_value {
	const void *data;
	size_t      bytes;
	bool        mapped;
};

/* Of a message whose type has one, with its descriptors.  -1: it has less than `least` or more than `most`
 * bytes, or comes in a file that is not sealed. */
int channel_value_open(const struct msg *msg, const int *fds, size_t least, size_t most,
                       struct channel_value *to, struct tg_error *err);
void channel_value_close(struct channel_value *value);

/* Reads one message, waiting for it: for a role that has not begun its loop.  Returns the number of
 * descriptors in `fds` (the caller's), -1 on end, error or a message that may not come. */
int channel_wait(int fd, enum msg_role self, enum msg_role other, struct msg *msg, int fds[MSG_FDS_MOST],
                 struct tg_error *err);
/* Makes both ends of a new channel (close-on-exec).  -1 with errno in `err`. */
int channel_pair(int ends[2], struct tg_error *err);

#endif
