#include "daemon/document.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "tests/support/document.h"

void test_document(TCase *tc);

static int  dir;
static char dir_name[64];

static void begin(void)
{
	snprintf(dir_name, sizeof dir_name, "/tmp/tollgate-document-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir_name));
	dir = open(dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ne(dir, -1);
}

static void end(void)
{
	unlinkat(dir, "state.json", 0);
	unlinkat(dir, "state.meta", 0);
	close(dir);
	ck_assert_int_eq(rmdir(dir_name), 0);
}

static struct document *make(const char *text)
{
	struct document *document = document_new(document_read(text, NULL), NULL);

	ck_assert_ptr_nonnull(document);
	return document;
}

static void file_put(const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

#define ONE DOCUMENT("")
#define TWO "{'51821':" NETWORK(PRIVATE_1, "") "}"
#define BOTH "{'51820':" NETWORK(PRIVATE_1, "") ",'51821':" NETWORK(PRIVATE_2, "") "}"

START_TEST(nothing_stored_is_no_document)
{
	struct document     *document;
	struct document_meta meta;

	ck_assert_int_eq(document_load(dir, &document, &meta, NULL), 0);
	ck_assert_ptr_null(document);
	ck_assert_uint_eq(meta.generation, 0);
}
END_TEST

START_TEST(what_is_stored_is_loaded_and_only_its_owner_reads_it)
{
	struct document     *from = make(ONE), *to;
	struct document_meta none = { 0 }, meta = { .generation = 7 }, back;
	struct stat          st;

	memset(meta.config, 'a', DOCUMENT_DIGEST_TEXT - 1);
	ck_assert_int_eq(document_store(dir, from, &meta, &none, NULL), 0);
	ck_assert_int_eq(fstatat(dir, "state.json", &st, 0), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(document_load(dir, &to, &back, NULL), 1);
	ck_assert_str_eq(to->digest, from->digest);
	ck_assert_mem_eq(to->printed.text, from->printed.text, from->printed.bytes);
	ck_assert_uint_eq(back.generation, 7);
	ck_assert_str_eq(back.config, meta.config);
	document_drop(from);
	document_drop(to);
}
END_TEST

START_TEST(a_document_made_from_the_one_before_is_none_the_worse)
{
	static const char *const texts[] = { ONE, ONE, TWO, BOTH, BOTH, TWO, "{}", BOTH };
	struct document         *before = NULL;

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct document *plain = make(texts[i]);
		struct document *next = document_new(document_read(texts[i], NULL), before);

		ck_assert_ptr_nonnull(next);
		ck_assert_uint_eq(next->printed.bytes, plain->printed.bytes);
		ck_assert_str_eq(next->printed.text, plain->printed.text);
		ck_assert_str_eq(next->digest, plain->digest);
		ck_assert_str_eq(next->etag, plain->etag);
		ck_assert_str_eq(next->etag_public, plain->etag_public);
		document_drop(plain);
		document_drop(before);
		before = next;
	}
	document_drop(before);
}
END_TEST

/* A digest that nobody would make shows that it was copied. */
START_TEST(only_networks_written_anew_get_a_new_digest)
{
	static const char third[] = "{'51819':" NETWORK(PRIVATE_3, "") ",'51820':" NETWORK(PRIVATE_1, "")
				    ",'51821':" NETWORK(PRIVATE_2, ",'mtu':1300") "}";
	struct document  *before = make(BOTH), *plain = make(third), *next;

	memset(before->parts[0], 'x', sizeof before->parts[0]);
	memset(before->parts[1], 'y', sizeof before->parts[1]);
	next = document_new(document_read(third, NULL), before);
	ck_assert_mem_eq(next->parts[0], plain->parts[0], sizeof plain->parts[0]);
	ck_assert_mem_eq(next->parts[1], before->parts[0], sizeof before->parts[0]);
	ck_assert_mem_eq(next->parts[2], plain->parts[2], sizeof plain->parts[2]);
	ck_assert_str_ne(next->digest, plain->digest);
	document_drop(before);
	document_drop(plain);
	document_drop(next);
}
END_TEST

START_TEST(documents_that_differ_have_other_tags)
{
	static const char *const texts[] = { "{}", ONE, TWO, BOTH,
					     "{'51820':" NETWORK(PRIVATE_2, "") ",'51821':"
						     NETWORK(PRIVATE_1, "") "}",
					     "{'51820':" NETWORK(PRIVATE_1, ",'mtu':1300") "}",
					     "{'51822':" NETWORK(PRIVATE_1, "") "}" };
	struct document         *documents[sizeof texts / sizeof texts[0]];
	size_t                   count = sizeof texts / sizeof texts[0];

	for (size_t i = 0; i < count; i++)
		documents[i] = make(texts[i]);
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < i; k++)
			ck_assert_msg(strcmp(documents[i]->etag, documents[k]->etag) != 0, "%zu, %zu", i, k);
	for (size_t i = 0; i < count; i++)
		document_drop(documents[i]);
}
END_TEST

START_TEST(a_crash_between_the_two_files_leaves_the_old_document_and_its_config)
{
	struct document     *one = make(ONE), *two = make(TWO), *to;
	struct document_meta none = { 0 }, old = { .generation = 1 }, new = { .generation = 2 }, back;

	memset(old.config, '1', DOCUMENT_DIGEST_TEXT - 1);
	memset(new.config, '2', DOCUMENT_DIGEST_TEXT - 1);
	ck_assert_int_eq(document_store(dir, one, &old, &none, NULL), 0);
	ck_assert_int_eq(document_store(dir, two, &new, &old, NULL), 0);
	file_put("state.json", one->printed.text);
	ck_assert_int_eq(document_load(dir, &to, &back, NULL), 1);
	ck_assert_str_eq(to->digest, one->digest);
	ck_assert_str_eq(back.config, old.config);
	/* A number that a client may have seen is never given twice. */
	ck_assert_uint_eq(back.generation, 2);
	document_drop(one);
	document_drop(two);
	document_drop(to);
}
END_TEST

START_TEST(every_cut_of_a_stored_document_is_refused_with_the_files_name)
{
	struct document     *one = make(ONE), *to;
	struct document_meta none = { 0 }, meta = { .generation = 1 };
	struct tg_error      err;

	ck_assert_int_eq(document_store(dir, one, &meta, &none, NULL), 0);
	for (size_t n = 0; n + 1 < one->printed.bytes; n++) {
		char *cut = strndup(one->printed.text, n);

		file_put("state.json", cut);
		free(cut);
		ck_assert_msg(document_load(dir, &to, &meta, &err) == -1, "%zu bytes", n);
		ck_assert_ptr_nonnull(strstr(err.text, "state.json"));
	}
	document_drop(one);
}
END_TEST

START_TEST(a_damaged_meta_is_refused)
{
	static const char *const bad[] = {
		"", "{", "[]", "{\"generation\":-1}",
		"{\"generation\":1,\"document\":\"x\",\"config\":\"\",\"config_before\":\"\"}"
	};
	struct document         *one = make(ONE), *to;
	struct document_meta     none = { 0 }, meta = { .generation = 1 };

	ck_assert_int_eq(document_store(dir, one, &meta, &none, NULL), 0);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		file_put("state.meta", bad[i]);
		ck_assert_msg(document_load(dir, &to, &meta, NULL) == -1, "%s", bad[i]);
		ck_assert_ptr_null(to);
	}
	document_drop(one);
}
END_TEST

START_TEST(the_text_without_secrets_has_a_tag_of_its_own)
{
	struct document *one = make(ONE), *two = make(TWO);

	ck_assert_str_ne(one->etag, one->etag_public);
	ck_assert_str_ne(one->etag_public, two->etag_public);
	ck_assert_int_eq(one->etag_public[0], '"');
	ck_assert_int_eq(one->etag_public[strlen(one->etag_public) - 1], '"');
	document_drop(one);
	document_drop(two);
}
END_TEST

/* From here on this system call fails in this process. */
static void fails(int call, int sys)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	ck_assert_int_eq(seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)sys), call, 0), 0);
	ck_assert_int_eq(seccomp_load(filter), 0);
	seccomp_release(filter);
}

