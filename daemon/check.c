#include "daemon/check.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/model.h"
#include "daemon/account.h"
#include "daemon/claims.h"
#include "daemon/files.h"
#include "daemon/options.h"

static int complain(const char *what, const struct tg_error *err)
{
	fprintf(stderr, "%s: %s\n", what, err->text);
	return 2;
}

/* What a tenant wrote must not steer the operator's terminal. */
static void print_plain(const char *text)
{
	for (; *text != '\0'; text++)
		fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, stderr);
}

static void print_faults(const char *path, const char *kind, const struct model_faults *faults)
{
	for (size_t i = 0; i < faults->count; i++) {
		fprintf(stderr, "%s: %s", path, kind);
		print_plain(faults->list[i].path);
		fprintf(stderr, "%s%s\n", faults->list[i].path[0] != '\0' ? ": " : "", faults->list[i].text);
	}
	if (faults->total > faults->count)
		fprintf(stderr, "%s: and %zu more\n", path, faults->total - faults->count);
}

static int check_document(const struct options *options, const char *path, int fd)
{
	struct model_faults faults = { 0 }, warnings = { 0 };
	struct tg_error     err = { 0 };
	struct model       *model = NULL;
	size_t              bytes = 0;
	const void         *text = tg_memfd_map(fd, 0, MODEL_BYTES_MOST, &bytes, &err);
	enum model_result   result;
	bool                good;

	/* An empty file cannot be mapped, and is no document. */
	result = model_parse(text != NULL ? text : "", text != NULL ? bytes : 0, &model, &faults, &warnings);
	tg_memfd_unmap(text, bytes);
	if (result == MODEL_OK)
		claims_find(options->forwards, options->forwards_count, model, &faults);
	good = result == MODEL_OK && faults.count == 0;
	print_faults(path, "", &faults);
	print_faults(path, "warning: ", &warnings);
	if (!good && faults.count == 0)
		fprintf(stderr, "%s: is no document, or too large\n", path);
	model_faults_clear(&faults);
	model_faults_clear(&warnings);
	model_free(model);
	return good ? 0 : 2;
}

static int check_config(const struct options *options)
{
	const char     *path = options->config;
	struct tg_error err = { 0 };
	TG_AUTO_FD      fd = files_read(path, MODEL_BYTES_MOST, &err);

	return fd == -1 ? complain(path, &err) : check_document(options, path, fd);
}

static int check_user(const struct options *options)
{
	struct tg_error err = { 0 };
	struct account  account;

	/* The standard name may be missing. */
	if (options->user == NULL || account_find(&account, options->user, options->state_dir, &err) == 0)
		return 0;
	return complain("--user", &err);
}

/* One of the API's files as text. */
struct text {
	const void *at;
	size_t      bytes;
};

/* Without a path that is nothing, and no fault. */
static int text_read(const char *path, struct text *to)
{
	struct tg_error err = { 0 };

	if (path == NULL)
		return 0;

	TG_AUTO_FD fd = files_read(path, FILES_SMALL_BYTES_MOST, &err);

	if (fd == -1)
		return complain(path, &err);
	to->at = tg_memfd_map(fd, 0, FILES_SMALL_BYTES_MOST, &to->bytes, &err);
	if (to->at == NULL)	/* an empty file cannot be mapped */
		*to = (struct text){ "", 0 };
	return 0;
}

static void text_forget(struct text *text)
{
	if (text->bytes > 0)
		tg_memfd_unmap(text->at, text->bytes);
}

static int check_tokens(struct api *api, const struct options *options)
{
	struct tg_error err = { 0 };
	struct text     text = { NULL, 0 };
	int             status = text_read(options->token_file, &text);

	if (status == 0 && text.at != NULL && api_tokens(api, text.at, text.bytes, &err) == -1)
		status = complain(options->token_file, &err);
	text_forget(&text);
	if (options->token != NULL && api_tokens(api, options->token, strlen(options->token), &err) == -1)
		status = complain("TOLLGATE_TOKEN", &err);
	return status;
}

static int check_tls(struct api *api, const struct options *options)
{
	const char *const paths[] = { options->api_cert, options->api_key, options->api_client_ca };
	struct text       pem[3] = { { NULL, 0 } };
	struct tg_error   err = { 0 };
	int               status = 0;

	for (size_t i = 0; i < 3; i++)
		if (text_read(paths[i], &pem[i]) != 0)
			status = 2;
	if (status == 0 && pem[0].at != NULL &&
	    api_tls(api, pem[0].at, pem[0].bytes, pem[1].at, pem[1].bytes, pem[2].at, pem[2].bytes,
	            &err) == -1)
		status = complain("--api-cert", &err);
	for (size_t i = 0; i < 3; i++)
		text_forget(&pem[i]);
	return status;
}

/* An API that listens nowhere reads its files as the true one would. */
static int check_api(const struct options *options)
{
	struct api *api = api_new(NULL, &(const struct api_options){ .arg = NULL });

	if (api == NULL) {
		fputs("out of memory\n", stderr);
		return 2;
	}

	int tokens = check_tokens(api, options);
	int tls = check_tls(api, options);

	api_free(api);
	return tokens != 0 ? tokens : tls;
}

int check_files(const struct options *options)
{
	int config = options->config != NULL ? check_config(options) : 0;
	int user = check_user(options);
	int api = check_api(options);

	return config != 0 ? config : user != 0 ? user : api;
}
