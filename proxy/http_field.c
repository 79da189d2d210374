#include "proxy/http_field.h"

#include <stdint.h>
#include <string.h>

#define TOKEN  1
#define VALUE  2
#define TARGET 4

/* What each byte may stand in. */
#define _ 0
#define V VALUE
#define T (VALUE | TARGET)
#define K (VALUE | TOKEN)
#define A (VALUE | TARGET | TOKEN)
#define V16 V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V

static const uint8_t classes[256] = {
	_, _, _, _, _, _, _, _, _, V, _, _, _, _, _, _,	/* 0x00 */
	_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _,	/* 0x10 */
	V, A, T, K, A, A, A, A, T, T, A, A, T, A, A, T,	/* 0x20 */
	A, A, A, A, A, A, A, A, A, A, T, T, T, T, T, T,	/* 0x30 */
	T, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A,	/* 0x40 */
	A, A, A, A, A, A, A, A, A, A, A, T, T, T, A, A,	/* 0x50 */
	A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A,	/* 0x60 */
	A, A, A, A, A, A, A, A, A, A, A, T, A, T, A, _,	/* 0x70 */
	V16, V16, V16, V16, V16, V16, V16, V16,
};

#undef _
#undef V
#undef T
#undef K
#undef A
#undef V16

static const struct {
	const char    *name;
	uint8_t        len;
	uint8_t        known;	/* enum http_name */
} names[] = {
#define NAME(text, id) { text, sizeof(text) - 1, id }
	/* By length, the shortest first: http_name_find() stops at a longer one. */
	NAME("te", HTTP_NAME_TE),
	NAME("host", HTTP_NAME_HOST),
	NAME("proxy", HTTP_NAME_PROXY),
	NAME("expect", HTTP_NAME_EXPECT),
	NAME("upgrade", HTTP_NAME_UPGRADE),
	NAME("forwarded", HTTP_NAME_FORWARDED),
	NAME("x-real-ip", HTTP_NAME_X_REAL_IP),
	NAME("connection", HTTP_NAME_CONNECTION),
	NAME("keep-alive", HTTP_NAME_KEEP_ALIVE),
	NAME("content-length", HTTP_NAME_CONTENT_LENGTH),
	NAME("proxy-connection", HTTP_NAME_PROXY_CONNECTION),
	NAME("transfer-encoding", HTTP_NAME_TRANSFER_ENCODING),
	NAME("proxy-authenticate", HTTP_NAME_PROXY_AUTHENTICATE),
	NAME("proxy-authorization", HTTP_NAME_PROXY_AUTHORIZATION),
#undef NAME
};

#define X_FORWARDED	"x-forwarded-"
#define X_FORWARDED_LEN (sizeof(X_FORWARDED) - 1)

bool http_is_token(char c)
{
	return classes[(uint8_t)c] & TOKEN;
}

bool http_is_value(char c)
{
	return classes[(uint8_t)c] & VALUE;
}

bool http_is_target(char c)
{
	return classes[(uint8_t)c] & TARGET;
}

char http_lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

bool http_equal(const char *a, size_t len, const char *b)
{
	for (size_t i = 0; i < len; i++)
		if (b[i] == '\0' || http_lower(a[i]) != b[i])
			return false;
	return b[len] == '\0';
}

/* As http_equal() with '_' for '-' in `a`, and `len` no more than the length of `b`. */
static bool name_equal(const char *a, size_t len, const char *b, bool *exact)
{
	bool same = true;

	for (size_t i = 0; i < len; i++) {
		if (http_lower(a[i]) == b[i])
			continue;
		if (a[i] != '_' || b[i] != '-')
			return false;
		same = false;
	}
	*exact = same;
	return true;
}

enum http_name http_name_find(const char *name, size_t len, bool *exact)
{
	*exact = true;
	if (len > X_FORWARDED_LEN && name_equal(name, X_FORWARDED_LEN, X_FORWARDED, exact))
		return HTTP_NAME_X_FORWARDED;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].len < len)
			continue;
		if (names[i].len > len)
			break;
		if (name_equal(name, len, names[i].name, exact))
			return names[i].known;
	}
	*exact = true;
	return HTTP_NAME_OTHER;
}

bool http_name_is_hop(enum http_name name)
{
	switch (name) {
	case HTTP_NAME_CONNECTION:
	case HTTP_NAME_KEEP_ALIVE:
	case HTTP_NAME_PROXY_AUTHENTICATE:
	case HTTP_NAME_PROXY_AUTHORIZATION:
	case HTTP_NAME_PROXY_CONNECTION:
	case HTTP_NAME_TE:
	case HTTP_NAME_TRANSFER_ENCODING:
	case HTTP_NAME_UPGRADE:
		return true;
	case HTTP_NAME_OTHER:
	case HTTP_NAME_CONTENT_LENGTH:
	case HTTP_NAME_EXPECT:
	case HTTP_NAME_FORWARDED:
	case HTTP_NAME_HOST:
	case HTTP_NAME_PROXY:
	case HTTP_NAME_X_FORWARDED:
	case HTTP_NAME_X_REAL_IP:
	case HTTP_NAMES:
		return false;
	}
	return false;
}

bool http_name_is_barred_trailer(const char *name, size_t len)
{
	static const char *const others[] = {
		"authorization", "cache-control", "content-encoding", "content-range", "content-type",
		"cookie", "max-forwards", "range", "set-cookie", "trailer",
	};
	bool exact;

	if (http_name_find(name, len, &exact) != HTTP_NAME_OTHER)
		return true;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strlen(others[i]) == len && name_equal(name, len, others[i], &exact))
			return true;
	return false;
}
