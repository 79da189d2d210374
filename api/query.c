#include "api/query.h"

#include <string.h>

#include "api/api.h"
#include "base/error.h"
#include "base/hex.h"

#define SECONDS_DIGITS_MOST 18
#define LEDGER_MOST         64
#define NETWORK_MOST        64

enum parameter {
	PARAMETER_DRY_RUN,
	PARAMETER_LEDGER,
	PARAMETER_NETWORK,
	PARAMETER_RESOLUTION,
	PARAMETER_SINCE,
	PARAMETER_UNTIL,
};

static const struct {
	const char *name;
	enum query_kind kind;
	enum parameter which;
} parameters[] = {
	{ "dry_run", QUERY_WRITE, PARAMETER_DRY_RUN },
	{ "ledger", QUERY_TRAFFIC, PARAMETER_LEDGER },
	{ "network", QUERY_TRAFFIC, PARAMETER_NETWORK },
	{ "resolution", QUERY_TRAFFIC, PARAMETER_RESOLUTION },
	{ "since", QUERY_TRAFFIC, PARAMETER_SINCE },
	{ "start", QUERY_TRAFFIC, PARAMETER_SINCE },
	{ "until", QUERY_TRAFFIC, PARAMETER_UNTIL },
};

bool query_decode(char *text)
{
	char *to = text;

	for (const char *from = text; *from != '\0'; from++) {
		char c = *from;

		if (c == '%') {
			int high = tg_hex_digit(from[1]);
			int low = high == -1 ? -1 : tg_hex_digit(from[2]);

			if (low == -1)
				return false;
			c = (char)(high * 16 + low);
			from += 2;
		}
		if ((unsigned char)c < ' ' || c == 0x7f)
			return false;
		*to++ = c;
	}
	*to = '\0';
	return true;
}

static int read_seconds(const char *name, const char *value, int64_t *to, struct tg_error *err)
{
	size_t digits = strspn(value, "0123456789");

	if (digits == 0 || value[digits] != '\0' || digits > SECONDS_DIGITS_MOST)
		return tg_fail_at(err, TG_CODE_INVALID, name, "not a time in whole UNIX seconds");
	*to = 0;
	for (; *value != '\0'; value++)
		*to = *to * 10 + (*value - '0');
	return 0;
}

static int read_word(const char *name, const char *value, size_t most, const char **to, struct tg_error *err)
{
	for (const char *c = value; *c != '\0'; c++)
		if (*c <= ' ' || *c >= 0x7f)
			return tg_fail_at(err, TG_CODE_INVALID, name, "must be visible ASCII");
	if (*value == '\0' || strlen(value) > most)
		return tg_fail_at(err, TG_CODE_INVALID, name, "must have 1 to %zu characters", most);
	*to = value;
	return 0;
}

static int read_parameter(enum parameter which, const char *name, const char *value, struct api_call *to,
                          struct tg_error *err)
{
	switch (which) {
	case PARAMETER_DRY_RUN:
		to->dry_run = strcmp(value, "true") == 0;
		if (to->dry_run || strcmp(value, "false") == 0)
			return 0;
		return tg_fail_at(err, TG_CODE_INVALID, name, "must be true or false");
	case PARAMETER_LEDGER:
		return read_word(name, value, LEDGER_MOST, &to->ledger, err);
	case PARAMETER_NETWORK:
		return read_word(name, value, NETWORK_MOST, &to->network, err);
	case PARAMETER_RESOLUTION:
		to->resolution = value;
		if (strcmp(value, "hour") == 0 || strcmp(value, "day") == 0)
			return 0;
		return tg_fail_at(err, TG_CODE_INVALID, name, "must be hour or day");
	case PARAMETER_SINCE:
		return read_seconds(name, value, &to->since_unix_s, err);
	case PARAMETER_UNTIL:
		return read_seconds(name, value, &to->until_unix_s, err);
	}
	return -1;
}

/* `name` is the client's own text and goes back in an answer that must be UTF-8. */
static int fail_name(char *name, const char *text, struct tg_error *err)
{
	for (char *c = name; *c != '\0'; c++)
		if ((unsigned char)*c >= 0x7f)
			*c = '?';
	return tg_fail_at(err, TG_CODE_INVALID, name, "%s", text);
}

static int read_pair(char *pair, enum query_kind kind, unsigned *seen, struct api_call *to,
                     struct tg_error *err)
{
	char *value = strchr(pair, '=');

	if (value != NULL)
		*value++ = '\0';
	if (!query_decode(pair))
		return tg_fail_at(err, TG_CODE_INVALID, "query", "a name that is not percent-encoded text");
	if (value != NULL && !query_decode(value))
		return fail_name(pair, "not percent-encoded text", err);

	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		if (parameters[i].kind != kind || strcmp(parameters[i].name, pair) != 0)
			continue;

		unsigned bit = 1U << parameters[i].which;

		if ((*seen & bit) != 0)
			return tg_fail_at(err, TG_CODE_INVALID, pair, "stands twice");
		*seen |= bit;
		if (value == NULL)
			return tg_fail_at(err, TG_CODE_INVALID, pair, "has no value");
		return read_parameter(parameters[i].which, parameters[i].name, value, to, err);
	}
	return fail_name(pair, "not a parameter of this request", err);
}

int query_read(char *query, enum query_kind kind, struct api_call *to, struct tg_error *err)
{
	unsigned seen = 0;
	char *pair;

	while ((pair = strsep(&query, "&")) != NULL)
		if (*pair != '\0' && read_pair(pair, kind, &seen, to, err) == -1)
			return -1;
	return 0;
}
