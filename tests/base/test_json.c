#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include <cjson/cJSON.h>

#include "base/error.h"
#include "tests/support/failing.h"

void test_json(TCase *tc);

/* The text in memory of just its size, so that the address sanitizer sees a read past the end. */
static int scan(const char *text, size_t bytes, struct tg_error *err)
{
	char *copy = malloc(bytes > 0 ? bytes : 1);
	int   result;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, bytes);
	result = json_scan(copy, bytes, err);
	free(copy);
	return result;
}

static void refused(const char *text, size_t bytes, enum tg_code code, const char *fault)
{
	struct tg_error err = { .code = TG_CODE_NONE };

	ck_assert_msg(scan(text, bytes, &err) == -1, "%s", text);
	ck_assert_msg(err.code == code, "%s: code %d", text, err.code);
	ck_assert_msg(strcmp(err.text, fault) == 0, "%s: \"%s\"", text, err.text);
	ck_assert_ptr_null(json_parse(text, bytes, &err));
}

START_TEST(json_is_taken)
{
	static const char *const texts[] = {
		"{}", "[]", "0", "-0", "1.5e+10", "-1E-2", "true", "false", "null", "\"\"", " \t\r\n{ } \n",
		"[1,2,[3,{\"a\":[]}],{}]", "{\"a\":{\"b\":[true,null]},\"c\":\"\"}",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"", "\"\xc2\x80 \xdf\xbf \xe0\xa0\x80\"",
		"\"\xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf\"", "\"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf \x7f\"",
	};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct tg_error err = { .code = TG_CODE_NONE };
		cJSON          *tree;

		ck_assert_msg(scan(texts[i], strlen(texts[i]), &err) == 0, "%s: %s", texts[i], err.text);
		tree = json_parse(texts[i], strlen(texts[i]), &err);
		ck_assert_msg(tree != NULL, "%s: %s", texts[i], err.text);
		cJSON_Delete(tree);
	}
}
END_TEST

