#include "netns/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netlink/msg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"

/* SKB_WITH_OVERHEAD(8192) of linux/skbuff.h.  The kernel makes each part of a dump as large as the largest
 * read that the socket has seen (a page at least, 8 KiB with larger pages) and clears that memory first: with
 * reads of 32 KiB this costs more than all the rest of a small answer. */
#define ANSWER_BYTES 7872
#define ANSWER_S     5

int netlink_open(int protocol, struct tg_error *err)
{
	struct timeval wait = { .tv_sec = ANSWER_S };
	TG_AUTO_FD     fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	int            most = 1 << 20;
	int            yes = 1;

	if (fd == -1)
		return tg_fail_sys(err, "cannot open a netlink socket");
	/* The kernel answers at once, or something is badly wrong: never hang for ever. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == -1)
		return tg_fail_sys(err, "cannot set up a netlink socket");
	/* Only a wish: without it a long dump takes more reads. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &most, sizeof most);
	/* Likewise: a refusal comes without a copy of what was refused, and dumps are filtered there. */
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &yes, sizeof yes);
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &yes, sizeof yes);
	return tg_take_fd(&fd);
}

struct nl_msg *netlink_message(uint16_t type, uint16_t flags, const void *head, size_t bytes, size_t room)
{
	struct nl_msg   *msg = nlmsg_alloc_size(room);
	struct nlmsghdr *hdr;

	if (msg == NULL)
		return NULL;
	hdr = nlmsg_put(msg, 0, 0, type, (int)bytes, NLM_F_REQUEST | flags);
	if (hdr == NULL) {
		nlmsg_free(msg);
		return NULL;
	}
	memcpy(nlmsg_data(hdr), head, bytes);
	return msg;
}

static int send_all(int fd, struct iovec *parts, size_t count, struct tg_error *err)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	struct msghdr      msg = {
		     .msg_name = &to,
		     .msg_namelen = sizeof to,
		     .msg_iov = parts,
		     .msg_iovlen = count,
	};
	ssize_t sent;

	do
		sent = sendmsg(fd, &msg, 0);
	while (sent == -1 && errno == EINTR);
	if (sent == -1)
		return tg_fail_sys(err, "cannot send to the kernel");
	return 0;
}

static void refuse(struct netlink_exchange *ex, uint32_t seq, int sys)
{
	if (sys == 0 || ex->sys != 0 || (ex->fine != NULL && ex->fine[seq - ex->first] == sys))
		return;
	ex->sys = sys;
	ex->failed = seq - ex->first;
}

static void take_message(struct netlink_exchange *ex, struct nlmsghdr *head)
{
	int sys = 0;

	if (head->nlmsg_seq - ex->first > ex->last - ex->first)
		return;	/* a late answer to an exchange that was given up */
	if ((head->nlmsg_flags & NLM_F_DUMP_INTR) != 0)
		refuse(ex, head->nlmsg_seq, EINTR);
	switch (head->nlmsg_type) {
	case NLMSG_NOOP:
		return;
	case NLMSG_ERROR:
	case NLMSG_DONE:
		if (head->nlmsg_len >= NLMSG_LENGTH(sizeof sys))
			memcpy(&sys, NLMSG_DATA(head), sizeof sys);
		refuse(ex, head->nlmsg_seq, -sys);
		if (head->nlmsg_seq == ex->last)
			ex->over = true;
		return;
	default:
		if (ex->each != NULL && !ex->memory && ex->each(head, ex->arg) != 0)
			ex->memory = true;
		return;
	}
}

static int read_some(int fd, struct netlink_exchange *ex, struct tg_error *err)
{
	_Alignas(struct nlmsghdr) char buffer[ANSWER_BYTES];
	ssize_t          n = recv(fd, buffer, sizeof buffer, MSG_TRUNC);
	struct nlmsghdr *head = (void *)buffer;

	if (n == -1 && errno == EINTR)
		return 0;
	if (n == -1)
		return tg_fail_sys(err, "the kernel does not answer");
	if ((size_t)n > sizeof buffer)
		return tg_fail(err, TG_CODE_SYSTEM, "an answer of the kernel has %zd bytes", n);
	for (size_t left = (size_t)n; NLMSG_OK(head, left); head = NLMSG_NEXT(head, left))
		take_message(ex, head);
	return 0;
}

