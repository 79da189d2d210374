#include "proxy/sockpool.h"

#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/clock.h"
#include "proxy/worker.h"
#include "tests/support/ingress.h"

void test_sockpool(TCase *tc);

/* Somebody who takes a socket. */
struct taker {
	int fd;
	int calls;
};

static void on_done(int fd, void *arg)
{
	struct taker *taker = arg;

	taker->fd = fd;
	taker->calls++;
}

static bool was_called(void *arg)
{
	return ((struct taker *)arg)->calls > 0;
}

static struct sockpool *pool_of(struct ingress *in)
{
	return in->worker->sockets;
}

/* Takes a socket, which comes at once or later, and closes it. */
static void take_one(struct ingress *in, int family)
{
	struct taker taker = { .fd = -1 };

	switch (sockpool_take(pool_of(in), in->cookie, family, &taker.fd, on_done, &taker)) {
	case SOCKPOOL_WAIT:
		ck_assert(ingress_until(in, was_called, &taker));
		break;
	case SOCKPOOL_READY:
		break;
	case SOCKPOOL_REFUSED:
		ck_abort_msg("refused");
	}
	ck_assert_int_ne(taker.fd, -1);
	close(taker.fd);
}

START_TEST(the_first_waits_and_the_next_find_sockets_ready)
{
	struct ingress in;
	struct taker   taker = { .fd = -1 };

	ingress_begin(&in, 0);
	ck_assert_uint_eq(sockpool_count(pool_of(&in)), 0);
	take_one(&in, AF_INET);
	ck_assert_uint_eq(sockpool_count(pool_of(&in)), MSG_SOCKETS_BATCH - 1);
	ck_assert_uint_eq(in.asks, 1);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(sockpool_take(pool_of(&in), in.cookie, AF_INET, &taker.fd, on_done, &taker),
		                 SOCKPOOL_READY);
		close(taker.fd);
	}
	ck_assert_int_eq(taker.calls, 0);
	ingress_end(&in);
}
END_TEST

START_TEST(a_busy_network_is_asked_for_ahead_of_need)
{
	struct ingress in;

	ingress_begin(&in, 0);
	for (int i = 0; i < 100; i++) {
		struct taker taker = { .fd = -1 };

		if (sockpool_take(pool_of(&in), in.cookie, AF_INET, &taker.fd, on_done, &taker) !=
		    SOCKPOOL_READY)
			ck_assert(i == 0 && ingress_until(&in, was_called, &taker));
		close(taker.fd);
		ingress_run(&in, 2);
	}
	ck_assert_uint_le(in.asks, 100 / MSG_SOCKETS_BATCH + 2);
	ingress_end(&in);
}
END_TEST

START_TEST(many_who_wait_are_all_served_with_few_messages)
{
	struct ingress in;
	struct taker   takers[100];

	ingress_begin(&in, 0);
	for (int i = 0; i < 100; i++) {
		takers[i] = (struct taker){ .fd = -1 };
		ck_assert_int_eq(
		        sockpool_take(pool_of(&in), in.cookie, AF_INET, &takers[i].fd, on_done, &takers[i]),
		        SOCKPOOL_WAIT);
	}
	for (int i = 0; i < 100; i++) {
		ck_assert(ingress_until(&in, was_called, &takers[i]));
		ck_assert_int_eq(takers[i].calls, 1);
		ck_assert_int_ne(takers[i].fd, -1);
		close(takers[i].fd);
	}
	ck_assert_uint_le(in.asks, 100 / MSG_SOCKETS_BATCH + 2);
	ingress_end(&in);
}
END_TEST

START_TEST(families_have_sockets_of_their_own)
{
	struct ingress in;
	struct taker   taker = { .fd = -1 };
	int            family = 0;
	socklen_t      bytes = sizeof family;

	ingress_begin(&in, 0);
	take_one(&in, AF_INET);
	ck_assert_int_eq(sockpool_take(pool_of(&in), in.cookie, AF_INET6, &taker.fd, on_done, &taker),
	                 SOCKPOOL_WAIT);
	ck_assert(ingress_until(&in, was_called, &taker));
	ck_assert_int_eq(getsockopt(taker.fd, SOL_SOCKET, SO_DOMAIN, &family, &bytes), 0);
	ck_assert_int_eq(family, AF_INET6);
	close(taker.fd);
	ingress_end(&in);
}
END_TEST

START_TEST(a_socket_of_another_namespace_is_not_used)
{
	struct ingress in;
	struct taker   taker = { .fd = -1 };

	ingress_begin(&in, 0);
	/* The broker makes them in this namespace whatever it is asked for. */
	ck_assert_int_eq(sockpool_take(pool_of(&in), in.cookie + 1, AF_INET, &taker.fd, on_done, &taker),
	                 SOCKPOOL_WAIT);
	ck_assert(ingress_until(&in, was_called, &taker));
	ck_assert_int_eq(taker.fd, -1);
	ck_assert_uint_eq(sockpool_count(pool_of(&in)), 0);
	ingress_end(&in);
}
END_TEST

