#include "daemon/segments.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"

void test_segments(TCase *tc);

static char             path[] = "/tmp/tollgate-segments-XXXXXX";
static int              dir;
static struct segments *segments;
static struct tg_error  err;

static void set_up(void)
{
	tg_log_level(TG_LOG_ERROR);
	ck_assert_ptr_nonnull(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY);
	segments = segments_new(dir, &err);
	ck_assert_ptr_nonnull(segments);
}

static void tear_down(void)
{
	const struct segment *one;

	while ((one = segments_at(segments, 0)) != NULL) {
		char name[MSG_NAME_MOST];

		memcpy(name, one->is.name, sizeof name);
		segments_end(segments, name);
		segments_remove(segments, name);
	}
	segments_free(segments);
	unlinkat(dir, "stray", 0);
	close(dir);
	rmdir(path);
}

static bool exists(const char *name)
{
	return faccessat(dir, name, F_OK, 0) == 0;
}

START_TEST(a_segment_is_sparse_and_its_name_unique)
{
	const struct segment *one = segments_add(segments, 3, &err);
	char                  first[MSG_NAME_MOST];
	struct stat           st;

	ck_assert_ptr_nonnull(one);
	ck_assert_uint_eq(one->is.index, 3);
	ck_assert_uint_eq(one->is.live, 1);
	ck_assert_int_eq(fstat(one->fd, &st), 0);
	ck_assert_int_eq(st.st_size, (off_t)MSG_SEGMENT_BYTES);
	ck_assert_int_lt(st.st_blocks, 64);
	memcpy(first, one->is.name, sizeof first);
	one = segments_add(segments, 3, &err);
	ck_assert_ptr_nonnull(one);
	ck_assert_str_ne(one->is.name, first);
	ck_assert(exists(first) && exists(one->is.name));
}
END_TEST

START_TEST(a_live_segment_is_not_removed)
{
	char name[MSG_NAME_MOST];

	memcpy(name, segments_add(segments, 0, &err)->is.name, sizeof name);
	ck_assert(!segments_remove(segments, name));
	ck_assert(exists(name));
	ck_assert_uint_eq(segments_end(segments, name)->is.live, 0);
	ck_assert(segments_remove(segments, name));
	ck_assert(!exists(name));
	ck_assert_ptr_null(segments_at(segments, 0));
	ck_assert(!segments_remove(segments, name));
	ck_assert_ptr_null(segments_end(segments, name));
}
END_TEST

START_TEST(what_an_earlier_life_left_is_found)
{
	const struct segment *one = segments_add(segments, 7, &err);
	char                  name[MSG_NAME_MOST];
	struct msg_slot       slot = { .rx = 5 }, read_back;

	memcpy(name, one->is.name, sizeof name);
	ck_assert_int_eq(pwrite(one->fd, &slot, sizeof slot, 0), sizeof slot);
	segments_free(segments);
	segments = segments_new(dir, &err);
	one = segments_at(segments, 0);
	ck_assert_ptr_nonnull(one);
	ck_assert_str_eq(one->is.name, name);
	ck_assert_uint_eq(one->is.live, 0);
	ck_assert(!one->orphan);
	ck_assert_int_eq(pread(one->fd, &read_back, sizeof read_back, 0), sizeof read_back);
	ck_assert_uint_eq(read_back.rx, 5);
}
END_TEST

/* The worker of a killed daemon goes on counting until its connections end. */
START_TEST(an_orphan_is_live_until_its_mapping_is_gone)
{
	const struct segment *one = segments_add(segments, 1, &err);
	size_t                bytes = MSG_SEGMENT_BYTES;
	void                 *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, one->fd, 0);

	ck_assert_ptr_ne(map, MAP_FAILED);
	segments_free(segments);	/* as if killed: its descriptors close, the mapping stays */
	segments = segments_new(dir, &err);
	one = segments_at(segments, 0);
	ck_assert_ptr_nonnull(one);
	ck_assert(one->orphan);
	ck_assert_uint_eq(one->is.live, 1);
	ck_assert_ptr_null(segments_orphan_ended(segments));
	munmap(map, bytes);
	ck_assert_ptr_eq(segments_orphan_ended(segments), one);
	ck_assert_uint_eq(one->is.live, 0);
	ck_assert_ptr_null(segments_orphan_ended(segments));
}
END_TEST

/* A stray of so many bytes: whether it is taken for a segment when the daemon starts. */
static bool is_taken(off_t bytes)
{
	int fd = openat(dir, "stray", O_CREAT | O_WRONLY, 0600);

	ck_assert_int_eq(ftruncate(fd, bytes), 0);
	close(fd);
	segments_free(segments);
	segments = segments_new(dir, &err);
	return segments_at(segments, 0) != NULL;
}

START_TEST(files_that_hold_no_counters_are_left_alone)
{
	ck_assert(!is_taken(0));
	ck_assert(!is_taken((off_t)MSG_SLOTS_BYTES - 1));
	ck_assert(!is_taken((off_t)MSG_SEGMENT_BYTES - 1));
	ck_assert(!is_taken((off_t)MSG_SEGMENT_BYTES + 1));
	ck_assert(exists("stray"));
}
END_TEST

START_TEST(a_file_that_an_earlier_build_left_is_found)
{
	ck_assert(is_taken((off_t)MSG_SLOTS_BYTES));
}
END_TEST

START_TEST(at_the_limit_the_oldest_dead_one_gives_way)
{
	char oldest[MSG_NAME_MOST];

	tg_log_level(TG_LOG_ERROR);
	memcpy(oldest, segments_add(segments, 0, &err)->is.name, sizeof oldest);
	for (int i = 1; i < SEGMENTS_MOST; i++)
		ck_assert_ptr_nonnull(segments_add(segments, 0, &err));
	ck_assert_ptr_null(segments_add(segments, 0, &err));	/* all live */
	ck_assert_int_eq(err.code, TG_CODE_LIMIT);
	segments_end(segments, oldest);
	ck_assert_ptr_nonnull(segments_add(segments, 0, &err));
	ck_assert(!exists(oldest));
}
END_TEST

void test_segments(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_segment_is_sparse_and_its_name_unique);
	tcase_add_test(tc, a_live_segment_is_not_removed);
	tcase_add_test(tc, what_an_earlier_life_left_is_found);
	tcase_add_test(tc, an_orphan_is_live_until_its_mapping_is_gone);
	tcase_add_test(tc, files_that_hold_no_counters_are_left_alone);
	tcase_add_test(tc, a_file_that_an_earlier_build_left_is_found);
	tcase_add_test(tc, at_the_limit_the_oldest_dead_one_gives_way);
}
