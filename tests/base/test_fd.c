#include "base/fd.h"

#include <check.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

void test_fd(TCase *tc);

START_TEST(a_memory_file_is_of_the_size_that_is_wanted)
{
	const struct tg_part parts[] = { { "one", 3 }, { "", 0 }, { "two", 3 } };
	struct tg_error      err;
	size_t               bytes = 0;
	int                  fd = tg_memfd_make("test", parts, 3, &err);
	const char          *map = tg_memfd_map(fd, 6, 6, &bytes, &err);

	ck_assert_ptr_nonnull(map);
	ck_assert_uint_eq(bytes, 6);
	ck_assert_mem_eq(map, "onetwo", 6);
	tg_memfd_unmap(map, bytes);
	ck_assert_ptr_null(tg_memfd_map(fd, 7, 100, &bytes, &err));
	ck_assert_int_eq(err.code, TG_CODE_PROTOCOL);
	ck_assert_ptr_null(tg_memfd_map(fd, 0, 5, &bytes, &err));
	ck_assert_int_eq(err.code, TG_CODE_PROTOCOL);
	close(fd);
}
END_TEST

START_TEST(an_empty_memory_file_is_refused)
{
	struct tg_error err;
	size_t          bytes = 0;
	int             fd = tg_memfd_make("test", NULL, 0, &err);

	ck_assert_int_ne(fd, -1);
	ck_assert_ptr_null(tg_memfd_map(fd, 0, 100, &bytes, &err));
	ck_assert_int_eq(err.code, TG_CODE_PROTOCOL);
	close(fd);
}
END_TEST

/* Who made it could change it while it is read, or cut it: a read of what is gone is SIGBUS. */
START_TEST(a_memory_file_that_is_not_sealed_is_refused)
{
	static const int seals[] = { F_SEAL_WRITE, F_SEAL_GROW, F_SEAL_SHRINK };
	const int        all = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK;

	for (size_t i = 0; i < sizeof seals / sizeof seals[0]; i++) {
		struct tg_error err;
		size_t          bytes = 0;
		int             fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

		ck_assert_int_eq(write(fd, "text", 4), 4);
		ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, all & ~seals[i]), 0);
		ck_assert_ptr_null(tg_memfd_map(fd, 1, 100, &bytes, &err));
		ck_assert_int_eq(err.code, TG_CODE_PROTOCOL);
		close(fd);
	}
}
END_TEST

void test_fd(TCase *tc)
{
	tcase_add_test(tc, a_memory_file_is_of_the_size_that_is_wanted);
	tcase_add_test(tc, an_empty_memory_file_is_refused);
	tcase_add_test(tc, a_memory_file_that_is_not_sealed_is_refused);
}
