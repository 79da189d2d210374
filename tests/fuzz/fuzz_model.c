/* Documents and patches.  Whatever is taken must print to a text that is taken, prints as itself and is
 * packed and unpacked as the same for the kernel; whatever is refused must say where. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
	if (!holds)
		abort();
}

static void check_faults(enum model_result result, const struct model_faults *faults)
{
	check((result == MODEL_OK) == (faults->total == 0));
	check(faults->count <= MODEL_FAULTS_MOST && faults->count <= faults->total);
	for (size_t i = 0; i < faults->count; i++)
		check(faults->list[i].path[0] == '\0' || faults->list[i].path[0] == '/');
}

static void check_packed(const struct model *model)
{
	struct tg_error err;
	size_t          bytes;
	void           *packed = model_pack(model, NULL, &bytes, &err);
	struct model   *other = model_unpack(packed, bytes, &err);

	check(other != NULL && other->networks_count == model->networks_count);
	for (size_t i = 0; i < model->networks_count; i++)
		check(model_same_network(model, &model->networks[i], other, &other->networks[i]));
	model_free(other);
	model_packed_free(packed);
}

static void check_model(const struct model *model)
{
	struct model *again;
	size_t        bytes;
	size_t        same_bytes;
	char         *text = model_print(model, true, &bytes);
	char         *same;

	check(model_parse(text, bytes, &again, NULL, NULL) == MODEL_OK);
	same = model_print(again, true, &same_bytes);
	check(bytes == same_bytes && memcmp(text, same, bytes) == 0);
	check_packed(model);
	model_free(again);
	free(same);
	free(text);
}

/* They differ in nothing exactly when their texts are the same. */
static void check_diff(const struct model *before, const struct model *after)
{
	struct model_diff diff;
	size_t            bytes[2];
	char             *texts[2];

	texts[0] = model_print(before, true, &bytes[0]);
	texts[1] = model_print(after, true, &bytes[1]);
	check(model_diff(before, after, &diff) == 0);
	check(diff.equal == (strcmp(texts[0], texts[1]) == 0));
	check(diff.equal == (diff.changes_count == 0));
	check(diff.added_count + diff.changed_count + diff.unchanged_count == after->networks_count);
	check(diff.removed_count + diff.changed_count + diff.unchanged_count == before->networks_count);
	model_diff_clear(&diff);
	free(texts[0]);
	free(texts[1]);
}

/* The input as a patch of `model`. */
static void check_patch(const struct model *model, const char *text, size_t size)
{
	struct model *patched;

	if (model_patch(model, text, size, &patched, NULL, NULL) == MODEL_OK) {
		check_model(patched);
		check_diff(model, patched);
		check_diff(patched, model);
	}
	model_free(patched);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct model_faults faults;
	static struct model_faults warnings;
	struct model              *model;
	struct model              *nothing;
	const char                *text = (const char *)data;
	enum model_result          result = model_parse(text, size, &model, &faults, &warnings);

	check_faults(result, &faults);
	check((result == MODEL_OK) == (model != NULL));
	if (model != NULL) {
		check_model(model);
		check_patch(model, text, size);
	}
	check(model_parse("{}", 2, &nothing, NULL, NULL) == MODEL_OK);
	check_patch(nothing, text, size);
	model_free(nothing);
	model_free(model);
	model_faults_clear(&faults);
	model_faults_clear(&warnings);
	return 0;
}
