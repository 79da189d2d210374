/* The table of what the API answers.  Manual pages, the OpenAPI document and the server all come from
 * these rows. */
#ifndef TOLLGATE_API_API_ROUTES_H
#define TOLLGATE_API_API_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "api/api.h"
#include "api/head.h"
#include "api/query.h"

#define API_ROUTES_BASE "/api/v1"

struct api_routes_row {
	enum head_method method;	/* a GET stands for HEAD too */
	const char      *path;		/* below API_ROUTES_BASE; {port} and {key} stand for a segment */
	enum api_action  action;
	bool             openapi;	/* answered from this table: no action */
	bool             open;		/* needs no token */
	enum query_kind  query;
	const char      *summary;
};

enum api_routes_result {
	API_ROUTES_FOUND,
	API_ROUTES_NOT_FOUND,
	API_ROUTES_BAD_METHOD,
	API_ROUTES_BAD_KEY,		/* {key} is not a key */
};

/* All rows, in the order of the manual. */
const struct api_routes_row *api_routes_table(size_t *count);
const char *api_routes_method(enum head_method method);
/* Finds the row of a path as it was sent (with API_ROUTES_BASE, percent-encoded), which is decoded into
 * `to`: port, peer, has_peer.  API_ROUTES_BAD_METHOD: `allow` (of `size` bytes) gets the methods that the
 * path has, as the Allow field lists them. */
enum api_routes_result api_routes_find(enum head_method method, const char *path,
                                       const struct api_routes_row **row, struct api_call *to, char *allow,
                                       size_t size);

#endif
