#include "base/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* Decimal digits without sign or leading zero, at most `most`; all of `text` up to its NUL. */
static bool number_read(const char *text, unsigned most, unsigned *to)
{
	unsigned value = 0;

	if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (unsigned)(*text - '0');
		if (value > most)
			return false;
	}
	*to = value;
	return true;
}

static bool bytes_read(const char *text, size_t len, uint8_t *family, uint8_t bytes[16])
{
	char copy[INET6_ADDRSTRLEN];

	if (len >= sizeof copy)
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	memset(bytes, 0, 16);
	*family = memchr(copy, ':', len) != NULL ? AF_INET6 : AF_INET;
	return inet_pton(*family, copy, bytes) == 1;
}

bool tg_cidr_read(const char *text, struct tg_cidr *to)
{
	const char *slash = strchr(text, '/');
	size_t      len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	unsigned    prefix;

	if (!bytes_read(text, len, &to->family, to->bytes))
		return false;
	prefix = to->family == AF_INET ? 32 : 128;
	if (slash != NULL && !number_read(slash + 1, prefix, &prefix))
		return false;
	to->prefix = (uint8_t)prefix;
	return true;
}

void tg_cidr_mask(struct tg_cidr *range)
{
	size_t whole = range->prefix / 8;

	if (range->prefix % 8 != 0) {
		range->bytes[whole] &= (uint8_t)(0xff00U >> range->prefix % 8);
		whole++;
	}
	if (whole < sizeof range->bytes)
		memset(range->bytes + whole, 0, sizeof range->bytes - whole);
}

const char *tg_cidr_print(const struct tg_cidr *from, char text[TG_CIDR_TEXT])
{
	char address[INET6_ADDRSTRLEN];

	inet_ntop(from->family, from->bytes, address, sizeof address);
	snprintf(text, TG_CIDR_TEXT, "%s/%u", address, from->prefix);
	return text;
}

bool tg_endpoint_read(const char *text, struct tg_endpoint *to)
{
	const char *colon = strrchr(text, ':');
	const char *first = text;
	size_t      len;
	unsigned    port;
	bool        bracket = text[0] == '[';

	memset(to, 0, sizeof *to);
	if (colon == NULL)
		return false;
	len = (size_t)(colon - text);
	if (bracket) {
		if (len < 2 || colon[-1] != ']')
			return false;
		first++;
		len -= 2;
	}
	if (!bytes_read(first, len, &to->family, to->bytes) || bracket != (to->family == AF_INET6) ||
	    !number_read(colon + 1, 65535, &port) || port == 0) {
		memset(to, 0, sizeof *to);
		return false;
	}
	to->port = (uint16_t)port;
	return true;
}

const char *tg_endpoint_print(const struct tg_endpoint *from, char text[TG_ENDPOINT_TEXT])
{
	char address[INET6_ADDRSTRLEN];

	if (from->family == 0) {
		text[0] = '\0';
		return text;
	}
	inet_ntop(from->family, from->bytes, address, sizeof address);
	snprintf(text, TG_ENDPOINT_TEXT, from->family == AF_INET6 ? "[%s]:%u" : "%s:%u", address, from->port);
	return text;
}

bool tg_endpoint_equal(const struct tg_endpoint *a, const struct tg_endpoint *b)
{
	return a->family == b->family && a->port == b->port && memcmp(a->bytes, b->bytes, 16) == 0;
}

void tg_endpoint_from_sockaddr(const struct sockaddr *from, struct tg_endpoint *to)
{
	memset(to, 0, sizeof *to);
	if (from->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, from, sizeof in);
		to->family = AF_INET;
		to->port = ntohs(in.sin_port);
		memcpy(to->bytes, &in.sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, from, sizeof in6);
		to->port = ntohs(in6.sin6_port);
		if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
			to->family = AF_INET;
			memcpy(to->bytes, &in6.sin6_addr.s6_addr[12], 4);
		} else {
			to->family = AF_INET6;
			memcpy(to->bytes, &in6.sin6_addr, 16);
		}
	}
}

socklen_t tg_endpoint_to_sockaddr(const struct tg_endpoint *from, struct sockaddr_storage *to)
{
	memset(to, 0, sizeof *to);
	if (from->family == AF_INET) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(from->port) };

		memcpy(&in.sin_addr, from->bytes, 4);
		memcpy(to, &in, sizeof in);
		return sizeof in;
	}
	assert(from->family == AF_INET6);

	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(from->port) };

	memcpy(&in6.sin6_addr, from->bytes, 16);
	memcpy(to, &in6, sizeof in6);
	return sizeof in6;
}
