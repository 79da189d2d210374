#include "base/snapshot.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

void test_snapshot(TCase *tc);

static struct snapshot_network networks[2];
static struct snapshot_peer    peers[3];
static struct tg_cidr          ranges[4];

static struct snapshot sample(void)
{
	memset(networks, 0, sizeof networks);
	memset(peers, 0, sizeof peers);
	memset(ranges, 0, sizeof ranges);
	networks[0].port = 51820;
	networks[0].peers_count = 2;
	networks[1].port = 51821;
	networks[1].peers_first = 2;
	networks[1].peers_count = 1;
	networks[1].state = SNAPSHOT_FAILED;
	strcpy(networks[1].reason, "UDP port 51821 is in use");
	peers[0].ranges_count = 4;
	peers[2].rx = UINT64_MAX;
	ck_assert(tg_cidr_read("10.0.0.2/32", &ranges[3]));
	return (struct snapshot){ networks, peers, ranges, 2, 3, 4 };
}

START_TEST(what_is_packed_is_unpacked)
{
	struct snapshot from = sample(), to;
	struct tg_error err;
	TG_AUTO_FD      fd = snapshot_pack(&from, &err);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(snapshot_unpack(fd, &to, &err), 0);
	ck_assert_mem_eq(to.networks, networks, sizeof networks);
	ck_assert_mem_eq(to.peers, peers, sizeof peers);
	ck_assert_mem_eq(to.ranges, ranges, sizeof ranges);
	ck_assert_ptr_eq(snapshot_find(&to, 51821), &to.networks[1]);
	ck_assert_ptr_null(snapshot_find(&to, 51822));
	snapshot_clear(&to);
}
END_TEST

START_TEST(an_empty_one_is_unpacked)
{
	struct snapshot from = { 0 }, to;
	TG_AUTO_FD      fd = snapshot_pack(&from, NULL);

	ck_assert_int_eq(snapshot_unpack(fd, &to, NULL), 0);
	ck_assert_uint_eq(to.networks_count, 0);
	ck_assert_ptr_null(snapshot_find(&to, 1));
	snapshot_clear(&to);
}
END_TEST

static void refused(const struct snapshot *from)
{
	struct snapshot to;
	struct tg_error err;
	TG_AUTO_FD      fd = snapshot_pack(from, &err);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(snapshot_unpack(fd, &to, &err), -1);
	ck_assert_int_eq(err.code, TG_CODE_PROTOCOL);
	ck_assert_ptr_null(to.networks);
}

START_TEST(indexes_outside_wrong_order_and_open_texts_are_refused)
{
	struct snapshot from = sample();

	networks[1].peers_count = 2;
	refused(&from);
	from = sample();
	networks[1].peers_first = UINT32_MAX;
	refused(&from);
	from = sample();
	peers[1].ranges_first = 4;
	peers[1].ranges_count = 1;
	refused(&from);
	from = sample();
	networks[1].port = 51820;
	refused(&from);
	from = sample();
	memset(networks[0].reason, 'x', sizeof networks[0].reason);
	refused(&from);
	from = sample();
	networks[0].state = 7;
	refused(&from);
}
END_TEST

START_TEST(every_cut_of_it_is_refused)
{
	struct snapshot from = sample(), to;
	TG_AUTO_FD      whole = snapshot_pack(&from, NULL);
	size_t          bytes;
	const char     *map = tg_memfd_map(whole, 1, 1 << 20, &bytes, NULL);

	for (size_t n = 1; n < bytes; n++) {
		const struct tg_part part = { map, n };
		TG_AUTO_FD           cut = tg_memfd_make("cut", &part, 1, NULL);

		ck_assert_msg(snapshot_unpack(cut, &to, NULL) == -1, "%zu bytes", n);
	}
	tg_memfd_unmap(map, bytes);
}
END_TEST

START_TEST(a_file_that_can_still_change_is_refused)
{
	TG_AUTO_FD      open_file = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct snapshot to;
	struct tg_error err;
	char            zeros[4096] = "";

	ck_assert_int_eq(write(open_file, zeros, sizeof zeros), sizeof zeros);
	ck_assert_int_eq(fcntl(open_file, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
	ck_assert_int_eq(snapshot_unpack(open_file, &to, &err), -1);
	ck_assert_str_eq(err.text, "a memory file is not sealed");
}
END_TEST

void test_snapshot(TCase *tc)
{
	tcase_add_test(tc, what_is_packed_is_unpacked);
	tcase_add_test(tc, an_empty_one_is_unpacked);
	tcase_add_test(tc, indexes_outside_wrong_order_and_open_texts_are_refused);
	tcase_add_test(tc, every_cut_of_it_is_refused);
	tcase_add_test(tc, a_file_that_can_still_change_is_refused);
}
