#include "netns/netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"

void test_netlink(TCase *tc);

/* What needs no rights: every kernel has a loopback to tell of, and lets nobody delete link 4711. */

static int count(struct nlmsghdr *head, void *arg)
{
	unsigned *seen = arg;

	if (head->nlmsg_type == RTM_NEWLINK)
		++*seen;
	return 0;
}

static int no_room(struct nlmsghdr *head, void *arg)
{
	(void)head;
	(void)arg;
	return -1;
}

static struct nl_msg *links(uint16_t type, uint16_t flags, int index)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = index };

	return netlink_message(type, flags, &head, sizeof head, NETLINK_SMALL);
}

START_TEST(a_dump_is_read_to_its_end)
{
	struct tg_error err;
	unsigned        seen = 0;
	TG_AUTO_FD      fd = netlink_open(NETLINK_ROUTE, &err);

	ck_assert_int_eq(netlink_ask(fd, links(RTM_GETLINK, NLM_F_DUMP, 0), count, &seen, &err), 0);
	ck_assert_uint_ge(seen, 1);
	seen = 0;
	ck_assert_int_eq(netlink_ask(fd, links(RTM_GETLINK, 0, 1), count, &seen, &err), 0);
	ck_assert_uint_eq(seen, 1);
}
END_TEST

START_TEST(a_refusal_has_its_errno_and_the_socket_goes_on)
{
	struct tg_error err;
	unsigned        seen = 0;
	TG_AUTO_FD      fd = netlink_open(NETLINK_ROUTE, &err);

	ck_assert_int_eq(netlink_ask(fd, links(RTM_GETLINK, 0, 4711), count, &seen, &err), -1);
	ck_assert_int_eq(err.sys, ENODEV);
	ck_assert_int_eq(netlink_ask(fd, links(RTM_GETLINK, 0, 1), count, &seen, &err), 0);
	ck_assert_uint_eq(seen, 1);
}
END_TEST

START_TEST(out_of_memory_is_told_after_the_whole_answer_was_read)
{
	struct tg_error err;
	unsigned        seen = 0;
	TG_AUTO_FD      fd = netlink_open(NETLINK_ROUTE, &err);

	ck_assert_int_eq(netlink_ask(fd, NULL, NULL, NULL, &err), -1);
	ck_assert_int_eq(err.code, TG_CODE_MEMORY);
	ck_assert_int_eq(netlink_ask(fd, links(RTM_GETLINK, NLM_F_DUMP, 0), no_room, NULL, &err), -1);
	ck_assert_int_eq(err.code, TG_CODE_MEMORY);
	ck_assert_int_eq(netlink_ask(fd, links(RTM_GETLINK, 0, 1), count, &seen, &err), 0);
	ck_assert_uint_eq(seen, 1);
}
END_TEST

START_TEST(a_batch_names_the_first_that_was_refused)
{
	struct netlink_batch batch = { .count = 0 };
	struct tg_error      err;
	TG_AUTO_FD           fd = netlink_open(NETLINK_ROUTE, &err);

	netlink_batch_add(&batch, links(RTM_GETLINK, 0, 1), 0);
	netlink_batch_add(&batch, links(RTM_GETLINK, 0, 4711), ENODEV);
	netlink_batch_add(&batch, links(RTM_GETLINK, 0, 4712), 0);
	netlink_batch_add(&batch, links(RTM_GETLINK, 0, 4713), 0);
	ck_assert_int_eq(netlink_batch_send(&batch, fd, &err), -1);
	ck_assert_int_eq(err.sys, ENODEV);
	ck_assert_uint_eq(batch.failed, 2);
	/* It is empty now, and may be used again. */
	netlink_batch_add(&batch, links(RTM_GETLINK, 0, 1), 0);
	netlink_batch_add(&batch, links(RTM_GETLINK, 0, 4711), ENODEV);
	ck_assert_int_eq(netlink_batch_send(&batch, fd, &err), 0);
	ck_assert_int_eq(netlink_batch_send(&batch, fd, &err), 0);
}
END_TEST

START_TEST(a_batch_that_is_too_long_is_refused_and_freed)
{
	struct netlink_batch batch = { .count = 0 };
	struct tg_error      err;
	TG_AUTO_FD           fd = netlink_open(NETLINK_ROUTE, &err);

	for (int i = 0; i < NETLINK_BATCH_MOST; i++)
		netlink_batch_add(&batch, links(RTM_GETLINK, 0, 1), 0);
	ck_assert_int_eq(netlink_batch_send(&batch, fd, &err), 0);
	for (int i = 0; i < NETLINK_BATCH_MOST + 2; i++)
		netlink_batch_add(&batch, links(RTM_GETLINK, 0, 1), 0);
	ck_assert_int_eq(netlink_batch_send(&batch, fd, &err), -1);
	ck_assert_int_eq(err.code, TG_CODE_MEMORY);
	netlink_batch_add(&batch, NULL, 0);
	ck_assert_int_eq(netlink_batch_send(&batch, fd, &err), -1);
	ck_assert_int_eq(err.code, TG_CODE_MEMORY);
}
END_TEST

