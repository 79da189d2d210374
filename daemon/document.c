#include "daemon/document.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/model.h"

#define STATE_FILE "state.json"
#define META_FILE  "state.meta"
#define FILES_MOST 2
#define NAME_MOST  32

static void digest_print(const unsigned char digest[DOCUMENT_DIGEST], char to[DOCUMENT_DIGEST_TEXT])
{
	for (size_t i = 0; i < DOCUMENT_DIGEST; i++)
		snprintf(to + i * 2, 3, "%02x", digest[i]);
}

/* Where the processor has no instructions for SHA-256, that takes four times as long as this. */
static void digest_make(const void *bytes, size_t count, unsigned char to[DOCUMENT_DIGEST])
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	if (EVP_Digest(bytes, count, digest, NULL, EVP_blake2b512(), NULL) != 1)
		tg_die("cannot make a digest");
	memcpy(to, digest, DOCUMENT_DIGEST);
}

void document_digest(const char *text, size_t bytes, char to[DOCUMENT_DIGEST_TEXT])
{
	unsigned char digest[DOCUMENT_DIGEST];

	digest_make(text, bytes, digest);
	digest_print(digest, to);
}

/* Whether the network at `index` is written as that at `old`. */
static bool same_part(const struct document *document, size_t index, const struct document *before,
                      size_t old)
{
	size_t      bytes, old_bytes;
	const char *text = model_printed_network(&document->printed, index, &bytes);
	const char *old_text = model_printed_network(&before->printed, old, &old_bytes);

	return bytes == old_bytes && memcmp(text, old_text, bytes) == 0;
}

/* The digest of a document is that of its networks' digests: most applies change few of them, and to make
 * one of all bytes would be a fifth of all that control does for one peer more. */
static void make_digests(struct document *document, const struct document *before)
{
	const struct model  *model = document->model;
	size_t               old = 0;
	size_t               old_count = before != NULL ? before->model->networks_count : 0;
	unsigned char        whole[DOCUMENT_DIGEST];

	for (size_t i = 0; i < model->networks_count; i++) {
		size_t      bytes;
		const char *text = model_printed_network(&document->printed, i, &bytes);

		while (old < old_count && before->model->networks[old].port < model->networks[i].port)
			old++;
		if (old < old_count && same_part(document, i, before, old))
			memcpy(document->parts[i], before->parts[old], DOCUMENT_DIGEST);
		else
			digest_make(text, bytes, document->parts[i]);
	}
	digest_make(document->parts, model->networks_count * DOCUMENT_DIGEST, whole);
	digest_print(whole, document->digest);
}

struct document *document_new(struct model *model, const struct document *before)
{
	struct document *document = calloc(1, sizeof *document);

	if (document == NULL) {
		model_free(model);
		return NULL;
	}
	document->refs = 1;
	document->model = model;
	document->parts = malloc((model->networks_count + 1) * sizeof *document->parts);
	if (document->parts == NULL ||
	    model_print_next(model, before != NULL ? before->model : NULL,
	                     before != NULL ? &before->printed : NULL, &document->printed) == -1) {
		document_drop(document);
		return NULL;
	}
	make_digests(document, before);
	snprintf(document->etag, sizeof document->etag, "\"%.32s\"", document->digest);
	snprintf(document->etag_public, sizeof document->etag_public, "\"%.32s-public\"", document->digest);
	return document;
}

struct document *document_hold(struct document *document)
{
	document->refs++;
	return document;
}

void document_drop(struct document *document)
{
	if (document == NULL || --document->refs > 0)
		return;
	model_free(document->model);
	model_printed_clear(&document->printed);
	free(document->parts);
	free(document);
}

/* What became of NAME.new. */
enum placed {
	PLACED_NOT,
	PLACED_FIRST,	/* it is NAME, and there was none before */
	PLACED_OVER,	/* it is NAME, and what was there before is NAME.new */
	PLACED_FOR_GOOD,	/* it is NAME, and what was there before is gone */
};

static void fresh_name(const char *name, char to[NAME_MOST])
{
	snprintf(to, NAME_MOST, "%s.new", name);
}

static void file_discard(int dir, const char *name)
{
	char fresh[NAME_MOST];

	fresh_name(name, fresh);
	unlinkat(dir, fresh, 0);
}

