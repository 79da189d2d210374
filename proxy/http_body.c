#include "proxy/http_body.h"

#include <string.h>

#include "base/hex.h"
#include "proxy/http_field.h"
#include "proxy/http_head.h"

/* Places within chunked coding (RFC 9112 §7.1). */
enum place {
	PLACE_SIZE,		/* chunk-size */
	PLACE_EXTENSION,	/* after ";" up to CR */
	PLACE_SIZE_FEED,	/* LF of the size line */
	PLACE_DATA,
	PLACE_DATA_RETURN,	/* CR after the data */
	PLACE_DATA_FEED,	/* LF after the data */
	PLACE_TRAILER,		/* first byte of a trailer field, or CR of the last line */
	PLACE_NAME,		/* of a trailer field */
	PLACE_VALUE,
	PLACE_VALUE_FEED,
	PLACE_LAST_FEED,	/* LF of the last line */
	PLACE_DONE,
};

#define SIZE_DIGITS_MOST 16

static void body_set(struct http_body *body, enum http_body_kind kind, uint64_t left)
{
	body->kind = (uint8_t)kind;
	body->state = PLACE_SIZE;
	body->name_len = 0;
	body->digits = 0;
	body->line_bytes = 0;
	body->left = left;
}

void http_body_of_request(struct http_body *body, const struct http_head *head)
{
	if (head->chunked)
		body_set(body, HTTP_BODY_CHUNKED, 0);
	else if (head->has_length && head->length > 0)
		body_set(body, HTTP_BODY_LENGTH, head->length);
	else
		body_set(body, HTTP_BODY_NONE, 0);
}

void http_body_of_response(struct http_body *body, const struct http_head *head, bool to_head)
{
	if (to_head || head->status < 200 || head->status == 204 || head->status == 304)
		body_set(body, HTTP_BODY_NONE, 0);
	else if (head->chunked || head->has_length)
		http_body_of_request(body, head);
	else
		body_set(body, HTTP_BODY_CLOSE, 0);
}

bool http_body_is_done(const struct http_body *body)
{
	switch ((enum http_body_kind)body->kind) {
	case HTTP_BODY_NONE:
		return true;
	case HTTP_BODY_LENGTH:
		return body->left == 0;
	case HTTP_BODY_CHUNKED:
		return body->state == PLACE_DONE;
	case HTTP_BODY_CLOSE:
		return false;
	}
	return false;
}

/* Sets `next` and says true, so that a state is one line. */
static bool go(struct http_body *body, enum place next)
{
	body->state = (uint8_t)next;
	return true;
}

static bool size_step(struct http_body *body, char c)
{
	int digit = tg_hex_digit(c);

	if (digit >= 0) {
		/* Leading zeros are harmless, but have no end either: both limits are needed. */
		if (body->digits == SIZE_DIGITS_MOST || body->left > (uint64_t)INT64_MAX >> 4)
			return false;
		body->digits++;
		body->left = body->left << 4 | (uint64_t)digit;
		return true;
	}
	if (body->digits == 0)
		return false;
	body->line_bytes = 0;
	/* RFC 9112 lets "bad" white space pass here; it is where readers differ, and nobody sends it. */
	if (c == ';')
		return go(body, PLACE_EXTENSION);
	return c == '\r' && go(body, PLACE_SIZE_FEED);
}

static bool size_done(struct http_body *body)
{
	body->digits = 0;
	body->line_bytes = 0;
	return go(body, body->left > 0 ? PLACE_DATA : PLACE_TRAILER);
}

static bool name_step(struct http_body *body, char c)
{
	if (c == ':')
		return body->name_len > 0 && !http_name_is_barred_trailer(body->name, body->name_len) &&
		       go(body, PLACE_VALUE);
	if (!http_is_token(c) || body->name_len == HTTP_BODY_NAME_MOST)
		return false;
	body->name[body->name_len++] = c;
	return true;
}

