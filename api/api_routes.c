#include "api/api_routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_MOST 512 /* longer than any path that leads somewhere */

static const struct api_routes_row rows[] = {
	{ HEAD_GET, "/config", API_CONFIG_GET, false, false, QUERY_NONE, "The active document" },
	{ HEAD_POST, "/config", API_CONFIG_APPLY, false, false, QUERY_WRITE, "The same as POST /apply" },
	{ HEAD_PATCH, "/config", API_CONFIG_PATCH, false, false, QUERY_WRITE,
	  "Changes the active document by a JSON Merge Patch" },
	{ HEAD_POST, "/apply", API_CONFIG_APPLY, false, false, QUERY_WRITE,
	  "Makes a document the active one" },
	{ HEAD_GET, "/networks", API_NETWORKS_GET, false, false, QUERY_NONE, "All networks, live" },
	{ HEAD_GET, "/networks/{port}", API_NETWORKS_GET, false, false, QUERY_NONE, "One network, live" },
	{ HEAD_GET, "/networks/{port}/peers", API_PEERS_GET, false, false, QUERY_NONE, "A network's peers" },
	{ HEAD_GET, "/networks/{port}/peers/{key}", API_PEERS_GET, false, false, QUERY_NONE, "One peer" },
	{ HEAD_PUT, "/networks/{port}/peers/{key}", API_PEER_PUT, false, false, QUERY_WRITE,
	  "Makes or replaces a peer" },
	{ HEAD_DELETE, "/networks/{port}/peers/{key}", API_PEER_DELETE, false, false, QUERY_WRITE,
	  "Removes a peer" },
	{ HEAD_GET, "/traffic", API_TRAFFIC_GET, false, false, QUERY_TRAFFIC, "Traffic records" },
	{ HEAD_GET, "/events", API_EVENTS_GET, false, false, QUERY_NONE, "Server-sent events" },
	{ HEAD_GET, "/health", API_HEALTH_GET, false, true, QUERY_NONE, "Whether all is well" },
	{ HEAD_GET, "/metrics", API_METRICS_GET, false, false, QUERY_NONE, "Prometheus text format" },
	{ HEAD_GET, "/openapi.json", API_CONFIG_GET, true, false, QUERY_NONE, "This description" },
};

static const struct {
	const char *path;
	const char *stands_for;
} aliases[] = {
	{ API_ROUTES_BASE "/config.json", API_ROUTES_BASE "/config" },
	{ API_ROUTES_BASE "/traffic.json", API_ROUTES_BASE "/traffic" },
	{ API_ROUTES_BASE "/status.json", API_ROUTES_BASE "/networks" },
	{ "/metrics", API_ROUTES_BASE "/metrics" },
};

static const char *const methods[] = {
	[HEAD_GET] = "GET",         [HEAD_HEAD] = "HEAD",   [HEAD_POST] = "POST",
	[HEAD_PUT] = "PUT",         [HEAD_PATCH] = "PATCH", [HEAD_DELETE] = "DELETE",
	[HEAD_OPTIONS] = "OPTIONS", [HEAD_TRACE] = "TRACE", [HEAD_UNKNOWN] = "",
};

const struct api_routes_row *api_routes_table(size_t *count)
{
	*count = sizeof(rows) / sizeof(rows[0]);
	return rows;
}

const char *api_routes_method(enum head_method method)
{
	return methods[method];
}

/* As the document has its keys: 1..65535, no sign, no leading zero. */
static uint16_t read_port(const char *text, size_t len)
{
	unsigned port = 0;

	if (len == 0 || len > 5 || text[0] == '0')
		return 0;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return 0;
		port = port * 10 + (unsigned)(text[i] - '0');
	}
	return port <= UINT16_MAX ? (uint16_t)port : 0;
}

/* Compares segment by segment; what {port} and {key} stand for is noted.  Both are the whole of what
 * is left of a row's segment.  A key's own slash need not be encoded: nothing follows it. */
static bool path_fits(const char *pattern, const char *path, const char **key, struct api_call *to)
{
	while (*pattern != '\0') {
		if (strncmp(pattern, "{port}", 6) == 0) {
			size_t len = strcspn(path, "/");

			to->port = read_port(path, len);
			if (to->port == 0)
				return false;
			pattern += 6;
			path += len;
		} else if (strcmp(pattern, "{key}") == 0) {
			*key = path;
			return *path != '\0';
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return *path == '\0';
}

static void allow_add(char *allow, size_t size, const char *method)
{
	size_t used = strlen(allow);

	snprintf(allow + used, size - used, "%s%s", used == 0 ? "" : ", ", method);
}

static enum api_routes_result find_row(enum head_method method, const char *path,
                                       const struct api_routes_row **row, struct api_call *to, char *allow,
                                       size_t size)
{
	bool known = false;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *key = NULL;

		to->port = 0;
		if (!path_fits(rows[i].path, path, &key, to))
			continue;
		if (rows[i].method != (method == HEAD_HEAD ? HEAD_GET : method)) {
			known = true;
			allow_add(allow, size, methods[rows[i].method]);
			if (rows[i].method == HEAD_GET)
				allow_add(allow, size, "HEAD");
			continue;
		}
		to->has_peer = key != NULL;
		if (key != NULL && !tg_key_read_url(key, strlen(key), &to->peer))
			return API_ROUTES_BAD_KEY;
		*row = &rows[i];
		return API_ROUTES_FOUND;
	}
	to->port = 0;
	return known ? API_ROUTES_BAD_METHOD : API_ROUTES_NOT_FOUND;
}

enum api_routes_result api_routes_find(enum head_method method, const char *path,
                                       const struct api_routes_row **row, struct api_call *to, char *allow,
                                       size_t size)
{
	char decoded[PATH_MOST];

	allow[0] = '\0';
	if (strlen(path) >= sizeof(decoded))
		return API_ROUTES_NOT_FOUND;
	memcpy(decoded, path, strlen(path) + 1);
	if (!query_decode(decoded))
		return API_ROUTES_NOT_FOUND;

	const char *at = decoded;

	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (strcmp(decoded, aliases[i].path) == 0)
			at = aliases[i].stands_for;
	if (strncmp(at, API_ROUTES_BASE "/", sizeof(API_ROUTES_BASE)) != 0)
		return API_ROUTES_NOT_FOUND;
	return find_row(method, at + sizeof(API_ROUTES_BASE) - 1, row, to, allow, size);
}