START_TEST(what_is_no_json_is_refused)
{
	static const struct {
		const char *text;
		const char *fault;
	} bad[] = {
		{ "", "line 1, column 1: the text ends too early" },
		{ "  ", "line 1, column 3: the text ends too early" },
		{ "\xef\xbb\xbf{}", "line 1, column 1: neither a value nor a word of JSON" },
		{ "{}{}", "line 1, column 3: text behind the end" },
		{ "{}\n\n x", "line 3, column 2: text behind the end" },
		{ "[1,]", "line 1, column 4: neither a value nor a word of JSON" },
		{ "{\"a\":1,}", "line 1, column 8: a string is missing" },
		{ "{\"a\"}", "line 1, column 5: ':' is missing" },
		{ "{\"a\":}", "line 1, column 6: neither a value nor a word of JSON" },
		{ "{a:1}", "line 1, column 2: a string is missing" },
		{ "[1 2]", "line 1, column 4: ',' or an end is missing" },
		{ "[1}", "line 1, column 3: ',' or an end is missing" },
		{ "{\"a\":1]", "line 1, column 7: ',' or an end is missing" },
		{ "]", "line 1, column 1: neither a value nor a word of JSON" },
		{ "01", "line 1, column 2: a number with a leading zero" },
		{ "+1", "line 1, column 1: neither a value nor a word of JSON" },
		{ "-", "line 1, column 2: a digit is missing" },
		{ "1.", "line 1, column 3: a digit is missing" },
		{ "1e", "line 1, column 3: a digit is missing" },
		{ "1e+", "line 1, column 4: a digit is missing" },
		{ ".5", "line 1, column 1: neither a value nor a word of JSON" },
		{ "0x10", "line 1, column 2: text behind the end" },
		{ "NaN", "line 1, column 1: neither a value nor a word of JSON" },
		{ "nul", "line 1, column 1: neither a value nor a word of JSON" },
		{ "trueX", "line 1, column 5: text behind the end" },
		{ "'a'", "line 1, column 1: neither a value nor a word of JSON" },
		{ "// a\n1", "line 1, column 1: neither a value nor a word of JSON" },
		{ "\"a", "line 1, column 3: a string is not closed" },
		{ "\"a\n\"", "line 1, column 3: a control character in a string" },
		{ "\"\\", "line 1, column 3: a string is not closed" },
		{ "\"\\x\"", "line 1, column 3: an escape that JSON does not know" },
		{ "\"\\u00g0\"", "line 1, column 6: \\u needs four hexadecimal digits" },
		{ "\"\\ud800\"", "line 1, column 8: half of a surrogate pair" },
		{ "\"\\udc00\"", "line 1, column 8: half of a surrogate pair" },
		{ "\"\\ud800\\u0041\"", "line 1, column 14: half of a surrogate pair" },
		{ "\"\xc3\xa9\xff\"", "line 1, column 3: not UTF-8" },
		{ "\"\x80\"", "line 1, column 2: not UTF-8" },
		{ "\"\xc0\x80\"", "line 1, column 2: not UTF-8" },
		{ "\"\xc1\xbf\"", "line 1, column 2: not UTF-8" },
		{ "\"\xe0\x9f\xbf\"", "line 1, column 2: not UTF-8" },
		{ "\"\xed\xa0\x80\"", "line 1, column 2: not UTF-8" },
		{ "\"\xf0\x8f\xbf\xbf\"", "line 1, column 2: not UTF-8" },
		{ "\"\xf4\x90\x80\x80\"", "line 1, column 2: not UTF-8" },
		{ "\"\xf5\x80\x80\x80\"", "line 1, column 2: not UTF-8" },
		{ "\"\xe2\x82", "line 1, column 2: not UTF-8" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		refused(bad[i].text, strlen(bad[i].text), TG_CODE_INVALID, bad[i].fault);
	/* A NUL where a string can't hold it. */
	refused("\"\0\"", 3, TG_CODE_INVALID, "line 1, column 2: a control character in a string");
	refused("\"\\\0\"", 4, TG_CODE_INVALID, "line 1, column 3: an escape that JSON does not know");
	refused("1\0", 2, TG_CODE_INVALID, "line 1, column 2: text behind the end");
}
END_TEST

START_TEST(an_escaped_nul_is_refused)
{
	refused("\"git\\u0000.example\"", 19, TG_CODE_LIMIT, "line 1, column 11: \\u0000 is not allowed");
}
END_TEST

START_TEST(depth_has_a_limit)
{
	char            text[2 * JSON_DEPTH_MOST + 3];
	struct tg_error err;

	for (int i = 0; i < JSON_DEPTH_MOST; i++) {
		text[i] = '[';
		text[2 * JSON_DEPTH_MOST - 1 - i] = ']';
	}
	ck_assert_int_eq(scan(text, 2 * JSON_DEPTH_MOST, &err), 0);
	memset(text, '[', JSON_DEPTH_MOST + 1);
	memset(text + JSON_DEPTH_MOST + 1, ']', JSON_DEPTH_MOST + 1);
	text[sizeof text - 1] = '\0';
	refused(text, 2 * JSON_DEPTH_MOST + 2, TG_CODE_LIMIT, "line 1, column 17: nested deeper than 16");
}
END_TEST

START_TEST(a_level_closed_is_no_depth)
{
	char            text[3 * 100 + 1];
	struct tg_error err;

	for (size_t i = 0; i < 100; i++)
		memcpy(text + 3 * i, "{},", 3);
	text[0] = '[';
	memcpy(text + 1, "0,", 2);
	text[299] = ']';
	ck_assert_int_eq(scan(text, 300, &err), 0);
}
END_TEST

START_TEST(a_number_has_a_limit)
{
	char            text[65];
	struct tg_error err;

	memset(text, '1', 64);
	text[64] = '\0';
	ck_assert_int_eq(scan(text, 63, &err), 0);
	refused(text, 64, TG_CODE_LIMIT, "line 1, column 65: a number of more than 63 characters");
}
END_TEST

START_TEST(the_number_of_values_has_a_limit)
{
	size_t          bytes = 2 * (size_t)JSON_VALUES_MOST + 1;
	char           *text = malloc(bytes);
	struct tg_error err;

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < bytes; i += 2)
		text[i] = ',';
	for (size_t i = 1; i < bytes; i += 2)
		text[i] = '0';
	text[0] = '[';
	/* The array is a value too: one element less. */
	text[bytes - 3] = ']';
	ck_assert_int_eq(json_scan(text, bytes - 2, &err), 0);
	text[bytes - 3] = ',';
	text[bytes - 1] = ']';
	ck_assert_int_eq(json_scan(text, bytes, &err), -1);
	ck_assert_int_eq(err.code, TG_CODE_LIMIT);
	ck_assert_ptr_nonnull(strstr(err.text, ": more than 8388608 values"));
	free(text);
}
END_TEST

START_TEST(no_prefix_of_an_object_is_taken)
{
	static const char text[] = "{\"a\":[1,-2.5e3,\"\\u00e9\xe2\x82\xac\"],\"b\":{\"c\":null,\"d\":true}}";

	for (size_t n = 0; n < sizeof text - 1; n++)
		ck_assert_msg(scan(text, n, NULL) == -1, "after %zu bytes", n);
	ck_assert_int_eq(scan(text, sizeof text - 1, NULL), 0);
}
END_TEST

/* One byte among plain ones, at every distance from the string's begin and end. */
START_TEST(a_byte_of_a_string_counts_wherever_it_stands)
{
	for (unsigned byte = 0; byte < 256; byte++) {
		for (size_t at = 1; at < 20; at++) {
			char            text[] = "\"abcdefghijklmnopqrstuvwxyz\"";
			char            column[32];
			struct tg_error err = { .code = TG_CODE_NONE };
			bool            plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
			int             result;

			/* Neither an escape nor a character of UTF-8 goes on with it. */
			text[at + 1] = ' ';
			text[at] = (char)byte;
			result = scan(text, sizeof text - 1, &err);
			ck_assert_msg(result == (plain ? 0 : -1), "byte %u at %zu: %s", byte, at, err.text);
			/* Of a backslash what is wrong comes behind it, of a quote behind the space. */
			snprintf(column, sizeof column, "column %zu:",
			         at + (byte == '"' ? 3 : byte == '\\' ? 2 : 1));
			if (!plain)
				ck_assert_msg(strstr(err.text, column) != NULL, "%u at %zu: %s", byte, at,
				              err.text);
		}
	}
}
END_TEST

struct told {
	char   text[256];
	size_t at;
};

static void on_member(void *arg, const struct json_member *member)
{
	struct told *told = arg;

	told->at += (size_t)snprintf(told->text + told->at, sizeof told->text - told->at, "<%.*s><%.*s>",
	                             (int)member->name_bytes, member->name, (int)member->value_bytes,
	                             member->value);
	ck_assert_uint_lt(told->at, sizeof told->text);
}

START_TEST(members_of_the_outermost_object_are_told)
{
	static const struct {
		const char *text, *told;
		int         result;
	} texts[] = {
		{ "{}", "", 0 },
		{ " { } ", "", 0 },
		{ "[{\"a\":1}]", "", 0 },
		{ "\"a\"", "", 0 },
		{ "7", "", 0 },
		{ "{\"a\":1}", "<a><1>", 0 },
		{ " {\n\"a\" : 1 ,\"b\":\t\"x\" } ", "<a><1><b><\"x\">", 0 },
		{ "{\"\":{},\"b\":[],\"c\":{ }}", "<><{}><b><[]><c><{ }>", 0 },
		{ "{\"a\":{\"b\":{\"c\":[{\"d\":1}]}},\"e\":[{\"f\":2},3] }",
		  "<a><{\"b\":{\"c\":[{\"d\":1}]}}><e><[{\"f\":2},3]>", 0 },
		{ "{\"\\u0061\\\"\":null,\"a\":true}", "<\\u0061\\\"><null><a><true>", 0 },
		{ "{\"a\":1,\"a\":2}", "<a><1><a><2>", 0 },
		{ "{\"a\":1,\"b\":}", "<a><1>", -1 },
		{ "{\"a\":{\"b\":1", "", -1 },
		{ "{\"a\":1} x", "<a><1>", -1 },
	};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct told told = { .text = "" };
		size_t      bytes = strlen(texts[i].text);

		ck_assert_int_eq(json_scan_members(texts[i].text, bytes, NULL, on_member, &told, NULL),
		                 texts[i].result);
		ck_assert_str_eq(told.text, texts[i].told);
	}
}
END_TEST

