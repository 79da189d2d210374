#include "api/openapi.h"

#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "api/api_routes.h"
#include "api/openapi_parts.h"

static const struct {
	enum query_kind kind;
	const char *parameters; /* an array of JSON */
} queries[] = {
	{ QUERY_NONE, "[]" },
	{ QUERY_WRITE, OPENAPI_WRITE_PARAMETERS },
	{ QUERY_TRAFFIC, OPENAPI_TRAFFIC_PARAMETERS },
};

/* What a request's answer and body look like.  A row's first fit counts. */
static const struct {
	enum head_method method;
	const char *path;
	const char *responses;
	const char *body; /* NULL: none */
} shapes[] = {
	{ HEAD_GET, "/config", OPENAPI_CONFIG_RESPONSES, NULL },
	{ HEAD_POST, "/config", OPENAPI_REPORT_RESPONSES, OPENAPI_DOCUMENT_BODY },
	{ HEAD_PATCH, "/config", OPENAPI_REPORT_RESPONSES, OPENAPI_PATCH_BODY },
	{ HEAD_POST, "/apply", OPENAPI_REPORT_RESPONSES, OPENAPI_DOCUMENT_BODY },
	{ HEAD_GET, "/networks", OPENAPI_RESPONSE("Networks"), NULL },
	{ HEAD_GET, "/networks/{port}", OPENAPI_FOUND_RESPONSES("Network"), NULL },
	{ HEAD_GET, "/networks/{port}/peers", OPENAPI_FOUND_RESPONSES("Peers"), NULL },
	{ HEAD_GET, "/networks/{port}/peers/{key}", OPENAPI_FOUND_RESPONSES("Peer"), NULL },
	{ HEAD_PUT, "/networks/{port}/peers/{key}", OPENAPI_PUT_RESPONSES, OPENAPI_PEER_BODY },
	{ HEAD_DELETE, "/networks/{port}/peers/{key}", OPENAPI_DELETE_RESPONSES, NULL },
	{ HEAD_GET, "/traffic", OPENAPI_TRAFFIC_RESPONSES, NULL },
	{ HEAD_GET, "/events", OPENAPI_TEXT_RESPONSE("text/event-stream"), NULL },
	{ HEAD_GET, "/health", OPENAPI_HEALTH_RESPONSES, NULL },
	{ HEAD_GET, "/metrics", OPENAPI_TEXT_RESPONSE("text/plain"), NULL },
	{ HEAD_GET, "/openapi.json", OPENAPI_RESPONSE("Any"), NULL },
};

/* Adds the value of a JSON text.  false: out of memory, or not JSON. */
static bool add_json(cJSON *object, const char *name, const char *text)
{
	cJSON *value = cJSON_Parse(text);

	if (value != NULL && cJSON_AddItemToObject(object, name, value))
		return true;
	cJSON_Delete(value);
	return false;
}

static bool append_json(cJSON *array, const char *text)
{
	cJSON *value = cJSON_Parse(text);

	if (value != NULL && cJSON_AddItemToArray(array, value))
		return true;
	cJSON_Delete(value);
	return false;
}

static bool add_parameters(cJSON *operation, const struct api_routes_row *row)
{
	const char *text = "[]";
	cJSON *parameters;

	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++)
		if (queries[i].kind == row->query)
			text = queries[i].parameters;
	if (!add_json(operation, "parameters", text))
		return false;
	parameters = cJSON_GetObjectItemCaseSensitive(operation, "parameters");
	if (strstr(row->path, "{port}") != NULL && !append_json(parameters, OPENAPI_PORT_PARAMETER))
		return false;
	return strstr(row->path, "{key}") == NULL || append_json(parameters, OPENAPI_KEY_PARAMETER);
}

static bool add_shape(cJSON *operation, const struct api_routes_row *row)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (shapes[i].method == row->method && strcmp(shapes[i].path, row->path) == 0)
			return add_json(operation, "responses", shapes[i].responses) &&
			       (shapes[i].body == NULL || add_json(operation, "requestBody", shapes[i].body));
	return false;
}

/* Lower-cased method and path without its signs: "get_networks_port_peers". */
static bool add_id(cJSON *operation, const struct api_routes_row *row)
{
	char id[96];
	size_t len = 0;

	snprintf(id, sizeof(id), "%s%s", api_routes_method(row->method), row->path);
	for (const char *c = id; *c != '\0'; c++) {
		if (*c >= 'A' && *c <= 'Z')
			id[len++] = (char)(*c - 'A' + 'a');
		else if (*c >= 'a' && *c <= 'z')
			id[len++] = *c;
		else if (*c == '/')
			id[len++] = '_';
	}
	id[len] = '\0';
	return cJSON_AddStringToObject(operation, "operationId", id) != NULL;
}

static bool add_operation(cJSON *path, const struct api_routes_row *row)
{
	char method[8] = "";
	cJSON *operation;

	for (size_t i = 0; i < sizeof(method) - 1 && api_routes_method(row->method)[i] != '\0'; i++)
		method[i] = (char)(api_routes_method(row->method)[i] - 'A' + 'a');
	operation = cJSON_AddObjectToObject(path, method);
	return operation != NULL && cJSON_AddStringToObject(operation, "summary", row->summary) != NULL &&
	       add_id(operation, row) && add_parameters(operation, row) && add_shape(operation, row) &&
	       (!row->open || add_json(operation, "security", "[{}, {\"bearer\": []}, {\"token\": []}]"));
}

static bool add_paths(cJSON *document)
{
	size_t count;
	const struct api_routes_row *rows = api_routes_table(&count);
	cJSON *paths = cJSON_AddObjectToObject(document, "paths");

	for (size_t i = 0; paths != NULL && i < count; i++) {
		cJSON *path = cJSON_GetObjectItemCaseSensitive(paths, rows[i].path);

		if (path == NULL)
			path = cJSON_AddObjectToObject(paths, rows[i].path);
		if (path == NULL || !add_operation(path, &rows[i]))
			return false;
	}
	return paths != NULL;
}

static bool add_schemas(cJSON *document)
{
	cJSON *components = cJSON_GetObjectItemCaseSensitive(document, "components");
	cJSON *schemas = cJSON_AddObjectToObject(components, "schemas");

	for (const struct openapi_schema *schema = openapi_schemas; schemas != NULL && schema->name != NULL;
	     schema++)
		if (!add_json(schemas, schema->name, schema->text))
			return false;
	return schemas != NULL;
}

char *openapi_print(void)
{
	cJSON *document = cJSON_Parse(OPENAPI_FRAME);
	char *text = NULL;

	if (document != NULL && add_paths(document) && add_schemas(document))
		text = cJSON_PrintUnformatted(document);
	cJSON_Delete(document);
	return text;
}
