#include "proxy/pipes.h"

#include <check.h>
#include <fcntl.h>
#include <unistd.h>

void test_pipes(TCase *tc);

START_TEST(a_pipe_that_was_given_back_is_taken_again)
{
	struct pipes     *pipes = pipes_new(2);
	struct pipe_pair *a = pipes_take(pipes);
	struct pipe_pair *b;

	ck_assert_ptr_nonnull(a);
	ck_assert_uint_ge(a->bytes, 65536);
	pipes_give(pipes, a, true);
	b = pipes_take(pipes);
	ck_assert_ptr_eq(a, b);
	pipes_give(pipes, b, true);
	pipes_free(pipes);
}
END_TEST

START_TEST(there_are_no_more_than_the_limit)
{
	struct pipes     *pipes = pipes_new(2);
	struct pipe_pair *a = pipes_take(pipes);
	struct pipe_pair *b = pipes_take(pipes);

	ck_assert_ptr_nonnull(b);
	ck_assert_ptr_null(pipes_take(pipes));
	pipes_give(pipes, a, true);
	ck_assert_ptr_eq(pipes_take(pipes), a);
	pipes_give(pipes, a, true);
	pipes_give(pipes, b, true);
	pipes_free(pipes);
}
END_TEST

START_TEST(one_that_still_holds_bytes_is_never_another_connections)
{
	struct pipes     *pipes = pipes_new(1);
	struct pipe_pair *a = pipes_take(pipes);
	char              byte;

	ck_assert_int_eq(write(a->in, "secret", 6), 6);
	pipes_give(pipes, a, false);
	a = pipes_take(pipes);
	ck_assert_ptr_nonnull(a);
	ck_assert_int_eq(read(a->out, &byte, 1), -1);
	pipes_give(pipes, a, true);
	pipes_free(pipes);
}
END_TEST

START_TEST(they_block_nobody_and_no_exec_inherits_them)
{
	struct pipes     *pipes = pipes_new(1);
	struct pipe_pair *a = pipes_take(pipes);

	ck_assert_int_ne(fcntl(a->in, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(a->out, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(a->out, F_GETFD) & FD_CLOEXEC, 0);
	pipes_give(pipes, a, true);
	pipes_free(pipes);
}
END_TEST

void test_pipes(TCase *tc)
{
	tcase_add_test(tc, a_pipe_that_was_given_back_is_taken_again);
	tcase_add_test(tc, there_are_no_more_than_the_limit);
	tcase_add_test(tc, one_that_still_holds_bytes_is_never_another_connections);
	tcase_add_test(tc, they_block_nobody_and_no_exec_inherits_them);
}