static int read_answer(int fd, struct netlink_exchange *ex, struct tg_error *err)
{
	while (!ex->over)
		if (read_some(fd, ex, err) != 0)
			return -1;
	if (ex->memory)
		return tg_fail_memory(err);
	return 0;
}

/* One number after another for the whole process: an old answer is never taken for a new one. */
static uint32_t next_numbers(uint32_t count)
{
	static uint32_t last;

	last += count;
	return last - count + 1;
}

int netlink_begin(struct netlink_exchange *ex, int fd, struct nl_msg *msg, netlink_each_fn *each, void *arg,
                  struct tg_error *err)
{
	*ex = (struct netlink_exchange){ .each = each, .arg = arg };
	if (msg == NULL)
		return tg_fail_memory(err);

	struct nlmsghdr *head = nlmsg_hdr(msg);
	struct iovec     part = { .iov_base = head, .iov_len = head->nlmsg_len };

	ex->first = ex->last = head->nlmsg_seq = next_numbers(1);
	if ((head->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		head->nlmsg_flags |= NLM_F_ACK;

	int failed = send_all(fd, &part, 1, err);

	nlmsg_free(msg);
	return failed;
}

int netlink_go_on(struct netlink_exchange *ex, int fd, uint64_t until_ms, struct tg_error *err)
{
	for (unsigned reads = 1; !ex->over; reads++) {
		if (read_some(fd, ex, err) != 0)
			return -1;
		if (reads % NETLINK_READS == 0 && !ex->over && tg_clock_ms() >= until_ms)
			return 0;
	}
	if (ex->memory)
		return tg_fail_memory(err);
	if (ex->sys != 0)
		return tg_fail_errno(err, ex->sys, "the kernel refused");
	return 0;
}

int netlink_ask(int fd, struct nl_msg *msg, netlink_each_fn *each, void *arg, struct tg_error *err)
{
	struct netlink_exchange ex;

	if (netlink_begin(&ex, fd, msg, each, arg, err) != 0)
		return -1;
	return netlink_go_on(&ex, fd, UINT64_MAX, err);
}

void netlink_batch_add(struct netlink_batch *batch, struct nl_msg *msg, int fine)
{
	if (msg == NULL || batch->count >= NETLINK_BATCH_MOST) {
		nlmsg_free(msg);
		batch->count = NETLINK_BATCH_MOST + 1;
		return;
	}
	batch->fine[batch->count] = fine;
	batch->list[batch->count++] = msg;
}

int netlink_batch_send(struct netlink_batch *batch, int fd, struct tg_error *err)
{
	struct iovec    parts[NETLINK_BATCH_MOST];
	struct netlink_exchange ex = { .fine = batch->fine };
	size_t          count = batch->count;
	int             failed = 0;

	batch->count = 0;
	batch->failed = 0;
	if (count == 0)
		return 0;
	if (count > NETLINK_BATCH_MOST) {
		for (size_t i = 0; i < NETLINK_BATCH_MOST; i++) {
			nlmsg_free(batch->list[i]);
			batch->list[i] = NULL;
		}
		return tg_fail_memory(err);
	}
	ex.first = next_numbers((uint32_t)count);
	ex.last = ex.first + (uint32_t)count - 1;
	for (size_t i = 0; i < count; i++) {
		struct nlmsghdr *head = nlmsg_hdr(batch->list[i]);

		head->nlmsg_seq = ex.first + (uint32_t)i;
		/* A refusal is always told; of success one word at the end is enough. */
		if (i + 1 == count)
			head->nlmsg_flags |= NLM_F_ACK;
		parts[i] = (struct iovec){ .iov_base = head, .iov_len = head->nlmsg_len };
	}
	failed = send_all(fd, parts, count, err);
	for (size_t i = 0; i < count; i++) {
		nlmsg_free(batch->list[i]);
		batch->list[i] = NULL;
	}
	if (failed != 0 || read_answer(fd, &ex, err) != 0)
		return -1;
	if (ex.sys != 0) {
		batch->failed = ex.failed;
		return tg_fail_errno(err, ex.sys, "the kernel refused");
	}
	return 0;
}
