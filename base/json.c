#include "base/json.h"

#include <endian.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/error.h"
#include "base/hex.h"

/* cJSON reads a number through a buffer of 64 bytes and stops there. */
#define NUMBER_MOST 63

struct scan {
	const char     *text;	/* borrowed */
	size_t          at;
	size_t          bytes;
	size_t          values;
	uint32_t        objects;	/* bit n: level n is an object, else an array */
	unsigned        depth;
	const char     *fault;	/* static text; NULL while all is well */
	bool            is_limit;	/* JSON, but not of the kind that is taken here */
	json_known_fn  *known;		/* NULL: nothing is */
	json_member_fn *member;		/* NULL: nobody asks */
	void           *arg;
	size_t          name_at, name_bytes;
	size_t          value_at;	/* 0: in no member of the outermost object */
	size_t          values_before;	/* it */
};

static bool scan_fail(struct scan *s, const char *fault)
{
	s->fault = fault;
	return false;
}

static bool scan_limit(struct scan *s, const char *fault)
{
	s->is_limit = true;
	return scan_fail(s, fault);
}

/* The next byte, or -1 at the end. */
static int scan_peek(const struct scan *s)
{
	return s->at < s->bytes ? (unsigned char)s->text[s->at] : -1;
}

static void scan_space(struct scan *s)
{
	int c = scan_peek(s);

	while (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
		s->at++;
		c = scan_peek(s);
	}
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

/* The four digits behind \u. */
static bool scan_hex4(struct scan *s, unsigned *to)
{
	unsigned value = 0;

	for (int i = 0; i < 4; i++) {
		int digit = tg_hex_digit(scan_peek(s));

		if (digit == -1)
			return scan_fail(s, "\\u needs four hexadecimal digits");
		value = value << 4 | (unsigned)digit;
		s->at++;
	}
	*to = value;
	return true;
}

static bool scan_unicode_escape(struct scan *s)
{
	unsigned value;

	if (!scan_hex4(s, &value))
		return false;
	if (value == 0)
		return scan_limit(s, "\\u0000 is not allowed");
	if (value < 0xd800 || value > 0xdfff)
		return true;
	if (value > 0xdbff || s->bytes - s->at < 2 || memcmp(s->text + s->at, "\\u", 2) != 0)
		return scan_fail(s, "half of a surrogate pair");
	s->at += 2;
	if (!scan_hex4(s, &value))
		return false;
	if (value < 0xdc00 || value > 0xdfff)
		return scan_fail(s, "half of a surrogate pair");
	return true;
}

static bool scan_escape(struct scan *s)
{
	int c = scan_peek(s);

	if (c == -1)
		return scan_fail(s, "a string is not closed");
	if (memchr("\"\\/bfnrtu", c, 9) == NULL)
		return scan_fail(s, "an escape that JSON does not know");
	s->at++;
	return c != 'u' || scan_unicode_escape(s);
}

/* One character of two to four bytes: the table of RFC 3629 §4. */
static bool scan_utf8(struct scan *s)
{
	unsigned lead = (unsigned char)s->text[s->at];
	unsigned low = 0x80;
	unsigned high = 0xbf;
	size_t   more;

	if (lead >= 0xc2 && lead <= 0xdf)
		more = 1;
	else if (lead >= 0xe0 && lead <= 0xef)
		more = 2;
	else if (lead >= 0xf0 && lead <= 0xf4)
		more = 3;
	else
		return scan_fail(s, "not UTF-8");
	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	if (s->bytes - s->at <= more)
		return scan_fail(s, "not UTF-8");
	for (size_t i = 1; i <= more; i++) {
		unsigned c = (unsigned char)s->text[s->at + i];

		if (c < low || c > high)
			return scan_fail(s, "not UTF-8");
		low = 0x80;
		high = 0xbf;
	}
	s->at += more + 1;
	return true;
}

/* Goes to the next byte of a string that needs a look, eight at a time: documents are mostly the others.
 * Near the end of the text it may stop before. */
static void scan_plain(struct scan *s)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t       word;

	for (; s->bytes - s->at >= sizeof word; s->at += sizeof word) {
		memcpy(&word, s->text + s->at, sizeof word);
		word = le64toh(word);

		uint64_t quote = word ^ ones * '"';
		uint64_t escape = word ^ ones * '\\';
		/* The first byte whose highest bit is left has it set, or taking away borrowed there. */
		uint64_t look = (word | (word - ones * 0x20) | (quote - ones) | (escape - ones)) & ones << 7;

		if (look != 0) {
			s->at += (size_t)__builtin_ctzll(look) / 8;
			return;
		}
	}
}

