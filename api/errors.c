#include "api/errors.h"

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "base/model.h"

static const struct {
	int status;
	const char *code;
} codes[API_ERRORS] = {
	[API_BAD_REQUEST] = { 400, "BAD_REQUEST" },
	[API_CONFIG_INVALID] = { 400, "CONFIG_INVALID" },
	[API_UNAUTHENTICATED] = { 401, "UNAUTHENTICATED" },
	[API_FORBIDDEN] = { 403, "FORBIDDEN" },
	[API_NOT_FOUND] = { 404, "NOT_FOUND" },
	[API_METHOD_NOT_ALLOWED] = { 405, "METHOD_NOT_ALLOWED" },
	[API_CONFLICT] = { 409, "CONFLICT" },
	[API_GONE] = { 410, "GONE" },
	[API_PRECONDITION_FAILED] = { 412, "PRECONDITION_FAILED" },
	[API_TOO_LARGE] = { 413, "TOO_LARGE" },
	[API_UNSUPPORTED_MEDIA_TYPE] = { 415, "UNSUPPORTED_MEDIA_TYPE" },
	[API_APPLY_INCOMPLETE] = { 500, "APPLY_INCOMPLETE" },
	[API_INTERNAL] = { 500, "INTERNAL" },
	[API_NOT_READY] = { 503, "NOT_READY" },
};

static const struct {
	int status;
	const char *phrase;
} phrases[] = {
	{ 200, "OK" },
	{ 201, "Created" },
	{ 304, "Not Modified" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 415, "Unsupported Media Type" },
	{ 417, "Expectation Failed" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 503, "Service Unavailable" },
	{ 505, "HTTP Version Not Supported" },
};

int errors_status(enum api_error error)
{
	return codes[error].status;
}

const char *errors_code(enum api_error error)
{
	return codes[error].code;
}

const char *errors_phrase(int status)
{
	for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "Unknown";
}

static bool add_detail(cJSON *details, const char *path, const char *text)
{
	cJSON *detail = cJSON_CreateObject();

	if (detail == NULL || !cJSON_AddItemToArray(details, detail)) {
		cJSON_Delete(detail);
		return false;
	}
	return cJSON_AddStringToObject(detail, "path", path) != NULL &&
	       cJSON_AddStringToObject(detail, "message", text) != NULL;
}

/* The object behind "error", with an empty array of details. */
static cJSON *make(const char *code, const char *message, cJSON **details)
{
	cJSON *error = cJSON_CreateObject();

	if (error == NULL)
		return NULL;
	if (cJSON_AddStringToObject(error, "code", code) != NULL &&
	    cJSON_AddStringToObject(error, "message", message) != NULL) {
		*details = cJSON_AddArrayToObject(error, "details");
		if (*details != NULL)
			return error;
	}
	cJSON_Delete(error);
	return NULL;
}

static cJSON *make_with_faults(const char *code, const char *message, const struct model_faults *faults)
{
	cJSON *details = NULL;
	cJSON *error = make(code, message, &details);

	if (error == NULL || faults == NULL)
		return error;
	for (size_t i = 0; i < faults->count; i++) {
		/* A path is NULL when memory ran out while the fault was noted. */
		const char *path = faults->list[i].path == NULL ? "" : faults->list[i].path;

		if (!add_detail(details, path, faults->list[i].text)) {
			cJSON_Delete(error);
			return NULL;
		}
	}
	return error;
}

/* Prints {"error": …} and frees it. */
static char *print_wrapped(cJSON *error)
{
	cJSON *whole = cJSON_CreateObject();
	char *text = NULL;

	if (error == NULL || whole == NULL || !cJSON_AddItemToObject(whole, "error", error))
		cJSON_Delete(error);
	else
		text = cJSON_PrintUnformatted(whole);
	cJSON_Delete(whole);
	return text;
}

char *errors_print(const char *code, const char *message, const char *path, const char *text)
{
	cJSON *details = NULL;
	cJSON *error = make(code, message, &details);

	if (error != NULL && path != NULL && !add_detail(details, path, text)) {
		cJSON_Delete(error);
		return NULL;
	}
	return print_wrapped(error);
}

char *errors_print_faults(const char *code, const char *message, const struct model_faults *details)
{
	return print_wrapped(make_with_faults(code, message, details));
}

char *api_error_print(enum api_error error, const char *message, const struct model_faults *details)
{
	cJSON *object = make_with_faults(errors_code(error), message, details);
	char *text = object == NULL ? NULL : cJSON_PrintUnformatted(object);

	cJSON_Delete(object);
	return text;
}