START_TEST(when_none_comes_who_waits_is_told)
{
	struct ingress in;
	struct taker   a = { .fd = 5 }, b = { .fd = 5 };

	ingress_begin(&in, 0);
	in.refusal = 23;
	sockpool_take(pool_of(&in), in.cookie, AF_INET, &a.fd, on_done, &a);
	sockpool_take(pool_of(&in), in.cookie, AF_INET, &b.fd, on_done, &b);
	ck_assert(ingress_until(&in, was_called, &b));
	ck_assert_int_eq(a.fd, -1);
	ck_assert_int_eq(b.fd, -1);
	in.refusal = 0;
	take_one(&in, AF_INET);
	ingress_end(&in);
}
END_TEST

START_TEST(who_cancelled_is_not_called)
{
	struct ingress in;
	struct taker   a = { .fd = -1 }, b = { .fd = -1 };

	ingress_begin(&in, 0);
	sockpool_take(pool_of(&in), in.cookie, AF_INET, &a.fd, on_done, &a);
	sockpool_take(pool_of(&in), in.cookie, AF_INET, &b.fd, on_done, &b);
	sockpool_cancel(pool_of(&in), &a);
	sockpool_cancel(pool_of(&in), &a);
	ck_assert(ingress_until(&in, was_called, &b));
	close(b.fd);
	ck_assert_int_eq(a.calls, 0);
	ingress_end(&in);
}
END_TEST

START_TEST(a_new_broker_is_asked_anew)
{
	struct ingress in;
	struct taker   taker = { .fd = -1 };

	ingress_begin(&in, 0);
	in.mute = true;
	sockpool_take(pool_of(&in), in.cookie, AF_INET, &taker.fd, on_done, &taker);
	ingress_run(&in, 20);
	ck_assert_uint_eq(in.asks, 1);
	worker_set_broker(in.worker, NULL);
	in.mute = false;
	ingress_run(&in, 20);
	ck_assert_int_eq(taker.calls, 0);
	worker_set_broker(in.worker, in.broker);
	ck_assert(ingress_until(&in, was_called, &taker));
	ck_assert_int_ne(taker.fd, -1);
	close(taker.fd);
	ingress_end(&in);
}
END_TEST

static bool keep_one(uint64_t cookie, void *arg)
{
	return arg != NULL && cookie == *(uint64_t *)arg;
}

START_TEST(a_forgotten_network_keeps_nothing_and_takes_no_late_answer)
{
	struct ingress in;
	struct taker   taker = { .fd = 5 };

	ingress_begin(&in, 0);
	take_one(&in, AF_INET);
	sockpool_take(pool_of(&in), in.cookie, AF_INET6, &taker.fd, on_done, &taker);
	sockpool_forget_others(pool_of(&in), keep_one, NULL);
	ck_assert_uint_eq(sockpool_count(pool_of(&in)), 0);
	ck_assert_int_eq(taker.calls, 1);
	ck_assert_int_eq(taker.fd, -1);
	ingress_run(&in, 30);
	ck_assert_uint_eq(sockpool_count(pool_of(&in)), 0);
	ingress_end(&in);
}
END_TEST

START_TEST(others_are_forgotten_and_those_kept_stay)
{
	struct ingress in;

	ingress_begin(&in, 0);
	take_one(&in, AF_INET);
	sockpool_forget_others(pool_of(&in), keep_one, &in.cookie);
	ck_assert_uint_eq(sockpool_count(pool_of(&in)), MSG_SOCKETS_BATCH - 1);
	sockpool_forget_others(pool_of(&in), keep_one, NULL);
	ck_assert_uint_eq(sockpool_count(pool_of(&in)), 0);
	ingress_end(&in);
}
END_TEST

START_TEST(idle_sockets_are_closed_after_30_s)
{
	struct ingress in;

	ingress_begin(&in, 0);
	tg_clock_fake(100000, 0);
	take_one(&in, AF_INET);
	tg_clock_fake(100000 + SOCKPOOL_IDLE_MS - 1, 0);
	sockpool_tidy(pool_of(&in));
	ck_assert_uint_eq(sockpool_count(pool_of(&in)), MSG_SOCKETS_BATCH - 1);
	tg_clock_fake(100000 + SOCKPOOL_IDLE_MS, 0);
	sockpool_tidy(pool_of(&in));
	ck_assert_uint_eq(sockpool_count(pool_of(&in)), 0);
	ingress_end(&in);
}
END_TEST

