#include "tests/support/document.h"

#include <stdlib.h>
#include <string.h>

#include <check.h>

char *document_text(const char *text)
{
	char *copy = strdup(text);

	ck_assert_ptr_nonnull(copy);
	for (char *c = copy; *c != '\0'; c++)
		if (*c == '\'')
			*c = '"';
	return copy;
}

struct model *document_read(const char *text, struct model_faults *warnings)
{
	struct model_faults faults = { .count = 0 };
	struct model       *model;
	char               *json = document_text(text);
	enum model_result   result = model_parse(json, strlen(json), &model, &faults, warnings);

	ck_assert_msg(result == MODEL_OK, "%s: %s: %s", json, faults.count > 0 ? faults.list[0].path : "",
	              faults.list[0].text);
	ck_assert_uint_eq(faults.total, 0);
	free(json);
	return model;
}

void document_refused(const char *text, const char *path, const char *fault)
{
	struct model_faults faults = { .count = 0 };
	struct model       *model;
	char               *json = document_text(text);
	enum model_result   result = model_parse(json, strlen(json), &model, &faults, NULL);

	ck_assert_msg(result == MODEL_INVALID, "%s gave %d", json, result);
	ck_assert_ptr_null(model);
	ck_assert_str_eq(faults.list[0].path, path);
	ck_assert_msg(strcmp(faults.list[0].text, fault) == 0, "%s: \"%s\"", json, faults.list[0].text);
	ck_assert_msg(faults.total == 1, "%s has %zu faults, the second %s: %s", json, faults.total,
	              faults.list[1].path, faults.list[1].text);
	model_faults_clear(&faults);
	free(json);
}

void document_taken(const char *text, const char *part)
{
	struct model *model = document_read(text, NULL);
	size_t        bytes;
	char         *printed = model_print(model, true, &bytes);

	ck_assert_ptr_nonnull(printed);
	if (part != NULL) {
		char *wanted = document_text(part);

		ck_assert_msg(strstr(printed, wanted) != NULL, "%s is not in %s", wanted, printed);
		free(wanted);
	}
	free(printed);
	model_free(model);
}
