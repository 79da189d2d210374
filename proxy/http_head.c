#include "proxy/http_head.h"

#include <string.h>

#include "proxy/http_field.h"

static const struct {
	const char      *name;
	enum http_method method;
} methods[] = {
	{ "GET", HTTP_METHOD_GET },
	{ "POST", HTTP_METHOD_POST },
	{ "HEAD", HTTP_METHOD_HEAD },
	{ "PUT", HTTP_METHOD_PUT },
	{ "DELETE", HTTP_METHOD_DELETE },
	{ "OPTIONS", HTTP_METHOD_OPTIONS },
	{ "TRACE", HTTP_METHOD_TRACE },
	{ "CONNECT", HTTP_METHOD_CONNECT },
};

void http_head_init(struct http_head *head, enum http_kind kind)
{
	/* The arrays are valid up to their counts only: clearing them would cost more than the rest. */
	memset(head, 0, offsetof(struct http_head, options));
	head->kind = kind;
}

static struct http_span span_of(size_t at, size_t end)
{
	return (struct http_span){ (uint16_t)at, (uint16_t)(end - at) };
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "HTTP/1.x": the eight bytes at `text`. */
static bool version_read(struct http_head *head, const char *text)
{
	if (memcmp(text, "HTTP/1.", 7) != 0 || !digit(text[7]))
		return false;
	head->minor = text[7] == '0' ? 0 : 1;
	return true;
}

static enum http_method method_find(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strlen(methods[i].name) == len && memcmp(name, methods[i].name, len) == 0)
			return methods[i].method;
	return HTTP_METHOD_OTHER;
}

/* The target's form (RFC 9112 §3.2) and its parts. */
static bool target_read(struct http_head *head, const char *bytes)
{
	const char *target = bytes + head->target.at;
	size_t      at = head->target.at;
	size_t      end = at + head->target.len;

	if (head->method == HTTP_METHOD_CONNECT)
		return true;	/* whatever its form: it is refused with 405 */
	if (target[0] == '/') {
		head->path = head->target;
		return true;
	}
	if (head->target.len == 1 && target[0] == '*') {
		head->path = head->target;
		return head->method == HTTP_METHOD_OPTIONS;
	}
	if (head->target.len <= 7 || !http_equal(target, 7, "http://"))
		return false;

	at += 7;
	size_t path = at;

	while (path < end && bytes[path] != '/' && bytes[path] != '?') {
		if (bytes[path] == '@')
			return false;	/* user information has no place here (RFC 9110 §4.2.4) */
		path++;
	}
	head->authority = span_of(at, path);
	head->path = span_of(path, end);
	return head->authority.len > 0;
}

/* method SP request-target SP HTTP-version; `end` is where its CRLF begins. */
static bool request_line_read(struct http_head *head, const char *bytes, size_t at, size_t end)
{
	size_t method = at;

	while (at < end && http_is_token(bytes[at]))
		at++;
	head->method_name = span_of(method, at);
	if (at == method || at == end || bytes[at] != ' ')
		return false;
	head->method = method_find(bytes + method, at - method);

	size_t target = ++at;

	while (at < end && http_is_target(bytes[at]))
		at++;
	head->target = span_of(target, at);
	if (at == target || end - at != 9 || bytes[at] != ' ')
		return false;
	return version_read(head, bytes + at + 1) && target_read(head, bytes);
}

