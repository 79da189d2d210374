#include "daemon/options_value.h"

#include <stdbool.h>
#include <string.h>

#include "base/error.h"
#include "base/model.h"
#include "daemon/options.h"

static const struct {
	const char *suffix;
	uint64_t    ms;
} units[] = {
	{ "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
};

#define UNITS (sizeof units / sizeof units[0])

/* Reads decimal digits, at least one and without overflow.  Returns what follows, or NULL. */
static const char *read_digits(const char *text, uint64_t *to)
{
	const char *at = text;
	uint64_t    sum = 0;

	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)(*at - '0'), &sum))
			return NULL;
	*to = sum;
	return at == text ? NULL : at;
}

/* The longest unit that divides it, as people write it. */
static uint64_t in_unit(uint64_t ms, const char **suffix)
{
	size_t i = UNITS - 1;

	while (ms % units[i].ms != 0 || (ms == 0 && i > 1))
		i--;
	*suffix = units[i].suffix;
	return ms / units[i].ms;
}

int options_value_duration(uint64_t *to_ms, const char *text, uint64_t least_ms, uint64_t most_ms,
                           struct tg_error *err)
{
	uint64_t    number = 0;
	const char *suffix = read_digits(text, &number);
	const char *low_suffix, *high_suffix;
	uint64_t    low = in_unit(least_ms, &low_suffix);
	uint64_t    high = in_unit(most_ms, &high_suffix);

	for (size_t i = 0; suffix != NULL && i < UNITS; i++) {
		uint64_t ms;

		if (strcmp(units[i].suffix, suffix) != 0)
			continue;
		if (__builtin_mul_overflow(number, units[i].ms, &ms) || ms < least_ms || ms > most_ms)
			return tg_fail(err, TG_CODE_INVALID, "%.40s is not from %llu%s to %llu%s", text,
			               (unsigned long long)low, low_suffix, (unsigned long long)high,
			               high_suffix);
		*to_ms = ms;
		return 0;
	}
	return tg_fail(err, TG_CODE_INVALID, "\"%.40s\" is not a time like 100ms, 60s, 5m, 24h or 7d", text);
}

int options_value_count(uint64_t *to, const char *text, uint64_t least, uint64_t most, struct tg_error *err)
{
	uint64_t    number = 0;
	const char *rest = read_digits(text, &number);

	if (rest == NULL || *rest != '\0' || number < least || number > most)
		return tg_fail(err, TG_CODE_INVALID, "\"%.40s\" is not a number from %llu to %llu", text,
		               (unsigned long long)least, (unsigned long long)most);
	*to = number;
	return 0;
}

int options_value_listen(struct options_listen *to, const char *text, struct tg_error *err)
{
	to->standard = false;
	memset(&to->at, 0, sizeof to->at);
	if (strcmp(text, "none") == 0 || tg_endpoint_read(text, &to->at))
		return 0;
	return tg_fail(err, TG_CODE_INVALID, "\"%.60s\" is not IP:PORT, [IPv6]:PORT or none", text);
}

/* Drops a final slash and the scheme's own port, as the document does. */
static size_t host_length(const char *host, size_t len, const char *port)
{
	size_t port_len = strlen(port);

	if (len > 0 && host[len - 1] == '/')
		len--;
	if (len > port_len && memcmp(host + len - port_len, port, port_len) == 0)
		len -= port_len;
	return len;
}

int options_value_forward(struct options *to, const char *text, struct tg_error *err)
{
	struct msg_forward *forward = &to->forwards[to->forwards_count];
	const char         *equals = strrchr(text, '=');
	bool                https = strncmp(text, "https://", 8) == 0;

	if (equals == NULL || (!https && strncmp(text, "http://", 7) != 0))
		return tg_fail(err, TG_CODE_INVALID,
		               "\"%.60s\" is not http://HOST=IP:PORT or https://HOST=IP:PORT", text);
	if (to->forwards_count == MSG_FORWARDS_MOST)
		return tg_fail(err, TG_CODE_LIMIT, "is given more than %d times", MSG_FORWARDS_MOST);

	const char *host = text + (https ? 8 : 7);
	size_t      len = host_length(host, (size_t)(equals - host), https ? ":443" : ":80");

	memset(forward, 0, sizeof *forward);
	forward->https = https;
	if (!model_host_read(host, len, false, forward->host))
		return tg_fail(err, TG_CODE_INVALID, "\"%.60s\" does not name a host", text);
	if (!tg_endpoint_read(equals + 1, &forward->upstream))
		return tg_fail(err, TG_CODE_INVALID, "\"%.60s\" is not IP:PORT or [IPv6]:PORT", equals + 1);
	for (size_t i = 0; i < to->forwards_count; i++)
		if (to->forwards[i].https == forward->https &&
		    strcmp(to->forwards[i].host, forward->host) == 0)
			return tg_fail(err, TG_CODE_INVALID, "names %s twice", forward->host);
	to->forwards_count++;
	return 0;
}

int options_value_prefix(const char **to, const char *text, struct tg_error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	size_t            len = strlen(text);

	if (len == 0 || len >= MSG_PREFIX_MOST)
		return tg_fail(err, TG_CODE_INVALID, "\"%.40s\" is not of 1 to %d characters", text,
		               MSG_PREFIX_MOST - 1);
	if (strspn(text, allowed) != len || text[0] == '.' || text[0] == '-')
		return tg_fail(err, TG_CODE_INVALID,
		               "\"%.40s\" may hold letters, digits, - _ . and begin with neither - nor .",
		               text);
	*to = text;
	return 0;
}
