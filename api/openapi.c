#include "api/openapi.h"

#include <cjson/cJSON.h>

#include "api/api_routes.h"

/* One operation for each row of the table. */
static cJSON *add_paths(cJSON *document)
{
	size_t count;
	const struct api_routes_row *rows = api_routes_table(&count);
	cJSON *paths = cJSON_AddObjectToObject(document, "paths");

	for (size_t i = 0; paths != NULL && i < count; i++) {
		cJSON *path = cJSON_GetObjectItemCaseSensitive(paths, rows[i].path);

		if (path == NULL)
			path = cJSON_AddObjectToObject(paths, rows[i].path);
		if (path == NULL)
			return NULL;
		cJSON *operation = cJSON_AddObjectToObject(path, api_routes_method(rows[i].method));

		if (operation == NULL ||
		    cJSON_AddStringToObject(operation, "summary", rows[i].summary) == NULL)
			return NULL;
	}
	return paths;
}

char *openapi_print(void)
{
	cJSON *document = cJSON_CreateObject();
	char *text = NULL;

	if (document != NULL && cJSON_AddStringToObject(document, "openapi", "3.1.0") != NULL &&
	    add_paths(document) != NULL)
		text = cJSON_PrintUnformatted(document);
	cJSON_Delete(document);
	return text;
}
