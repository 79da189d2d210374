/* Packed models from a process that is not to be trusted: what is taken can be used as any other.  The
 * input is changes to a good one (three bytes each: where, and what is turned over there), since the
 * layout of the structs would make whole ones soon stale; or, after a first byte of 0, it is one itself. */
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char document[] =
	"{\"2\":{\"private_key\":\"aNlQlsdHU5SL9g4bJELH38F5lV8pkM1sAI0ajyoBSEI=\","
	"\"address\":[\"10.0.0.1/16\"],"
	"\"peers\":{\"3ix68B2Fj0zbVx2LOC0Va1RhsIfIQjWSsEuLhNzHQXw=\":{\"allowed_ips\":[\"10.0.0.2\","
	"\"::/0\"]},"
	"\"bn4VRgm7Rplh0LBjV05YzKnFE6vRoqNt47jG94u3qWY=\":{\"allowed_ips\":[],"
	"\"endpoint\":\"192.0.2.1:5\"}}},"
	"\"9\":{\"private_key\":\"OKZGQyal6EJcttis+2YVoAkmY3leRhDDjAymKdMUIng=\","
	"\"address\":[\"fd00::1/64\"],"
	"\"mtu\":1400}}";

static void check(int holds)
{
	if (!holds)
		abort();
}

/* The good model as it is packed: model_packed_free() it. */
static uint8_t *packed(size_t *bytes)
{
	struct tg_error err;
	struct model   *model;
	uint8_t        *packed;

	check(model_parse(document, sizeof document - 1, &model, NULL, NULL) == MODEL_OK);
	packed = model_pack(model, NULL, bytes, &err);
	check(packed != NULL);
	model_free(model);
	return packed;
}

static void use(const struct model *model)
{
	struct model_diff diff;
	size_t            bytes;

	free(model_print(model, true, &bytes));
	check(model_diff(NULL, model, &diff) == 0 && diff.added_count == model->networks_count);
	model_diff_clear(&diff);
	for (size_t i = 0; i < model->networks_count; i++)
		check(model_find(model, model->networks[i].port) == &model->networks[i]);
}

static void try_bytes(const uint8_t *data, size_t size)
{
	struct tg_error err;
	struct model   *model = model_unpack(data, size, &err);

	if (model != NULL)
		use(model);
	model_free(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t   bytes;
	uint8_t *good;

	if (size > 0 && data[0] == 0) {
		try_bytes(data + 1, size - 1);
		return 0;
	}
	good = packed(&bytes);
	for (size_t i = 0; i + 3 <= size; i += 3)
		good[((size_t)data[i] << 8 | data[i + 1]) % bytes] ^= data[i + 2];
	try_bytes(good, bytes);
	model_packed_free(good);
	return 0;
}
