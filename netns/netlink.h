/* One request and its answer over a netlink socket.  Messages are built and taken apart by libnl; the
 * sockets are plain ones, since they are made inside namespaces and live for as long as these. */
#ifndef TOLLGATE_NETNS_NETLINK_H
#define TOLLGATE_NETNS_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nl_msg;
struct nlmsghdr;
struct tg_error;

#define NETLINK_BATCH_MOST 64	/* messages in one write */
#define NETLINK_SMALL	   1024	/* room enough for any message but one with peers */
#define NETLINK_READS	   4	/* reads of an answer between two looks at the clock */

/* Several changes that go to the kernel in one write, in order. */
struct netlink_batch {
	struct nl_msg *list[NETLINK_BATCH_MOST];	/* owned */
	int            fine[NETLINK_BATCH_MOST];	/* an errno that is no failure of it; 0: none */
	size_t         count;
	size_t         failed;	/* after a failed send: the first that the kernel refused */
};

/* Called for each message of an answer.  Another value than 0 ends the exchange with out of memory. */
typedef int netlink_each_fn(struct nlmsghdr *head, void *arg);

/* What was asked, and what of the answer has come. */
struct netlink_exchange {
	uint32_t         first, last;	/* sequence numbers of the messages sent */
	netlink_each_fn *each;
	void            *arg;
	const int       *fine;	/* for each message; NULL: none */
	int              sys;	/* the first refusal, 0 when none */
	uint32_t         failed;	/* the number of the refused one */
	bool             memory;	/* ran out while it was read */
	bool             over;	/* the whole answer has been read */
};

/* A socket of the namespace that this thread is in; the caller's. */
int netlink_open(int protocol, struct tg_error *err);
/* A new message of `type` with these NLM_F_* beside NLM_F_REQUEST and `room` bytes in all, which begins
 * with the family's own header; NULL when out of memory. */
struct nl_msg *netlink_message(uint16_t type, uint16_t flags, const void *head, size_t bytes, size_t room);
/* Sends `msg` (freed, also when it is NULL: that is out of memory) and reads the whole answer.  An answer
 * that changed while it was read fails with EINTR in err->sys: ask again. */
int netlink_ask(int fd, struct nl_msg *msg, netlink_each_fn *each, void *arg, struct tg_error *err);
/* The same in parts, for dumps that are long.  Until it is over nothing else may be sent on that socket: the
 * kernel refuses another dump, and `ex` would lose what comes in between. */
int netlink_begin(struct netlink_exchange *ex, int fd, struct nl_msg *msg, netlink_each_fn *each, void *arg,
                  struct tg_error *err);
/* Reads until it is over or the monotonic clock reaches until_ms, some messages at least.  A failure while
 * ex->over is false leaves the socket useless. */
int netlink_go_on(struct netlink_exchange *ex, int fd, uint64_t until_ms, struct tg_error *err);

/* Takes `msg`; when that is NULL or the batch full, the send fails.  `fine`: the refusal that means that
 * somebody else has done it already. */
void netlink_batch_add(struct netlink_batch *batch, struct nl_msg *msg, int fine);
/* Sends and empties the batch.  The kernel carries out every message, also those behind a refused one;
 * the first refusal is reported, and `failed` says which it was. */
int netlink_batch_send(struct netlink_batch *batch, int fd, struct tg_error *err);

#endif