/* Makes NAME.new, down to the disk. */
static int file_prepare(int dir, const char *name, const char *text, size_t bytes, struct tg_error *err)
{
	char       fresh[NAME_MOST];
	TG_AUTO_FD fd = -1;

	fresh_name(name, fresh);
	fd = openat(dir, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return tg_fail_sys(err, "cannot create %s", fresh);
	while (bytes > 0) {
		ssize_t n = write(fd, text, bytes);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			tg_fail_sys(err, "cannot write %s", fresh);
			goto undo_file;
		}
		text += n;
		bytes -= (size_t)n;
	}
	if (fsync(fd) == 0)
		return 0;
	tg_fail_sys(err, "cannot write %s to the disk", fresh);

undo_file:
	unlinkat(dir, fresh, 0);
	return -1;
}

static enum placed file_place(int dir, const char *name, struct tg_error *err)
{
	char fresh[NAME_MOST];
	bool first;

	fresh_name(name, fresh);
	if (renameat2(dir, fresh, dir, name, RENAME_EXCHANGE) == 0)
		return PLACED_OVER;
	first = errno == ENOENT;
	/* Some file systems (NFS) cannot exchange two names. */
	if (renameat(dir, fresh, dir, name) == 0)
		return first ? PLACED_FIRST : PLACED_FOR_GOOD;
	tg_fail_sys(err, "cannot rename %s", fresh);
	return PLACED_NOT;
}

static int file_take_back(int dir, const char *name, enum placed placed)
{
	char fresh[NAME_MOST];

	fresh_name(name, fresh);
	switch (placed) {
	case PLACED_NOT:
		unlinkat(dir, fresh, 0);
		return 0;
	case PLACED_FIRST:
		return unlinkat(dir, name, 0);
	case PLACED_OVER:
		return renameat(dir, fresh, dir, name);
	case PLACED_FOR_GOOD:
		break;
	}
	return -1;
}

/* Puts what is prepared in its place, all or nothing, in the order of the names. */
static int files_place(int dir, const char *const *names, size_t count, struct tg_error *err)
{
	enum placed placed[FILES_MOST] = { PLACED_NOT };
	bool        done = true;

	for (size_t i = 0; done && i < count; i++) {
		placed[i] = file_place(dir, names[i], err);
		done = placed[i] != PLACED_NOT;
	}
	if (done && fsync(dir) == -1) {
		tg_fail_sys(err, "cannot write the state directory to the disk");
		done = false;
	}
	for (size_t i = count; i-- > 0;) {
		if (done)
			file_discard(dir, names[i]);
		else if (file_take_back(dir, names[i], placed[i]) == -1)
			tg_die("cannot take back %s, which is not safely on the disk", names[i]);
	}
	/* Whether the disk takes that in or not, what it has is whole. */
	if (!done)
		fsync(dir);
	return done ? 0 : -1;
}

static int meta_prepare(int dir, const struct document *document, const struct document_meta *meta,
                        const char *config_before, struct tg_error *err)
{
	char text[512];
	int  len = snprintf(text, sizeof text,
	                    "{\"generation\":%" PRIu64 ",\"document\":\"%s\",\"config\":\"%s\","
	                    "\"config_before\":\"%s\"}\n",
	                    meta->generation, document->digest, meta->config, config_before);

	return file_prepare(dir, META_FILE, text, (size_t)len, err);
}

/* The meta goes first and names the document it belongs to: when the machine dies between the two,
 * the old document is found with a meta that is not its own, and `config_before` then counts. */
int document_store(int dir, const struct document *document, const struct document_meta *meta,
                   const struct document_meta *before, struct tg_error *err)
{
	static const char *const names[] = { META_FILE, STATE_FILE };

	if (meta_prepare(dir, document, meta, before->config, err) == -1)
		return -1;
	if (file_prepare(dir, STATE_FILE, document->printed.text, document->printed.bytes, err) == -1) {
		file_discard(dir, META_FILE);
		return -1;
	}
	return files_place(dir, names, FILES_MOST, err);
}

int document_store_meta(int dir, const struct document *document, const struct document_meta *meta,
                        struct tg_error *err)
{
	static const char *const names[] = { META_FILE };

	if (meta_prepare(dir, document, meta, meta->config, err) == -1)
		return -1;
	return files_place(dir, names, 1, err);
}