/* The same directory by a descriptor of which fsync() knows nothing. */
static int unsynced(void)
{
	int fd = open(dir_name, O_PATH | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_ne(fd, -1);
	return fd;
}

static void holds(const struct document *document, uint64_t generation, char config)
{
	struct document     *to;
	struct document_meta back;

	ck_assert_int_eq(document_load(dir, &to, &back, NULL), document != NULL);
	ck_assert_uint_eq(back.generation, generation);
	ck_assert_int_eq(back.config[0], config);
	if (document != NULL)
		ck_assert_str_eq(to->digest, document->digest);
	document_drop(to);
	ck_assert_int_eq(faccessat(dir, "state.json.new", F_OK, 0), -1);
	ck_assert_int_eq(faccessat(dir, "state.meta.new", F_OK, 0), -1);
}

#define DIGEST(octet) octet octet octet octet octet octet octet octet

static const struct document_meta no_meta;
static const struct document_meta meta_1 = { .generation = 1, .config = DIGEST("11111111") };
static const struct document_meta meta_2 = { .generation = 2, .config = DIGEST("22222222") };

/* It fails last: the new one would be in force with the next start, though its client was told otherwise. */
START_TEST(a_directory_that_does_not_reach_the_disk_keeps_the_old_document)
{
	struct document *one = make(ONE), *two = make(TWO);
	struct tg_error  err;
	int              fd = unsynced();

	ck_assert_int_eq(document_store(fd, one, &meta_1, &no_meta, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "the state directory"));
	holds(NULL, 0, '\0');
	ck_assert_int_eq(document_store(dir, one, &meta_1, &no_meta, NULL), 0);
	ck_assert_int_eq(document_store(fd, two, &meta_2, &meta_1, &err), -1);
	holds(one, 1, '1');
	ck_assert_int_eq(document_store_meta(fd, one, &meta_2, &err), -1);
	holds(one, 1, '1');
	ck_assert_int_eq(document_store(dir, two, &meta_2, &meta_1, NULL), 0);
	holds(two, 2, '2');
	close(fd);
	document_drop(one);
	document_drop(two);
}
END_TEST

static const int last_calls[] = { SCMP_SYS(fsync), SCMP_SYS(renameat) };

START_TEST(whatever_fails_keeps_the_old_document)
{
	struct document *one = make(ONE), *two = make(TWO);
	struct tg_error  err;

	ck_assert_int_eq(document_store(dir, one, &meta_1, &no_meta, NULL), 0);
	/* Else that is the way out. */
	if (last_calls[_i] == SCMP_SYS(renameat))
		fails(SCMP_SYS(renameat2), ENOSPC);
	fails(last_calls[_i], ENOSPC);
	ck_assert_int_eq(document_store(dir, two, &meta_2, &meta_1, &err), -1);
	ck_assert_int_eq(err.sys, ENOSPC);
	holds(one, 1, '1');
	document_drop(one);
	document_drop(two);
}
END_TEST

/* The meta of a document that found no room on the disk was left beside the old one. */
START_TEST(a_document_without_room_leaves_the_old_meta)
{
	struct document    *one = make(ONE), *two = make(BOTH);
	const struct rlimit room = { two->printed.bytes - 1, RLIM_INFINITY };
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	struct tg_error     err;

	ck_assert_int_eq(document_store(dir, one, &meta_1, &no_meta, NULL), 0);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &room), 0);
	ck_assert_int_eq(document_store(dir, two, &meta_2, &meta_1, &err), -1);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &all), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "state.json.new"));
	holds(one, 1, '1');
	document_drop(one);
	document_drop(two);
}
END_TEST

