#include "tests/support/failing.h"

#include <stdlib.h>

#include <cjson/cJSON.h>

static struct {
	size_t good;	/* allocations that are still to go well */
	size_t held;
	bool   failed;
} failing;

static void *failing_malloc(size_t bytes)
{
	void *memory;

	if (!failing.failed && failing.good == 0) {
		failing.failed = true;
		return NULL;
	}
	if (!failing.failed)
		failing.good--;
	memory = malloc(bytes);
	failing.held += memory != NULL;
	return memory;
}

static void failing_free(void *memory)
{
	failing.held -= memory != NULL;
	free(memory);
}

void failing_begin(size_t good)
{
	cJSON_Hooks hooks = { failing_malloc, failing_free };

	failing.good = good;
	failing.held = 0;
	failing.failed = false;
	cJSON_InitHooks(&hooks);
}

bool failing_end(void)
{
	cJSON_InitHooks(NULL);
	return failing.failed;
}

size_t failing_held(void)
{
	return failing.held;
}