struct known {
	struct told told;
	size_t      bytes, values;	/* of each member `k` */
	size_t      left[4];		/* when one was asked for */
	size_t      asked;
};

static bool is_known(void *arg, struct json_member *member, size_t left)
{
	struct known *known = arg;

	if (member->name_bytes != 1 || member->name[0] != 'k')
		return false;
	ck_assert_uint_lt(known->asked, 4);
	known->left[known->asked++] = left;
	member->value_bytes = known->bytes;
	member->values = known->values;
	return true;
}

static void on_maybe_known(void *arg, const struct json_member *member)
{
	struct known *known = arg;

	on_member(&known->told, member);
}

/* What stands there is no JSON: a look would have shown it. */
START_TEST(a_value_that_is_known_is_not_scanned)
{
	static const struct {
		const char *text, *told;
		int         result;
	} texts[] = {
		{ "{\"k\":!!!}", "<k><!!!>", 0 },
		{ "{\"k\": !!! , \"a\":[1]}", "<k><!!!><a><[1]>", 0 },
		{ "{\"a\":{\"k\":1},\"k\":!!!}", "<a><{\"k\":1}><k><!!!>", 0 },
		{ "[{\"k\":1}]", "", 0 },
		{ "{\"a\":[\"k\",2],\"k\":!!!", "<a><[\"k\",2]><k><!!!>", -1 },
		{ "{\"k\":!!!!}", "<k><!!!>", -1 },
		{ "{\"k\":!!!,}", "<k><!!!>", -1 },
	};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct known known = { .bytes = 3, .values = 1 };
		size_t       bytes = strlen(texts[i].text);
		const char  *value = strstr(texts[i].text, "!!!");

		ck_assert_int_eq(json_scan_members(texts[i].text, bytes, is_known, on_maybe_known, &known,
		                                   NULL), texts[i].result);
		ck_assert_str_eq(known.told.text, texts[i].told);
		ck_assert_uint_eq(known.asked, value != NULL);
		if (value != NULL)
			ck_assert_uint_eq(known.left[0], strlen(value));
	}
}
END_TEST