/* One byte outside the data.  false: it may not come here. */
static bool step(struct http_body *body, char c)
{
	switch ((enum place)body->state) {
	case PLACE_SIZE:
		return size_step(body, c);
	case PLACE_EXTENSION:
		if (c == '\r')
			return go(body, PLACE_SIZE_FEED);
		return http_is_value(c) && ++body->line_bytes <= HTTP_BODY_EXTENSION_MOST;
	case PLACE_SIZE_FEED:
		return c == '\n' && size_done(body);
	case PLACE_DATA_RETURN:
		return c == '\r' && go(body, PLACE_DATA_FEED);
	case PLACE_DATA_FEED:
		return c == '\n' && go(body, PLACE_SIZE);
	case PLACE_TRAILER:
		if (c == '\r')
			return go(body, PLACE_LAST_FEED);
		body->name_len = 0;
		body->state = PLACE_NAME;
		return ++body->line_bytes <= HTTP_BODY_TRAILER_MOST && name_step(body, c);
	case PLACE_NAME:
		return ++body->line_bytes <= HTTP_BODY_TRAILER_MOST && name_step(body, c);
	case PLACE_VALUE:
		if (c == '\r')
			return go(body, PLACE_VALUE_FEED);
		return http_is_value(c) && ++body->line_bytes <= HTTP_BODY_TRAILER_MOST;
	case PLACE_VALUE_FEED:
		return c == '\n' && go(body, PLACE_TRAILER);
	case PLACE_LAST_FEED:
		return c == '\n' && go(body, PLACE_DONE);
	case PLACE_DATA:
	case PLACE_DONE:
		return false;
	}
	return false;
}

/* Takes what it can of the data that `len` bytes begin with. */
static size_t data_take(struct http_body *body, size_t len)
{
	size_t take = body->left < len ? (size_t)body->left : len;

	body->left -= take;
	if (body->left == 0)
		body->state = PLACE_DATA_RETURN;
	return take;
}

/* `kept` is NULL, or where the number of data bytes goes that were moved to the front. */
static enum http_body_result chunked_read(struct http_body *body, char *to, const char *bytes, size_t len,
                                          size_t *used, size_t *kept)
{
	size_t at = 0;

	while (at < len && body->state != PLACE_DONE) {
		if (body->state == PLACE_DATA) {
			size_t take = data_take(body, len - at);

			if (kept != NULL) {
				memmove(to + *kept, bytes + at, take);
				*kept += take;
			}
			at += take;
			continue;
		}
		if (!step(body, bytes[at])) {
			*used = at;
			return HTTP_BODY_BAD;
		}
		at++;
	}
	*used = at;
	return body->state == PLACE_DONE ? HTTP_BODY_DONE : HTTP_BODY_MORE;
}

static enum http_body_result body_read(struct http_body *body, char *to, const char *bytes, size_t len,
                                       size_t *used, size_t *kept)
{
	switch ((enum http_body_kind)body->kind) {
	case HTTP_BODY_NONE:
		*used = 0;
		return HTTP_BODY_DONE;
	case HTTP_BODY_LENGTH:
		*used = body->left < len ? (size_t)body->left : len;
		body->left -= *used;
		break;
	case HTTP_BODY_CLOSE:
		*used = len;
		break;
	case HTTP_BODY_CHUNKED:
		return chunked_read(body, to, bytes, len, used, kept);
	}
	if (kept != NULL)
		*kept = *used;	/* all of it is data, at the front already */
	return http_body_is_done(body) ? HTTP_BODY_DONE : HTTP_BODY_MORE;
}

enum http_body_result http_body_read(struct http_body *body, const char *bytes, size_t len, size_t *used)
{
	return body_read(body, NULL, bytes, len, used, NULL);
}

enum http_body_result http_body_strip(struct http_body *body, char *bytes, size_t len, size_t *used,
                                      size_t *kept)
{
	*kept = 0;
	return body_read(body, bytes, bytes, len, used, kept);
}

bool http_body_end(struct http_body *body)
{
	return body->kind == HTTP_BODY_CLOSE || http_body_is_done(body);
}