static bool scan_string(struct scan *s)
{
	if (scan_peek(s) != '"')
		return scan_fail(s, "a string is missing");
	s->at++;
	for (;;) {
		scan_plain(s);

		int c = scan_peek(s);

		if (c == -1)
			return scan_fail(s, "a string is not closed");
		if (c < 0x20)
			return scan_fail(s, "a control character in a string");
		if (c >= 0x80) {
			if (!scan_utf8(s))
				return false;
			continue;
		}
		s->at++;
		if (c == '"')
			return true;
		if (c == '\\' && !scan_escape(s))
			return false;
	}
}

static bool scan_digits(struct scan *s)
{
	if (!is_digit(scan_peek(s)))
		return scan_fail(s, "a digit is missing");
	while (is_digit(scan_peek(s)))
		s->at++;
	return true;
}

static bool scan_number(struct scan *s)
{
	size_t begin = s->at;

	if (scan_peek(s) == '-')
		s->at++;
	if (scan_peek(s) == '0') {
		s->at++;
		if (is_digit(scan_peek(s)))
			return scan_fail(s, "a number with a leading zero");
	} else if (!scan_digits(s)) {
		return false;
	}
	if (scan_peek(s) == '.') {
		s->at++;
		if (!scan_digits(s))
			return false;
	}
	if (scan_peek(s) == 'e' || scan_peek(s) == 'E') {
		s->at++;
		if (scan_peek(s) == '+' || scan_peek(s) == '-')
			s->at++;
		if (!scan_digits(s))
			return false;
	}
	if (s->at - begin > NUMBER_MOST)
		return scan_limit(s, "a number of more than 63 characters");
	return true;
}

static bool scan_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if (s->bytes - s->at < len || memcmp(s->text + s->at, word, len) != 0)
		return scan_fail(s, "neither a value nor a word of JSON");
	s->at += len;
	return true;
}

static bool scan_open(struct scan *s, bool object)
{
	if (s->depth == JSON_DEPTH_MOST)
		return scan_limit(s, "nested deeper than 16");
	s->objects &= ~(UINT32_C(1) << s->depth);
	s->objects |= (uint32_t)object << s->depth;
	s->depth++;
	s->at++;
	return true;
}

static bool scan_in_object(const struct scan *s)
{
	return (s->objects >> (s->depth - 1) & 1) != 0;
}

/* A member's name and its colon, when the innermost level is an object. */
static bool scan_name(struct scan *s)
{
	size_t begin;

	scan_space(s);
	if (!scan_in_object(s))
		return true;
	begin = s->at + 1;
	if (!scan_string(s))
		return false;
	if (s->depth == 1) {
		s->name_at = begin;
		s->name_bytes = s->at - 1 - begin;
	}
	scan_space(s);
	if (scan_peek(s) != ':')
		return scan_fail(s, "':' is missing");
	s->at++;
	scan_space(s);
	if (s->depth == 1) {
		s->value_at = s->at;
		s->values_before = s->values;
	}
	return true;
}

static struct json_member scan_member(const struct scan *s)
{
	return (struct json_member){ .name = s->text + s->name_at, .name_bytes = s->name_bytes,
		                     .value = s->text + s->value_at, .value_bytes = s->at - s->value_at,
		                     .values = s->values - s->values_before };
}

/* Goes over a value that needs no look. */
static bool scan_known(struct scan *s)
{
	struct json_member member;

	if (s->known == NULL || s->depth != 1 || s->value_at == 0)
		return false;
	member = scan_member(s);
	if (!s->known(s->arg, &member, s->bytes - s->at) || member.values > JSON_VALUES_MOST - s->values)
		return false;
	s->at += member.value_bytes;
	s->values += member.values;
	return true;
}

