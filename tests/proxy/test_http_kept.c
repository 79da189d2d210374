#include "proxy/http_kept.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

void test_http_kept(TCase *tc);

static int  ends[2];
static char block[HTTP_KEPT_MOST];
static char got[2 * HTTP_KEPT_MOST];

static void setup(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)(i % 251);
}

static void teardown(void)
{
	close(ends[0]);
	close(ends[1]);
}

/* Fills the socket to the brim; returns with how much. */
static size_t brim(void)
{
	size_t  filled = 0;
	ssize_t n;

	while ((n = send(ends[0], block, 1024, MSG_NOSIGNAL)) > 0)
		filled += (size_t)n;
	return filled;
}

static size_t drain(size_t at)
{
	ssize_t n;

	while ((n = recv(ends[1], got + at, sizeof(got) - at, 0)) > 0)
		at += (size_t)n;
	return at;
}

START_TEST(no_more_than_the_limit_is_kept)
{
	struct http_kept kept = { 0 };

	ck_assert_int_eq(http_kept_put(&kept, block, HTTP_KEPT_MOST - 1), 0);
	ck_assert_int_eq(http_kept_put(&kept, block, 2), -1);
	ck_assert_uint_eq(http_kept_bytes(&kept), HTTP_KEPT_MOST - 1);
	ck_assert_int_eq(http_kept_put(&kept, block, 1), 0);
	ck_assert_int_eq(http_kept_put(&kept, block, 0), 0);
	http_kept_clear(&kept);
	ck_assert_uint_eq(http_kept_bytes(&kept), 0);
	ck_assert_ptr_null(kept.data);
}
END_TEST

START_TEST(what_is_not_taken_is_kept_and_sent_in_order)
{
	struct http_kept kept = { 0 };
	struct iovec     first[2] = { { block, 1000 }, { block + 1000, 100000 } };
	struct iovec     second = { block + 101000, 500 };
	size_t           filled = brim();
	size_t           sent, at, total = 0;

	/* Room for a part of it. */
	ck_assert_int_eq(recv(ends[1], got, 20000, 0), 20000);
	ck_assert_int_eq(http_kept_write(&kept, ends[0], first, 2, &sent), 0);
	total += sent;
	ck_assert_uint_lt(sent, 101000);
	ck_assert_int_eq(http_kept_write(&kept, ends[0], &second, 1, &sent), 0);
	ck_assert_uint_eq(sent, 0);
	ck_assert_uint_eq(http_kept_bytes(&kept), 101500 - total);
	at = drain(20000);
	while (http_kept_bytes(&kept) > 0) {
		ck_assert_int_eq(http_kept_send(&kept, ends[0], false, &sent), 0);
		ck_assert_uint_gt(sent, 0);
		total += sent;
		at = drain(at);
	}
	ck_assert_uint_eq(total, 101500);
	ck_assert_uint_eq(at, filled + total);
	ck_assert_mem_eq(got + filled, block, total);
	ck_assert_ptr_null(kept.data);
}
END_TEST

START_TEST(what_may_be_sent_again_stays)
{
	struct http_kept kept = { 0 };
	size_t           sent;

	ck_assert_int_eq(http_kept_put(&kept, "hello", 5), 0);
	ck_assert_int_eq(http_kept_send(&kept, ends[0], true, &sent), 0);
	ck_assert_uint_eq(sent, 5);
	ck_assert_uint_eq(http_kept_bytes(&kept), 0);
	kept.at = 0;
	ck_assert_int_eq(http_kept_send(&kept, ends[0], false, &sent), 0);
	ck_assert_uint_eq(drain(0), 10);
	ck_assert_mem_eq(got, "hellohello", 10);
}
END_TEST

START_TEST(a_broken_connection_is_told)
{
	struct http_kept kept = { 0 };
	struct iovec     part = { block, 10 };
	size_t           sent;

	close(ends[1]);
	ends[1] = -1;
	ck_assert_int_eq(http_kept_write(&kept, ends[0], &part, 1, &sent), -1);
	ck_assert_uint_eq(sent, 0);
	ck_assert_int_eq(http_kept_put(&kept, block, 10), 0);
	ck_assert_int_eq(http_kept_send(&kept, ends[0], false, &sent), -1);
	ck_assert_uint_eq(http_kept_bytes(&kept), 10);
	http_kept_clear(&kept);
}
END_TEST

void test_http_kept(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, no_more_than_the_limit_is_kept);
	tcase_add_test(tc, what_is_not_taken_is_kept_and_sent_in_order);
	tcase_add_test(tc, what_may_be_sent_again_stays);
	tcase_add_test(tc, a_broken_connection_is_told);
}
