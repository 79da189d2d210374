/* A query under each kind: what is accepted holds nothing but what the interface allows, and what is
 * refused names a parameter in text that can be printed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/query.h"
#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(claim)             \
	do {                     \
		if (!(claim))    \
			abort(); \
	} while (0)

static void check_visible(const char *text)
{
	CHECK(text == NULL || *text != '\0');
	for (; text != NULL && *text != '\0'; text++)
		CHECK(*text > ' ' && *text < 0x7f);
}

static void check_call(const struct api_call *call)
{
	CHECK(call->since_unix_s >= 0 && call->until_unix_s >= 0);
	CHECK(call->resolution == NULL || strcmp(call->resolution, "hour") == 0 ||
	      strcmp(call->resolution, "day") == 0);
	check_visible(call->network);
	check_visible(call->ledger);
}

static void check_error(const struct tg_error *err)
{
	CHECK(err->text[0] != '\0');
	for (const char *c = err->where; *c != '\0'; c++)
		CHECK((unsigned char)*c >= ' ' && (unsigned char)*c < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum query_kind kinds[] = { QUERY_NONE, QUERY_WRITE, QUERY_TRAFFIC };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct api_call call = { .until_unix_s = INT64_MAX };
		struct tg_error err = { 0 };
		char *text = malloc(size + 1);

		if (text == NULL)
			return 0;
		memcpy(text, data, size);
		text[size] = '\0';
		if (query_read(text, kinds[i], &call, &err) == 0)
			check_call(&call);
		else
			check_error(&err);
		free(text);
	}
	return 0;
}
