#include "daemon/document.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
	struct document *document = document_new(document_read(text, NULL));

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
	ck_assert_mem_eq(to->text, from->text, from->bytes);
	ck_assert_uint_eq(back.generation, 7);
	ck_assert_str_eq(back.config, meta.config);
	document_drop(from);
	document_drop(to);
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
	file_put("state.json", one->text);
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
	for (size_t n = 0; n + 1 < one->bytes; n++) {
		char *cut = strndup(one->text, n);

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
	static const char *const bad[] = { "", "{", "[]", "{\"generation\":-1}",
					   "{\"generation\":1,\"document\":\"x\",\"config\":\"\",\"config_before\":\"\"}" };
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

void test_document(TCase *tc)
{
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, nothing_stored_is_no_document);
	tcase_add_test(tc, what_is_stored_is_loaded_and_only_its_owner_reads_it);
	tcase_add_test(tc, a_crash_between_the_two_files_leaves_the_old_document_and_its_config);
	tcase_add_test(tc, every_cut_of_a_stored_document_is_refused_with_the_files_name);
	tcase_add_test(tc, a_damaged_meta_is_refused);
	tcase_add_test(tc, the_text_without_secrets_has_a_tag_of_its_own);
}