/* A value of the outermost level is over. */
static void scan_member_end(struct scan *s)
{
	if (s->value_at != 0 && s->member != NULL) {
		const struct json_member member = scan_member(s);

		s->member(s->arg, &member);
	}
	s->value_at = 0;
}

/* A value; of an array or object only the beginning.  `*open`: what it holds is to follow. */
static bool scan_value(struct scan *s, bool *open)
{
	*open = false;
	scan_space(s);
	if (++s->values > JSON_VALUES_MOST)
		return scan_limit(s, "more than 8388608 values");
	switch (scan_peek(s)) {
	case -1:
		return scan_fail(s, "the text ends too early");
	case '{':
	case '[':
		if (!scan_open(s, scan_peek(s) == '{'))
			return false;
		scan_space(s);
		*open = scan_peek(s) != (scan_in_object(s) ? '}' : ']');
		return true;
	case '"':
		return scan_string(s);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	}
	if (scan_peek(s) == '-' || is_digit(scan_peek(s)))
		return scan_number(s);
	return scan_fail(s, "neither a value nor a word of JSON");
}

/* What may stand behind a value: ends of levels, then a comma or the end.  `*more`: a comma. */
static bool scan_after(struct scan *s, bool *more)
{
	for (;;) {
		if (s->depth == 1)
			scan_member_end(s);
		scan_space(s);
		*more = false;
		if (s->depth == 0)
			return true;

		int c = scan_peek(s);

		if (c == ',') {
			s->at++;
			*more = true;
			return true;
		}
		if (c == -1)
			return scan_fail(s, "the text ends too early");
		if (c != (scan_in_object(s) ? '}' : ']'))
			return scan_fail(s, "',' or an end is missing");
		s->at++;
		s->depth--;
	}
}

static bool scan_all(struct scan *s)
{
	bool open;
	bool more;

	if (!scan_value(s, &open))
		return false;
	for (;;) {
		more = open;
		if (!open && !scan_after(s, &more))
			return false;
		if (!more)
			break;
		if (!scan_name(s))
			return false;
		open = false;
		if (!scan_known(s) && !scan_value(s, &open))
			return false;
	}
	return s->at == s->bytes || scan_fail(s, "text behind the end");
}

int json_scan(const char *text, size_t bytes, struct tg_error *err)
{
	return json_scan_members(text, bytes, NULL, NULL, NULL, err);
}

int json_scan_members(const char *text, size_t bytes, json_known_fn *known, json_member_fn *member, void *arg,
                      struct tg_error *err)
{
	struct scan s = { .text = text, .bytes = bytes, .known = known, .member = member, .arg = arg };
	size_t      line = 1;
	size_t      column = 1;

	if (scan_all(&s))
		return 0;
	for (size_t i = 0; i < s.at; i++) {
		if (text[i] == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)text[i] & 0xc0) != 0x80) {
			column++;
		}
	}
	return tg_fail(err, s.is_limit ? TG_CODE_LIMIT : TG_CODE_INVALID, "line %zu, column %zu: %s", line,
	               column, s.fault);
}

struct cJSON *json_parse(const char *text, size_t bytes, struct tg_error *err)
{
	if (json_scan(text, bytes, err) == -1)
		return NULL;

	cJSON *tree = cJSON_ParseWithLength(text, bytes);

	/* What json_scan() lets pass, cJSON reads, given the memory. */
	if (tree == NULL)
		tg_fail_memory(err);
	return tree;
}

void json_quote(const char *text, json_put_fn *put, void *to)
{
	put(to, "\"", 1);
	for (;;) {
		char   escape[8];
		size_t plain = 0;

		while ((unsigned char)text[plain] >= 0x20 && text[plain] != '"' && text[plain] != '\\')
			plain++;
		put(to, text, plain);
		text += plain;
		if (*text == '\0')
			break;
		if (*text == '"' || *text == '\\')
			snprintf(escape, sizeof escape, "\\%c", *text);
		else
			snprintf(escape, sizeof escape, "\\u%04x", (unsigned char)*text);
		put(to, escape, strlen(escape));
		text++;
	}
	put(to, "\"", 1);
}

int json_add_u64(struct cJSON *object, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRIu64, value);
	return cJSON_AddRawToObject(object, name, text) == NULL ? -1 : 0;
}
