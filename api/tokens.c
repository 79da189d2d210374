#include "api/tokens.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/error.h"

struct entry {
	unsigned char hash[SHA256_DIGEST_LENGTH];
	enum tokens_scope scope;
};

struct tokens {
	size_t count;
	struct entry list[];
};

struct word {
	const char *text;
	size_t len;
};

static bool hash(const char *text, size_t len, unsigned char to[SHA256_DIGEST_LENGTH])
{
	return EVP_Digest(text, len, to, NULL, EVP_sha256(), NULL) == 1;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Takes the next word off *line.  len 0: none is left. */
static struct word next_word(struct word *line)
{
	struct word word;

	while (line->len > 0 && is_space(line->text[0])) {
		line->text++;
		line->len--;
	}
	word = (struct word){ line->text, 0 };
	while (word.len < line->len && !is_space(line->text[word.len]))
		word.len++;
	line->text += word.len;
	line->len -= word.len;
	return word;
}

static enum tokens_scope read_scope(struct word word)
{
	if (word.len == 5 && memcmp(word.text, "admin", 5) == 0)
		return TOKENS_ADMIN;
	if (word.len == 4 && memcmp(word.text, "read", 4) == 0)
		return TOKENS_READ;
	return TOKENS_NONE;
}

static int add_token(struct tokens *tokens, struct word token, enum tokens_scope scope, size_t number,
                     struct tg_error *err)
{
	struct entry *entry = &tokens->list[tokens->count];

	if (token.len > TOKENS_BYTES_MOST)
		return tg_fail(err, TG_CODE_INVALID, "line %zu: a token of more than %d bytes", number,
		               TOKENS_BYTES_MOST);
	for (size_t i = 0; i < token.len; i++)
		if (token.text[i] <= ' ' || token.text[i] >= 0x7f)
			return tg_fail(err, TG_CODE_INVALID, "line %zu: a token of other than visible ASCII",
			               number);
	if (tokens->count == TOKENS_MOST)
		return tg_fail(err, TG_CODE_LIMIT, "line %zu: more than %d tokens", number, TOKENS_MOST);
	if (!hash(token.text, token.len, entry->hash))
		return tg_fail_memory(err);
	for (size_t i = 0; i < tokens->count; i++)
		if (memcmp(tokens->list[i].hash, entry->hash, sizeof(entry->hash)) == 0)
			return tg_fail(err, TG_CODE_INVALID, "line %zu: a token that stands above already",
			               number);
	entry->scope = scope;
	tokens->count++;
	return 0;
}

static int read_line(struct tokens *tokens, struct word line, size_t number, struct tg_error *err)
{
	struct word first = next_word(&line);
	struct word second = next_word(&line);
	enum tokens_scope scope = read_scope(first);

	if (first.len == 0 || first.text[0] == '#')
		return 0;
	if (next_word(&line).len > 0)
		return tg_fail(err, TG_CODE_INVALID, "line %zu: more than a scope and a token", number);
	if (second.len == 0) {
		/* Else a forgotten token would make the scope's name one, and the admin's at that. */
		if (scope != TOKENS_NONE)
			return tg_fail(err, TG_CODE_INVALID, "line %zu: a scope without a token", number);
		return add_token(tokens, first, TOKENS_ADMIN, number, err);
	}
	if (scope == TOKENS_NONE)
		return tg_fail(err, TG_CODE_INVALID, "line %zu: the scope must be admin or read", number);
	return add_token(tokens, second, scope, number, err);
}

struct tokens *tokens_read(const char *text, size_t bytes, struct tg_error *err)
{
	struct tokens *tokens = calloc(1, sizeof(*tokens) + (TOKENS_MOST + 1) * sizeof(struct entry));
	size_t number = 1;

	if (tokens == NULL) {
		tg_fail_memory(err);
		return NULL;
	}
	for (size_t at = 0; at < bytes; number++) {
		const char *end = memchr(text + at, '\n', bytes - at);
		size_t len = end == NULL ? bytes - at : (size_t)(end - text) - at;

		if (read_line(tokens, (struct word){ text + at, len }, number, err) == -1)
			goto undo;
		at += len + 1;
	}
	if (tokens->count == 0) {
		tg_fail(err, TG_CODE_INVALID, "no token in it");
		goto undo;
	}
	return tokens;

undo:
	tokens_free(tokens);
	return NULL;
}

void tokens_free(struct tokens *tokens)
{
	free(tokens);
}

static enum tokens_scope find(const struct tokens *tokens, const char *text)
{
	unsigned char wanted[SHA256_DIGEST_LENGTH];
	enum tokens_scope scope = TOKENS_NONE;

	if (!hash(text, strlen(text), wanted))
		return TOKENS_NONE;
	for (size_t i = 0; i < tokens->count; i++)
		if (CRYPTO_memcmp(wanted, tokens->list[i].hash, sizeof(wanted)) == 0)
			scope = tokens->list[i].scope;
	return scope;
}

enum tokens_scope tokens_check(const struct tokens *tokens, const char *authorization, const char *token)
{
	static const char bearer[] = "Bearer ";

	if (tokens == NULL)
		return TOKENS_NONE;
	if (authorization != NULL && strncasecmp(authorization, bearer, sizeof(bearer) - 1) == 0) {
		authorization += sizeof(bearer) - 1;
		return find(tokens, authorization + strspn(authorization, " "));
	}
	if (token != NULL)
		return find(tokens, token);
	return TOKENS_NONE;
}
