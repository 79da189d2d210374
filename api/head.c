#include "api/head.h"

#include <string.h>
#include <strings.h>

#define LENGTH_DIGITS_MOST 18 /* any number of them fits 64 bits */

static const char *const methods[] = {
	[HEAD_GET] = "GET",     [HEAD_HEAD] = "HEAD",     [HEAD_POST] = "POST",       [HEAD_PUT] = "PUT",
	[HEAD_PATCH] = "PATCH", [HEAD_DELETE] = "DELETE", [HEAD_OPTIONS] = "OPTIONS", [HEAD_TRACE] = "TRACE",
};

/* Fields that may stand once: two of one kind could be read either way. */
struct fields {
	const char *host, *connection, *length, *coding, *expect;
};

enum head_result head_find_end(const char *text, size_t bytes, size_t *seen, size_t *end)
{
	/* Empty lines in front of a request are left over from a sloppy client's last one. */
	size_t start = 0;

	while (start + 1 < bytes && text[start] == '\r' && text[start + 1] == '\n')
		start += 2;

	for (size_t at = *seen; at < bytes; at++) {
		if (text[at] == '\0')
			return HEAD_MALFORMED;
		if (text[at] != '\n')
			continue;
		if (at == 0 || text[at - 1] != '\r')
			return HEAD_MALFORMED;
		if (at >= start + 3 && text[at - 2] == '\n') {
			*end = at + 1;
			return at < HEAD_BYTES_MOST ? HEAD_OK : HEAD_TOO_LARGE;
		}
	}
	*seen = bytes;
	return bytes < HEAD_BYTES_MOST ? HEAD_MORE : HEAD_TOO_LARGE;
}

/* RFC 9110 §5.6.2. */
static bool is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(const char *text)
{
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
		if (!is_token_char(*text))
			return false;
	return true;
}

/* The scheme and authority of an absolute target (RFC 9112 §3.2.2) say nothing new here. */
static char *target_path(char *target)
{
	char *path;

	if (target[0] == '/')
		return target;
	if (strncasecmp(target, "http://", 7) == 0)
		path = strchr(target + 7, '/');
	else if (strncasecmp(target, "https://", 8) == 0)
		path = strchr(target + 8, '/');
	else
		path = NULL;
	return path;
}

static enum head_result read_request_line(char *line, struct head *to)
{
	char *target = strchr(line, ' ');
	char *version = target == NULL ? NULL : strchr(target + 1, ' ');

	if (version == NULL)
		return HEAD_MALFORMED;
	*target++ = '\0';
	*version++ = '\0';
	if (!is_token(line))
		return HEAD_MALFORMED;

	to->method = HEAD_UNKNOWN;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strcmp(line, methods[i]) == 0)
			to->method = (enum head_method)i;

	if (strncmp(version, "HTTP/", 5) != 0)
		return HEAD_MALFORMED;
	if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
		return HEAD_BAD_VERSION;
	to->minor = version[7] == '1';

	for (const char *c = target; *c != '\0'; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || *c == '#')
			return HEAD_MALFORMED;

	char *path = target_path(target);

	if (path == NULL) {
		/* "*" and an authority are for OPTIONS and CONNECT: no route has them. */
		if (to->method != HEAD_OPTIONS && to->method != HEAD_UNKNOWN)
			return HEAD_MALFORMED;
		to->path = "";
		return HEAD_OK;
	}
	to->query = strchr(path, '?');
	if (to->query != NULL)
		*to->query++ = '\0';
	to->path = path;
	return HEAD_OK;
}

static const char **field_place(const char *name, struct head *to, struct fields *own)
{
	const struct {
		const char *name;
		const char **place;
	} known[] = {
		{ "accept", &to->accept },
		{ "authorization", &to->authorization },
		{ "connection", &own->connection },
		{ "content-length", &own->length },
		{ "content-type", &to->content_type },
		{ "expect", &own->expect },
		{ "host", &own->host },
		{ "if-match", &to->if_match },
		{ "if-none-match", &to->if_none_match },
		{ "last-event-id", &to->last_event_id },
		{ "token", &to->token },
		{ "transfer-encoding", &own->coding },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcasecmp(name, known[i].name) == 0)
			return known[i].place;
	return NULL;
}

static enum head_result read_field(char *line, struct head *to, struct fields *own)
{
	char *value = strchr(line, ':');

	if (value == NULL)
		return HEAD_MALFORMED;
	*value++ = '\0';
	/* This refuses space before the colon and folded lines too. */
	if (!is_token(line))
		return HEAD_MALFORMED;

	value += strspn(value, " \t");
	size_t len = strlen(value);

	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		value[--len] = '\0';
	for (const char *c = value; *c != '\0'; c++)
		if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
			return HEAD_MALFORMED;

	const char **place = field_place(line, to, own);

	if (place == NULL)
		return HEAD_OK;
	if (*place != NULL)
		return HEAD_MALFORMED;
	*place = value;
	return HEAD_OK;
}

/* Whether a comma-separated list holds `word`. */
static bool list_has(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (*list != '\0') {
		list += strspn(list, " \t,");
		size_t item = strcspn(list, " \t,");

		if (item == len && strncasecmp(list, word, len) == 0)
			return true;
		list += item;
	}
	return false;
}

static enum head_result read_length(const char *text, struct head *to)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || text[digits] != '\0' || digits > LENGTH_DIGITS_MOST)
		return HEAD_MALFORMED;
	for (; *text != '\0'; text++)
		to->length = to->length * 10 + (uint64_t)(*text - '0');
	return HEAD_OK;
}

static enum head_result read_framing(const struct fields *own, struct head *to)
{
	if (own->host == NULL && to->minor == 1)
		return HEAD_MALFORMED;
	/* Of 1.0 none is kept: a stream's end could not be told there. */
	to->keep_alive = to->minor == 1 && (own->connection == NULL || !list_has(own->connection, "close"));

	if (own->coding != NULL) {
		/* RFC 9112 §6.3: a request with both, or chunked in 1.0, is an attack or an error. */
		if (own->length != NULL || to->minor == 0)
			return HEAD_MALFORMED;
		if (strcasecmp(own->coding, "chunked") != 0)
			return HEAD_BAD_CODING;
		to->chunked = true;
	}
	if (own->length != NULL && read_length(own->length, to) != HEAD_OK)
		return HEAD_MALFORMED;
	if (own->expect != NULL && to->minor == 1) {
		if (strcasecmp(own->expect, "100-continue") != 0)
			return HEAD_BAD_EXPECT;
		to->expect_continue = to->chunked || to->length > 0;
	}
	return HEAD_OK;
}

enum head_result head_read(char *text, size_t bytes, struct head *to)
{
	struct fields own = { 0 };
	enum head_result result;
	char *line = text;
	bool first = true;

	*to = (struct head){ .method = HEAD_UNKNOWN };
	text[bytes] = '\0';
	while (line[0] == '\r' && line[1] == '\n')
		line += 2;

	while (line[0] != '\0' && line[0] != '\r') {
		char *end = strchr(line, '\r');

		if (end == NULL || end[1] != '\n')
			return HEAD_MALFORMED;
		*end = '\0';
		result = first ? read_request_line(line, to) : read_field(line, to, &own);
		if (result != HEAD_OK)
			return result;
		first = false;
		line = end + 2;
	}
	if (first || strcmp(line, "\r\n") != 0)
		return HEAD_MALFORMED;
	return read_framing(&own, to);
}
