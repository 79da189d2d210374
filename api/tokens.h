/* Who may use the API over TCP: the token file's lines.  Only hashes are kept, and all of them are
 * compared each time, so that time tells nothing about any. */
#ifndef TOLLGATE_API_TOKENS_H
#define TOLLGATE_API_TOKENS_H

#include <stddef.h>

struct tg_error;
struct tokens;

#define TOKENS_MOST       1024
#define TOKENS_BYTES_MOST 512	/* of one */

enum tokens_scope { TOKENS_NONE, TOKENS_READ, TOKENS_ADMIN };

/* One a line: `TOKEN` (admin) or `SCOPE TOKEN`; blank lines and those that begin with '#' are skipped.
 * NULL: `err` names the line. */
struct tokens *tokens_read(const char *text, size_t bytes, struct tg_error *err);
void tokens_free(struct tokens *tokens);
/* What a client with these fields may do (each may be NULL, tokens too): `Authorization: Bearer T`,
 * else `Token: T`. */
enum tokens_scope tokens_check(const struct tokens *tokens, const char *authorization, const char *token);

#endif