/* HTTP-version SP status-code SP [reason]; many servers leave out the last space with the reason. */
static bool status_line_read(struct http_head *head, const char *bytes, size_t at, size_t end)
{
	const char *line = bytes + at;

	if (end - at < 12 || !version_read(head, line) || line[8] != ' ')
		return false;
	if (!digit(line[9]) || !digit(line[10]) || !digit(line[11]))
		return false;
	head->status = (uint16_t)((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
	if (head->status < 100 || head->status > 599)
		return false;
	if (end - at == 12)
		return true;
	if (line[12] != ' ')
		return false;
	head->reason = span_of(at + 13, end);
	for (size_t i = at + 13; i < end; i++)
		if (!http_is_value(bytes[i]))
			return false;
	return true;
}

static bool length_read(struct http_head *head, const char *value, size_t len)
{
	uint64_t length = 0;

	/* A second one is refused even when it says the same: somebody else may count otherwise. */
	if (head->has_length || len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!digit(value[i]))
			return false;

		uint64_t next = (uint64_t)(value[i] - '0');

		if (length > ((uint64_t)INT64_MAX - next) / 10)
			return false;
		length = length * 10 + next;
	}
	head->has_length = true;
	head->length = length;
	return true;
}

static enum http_head_result option_add(struct http_head *head, const char *bytes, struct http_span option)
{
	const char *name = bytes + option.at;

	if (http_equal(name, option.len, "close")) {
		head->close = true;
	} else if (http_equal(name, option.len, "keep-alive")) {
		head->keep_alive = true;
	} else if (http_equal(name, option.len, "upgrade")) {
		head->connection_upgrade = true;
	} else {
		if (head->options_count == HTTP_OPTIONS_MOST)
			return HTTP_HEAD_LARGE;
		head->options[head->options_count++] = option;
	}
	return HTTP_HEAD_MORE;
}

/* A list of tokens; empty elements count for nothing (RFC 9110 §5.6.1). */
static enum http_head_result options_read(struct http_head *head, const char *bytes, struct http_span value)
{
	size_t at = value.at;
	size_t end = at + value.len;

	while (at < end) {
		size_t option = at;

		while (at < end && http_is_token(bytes[at]))
			at++;
		if (at > option) {
			enum http_head_result added = option_add(head, bytes, span_of(option, at));

			if (added != HTTP_HEAD_MORE)
				return added;
		}
		while (at < end && (bytes[at] == ' ' || bytes[at] == '\t'))
			at++;
		if (at < end && bytes[at] != ',')
			return HTTP_HEAD_BAD;
		at++;
		while (at < end && (bytes[at] == ' ' || bytes[at] == '\t'))
			at++;
	}
	return HTTP_HEAD_MORE;
}

/* What the field means for routing and framing.  HTTP_HEAD_MORE: go on. */
static enum http_head_result field_use(struct http_head *head, const char *bytes,
                                       const struct http_field *field, bool exact)
{
	const char *value = bytes + field->value.at;
	size_t      len = field->value.len;
	bool        fine = true;

	switch ((enum http_name)field->known) {
	case HTTP_NAME_CONNECTION:
		return options_read(head, bytes, field->value);
	case HTTP_NAME_CONTENT_LENGTH:
		fine = exact && length_read(head, value, len);
		break;
	case HTTP_NAME_TRANSFER_ENCODING:
		fine = exact && !head->chunked && http_equal(value, len, "chunked");
		head->chunked = true;
		break;
	case HTTP_NAME_HOST:
		fine = !head->has_host;
		head->has_host = true;
		head->host = field->value;
		break;
	case HTTP_NAME_EXPECT:
		head->expect_continue |= http_equal(value, len, "100-continue");
		break;
	case HTTP_NAME_UPGRADE:
		head->upgrades++;
		head->upgrade_to = field->value;
		break;
	case HTTP_NAME_OTHER:
	case HTTP_NAME_FORWARDED:
	case HTTP_NAME_KEEP_ALIVE:
	case HTTP_NAME_PROXY:
	case HTTP_NAME_PROXY_AUTHENTICATE:
	case HTTP_NAME_PROXY_AUTHORIZATION:
	case HTTP_NAME_PROXY_CONNECTION:
	case HTTP_NAME_TE:
	case HTTP_NAME_X_FORWARDED:
	case HTTP_NAME_X_REAL_IP:
	case HTTP_NAMES:
		break;
	}
	return fine ? HTTP_HEAD_MORE : HTTP_HEAD_BAD;
}

/* field-name ":" OWS field-value OWS.  White space in front (obs-fold) or before the colon is no
 * token, so it is refused here (RFC 9112 §5.1, §5.2). */
static enum http_head_result field_read(struct http_head *head, const char *bytes, size_t at, size_t end)
{
	size_t name = at;

	while (at < end && http_is_token(bytes[at]))
		at++;
	if (at == name || at == end || bytes[at] != ':')
		return HTTP_HEAD_BAD;
	if (head->fields_count == HTTP_FIELDS_MOST)
		return HTTP_HEAD_LARGE;

	struct http_field *field = &head->fields[head->fields_count];
	bool               exact;

	field->name = span_of(name, at);
	field->known = (uint8_t)http_name_find(bytes + name, at - name, &exact);

	size_t value = ++at;

	for (; at < end; at++)
		if (!http_is_value(bytes[at]))
			return HTTP_HEAD_BAD;
	while (value < end && (bytes[value] == ' ' || bytes[value] == '\t'))
		value++;
	while (end > value && (bytes[end - 1] == ' ' || bytes[end - 1] == '\t'))
		end--;
	field->value = span_of(value, end);
	head->fields_count++;
	return field_use(head, bytes, field, exact);
}

/* Without the default port, which means the same as none. */
static struct http_span port_drop(const char *bytes, struct http_span authority)
{
	const char *text = bytes + authority.at;

	if (authority.len > 3 && memcmp(text + authority.len - 3, ":80", 3) == 0)
		authority.len = (uint16_t)(authority.len - 3);
	else if (authority.len > 1 && text[authority.len - 1] == ':')
		authority.len--;
	return authority;
}

static bool authority_equal(const char *bytes, struct http_span a, struct http_span b)
{
	a = port_drop(bytes, a);
	b = port_drop(bytes, b);
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (http_lower(bytes[a.at + i]) != http_lower(bytes[b.at + i]))
			return false;
	return true;
}

/* The empty line has come: what only the whole head tells. */
static enum http_head_result head_finish(struct http_head *head, const char *bytes)
{
	if (head->chunked && (head->has_length || head->minor == 0))
		return HTTP_HEAD_BAD;	/* RFC 9112 §6.1: the old way to smuggle a request */
	head->upgrade = head->connection_upgrade && head->upgrades == 1 && head->minor == 1;
	if (head->kind == HTTP_KIND_RESPONSE)
		return HTTP_HEAD_DONE;

	if (!head->has_host && head->minor == 1)
		return HTTP_HEAD_BAD;
	if (head->authority.len > 0) {
		/* RFC 9112 §3.2.2 lets the authority win over Host; two that differ are refused, as
		 * what logs or filters upstream by the other one would be deceived. */
		if (!head->has_host)
			head->host = head->authority;
		else if (!authority_equal(bytes, head->authority, head->host))
			return HTTP_HEAD_BAD;
	}
	return HTTP_HEAD_DONE;
}

/* The line from head->line_at to before its line feed at `feed`. */
static enum http_head_result line_read(struct http_head *head, const char *bytes, size_t feed)
{
	size_t at = head->line_at;

	if (!head->first_done && feed + 1 - at > HTTP_LINE_MOST)
		return HTTP_HEAD_LONG_LINE;
	if (feed == at || bytes[feed - 1] != '\r')
		return HTTP_HEAD_BAD;

	size_t end = feed - 1;

	if (!head->first_done) {
		/* One empty line in front is forgiven to clients (RFC 9112 §2.2). */
		if (end == 0 && head->kind == HTTP_KIND_REQUEST)
			return HTTP_HEAD_MORE;
		head->first_done = true;
		if (head->kind == HTTP_KIND_REQUEST ? request_line_read(head, bytes, at, end)
		                                    : status_line_read(head, bytes, at, end))
			return HTTP_HEAD_MORE;
		return HTTP_HEAD_BAD;
	}
	if (end == at) {
		head->bytes = (uint16_t)(feed + 1);
		return head_finish(head, bytes);
	}
	return field_read(head, bytes, at, end);
}

enum http_head_result http_head_read(struct http_head *head, const char *bytes, size_t len)
{
	if (len > HTTP_HEAD_MOST)
		len = HTTP_HEAD_MOST;
	/* What can't become HTTP/1 (a TLS hello, say) need not wait for the end of its line. */
	if (len > 0 && !http_is_token(bytes[0]) && bytes[0] != '\r')
		return HTTP_HEAD_BAD;

	for (;;) {
		const char *feed = memchr(bytes + head->seen, '\n', len - head->seen);

		if (feed == NULL)
			break;

		enum http_head_result result = line_read(head, bytes, (size_t)(feed - bytes));

		if (result != HTTP_HEAD_MORE)
			return result;
		head->line_at = head->seen = (uint16_t)(feed - bytes + 1);
	}
	head->seen = (uint16_t)len;
	if (!head->first_done && len - head->line_at >= HTTP_LINE_MOST)
		return HTTP_HEAD_LONG_LINE;
	return len == HTTP_HEAD_MOST ? HTTP_HEAD_LARGE : HTTP_HEAD_MORE;
}

bool http_head_persists(const struct http_head *head)
{
	return !head->close && (head->minor == 1 || head->keep_alive);
}
