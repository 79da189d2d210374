#include "proxy/sni.h"

#include <stdbool.h>
#include <string.h>

#include "base/model.h"
#include "base/msg.h"

_Static_assert(SNI_HOST_MOST + 1 >= MSG_HOST_MOST, "model_host_read() must find room");

/* RFC 8446 §5.1 and §4, RFC 6066 §3. */
#define RECORD_HANDSHAKE 22
#define RECORD_MOST	 16384
#define MESSAGE_HEADER	 4
#define CLIENT_HELLO	 1
#define RANDOM_BYTES	 32
#define SESSION_ID_MOST	 32
#define EXTENSION_NAME	 0
#define NAME_IS_HOST	 0

/* A hello has at most this many extensions; a double one is malformed (RFC 8446 §4.2). */
#define EXTENSIONS_MOST 128

/* What is left to read. */
struct span {
	const uint8_t *at;
	size_t         left;
};

static bool span_number(struct span *span, unsigned bytes, size_t *value)
{
	if (span->left < bytes)
		return false;
	*value = 0;
	for (unsigned i = 0; i < bytes; i++)
		*value = *value << 8 | span->at[i];
	span->at += bytes;
	span->left -= bytes;
	return true;
}

static bool span_take(struct span *span, size_t bytes, struct span *part)
{
	if (span->left < bytes)
		return false;
	*part = (struct span){ span->at, bytes };
	span->at += bytes;
	span->left -= bytes;
	return true;
}

/* A vector with a length of `bytes` bytes in front of it. */
static bool span_vector(struct span *span, unsigned bytes, struct span *part)
{
	size_t length;

	return span_number(span, bytes, &length) && span_take(span, length, part);
}

static enum sni_result read_names(struct span extension, char *host)
{
	enum sni_result result = SNI_NONE;
	bool            seen = false;
	struct span     list;

	if (!span_vector(&extension, 2, &list) || extension.left != 0 || list.left == 0)
		return SNI_MALFORMED;
	while (list.left > 0) {
		size_t      type;
		struct span name;

		if (!span_number(&list, 1, &type) || !span_vector(&list, 2, &name))
			return SNI_MALFORMED;
		if (type != NAME_IS_HOST)
			continue;
		if (seen || name.left == 0)
			return SNI_MALFORMED;
		seen = true;
		if (model_host_read((const char *)name.at, name.left, false, host))
			result = SNI_FOUND;
	}
	return result;
}

static bool is_double(const uint16_t *types, size_t count, size_t type)
{
	for (size_t i = 0; i < count; i++) {
		if (types[i] == type)
			return true;
	}
	return false;
}

static enum sni_result read_extensions(struct span extensions, char *host)
{
	enum sni_result result = SNI_NONE;
	uint16_t        types[EXTENSIONS_MOST];
	size_t          count = 0;

	while (extensions.left > 0) {
		size_t      type;
		struct span extension;

		if (!span_number(&extensions, 2, &type) || !span_vector(&extensions, 2, &extension) ||
		    count == EXTENSIONS_MOST || is_double(types, count, type))
			return SNI_MALFORMED;
		types[count++] = (uint16_t)type;
		if (type == EXTENSION_NAME)
			result = read_names(extension, host);
		if (result == SNI_MALFORMED)
			return result;
	}
	return result;
}

/* The body of a whole ClientHello. */
static enum sni_result read_hello(struct span hello, char *host)
{
	size_t      version;
	struct span part;
	struct span extensions;

	if (!span_number(&hello, 2, &version) || version >> 8 != 3)
		return SNI_MALFORMED;
	if (!span_take(&hello, RANDOM_BYTES, &part))
		return SNI_MALFORMED;
	if (!span_vector(&hello, 1, &part) || part.left > SESSION_ID_MOST)
		return SNI_MALFORMED;
	if (!span_vector(&hello, 2, &part) || part.left < 2 || part.left % 2 != 0)	/* cipher suites */
		return SNI_MALFORMED;
	if (!span_vector(&hello, 1, &part) || part.left < 1)	/* compression methods */
		return SNI_MALFORMED;
	if (hello.left == 0)
		return SNI_NONE;	/* TLS 1.2 and before: extensions may be absent */
	if (!span_vector(&hello, 2, &extensions) || hello.left != 0)
		return SNI_MALFORMED;
	return read_extensions(extensions, host);
}

/* A browser that was sent to the wrong port.  SNI_MORE while it may yet become a method. */
static enum sni_result read_http(const uint8_t *bytes, size_t count)
{
	static const char *const methods[] = {
		"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "TRACE ", "CONNECT ",
	};
	enum sni_result result = SNI_MALFORMED;

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		size_t length = strlen(methods[i]);

		if (memcmp(bytes, methods[i], count < length ? count : length) != 0)
			continue;
		if (count >= length)
			return SNI_HTTP;
		result = SNI_MORE;
	}
	return result;
}

/* Joins the fragments that records carry.  SNI_FOUND: `message` has `*filled` bytes or the whole hello. */
static enum sni_result join_records(struct span bytes, uint8_t *message, size_t *filled, size_t *needed)
{
	*filled = 0;
	*needed = MESSAGE_HEADER;
	while (*filled < *needed) {
		size_t type;
		size_t version;
		size_t length;
		size_t here;

		/* Each byte is judged as soon as it is there: strangers get no time to wait. */
		if (bytes.left >= 1 && bytes.at[0] != RECORD_HANDSHAKE)
			return SNI_MALFORMED;
		if (bytes.left >= 2 && bytes.at[1] != 3)
			return SNI_MALFORMED;
		if (!span_number(&bytes, 1, &type) || !span_number(&bytes, 2, &version) ||
		    !span_number(&bytes, 2, &length))
			return SNI_MORE;
		if (length == 0 || length > RECORD_MOST)
			return SNI_MALFORMED;

		here = length < bytes.left ? length : bytes.left;
		if (here > MESSAGE_HEADER + SNI_HELLO_MOST - *filled)
			here = MESSAGE_HEADER + SNI_HELLO_MOST - *filled;
		memcpy(message + *filled, bytes.at, here);
		*filled += here;
		if (*filled >= 1 && message[0] != CLIENT_HELLO)
			return SNI_MALFORMED;
		if (*filled >= MESSAGE_HEADER)
			*needed = MESSAGE_HEADER +
			          ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
		if (*needed > MESSAGE_HEADER + SNI_HELLO_MOST)
			return SNI_TOO_LARGE;
		if (*filled >= *needed)
			return SNI_FOUND;
		if (length > bytes.left)
			return SNI_MORE;
		bytes.at += length;
		bytes.left -= length;
	}
	return SNI_FOUND;
}

enum sni_result sni_read(const uint8_t *bytes, size_t count, char host[SNI_HOST_MOST + 1])
{
	uint8_t         message[MESSAGE_HEADER + SNI_HELLO_MOST];
	size_t          filled;
	size_t          needed;
	enum sni_result result;

	if (count == 0)
		return SNI_MORE;
	if (bytes[0] != RECORD_HANDSHAKE)
		return read_http(bytes, count);

	result = join_records((struct span){ bytes, count }, message, &filled, &needed);
	if (result == SNI_MORE && count >= SNI_BYTES_MOST)
		return SNI_TOO_LARGE;
	if (result != SNI_FOUND)
		return result;
	return read_hello((struct span){ message + MESSAGE_HEADER, needed - MESSAGE_HEADER }, host);
}
