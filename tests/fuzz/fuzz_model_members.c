/* Two documents with a record separator (RFC 7464) between them, which no JSON holds.  However the second is
 * read, as one tree, member by member or with what it shares with the first copied: the same comes of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/model_build.h"

#define SEPARATOR 0x1e

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
	enum model_result   result;
	struct model       *model;
	struct model_faults faults, warnings;
};

static void check(int holds)
{
	if (!holds)
		abort();
}

static void read_whole(const char *text, size_t size, struct reading *r)
{
	struct model_build b = { .faults = &r->faults, .warnings = &r->warnings };
	struct cJSON      *tree = NULL;

	r->result = model_parse_tree(&b, text, size, &tree);
	if (r->result == MODEL_OK)
		r->result = model_read_tree(&b, tree, size, &r->model);
	model_build_clear(&b);
	cJSON_Delete(tree);
}

static void read_next(const struct model *before, const char *text, size_t size, struct reading *r)
{
	r->result = model_parse_next(before, text, size, &r->model, &r->faults, &r->warnings);
}

static void reading_clear(struct reading *r)
{
	model_free(r->model);
	model_faults_clear(&r->faults);
	model_faults_clear(&r->warnings);
	memset(r, 0, sizeof *r);
}

static void check_faults(const struct model_faults *a, const struct model_faults *b)
{
	check(a->total == b->total && a->count == b->count);
	for (size_t i = 0; i < a->count; i++)
		check(strcmp(a->list[i].path, b->list[i].path) == 0 &&
		      strcmp(a->list[i].text, b->list[i].text) == 0);
}

static void check_printed(const struct model *a, const struct model *b, const struct model *before)
{
	size_t               bytes;
	char                *text = model_print(a, true, &bytes);
	struct model_printed printed, next;

	check(model_print_next(before, NULL, NULL, &printed) == 0);
	check(model_print_next(b, before, &printed, &next) == 0);
	check(bytes == next.bytes && memcmp(text, next.text, bytes) == 0);
	free(text);
	model_printed_clear(&printed);
	model_printed_clear(&next);
}

static void check_same(const struct reading *a, const struct reading *b, const struct model *before)
{
	check(a->result == b->result);
	check_faults(&a->faults, &b->faults);
	check_faults(&a->warnings, &b->warnings);
	if (a->model == NULL || before == NULL)
		return;
	check(a->model->texts_bytes == b->model->texts_bytes &&
	      memcmp(a->model->texts, b->model->texts, a->model->texts_bytes) == 0);
	check_printed(a->model, b->model, before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reading first, whole, alone, next;
	const uint8_t        *end = size > 0 ? memchr(data, SEPARATOR, size) : NULL;
	size_t                first_size = end != NULL ? (size_t)(end - data) : size;
	const char           *text = (const char *)(end != NULL ? end + 1 : data);

	size -= end != NULL ? first_size + 1 : 0;
	read_next(NULL, (const char *)data, first_size, &first);
	read_whole(text, size, &whole);
	read_next(NULL, text, size, &alone);
	read_next(first.model, text, size, &next);
	check_same(&whole, &alone, first.model);
	check_same(&whole, &next, first.model);
	reading_clear(&first);
	reading_clear(&whole);
	reading_clear(&alone);
	reading_clear(&next);
	return 0;
}
