#include "api/openapi.h"

#include <check.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "api/api_routes.h"

void test_openapi(TCase *tc);

static cJSON *document;

static void set_up(void)
{
	char *text = openapi_print();

	ck_assert_ptr_nonnull(text);
	document = cJSON_ParseWithOpts(text, NULL, true);
	ck_assert_ptr_nonnull(document);
	free(text);
}

static void tear_down(void)
{
	cJSON_Delete(document);
}

static const cJSON *operation_of(const struct api_routes_row *row)
{
	const cJSON *paths = cJSON_GetObjectItemCaseSensitive(document, "paths");
	char method[16] = "";

	for (size_t i = 0; api_routes_method(row->method)[i] != '\0'; i++)
		method[i] = (char)tolower(api_routes_method(row->method)[i]);
	return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(paths, row->path), method);
}

START_TEST(every_route_is_there)
{
	size_t count;
	const struct api_routes_row *rows = api_routes_table(&count);

	for (size_t i = 0; i < count; i++) {
		const cJSON *operation = operation_of(&rows[i]);

		ck_assert_msg(operation != NULL, "%s", rows[i].path);
		ck_assert_str_eq(cJSON_GetObjectItem(operation, "summary")->valuestring, rows[i].summary);
		ck_assert(cJSON_HasObjectItem(cJSON_GetObjectItem(operation, "responses"), "200"));
		ck_assert_int_eq(cJSON_HasObjectItem(operation, "requestBody"),
		                 rows[i].method == HEAD_POST || rows[i].method == HEAD_PUT ||
		                         rows[i].method == HEAD_PATCH);
	}
}
END_TEST

START_TEST(nothing_else_is_there)
{
	size_t count, seen = 0;
	const cJSON *path;

	api_routes_table(&count);
	cJSON_ArrayForEach (path, cJSON_GetObjectItemCaseSensitive(document, "paths"))
		seen += (size_t)cJSON_GetArraySize(path);
	ck_assert_uint_eq(seen, count);
}
END_TEST

static bool has_parameter(const cJSON *operation, const char *name)
{
	const cJSON *parameter;

	cJSON_ArrayForEach (parameter, cJSON_GetObjectItem(operation, "parameters"))
		if (strcmp(cJSON_GetObjectItem(parameter, "name")->valuestring, name) == 0)
			return true;
	return false;
}

START_TEST(parameters_are_those_of_the_table)
{
	size_t count;
	const struct api_routes_row *rows = api_routes_table(&count);

	for (size_t i = 0; i < count; i++) {
		const cJSON *operation = operation_of(&rows[i]);

		ck_assert_int_eq(has_parameter(operation, "dry_run"), rows[i].query == QUERY_WRITE);
		ck_assert_int_eq(has_parameter(operation, "since"), rows[i].query == QUERY_TRAFFIC);
		ck_assert_int_eq(has_parameter(operation, "port"), strstr(rows[i].path, "{port}") != NULL);
		ck_assert_int_eq(has_parameter(operation, "key"), strstr(rows[i].path, "{key}") != NULL);
	}
}
END_TEST

/* Every "$ref" below `value` leads somewhere.  Returns how many there were. */
static unsigned follow_references(const cJSON *value)
{
	unsigned count = 0;
	const cJSON *child;

	cJSON_ArrayForEach (child, value) {
		if (child->string != NULL && strcmp(child->string, "$ref") == 0) {
			char *path = strdup(child->valuestring + 2);
			const cJSON *at = document;
			char *rest = path;
			char *name;

			ck_assert_int_eq(strncmp(child->valuestring, "#/", 2), 0);
			while ((name = strsep(&rest, "/")) != NULL)
				at = cJSON_GetObjectItemCaseSensitive(at, name);
			ck_assert_msg(at != NULL, "%s", child->valuestring);
			free(path);
			count++;
		}
		count += follow_references(child);
	}
	return count;
}

START_TEST(every_reference_leads_somewhere)
{
	ck_assert_uint_gt(follow_references(document), 40);
}
END_TEST

void test_openapi(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, every_route_is_there);
	tcase_add_test(tc, nothing_else_is_there);
	tcase_add_test(tc, parameters_are_those_of_the_table);
	tcase_add_test(tc, every_reference_leads_somewhere);
}
