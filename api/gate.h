/* The decision on a request by its head alone, before a byte of its body is kept: who asks, for what,
 * and whether the body may come. */
#ifndef TOLLGATE_API_GATE_H
#define TOLLGATE_API_GATE_H

#include "api/api.h"
#include "api/head.h"

struct api_limits;
struct api_routes_row;
struct tokens;

struct gate {
	struct head              head;
	const struct api_routes_row *row;	/* NULL when refused */
	struct api_call          call;	/* all but the body */
	/* The refusal; status 0: none. */
	int         status;
	const char *code;
	const char *message;
	char        where[96];	/* the only detail; empty: none */
	char        text[160];
	char        allow[64];	/* the Allow field; empty: none */
	bool        close;	/* what follows on this connection can't be trusted, or is not wanted */
};

/* Decides on a head of `bytes` as head_find_end() found it; text[bytes] must be writable.  `local`:
 * everybody is admin.  What *to holds points into the text. */
void gate_check(char *text, size_t bytes, bool local, const struct tokens *tokens,
                const struct api_limits *limits, struct gate *to);
/* Turns it into a refusal. */
void gate_refuse(struct gate *gate, enum api_error error, const char *message);
/* A refusal of the HTTP layer's own, after which the connection is closed. */
void gate_refuse_head(struct gate *gate, enum head_result result);
/* The refusal's JSON.  free() it; NULL when out of memory. */
char *gate_print(const struct gate *gate);

#endif
