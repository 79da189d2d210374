#include "proxy/http_forward.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/model.h"
#include "proxy/http_field.h"
#include "proxy/http_head.h"

#define ACME_PATH "/.well-known/acme-challenge/"

static const struct {
	unsigned    status;
	const char *reason;
	const char *text;
	const char *fields;	/* of its own, with CRLF */
} answers[] = {
	{ 400, "Bad Request", "The request is malformed or ambiguous.", "" },
	{ 404, "Not Found", "There is nothing here under this name.", "" },
	{ 405, "Method Not Allowed", "This method is not allowed here.",
	  "Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\n" },
	{ 408, "Request Timeout", "The request came too slowly.", "" },
	{ 414, "URI Too Long", "The request line is too long.", "" },
	{ 431, "Request Header Fields Too Large", "The request's fields are too large.", "" },
	{ 502, "Bad Gateway", "The server behind this gateway cannot be reached, or its answer is broken.",
	  "" },
	{ 503, "Service Unavailable", "There are too many connections.", "Retry-After: 1\r\n" },
	{ 504, "Gateway Timeout", "The server behind this gateway did not answer in time.", "" },
};

static char *put(char *to, const void *from, size_t len)
{
	memcpy(to, from, len);
	return to + len;
}

static char *put_text(char *to, const char *text)
{
	return put(to, text, strlen(text));
}

static char *put_span(char *to, const char *bytes, struct http_span span)
{
	return put(to, bytes + span.at, span.len);
}

/* Where the port's colon stands in an authority, or `len`. */
static size_t colon_find(const char *text, size_t len)
{
	size_t digits = len;

	while (digits > 0 && text[digits - 1] >= '0' && text[digits - 1] <= '9')
		digits--;
	return digits > 0 && text[digits - 1] == ':' ? digits - 1 : len;
}

static bool port_is_right(const char *text, size_t len)
{
	unsigned port = 0;

	if (len > 5)
		return false;
	for (size_t i = 0; i < len; i++)
		port = port * 10 + (unsigned)(text[i] - '0');
	return port <= UINT16_MAX;
}

/* "[IPv6]"; the port is gone. */
static bool is_bracketed(const char *text, size_t len)
{
	if (len < 4 || text[0] != '[' || text[len - 1] != ']')
		return false;
	for (size_t i = 1; i < len - 1; i++) {
		char c = http_lower(text[i]);

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.'))
			return false;
	}
	return true;
}

enum http_host_result http_forward_host(const struct http_head *head, const char *bytes,
                                        char name[MSG_HOST_MOST])
{
	const char *text = bytes + head->host.at;
	size_t      len = head->host.len;
	size_t      end = colon_find(text, len);

	/* HTTP/1.0 need not say a host, and nothing is known under no name. */
	if (!head->has_host && len == 0)
		return HTTP_HOST_ADDRESS;
	if (end < len && !port_is_right(text + end + 1, len - end - 1))
		return HTTP_HOST_BAD;
	if (is_bracketed(text, end))
		return HTTP_HOST_ADDRESS;
	return model_host_read(text, end, false, name) ? HTTP_HOST_NAME : HTTP_HOST_BAD;
}

bool http_forward_upgrades(const struct http_head *head, const char *bytes)
{
	const char *text = bytes + head->upgrade_to.at;
	size_t      len = head->upgrade_to.len;
	bool        begins = true;

	if (!head->upgrade || head->chunked || head->length > 0 || len == 0)
		return false;
	for (size_t at = 0; at < len; at++) {
		if (text[at] == ',' || text[at] == ' ' || text[at] == '\t') {
			begins = true;
			continue;
		}
		if (begins && len - at >= 2 && http_equal(text + at, 2, "h2"))
			return false;
		if (begins && len - at >= 4 && http_equal(text + at, 4, "http"))
			return false;
		begins = false;
	}
	return true;
}