START_TEST(values_that_are_known_count_too)
{
	static const char text[] = "{\"k\":111,\"a\":1}";
	size_t            bytes = sizeof text - 1;
	struct known      known = { .bytes = 3, .values = JSON_VALUES_MOST - 2 };
	struct tg_error   err;

	ck_assert_int_eq(json_scan_members(text, bytes, is_known, on_maybe_known, &known, &err), 0);
	known.values++;
	ck_assert_int_eq(json_scan_members(text, bytes, is_known, on_maybe_known, &known, &err), -1);
	ck_assert_int_eq(err.code, TG_CODE_LIMIT);
	/* More than there can be: it is scanned, after all. */
	known.values = SIZE_MAX;
	ck_assert_int_eq(json_scan_members(text, bytes, is_known, on_maybe_known, &known, &err), 0);
}
END_TEST

static void count_values(void *arg, const struct json_member *member)
{
	size_t *values = arg;

	*values = *values * 10 + member->values;
}

START_TEST(the_values_of_a_member_are_counted)
{
	static const char text[] = "{\"a\":1,\"b\":{},\"c\":[1,2],\"d\":{\"e\":[\"x\"],\"f\":null}}";
	size_t            values = 0;

	ck_assert_int_eq(json_scan_members(text, sizeof text - 1, NULL, count_values, &values, NULL), 0);
	ck_assert_uint_eq(values, 1134);
}
END_TEST

START_TEST(parsing_without_memory_says_so)
{
	static const char text[] = "{\"a\":[1,\"x\"]}";
	struct tg_error   err;
	cJSON            *tree;
	bool              failed = true;

	for (size_t good = 0; failed; good++) {
		failing_begin(good);
		tree = json_parse(text, sizeof text - 1, &err);
		if (tree == NULL)
			ck_assert_int_eq(err.code, TG_CODE_MEMORY);
		cJSON_Delete(tree);
		ck_assert_uint_eq(failing_held(), 0);
		failed = failing_end();
		ck_assert(failed == (tree == NULL));
		ck_assert_uint_lt(good, 100);
	}
}
END_TEST

START_TEST(counters_keep_all_their_digits)
{
	cJSON *object = cJSON_CreateObject();
	char  *text;

	ck_assert_int_eq(json_add_u64(object, "rx", UINT64_C(9223372036854775807)), 0);
	ck_assert_int_eq(json_add_u64(object, "tx", UINT64_MAX), 0);
	text = cJSON_PrintUnformatted(object);
	ck_assert_str_eq(text, "{\"rx\":9223372036854775807,\"tx\":18446744073709551615}");
	free(text);
	failing_begin(0);
	ck_assert_int_eq(json_add_u64(object, "no", 1), -1);
	failing_end();
	cJSON_Delete(object);
}
END_TEST

static void collect(void *to, const char *bytes, size_t count)
{
	strncat(to, bytes, count);
}

START_TEST(a_string_is_quoted)
{
	char text[64] = "";

	json_quote("a\"b\\c\n\x01\x7f\xc3\xa9", collect, text);
	ck_assert_str_eq(text, "\"a\\\"b\\\\c\\u000a\\u0001\x7f\xc3\xa9\"");
	text[0] = '\0';
	json_quote("", collect, text);
	ck_assert_str_eq(text, "\"\"");
}
END_TEST

void test_json(TCase *tc)
{
	tcase_add_test(tc, a_string_is_quoted);
	tcase_add_test(tc, json_is_taken);
	tcase_add_test(tc, what_is_no_json_is_refused);
	tcase_add_test(tc, an_escaped_nul_is_refused);
	tcase_add_test(tc, depth_has_a_limit);
	tcase_add_test(tc, a_level_closed_is_no_depth);
	tcase_add_test(tc, a_number_has_a_limit);
	tcase_add_test(tc, the_number_of_values_has_a_limit);
	tcase_add_test(tc, no_prefix_of_an_object_is_taken);
	tcase_add_test(tc, a_byte_of_a_string_counts_wherever_it_stands);
	tcase_add_test(tc, members_of_the_outermost_object_are_told);
	tcase_add_test(tc, a_value_that_is_known_is_not_scanned);
	tcase_add_test(tc, values_that_are_known_count_too);
	tcase_add_test(tc, the_values_of_a_member_are_counted);
	tcase_add_test(tc, parsing_without_memory_says_so);
	tcase_add_test(tc, counters_keep_all_their_digits);
}
