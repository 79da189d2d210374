#include "api/media.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#define SPACE " \t"

static const char *const types[] = {
	[API_ACCEPT_JSON] = "application/json",
	[API_ACCEPT_NDJSON] = "application/x-ndjson",
	[API_ACCEPT_CSV] = "text/csv",
};

#define TYPES (sizeof(types) / sizeof(types[0]))

/* A quality in thousandths; anything malformed counts as none at all. */
static int read_quality(const char *text, size_t len)
{
	int quality, scale = 100;

	if (len == 0 || (text[0] != '0' && text[0] != '1') || (len > 1 && text[1] != '.') || len > 5)
		return 0;
	quality = (text[0] - '0') * 1000;
	for (size_t i = 2; i < len; i++, scale /= 10) {
		if (text[i] < '0' || text[i] > '9')
			return 0;
		quality += (text[i] - '0') * scale;
	}
	return quality > 1000 ? 1000 : quality;
}

static int range_quality(const char *range, size_t len)
{
	const char *end = range + len;
	const char *at = range + strcspn(range, ";,");

	while (at < end && *at == ';') {
		at++;
		at += strspn(at, SPACE);

		size_t part = strcspn(at, ";,");

		if (part > 2 && (at[0] == 'q' || at[0] == 'Q') && at[1] == '=') {
			size_t bytes = part - 2;

			while (bytes > 0 && strchr(SPACE, at[2 + bytes - 1]) != NULL)
				bytes--;
			return read_quality(at + 2, bytes);
		}
		at += part;
	}
	return 1000;
}

/* How closely a range of `len` bytes names a type: 0 not at all, 3 itself. */
static int range_fits(const char *range, size_t len, const char *type)
{
	size_t major = (size_t)(strchr(type, '/') - type) + 1;

	if (len == 3 && memcmp(range, "*/*", 3) == 0)
		return 1;
	if (len == major + 1 && strncasecmp(range, type, major) == 0 && range[major] == '*')
		return 2;
	if (len == strlen(type) && strncasecmp(range, type, len) == 0)
		return 3;
	return 0;
}

static int type_quality(const char *accept, const char *type)
{
	int closest = 0, quality = 0;

	while (*accept != '\0') {
		accept += strspn(accept, SPACE ",");

		size_t len = strcspn(accept, ",");
		size_t name = strcspn(accept, ";," SPACE);
		int fits = range_fits(accept, name, type);

		if (fits > closest) {
			closest = fits;
			quality = range_quality(accept, len);
		}
		accept += len;
	}
	return quality;
}

enum api_accept media_best(const char *accept)
{
	enum api_accept best = API_ACCEPT_JSON;
	int most = 0;

	for (size_t i = 0; accept != NULL && i < TYPES; i++) {
		int quality = type_quality(accept, types[i]);

		if (quality > most) {
			most = quality;
			best = (enum api_accept)i;
		}
	}
	return best;
}

static bool charset_fits(const char *parameters)
{
	while (*parameters != '\0') {
		parameters += strspn(parameters, SPACE ";");
		if (strncasecmp(parameters, "charset=", 8) == 0) {
			const char *value = parameters + 8;
			size_t len = strcspn(value, ";" SPACE);

			if (!(len == 5 && strncasecmp(value, "utf-8", 5) == 0) &&
			    !(len == 7 && strncasecmp(value, "\"utf-8\"", 7) == 0))
				return false;
		}
		parameters += strcspn(parameters, ";");
	}
	return true;
}

bool media_is_json(const char *content_type, bool patch)
{
	static const char merge[] = "application/merge-patch+json";

	if (content_type == NULL || *content_type == '\0')
		return true;

	size_t len = strcspn(content_type, ";" SPACE);
	bool fits = len == strlen(types[API_ACCEPT_JSON]) &&
	            strncasecmp(content_type, types[API_ACCEPT_JSON], len) == 0;

	if (patch && len == sizeof(merge) - 1 && strncasecmp(content_type, merge, len) == 0)
		fits = true;
	return fits && charset_fits(content_type + len);
}