static bool is_named(const struct http_head *head, const char *bytes, struct http_span name)
{
	for (unsigned i = 0; i < head->options_count; i++) {
		struct http_span option = head->options[i];
		size_t           at = 0;

		if (option.len != name.len)
			continue;
		while (at < name.len && http_lower(bytes[option.at + at]) == http_lower(bytes[name.at + at]))
			at++;
		if (at == name.len)
			return true;
	}
	return false;
}

/* Whether a request's field passes as it came. */
static bool request_keeps(const struct http_head *head, const char *bytes, const struct http_field *field)
{
	switch ((enum http_name)field->known) {
	case HTTP_NAME_OTHER:
		return head->options_count == 0 || !is_named(head, bytes, field->name);
	case HTTP_NAME_CONTENT_LENGTH:
		return true;	/* even if Connection names it: the body is as long as before */
	case HTTP_NAME_EXPECT:
		return head->minor == 1;
	case HTTP_NAME_HOST:
	case HTTP_NAME_FORWARDED:
	case HTTP_NAME_X_FORWARDED:
	case HTTP_NAME_X_REAL_IP:
	case HTTP_NAME_PROXY:	/* CGI would make HTTP_PROXY of it, which programs obey */
	case HTTP_NAME_CONNECTION:
	case HTTP_NAME_KEEP_ALIVE:
	case HTTP_NAME_PROXY_AUTHENTICATE:
	case HTTP_NAME_PROXY_AUTHORIZATION:
	case HTTP_NAME_PROXY_CONNECTION:
	case HTTP_NAME_TE:
	case HTTP_NAME_TRANSFER_ENCODING:
	case HTTP_NAME_UPGRADE:
	case HTTP_NAMES:
		return false;
	}
	return false;
}

static bool response_keeps(const struct http_head *head, const char *bytes, const struct http_field *field)
{
	enum http_name known = (enum http_name)field->known;

	if (http_name_is_hop(known))
		return false;
	/* RFC 9110 §8.6: these have none, and who believes one would wait for a body. */
	if (known == HTTP_NAME_CONTENT_LENGTH)
		return head->status >= 200 && head->status != 204;
	return head->options_count == 0 || !is_named(head, bytes, field->name);
}

typedef bool keeps_fn(const struct http_head *head, const char *bytes, const struct http_field *field);

/* Copies the fields that pass, neighbours in one go. */
static char *put_fields(char *to, const struct http_head *head, const char *bytes, keeps_fn *keeps)
{
	size_t run = SIZE_MAX;	/* where it begins; none */

	for (unsigned i = 0; i < head->fields_count; i++) {
		size_t at = head->fields[i].name.at;

		if (keeps(head, bytes, &head->fields[i])) {
			if (run == SIZE_MAX)
				run = at;
		} else if (run != SIZE_MAX) {
			to = put(to, bytes + run, at - run);
			run = SIZE_MAX;
		}
	}
	if (run != SIZE_MAX)
		to = put(to, bytes + run, head->bytes - 2U - run);
	return to;
}

size_t http_forward_request(char *to, const struct http_head *head, const char *bytes,
                            const struct http_forward *how)
{
	char *at = to;

	at = put_span(at, bytes, head->method_name);
	*at++ = ' ';
	if (head->path.len == 0 && head->method == HTTP_METHOD_OPTIONS)
		*at++ = '*';	/* RFC 9112 §3.2.4 */
	else if (head->path.len == 0 || bytes[head->path.at] == '?')
		*at++ = '/';
	at = put_span(at, bytes, head->path);
	at = put_text(at, " HTTP/1.1\r\nHost: ");
	if (how->host_header != NULL)
		at = put_text(at, how->host_header);
	else
		at = put_span(at, bytes, head->host);
	at = put_text(at, "\r\n");

	at = put_fields(at, head, bytes, request_keeps);

	at = put_text(at, "X-Forwarded-For: ");
	at = put_text(at, how->client);
	at = put_text(at, "\r\nX-Real-IP: ");
	at = put_text(at, how->client);
	at = put_text(at, "\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: ");
	at = put_span(at, bytes, head->host);
	at = put_text(at, "\r\n");
	if (head->chunked)
		at = put_text(at, "Transfer-Encoding: chunked\r\n");
	if (how->upgrade) {
		at = put_text(at, "Connection: upgrade\r\nUpgrade: ");
		at = put_span(at, bytes, head->upgrade_to);
		at = put_text(at, "\r\n");
	}
	at = put_text(at, "\r\n");
	assert((size_t)(at - to) <= head->bytes + (size_t)HTTP_FORWARD_GROWTH);
	return (size_t)(at - to);
}

