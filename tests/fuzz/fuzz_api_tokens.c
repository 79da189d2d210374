/* A token file, and its own bytes as what a client shows: nobody is let in by a file that was refused,
 * nor by something that stands in no line of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/tokens.h"
#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(claim)             \
	do {                     \
		if (!(claim))    \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tg_error err = { 0 };
	struct tokens *tokens = tokens_read((const char *)data, size, &err);
	char *shown = malloc(size + 1);

	if (shown == NULL) {
		tokens_free(tokens);
		return 0;
	}
	memcpy(shown, data, size);
	shown[size] = '\0';

	enum tokens_scope scope = tokens_check(tokens, NULL, shown);

	CHECK(tokens != NULL || err.text[0] != '\0');
	CHECK(tokens != NULL || scope == TOKENS_NONE);
	/* The whole file is a token only when it has nothing else in it.  What is shown ends at a NUL, as no
	 * field of a request can hold one: then a part of the file may be a token of another line. */
	if (scope != TOKENS_NONE && memchr(data, '\0', size) == NULL)
		CHECK(strpbrk(shown, " \t\r\n") == NULL && scope == TOKENS_ADMIN);
	CHECK(tokens_check(tokens, shown, NULL) == TOKENS_NONE || strncasecmp(shown, "bearer ", 7) == 0);
	free(shown);
	tokens_free(tokens);
	return 0;
}
