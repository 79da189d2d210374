#include "daemon/check.h"

#include <stdio.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/model.h"
#include "daemon/files.h"
#include "daemon/options.h"

static void print_faults(const char *path, const char *kind, const struct model_faults *faults)
{
	for (size_t i = 0; i < faults->count; i++)
		fprintf(stderr, "%s: %s%s: %s\n", path, kind, faults->list[i].path, faults->list[i].text);
	if (faults->total > faults->count)
		fprintf(stderr, "%s: and %zu more\n", path, faults->total - faults->count);
}

static int check_document(const char *path, int fd)
{
	struct model_faults faults = { 0 }, warnings = { 0 };
	struct tg_error     err = { 0 };
	struct model       *model = NULL;
	size_t              bytes = 0;
	const void         *text = tg_memfd_map(fd, 0, MODEL_BYTES_MOST, &bytes, &err);
	enum model_result   result;

	/* An empty file cannot be mapped, and is no document. */
	result = model_parse(text != NULL ? text : "", text != NULL ? bytes : 0, &model, &faults, &warnings);
	tg_memfd_unmap(text, bytes);
	print_faults(path, "", &faults);
	print_faults(path, "warning: ", &warnings);
	if (result != MODEL_OK && faults.count == 0)
		fprintf(stderr, "%s: is no document, or too large\n", path);
	model_faults_clear(&faults);
	model_faults_clear(&warnings);
	model_free(model);
	return result == MODEL_OK ? 0 : 2;
}

static int check_readable(const char *path)
{
	struct tg_error err = { 0 };

	if (path == NULL)
		return 0;

	TG_AUTO_FD fd = files_read(path, FILES_SMALL_BYTES_MOST, &err);

	if (fd == -1)
		fprintf(stderr, "%s: %s\n", path, err.text);
	return fd == -1 ? 2 : 0;
}

static int check_config(const char *path)
{
	struct tg_error err = { 0 };
	TG_AUTO_FD      fd = files_read(path, MODEL_BYTES_MOST, &err);

	if (fd != -1)
		return check_document(path, fd);
	fprintf(stderr, "%s: %s\n", path, err.text);
	return 2;
}

int check_files(const struct options *options)
{
	const char *const others[] = { options->token_file, options->api_cert, options->api_key,
				       options->api_client_ca };
	int               status = options->config != NULL ? check_config(options->config) : 0;

	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		if (check_readable(others[i]) != 0)
			status = 2;
	return status;
}