static char *put_connection(char *to, enum http_connection connection)
{
	switch (connection) {
	case HTTP_CONNECTION_NONE:
		return to;
	case HTTP_CONNECTION_CLOSE:
		return put_text(to, "Connection: close\r\n");
	case HTTP_CONNECTION_KEEP_ALIVE:
		return put_text(to, "Connection: keep-alive\r\n");
	case HTTP_CONNECTION_UPGRADE:
		return put_text(to, "Connection: upgrade\r\n");
	}
	return to;
}

size_t http_forward_response(char *to, const struct http_head *head, const char *bytes,
                             enum http_connection connection, bool strip)
{
	char *at = put_text(to, "HTTP/1.1 ");

	*at++ = (char)('0' + head->status / 100);
	*at++ = (char)('0' + head->status / 10 % 10);
	*at++ = (char)('0' + head->status % 10);
	*at++ = ' ';
	at = put_span(at, bytes, head->reason);
	at = put_text(at, "\r\n");

	at = put_fields(at, head, bytes, response_keeps);
	if (head->chunked && !strip && head->status >= 200 && head->status != 204)
		at = put_text(at, "Transfer-Encoding: chunked\r\n");
	at = put_connection(at, connection);
	if (connection == HTTP_CONNECTION_UPGRADE && head->upgrades > 0) {
		at = put_text(at, "Upgrade: ");
		at = put_span(at, bytes, head->upgrade_to);
		at = put_text(at, "\r\n");
	}
	at = put_text(at, "\r\n");
	assert((size_t)(at - to) <= head->bytes + (size_t)HTTP_FORWARD_GROWTH);
	return (size_t)(at - to);
}

bool http_forward_is_acme(const struct http_head *head, const char *bytes)
{
	const char *path = bytes + head->path.at;
	size_t      len = head->path.len;
	size_t      at = sizeof(ACME_PATH) - 1;

	if (len < at || memcmp(path, ACME_PATH, at) != 0)
		return false;
	/* Nothing that a server could take for the way out of the directory. */
	for (; at < len && path[at] != '?'; at++)
		if (path[at] == '%' || path[at] == '\\' || (path[at] == '.' && path[at - 1] == '/'))
			return false;
	return true;
}

size_t http_forward_answer(char *to, unsigned status, enum http_connection connection, bool head_only)
{
	size_t i = 0;

	while (answers[i].status != status) {
		i++;
		assert(i < sizeof(answers) / sizeof(answers[0]));
	}

	size_t text = strlen(answers[i].text) + 1;
	int    length = snprintf(to, HTTP_ANSWER_MOST,
	                         "HTTP/1.1 %u %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
	                         "Cache-Control: no-store\r\n%s",
	                         status, answers[i].reason, text, answers[i].fields);
	char  *at = put_connection(to + length, connection);

	at = put_text(at, "\r\n");
	if (!head_only) {
		at = put_text(at, answers[i].text);
		*at++ = '\n';
	}
	assert(at - to <= HTTP_ANSWER_MOST);
	return (size_t)(at - to);
}

size_t http_forward_redirect(char *to, const struct http_head *head, const char *bytes, const char *name,
                             enum http_connection connection)
{
	char *at = put_text(to, "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://");

	at = put_text(at, name);
	if (head->path.len == 0 || bytes[head->path.at] != '/')
		*at++ = '/';
	if (head->path.len > 0 && bytes[head->path.at] != '*')
		at = put_span(at, bytes, head->path);
	at = put_text(at, "\r\nContent-Length: 0\r\n");
	at = put_connection(at, connection);
	at = put_text(at, "\r\n");
	return (size_t)(at - to);
}
