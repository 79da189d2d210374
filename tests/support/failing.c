#include "tests/support/failing.h"

#include <errno.h>
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

static struct {
	size_t good;
	bool   begun, failed;
} own;

void failing_own_begin(size_t good)
{
	own.good = good;
	own.failed = false;
	own.begun = true;
}

bool failing_own_end(void)
{
	own.begun = false;
	return own.failed;
}

/* Whether this one fails. */
static bool own_fails(void)
{
	if (!own.begun || own.failed || own.good-- > 0)
		return false;
	own.failed = true;
	errno = ENOMEM;
	return true;
}

/* The names are ld's, for --wrap. */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__real_reallocarray(void *memory, size_t count, size_t bytes);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_reallocarray(void *memory, size_t count, size_t bytes);
char *__wrap_strdup(const char *text);
void *__wrap_emalloc(size_t bytes);
void *__wrap_erealloc(void *memory, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
	return own_fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return own_fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
	return own_fails() ? NULL : __real_realloc(memory, bytes);
}

void *__wrap_reallocarray(void *memory, size_t count, size_t bytes)
{
	return own_fails() ? NULL : __real_reallocarray(memory, count, bytes);
}

char *__wrap_strdup(const char *text)
{
	return own_fails() ? NULL : __real_strdup(text);
}

/* Check is linked in and ends the test when it has no memory: it always has. */
void *__wrap_emalloc(size_t bytes)
{
	return __real_malloc(bytes);
}

void *__wrap_erealloc(void *memory, size_t bytes)
{
	return __real_realloc(memory, bytes);
}
