#include "base/channel.h"

#include <check.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

void test_channel(TCase *tc);

/* Both ends in one process and one loop: control's and the engine's. */
struct pair {
	struct event_base *base;
	struct channel    *control, *engine;
	unsigned           messages, closed;
	uint64_t           last;
	int                fd;	/* taken with the last message */
	bool               free_on_message;
};

static void on_message(struct channel *channel, const struct msg *msg, int *fds, size_t count, void *arg)
{
	struct pair *pair = arg;

	pair->messages++;
	if (msg->type == MSG_DESIRED) {
		ck_assert_uint_eq(msg->body.desired.generation, pair->last + 1);
		pair->last = msg->body.desired.generation;
		ck_assert_uint_eq(count, 1);
		tg_close_at(&pair->fd);
		pair->fd = tg_take_fd(&fds[0]);
	}
	if (pair->free_on_message) {
		channel_free(channel);
		pair->engine = NULL;
	}
}

static void on_closed(struct channel *channel, void *arg)
{
	struct pair *pair = arg;

	pair->closed++;
	if (channel == pair->control)
		pair->control = NULL;
	else
		pair->engine = NULL;
	channel_free(channel);
}

/* A channel of `self` in ends[0], what it says to `other` in ends[1]. */
static struct channel *pair_begin_one(struct pair *pair, int ends[2], enum msg_role self, enum msg_role other)
{
	struct channel *channel;

	memset(pair, 0, sizeof *pair);
	pair->fd = -1;
	pair->base = event_base_new();
	ck_assert_int_eq(channel_pair(ends, NULL), 0);
	channel = channel_new(pair->base, ends[0], self, other, on_message, on_closed, pair);
	ck_assert_ptr_nonnull(channel);
	return channel;
}

static void pair_begin(struct pair *pair, int ends[2])
{
	pair->engine = pair_begin_one(pair, ends, MSG_ROLE_ENGINE, MSG_ROLE_CONTROL);
}

static void pair_begin_both(struct pair *pair)
{
	int ends[2];

	pair_begin(pair, ends);
	pair->control = channel_new(pair->base, ends[1], MSG_ROLE_CONTROL, MSG_ROLE_ENGINE, on_message,
	                            on_closed, pair);
	ck_assert_ptr_nonnull(pair->control);
}

static void pair_end(struct pair *pair)
{
	channel_free(pair->control);
	channel_free(pair->engine);
	tg_close_at(&pair->fd);
	event_base_free(pair->base);
}

static unsigned open_descriptors(void)
{
	unsigned open = 0;

	for (int fd = 0; fd < 1024; fd++)
		open += fcntl(fd, F_GETFD) != -1;
	return open;
}

