/* The table of what the API answers.  Manual pages, the OpenAPI document and the server all come from
 * these rows. */
#ifndef TOLLGATE_API_ROUTES_H
#define TOLLGATE_API_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "api/api.h"
#include "api/head.h"
#include "api/query.h"

#define ROUTES_BASE "/api/v1"

struct routes_row {
	enum head_method method;	/* a GET stands for HEAD too */
	const char      *path;		/* below ROUTES_BASE; {port} and {key} stand for one segment each */
	enum api_action  action;
	bool             openapi;	/* answered from this table; `action` means nothing */
	bool             open;		/* needs no token */
	enum query_kind  query;
	const char      *summary;
};

enum routes_result {
	ROUTES_FOUND,
	ROUTES_NOT_FOUND,
	ROUTES_BAD_METHOD,
	ROUTES_BAD_KEY,		/* {key} is not a key */
};

/* All rows, in the order of the manual. */
const struct routes_row *routes_table(size_t *count);
const char *routes_method(enum head_method method);
/* Finds the row of a path as it was sent (with ROUTES_BASE, percent-encoded), which is decoded into
 * `to`: port, peer, has_peer.  ROUTES_BAD_METHOD: `allow` (of `size` bytes) gets the methods that the
 * path has, as the Allow field lists them. */
enum routes_result routes_find(enum head_method method, const char *path, const struct routes_row **row,
                               struct api_call *to, char *allow, size_t size);

#endif