#define PARTS 3

/* A kernel that is the other end of a socket: it answers what was asked with so many links in as many
 * messages, `number` added to their sequence number, and the end when that is to come. */
static void answer(int kernel, unsigned links, uint16_t flags, uint32_t number, bool ends)
{
	struct nlmsghdr asked;

	ck_assert_int_eq(recv(kernel, &asked, sizeof asked, MSG_PEEK), sizeof asked);
	for (unsigned i = 0; i < links + ends; i++) {
		struct {
			struct nlmsghdr head;
			struct ifinfomsg link;
		} reply = { .head = asked };

		reply.head.nlmsg_len = sizeof reply;
		reply.head.nlmsg_flags = (uint16_t)(NLM_F_MULTI | flags);
		reply.head.nlmsg_seq += number;
		reply.head.nlmsg_type = i < links ? RTM_NEWLINK : NLMSG_DONE;
		ck_assert_int_eq(send(kernel, &reply, sizeof reply, 0), sizeof reply);
	}
}

START_TEST(a_long_dump_is_read_in_parts)
{
	struct nl_msg          *dump = links(RTM_GETLINK, NLM_F_DUMP, 0);
	struct netlink_exchange ex;
	struct tg_error         err;
	unsigned                seen = 0;
	unsigned                links_count = PARTS * NETLINK_READS;
	int                     ends[2];

	tg_clock_fake(1000, 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(netlink_begin(&ex, ends[0], dump, count, &seen, &err), 0);
	answer(ends[1], links_count, 0, 0, true);
	/* The time is over: some messages come all the same. */
	for (unsigned i = 1; i <= PARTS; i++) {
		ck_assert_int_eq(netlink_go_on(&ex, ends[0], 1000, &err), 0);
		ck_assert_uint_eq(seen, i * NETLINK_READS);
		ck_assert(!ex.over);
	}
	ck_assert_int_eq(netlink_go_on(&ex, ends[0], 1000, &err), 0);
	ck_assert(ex.over);
	ck_assert_uint_eq(seen, links_count);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

/* It is read to its end, wherever it was cut, and then is of no use. */
START_TEST(that_a_dump_was_interrupted_is_told_at_its_end)
{
	struct nl_msg          *dump = links(RTM_GETLINK, NLM_F_DUMP, 0);
	struct netlink_exchange ex;
	struct tg_error         err;
	unsigned                seen = 0;
	int                     ends[2];

	tg_clock_fake(1000, 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(netlink_begin(&ex, ends[0], dump, count, &seen, &err), 0);
	answer(ends[1], NETLINK_READS, NLM_F_DUMP_INTR, 0, false);
	answer(ends[1], 1, 0, 0, true);
	ck_assert_int_eq(netlink_go_on(&ex, ends[0], 1000, &err), 0);
	ck_assert(!ex.over);
	ck_assert_int_eq(netlink_go_on(&ex, ends[0], 1000, &err), -1);
	ck_assert(ex.over);
	ck_assert_int_eq(err.sys, EINTR);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(what_answers_an_earlier_question_is_skipped)
{
	struct nl_msg          *dump = links(RTM_GETLINK, NLM_F_DUMP, 0);
	struct netlink_exchange ex;
	struct tg_error         err;
	unsigned                seen = 0;
	int                     ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(netlink_begin(&ex, ends[0], dump, count, &seen, &err), 0);
	answer(ends[1], 5, 0, UINT32_MAX, true);
	answer(ends[1], 2, 0, 0, true);
	ck_assert_int_eq(netlink_go_on(&ex, ends[0], UINT64_MAX, &err), 0);
	ck_assert_uint_eq(seen, 2);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

void test_netlink(TCase *tc)
{
	tcase_add_test(tc, a_dump_is_read_to_its_end);
	tcase_add_test(tc, a_refusal_has_its_errno_and_the_socket_goes_on);
	tcase_add_test(tc, out_of_memory_is_told_after_the_whole_answer_was_read);
	tcase_add_test(tc, a_long_dump_is_read_in_parts);
	tcase_add_test(tc, that_a_dump_was_interrupted_is_told_at_its_end);
	tcase_add_test(tc, what_answers_an_earlier_question_is_skipped);
	tcase_add_test(tc, a_batch_names_the_first_that_was_refused);
	tcase_add_test(tc, a_batch_that_is_too_long_is_refused_and_freed);
}