START_TEST(messages_and_descriptors_arrive_in_order_however_many_wait)
{
	struct pair pair;
	unsigned    before = open_descriptors();

	pair_begin_both(&pair);
	for (uint64_t i = 1; i <= 500; i++) {
		struct msg_desired body = { .generation = i };
		TG_AUTO_FD         fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		ck_assert_int_eq(channel_send(pair.control, MSG_DESIRED, &body, &fd, 1), 0);
	}
	while (pair.messages < 500)
		event_base_loop(pair.base, EVLOOP_ONCE);
	ck_assert_uint_eq(pair.last, 500);
	ck_assert_int_ne(fcntl(pair.fd, F_GETFD), -1);
	pair_end(&pair);
	ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

/* Bytes of values around what fits behind a body, and how many messages make the other end's queue full. */
static const size_t value_sizes[] = { 1, MSG_VALUE_MOST - 1, MSG_VALUE_MOST, MSG_VALUE_MOST + 1, 3 << 20 };

#define VALUES_MOST 500

static void fill(uint8_t *value, size_t bytes, unsigned seed)
{
	for (size_t i = 0; i < bytes; i++)
		value[i] = (uint8_t)(seed + i * 7 + i / 251);
}

START_TEST(a_value_arrives_whole_however_large_it_is_and_however_many_wait)
{
	size_t             bytes = value_sizes[_i];
	struct msg_desired body = { .generation = 7 };
	struct pair        pair;
	unsigned           sent = bytes > MSG_VALUE_MOST ? 3 : VALUES_MOST;
	uint8_t           *value = malloc(bytes);
	int                ends[2];

	ck_assert_ptr_nonnull(value);
	pair.control = pair_begin_one(&pair, ends, MSG_ROLE_CONTROL, MSG_ROLE_ENGINE);
	for (unsigned i = 0; i < sent; i++) {
		fill(value, bytes, i);
		ck_assert_int_eq(channel_send_value(pair.control, MSG_DESIRED, &body, value, bytes), 0);
	}
	for (unsigned i = 0; i < sent; i++) {
		struct msg           msg;
		struct channel_value got;
		int                  fds[MSG_FDS_MOST];
		struct tg_error      err;

		event_base_loop(pair.base, EVLOOP_NONBLOCK);
		ck_assert_int_eq(channel_wait(ends[1], MSG_ROLE_ENGINE, MSG_ROLE_CONTROL, &msg, fds, &err),
		                 bytes > MSG_VALUE_MOST);
		ck_assert_uint_eq(msg.body.desired.generation, 7);
		ck_assert_int_eq(channel_value_open(&msg, fds, bytes + 1, SIZE_MAX, &got, &err), -1);
		ck_assert_int_eq(err.code, TG_CODE_PROTOCOL);
		ck_assert_int_eq(channel_value_open(&msg, fds, 0, bytes - 1, &got, &err), -1);
		ck_assert_int_eq(err.code, TG_CODE_PROTOCOL);
		ck_assert_int_eq(channel_value_open(&msg, fds, bytes, bytes, &got, &err), 0);
		fill(value, bytes, i);
		ck_assert_uint_eq(got.bytes, bytes);
		ck_assert_mem_eq(got.data, value, bytes);
		channel_value_close(&got);
		if (bytes > MSG_VALUE_MOST)
			close(fds[0]);
	}
	free(value);
	close(ends[1]);
	pair_end(&pair);
}
END_TEST

START_TEST(a_value_in_a_file_that_can_still_change_is_refused)
{
	struct msg           msg = { .type = MSG_DESIRED };
	struct channel_value value;
	struct tg_error      err;
	TG_AUTO_FD           fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_eq(write(fd, "open", 4), 4);
	ck_assert_int_eq(channel_value_open(&msg, &fd, 1, 100, &value, &err), -1);
	ck_assert_int_eq(err.code, TG_CODE_PROTOCOL);
	channel_value_close(&value);
}
END_TEST

START_TEST(a_reader_who_never_reads_costs_the_channel_not_the_memory)
{
	struct pair     pair;
	struct msg_none none = { 0 };
	unsigned        sent = 0;
	int             ends[2];

	pair.control = pair_begin_one(&pair, ends, MSG_ROLE_SUPERVISOR, MSG_ROLE_CONTROL);
	while (channel_send(pair.control, MSG_STOP, &none, NULL, 0) == 0)
		ck_assert_uint_lt(++sent, CHANNEL_QUEUE_MOST + 10000);
	ck_assert_uint_ge(sent, CHANNEL_QUEUE_MOST);
	ck_assert_uint_eq(pair.closed, 0);
	while (pair.closed == 0)
		event_base_loop(pair.base, EVLOOP_ONCE);
	close(ends[1]);
	pair_end(&pair);
}
END_TEST

START_TEST(a_message_that_may_not_come_closes_the_channel)
{
	struct pair pair;
	int         ends[2];
	struct msg  msg = { .type = MSG_DESIRED };

	/* Without its descriptor. */
	pair_begin(&pair, ends);
	ck_assert_int_gt(send(ends[1], &msg, msg_bytes(MSG_DESIRED), 0), 0);
	while (pair.closed == 0)
		event_base_loop(pair.base, EVLOOP_ONCE);
	ck_assert_uint_eq(pair.messages, 0);
	close(ends[1]);
	pair_end(&pair);

	/* Larger than any message. */
	char large[sizeof msg + 64];

	memset(large, 0, sizeof large);
	pair_begin(&pair, ends);
	ck_assert_int_gt(send(ends[1], large, sizeof large, 0), 0);
	while (pair.closed == 0)
		event_base_loop(pair.base, EVLOOP_ONCE);
	close(ends[1]);
	pair_end(&pair);
}
END_TEST

START_TEST(the_other_ends_death_is_told_once_and_sends_fail)
{
	struct pair pair;
	int         ends[2];

	pair_begin(&pair, ends);
	close(ends[1]);

	struct msg_snapshot body = { 0 };
	TG_AUTO_FD          fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(channel_send(pair.engine, MSG_SNAPSHOT, &body, &fd, 1), -1);
	ck_assert_uint_eq(pair.closed, 0);
	while (pair.closed == 0)
		event_base_loop(pair.base, EVLOOP_ONCE);
	event_base_loop(pair.base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(pair.closed, 1);
	pair_end(&pair);
}
END_TEST

START_TEST(a_channel_may_be_freed_while_it_tells_of_a_message)
{
	struct pair     pair;
	struct msg_look look = { 0 };

	pair_begin_both(&pair);
	pair.free_on_message = true;
	ck_assert_int_eq(channel_send(pair.control, MSG_LOOK, &look, NULL, 0), 0);
	ck_assert_int_eq(channel_send(pair.control, MSG_LOOK, &look, NULL, 0), 0);
	while (pair.messages == 0)
		event_base_loop(pair.base, EVLOOP_ONCE);
	event_base_loop(pair.base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(pair.messages, 1);
	pair_end(&pair);
}
END_TEST

void test_channel(TCase *tc)
{
	tcase_add_test(tc, messages_and_descriptors_arrive_in_order_however_many_wait);
	tcase_add_loop_test(tc, a_value_arrives_whole_however_large_it_is_and_however_many_wait, 0,
	                    (int)(sizeof value_sizes / sizeof value_sizes[0]));
	tcase_add_test(tc, a_value_in_a_file_that_can_still_change_is_refused);
	tcase_add_test(tc, a_reader_who_never_reads_costs_the_channel_not_the_memory);
	tcase_add_test(tc, a_message_that_may_not_come_closes_the_channel);
	tcase_add_test(tc, the_other_ends_death_is_told_once_and_sends_fail);
	tcase_add_test(tc, a_channel_may_be_freed_while_it_tells_of_a_message);
}
