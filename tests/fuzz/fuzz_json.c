/* json_scan() against cJSON: what the scan lets pass, cJSON must read, and read again when printed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/error.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char     *text = (const char *)data;
	struct tg_error err = { .code = TG_CODE_NONE };
	cJSON          *tree;
	char           *printed;

	if (json_scan(text, size, &err) == -1) {
		check(err.code == TG_CODE_INVALID || err.code == TG_CODE_LIMIT);
		check(json_parse(text, size, NULL) == NULL);
		return 0;
	}
	tree = json_parse(text, size, &err);
	check(tree != NULL);
	printed = cJSON_PrintUnformatted(tree);
	check(printed != NULL);
	check(json_scan(printed, strlen(printed), &err) == 0);
	free(printed);
	cJSON_Delete(tree);
	return 0;
}