/* 1: read, *to is the caller's; 0: no such file; -1. */
static int file_read(int dir, const char *name, char **to, size_t *bytes, struct tg_error *err)
{
	TG_AUTO_FD         fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	TG_AUTO_FREE char *text = NULL;
	struct stat        st;
	size_t             got = 0;

	if (fd == -1 && errno == ENOENT)
		return 0;
	if (fd == -1 || fstat(fd, &st) == -1)
		return tg_fail_sys(err, "cannot open %s", name);
	if (!S_ISREG(st.st_mode) || st.st_size > 2 * (off_t)MODEL_BYTES_MOST)
		return tg_fail(err, TG_CODE_INVALID, "%s is no file of a document's size", name);
	text = malloc((size_t)st.st_size + 1);
	if (text == NULL)
		return tg_fail_memory(err);
	while (got < (size_t)st.st_size) {
		ssize_t n = read(fd, text + got, (size_t)st.st_size - got);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return tg_fail_sys(err, "cannot read %s", name);
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*bytes = got;
	*to = tg_take_ptr(&text);
	return 1;
}

static bool digest_read(const cJSON *from, char to[DOCUMENT_DIGEST_TEXT])
{
	const char *text = cJSON_GetStringValue(from);

	if (text == NULL || (text[0] != '\0' && strlen(text) != DOCUMENT_DIGEST_TEXT - 1))
		return false;
	snprintf(to, DOCUMENT_DIGEST_TEXT, "%s", text);
	return true;
}

static int meta_load(int dir, const struct document *document, struct document_meta *to, struct tg_error *err)
{
	TG_AUTO_FREE char *text = NULL;
	size_t             bytes = 0;
	int                found = file_read(dir, META_FILE, &text, &bytes, err);
	char               owner[DOCUMENT_DIGEST_TEXT];
	char               before[DOCUMENT_DIGEST_TEXT];
	cJSON             *json;
	bool               sound;

	memset(to, 0, sizeof *to);
	if (found <= 0)
		return found;
	json = json_parse(text, bytes, err);
	if (json == NULL)
		return -1;

	const cJSON *generation = cJSON_GetObjectItemCaseSensitive(json, "generation");

	sound = cJSON_IsNumber(generation) && generation->valuedouble >= 0 &&
	        digest_read(cJSON_GetObjectItemCaseSensitive(json, "document"), owner) &&
	        digest_read(cJSON_GetObjectItemCaseSensitive(json, "config"), to->config) &&
	        digest_read(cJSON_GetObjectItemCaseSensitive(json, "config_before"), before);
	if (sound) {
		to->generation = (uint64_t)generation->valuedouble;
		if (strcmp(owner, document->digest) != 0)
			memcpy(to->config, before, sizeof before);
	}
	cJSON_Delete(json);
	return sound ? 1 : tg_fail(err, TG_CODE_INVALID, "%s is damaged", META_FILE);
}

int document_load(int dir, struct document **to, struct document_meta *meta, struct tg_error *err)
{
	TG_AUTO_FREE char   *text = NULL;
	size_t               bytes = 0;
	struct model        *model = NULL;
	struct model_faults *faults;
	struct document     *document;
	int                  found = file_read(dir, STATE_FILE, &text, &bytes, err);

	*to = NULL;
	memset(meta, 0, sizeof *meta);
	if (found <= 0)
		return found;
	faults = calloc(2, sizeof *faults);
	if (faults == NULL)
		return tg_fail_memory(err);

	enum model_result result = model_parse(text, bytes, &model, &faults[0], &faults[1]);

	if (result != MODEL_OK && faults[0].count > 0)
		tg_fail_at(err, TG_CODE_INVALID, STATE_FILE, "%s is not valid: %.60s: %.60s", STATE_FILE,
		           faults[0].list[0].path, faults[0].list[0].text);
	else if (result != MODEL_OK)
		tg_fail_at(err, TG_CODE_INVALID, STATE_FILE, "%s cannot be read", STATE_FILE);
	model_faults_clear(&faults[0]);
	model_faults_clear(&faults[1]);
	free(faults);
	if (result != MODEL_OK)
		return -1;
	document = document_new(model, NULL);
	if (document == NULL)
		return tg_fail_memory(err);
	if (meta_load(dir, document, meta, err) == -1) {
		document_drop(document);
		return -1;
	}
	*to = document;
	return 1;
}