START_TEST(a_file_system_that_cannot_exchange_names_will_do)
{
	struct document *one = make(ONE), *two = make(TWO);

	fails(SCMP_SYS(renameat2), EINVAL);
	ck_assert_int_eq(document_store(dir, one, &meta_1, &no_meta, NULL), 0);
	ck_assert_int_eq(document_store(dir, two, &meta_2, &meta_1, NULL), 0);
	holds(two, 2, '2');
	document_drop(one);
	document_drop(two);
}
END_TEST

static void on_exit_remove(void)
{
	unlinkat(dir, "state.json", 0);
	unlinkat(dir, "state.meta", 0);
	rmdir(dir_name);
}

/* The other one would be in force, and this one be found with the next start. */
START_TEST(what_cannot_be_taken_back_ends_the_process)
{
	static struct document *one, *two;	/* no leak, though nobody frees them */

	one = make(ONE);
	two = make(TWO);
	ck_assert_int_eq(document_store(dir, one, &meta_1, &no_meta, NULL), 0);
	ck_assert_int_eq(atexit(on_exit_remove), 0);
	fails(SCMP_SYS(renameat2), EINVAL);
	document_store(unsynced(), two, &meta_2, &meta_1, NULL);
}
END_TEST

void test_document(TCase *tc)
{
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, nothing_stored_is_no_document);
	tcase_add_test(tc, what_is_stored_is_loaded_and_only_its_owner_reads_it);
	tcase_add_test(tc, a_document_made_from_the_one_before_is_none_the_worse);
	tcase_add_test(tc, only_networks_written_anew_get_a_new_digest);
	tcase_add_test(tc, documents_that_differ_have_other_tags);
	tcase_add_test(tc, a_crash_between_the_two_files_leaves_the_old_document_and_its_config);
	tcase_add_test(tc, every_cut_of_a_stored_document_is_refused_with_the_files_name);
	tcase_add_test(tc, a_damaged_meta_is_refused);
	tcase_add_test(tc, the_text_without_secrets_has_a_tag_of_its_own);
	tcase_add_test(tc, a_directory_that_does_not_reach_the_disk_keeps_the_old_document);
	tcase_add_loop_test(tc, whatever_fails_keeps_the_old_document, 0,
	                    (int)(sizeof last_calls / sizeof last_calls[0]));
	tcase_add_test(tc, a_document_without_room_leaves_the_old_meta);
	tcase_add_test(tc, a_file_system_that_cannot_exchange_names_will_do);
	tcase_add_exit_test(tc, what_cannot_be_taken_back_ends_the_process, 1);
}