/* A pool with a limit of its own, whose networks are the two families. */
START_TEST(a_full_pool_closes_the_least_recently_used)
{
	struct ingress   in;
	struct sockpool *big;
	struct taker     taker = { .fd = -1 };

	ingress_begin(&in, 0);
	big = in.worker->sockets;
	in.worker->sockets = sockpool_new(8, 12);
	worker_set_broker(in.worker, in.broker);

	take_one(&in, AF_INET);
	ck_assert_uint_eq(sockpool_count(pool_of(&in)), 7);
	take_one(&in, AF_INET6);
	ck_assert_uint_le(sockpool_count(pool_of(&in)), 12);
	ck_assert_uint_ge(sockpool_count(pool_of(&in)), 7);
	/* Of AF_INET's 7 only 4 had room beside the 8 asked for. */
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(sockpool_take(pool_of(&in), in.cookie, AF_INET, &taker.fd, on_done, &taker),
		                 SOCKPOOL_READY);
		close(taker.fd);
	}
	ck_assert_int_eq(sockpool_take(pool_of(&in), in.cookie, AF_INET, &taker.fd, on_done, &taker),
	                 SOCKPOOL_WAIT);
	ck_assert(ingress_until(&in, was_called, &taker));
	close(taker.fd);

	sockpool_free(in.worker->sockets);
	in.worker->sockets = big;
	ingress_end(&in);
}
END_TEST

START_TEST(who_finds_no_room_is_served_once_there_is)
{
	struct ingress   in;
	struct sockpool *big;
	struct taker     four[9], six[9];

	ingress_begin(&in, 0);
	big = in.worker->sockets;
	in.worker->sockets = sockpool_new(8, 8);
	worker_set_broker(in.worker, in.broker);
	for (int i = 0; i < 9; i++) {
		four[i] = six[i] = (struct taker){ .fd = -1 };
		sockpool_take(pool_of(&in), in.cookie, AF_INET, &four[i].fd, on_done, &four[i]);
		sockpool_take(pool_of(&in), in.cookie, AF_INET6, &six[i].fd, on_done, &six[i]);
	}
	for (int i = 0; i < 9; i++) {
		ck_assert(ingress_until(&in, was_called, &four[i]));
		ck_assert(ingress_until(&in, was_called, &six[i]));
		close(four[i].fd);
		close(six[i].fd);
	}
	sockpool_free(in.worker->sockets);
	in.worker->sockets = big;
	ingress_end(&in);
}
END_TEST

START_TEST(too_many_who_wait_are_refused)
{
	static struct taker takers[SOCKPOOL_WAITING_MOST];
	struct ingress      in;
	struct taker        more;

	ingress_begin(&in, 0);
	in.mute = true;
	for (size_t i = 0; i < SOCKPOOL_WAITING_MOST; i++)
		ck_assert_int_eq(
		        sockpool_take(pool_of(&in), in.cookie, AF_INET, &takers[i].fd, on_done, &takers[i]),
		        SOCKPOOL_WAIT);
	ck_assert_int_eq(sockpool_take(pool_of(&in), in.cookie, AF_INET, &more.fd, on_done, &more),
	                 SOCKPOOL_REFUSED);
	sockpool_cancel(pool_of(&in), &takers[7]);
	ck_assert_int_eq(sockpool_take(pool_of(&in), in.cookie, AF_INET, &more.fd, on_done, &more),
	                 SOCKPOOL_WAIT);
	ingress_end(&in);
	ck_assert_int_eq(takers[0].calls, 1);
	ck_assert_int_eq(takers[0].fd, -1);
}
END_TEST

void test_sockpool(TCase *tc)
{
	tcase_add_test(tc, the_first_waits_and_the_next_find_sockets_ready);
	tcase_add_test(tc, a_busy_network_is_asked_for_ahead_of_need);
	tcase_add_test(tc, many_who_wait_are_all_served_with_few_messages);
	tcase_add_test(tc, families_have_sockets_of_their_own);
	tcase_add_test(tc, a_socket_of_another_namespace_is_not_used);
	tcase_add_test(tc, when_none_comes_who_waits_is_told);
	tcase_add_test(tc, who_cancelled_is_not_called);
	tcase_add_test(tc, a_new_broker_is_asked_anew);
	tcase_add_test(tc, a_forgotten_network_keeps_nothing_and_takes_no_late_answer);
	tcase_add_test(tc, others_are_forgotten_and_those_kept_stay);
	tcase_add_test(tc, idle_sockets_are_closed_after_30_s);
	tcase_add_test(tc, a_full_pool_closes_the_least_recently_used);
	tcase_add_test(tc, who_finds_no_room_is_served_once_there_is);
	tcase_add_test(tc, too_many_who_wait_are_refused);
}
