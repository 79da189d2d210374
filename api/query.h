/* The part of a request's target behind the '?', strictly: a parameter that nobody reads is a mistake
 * of the client's, better said than ignored. */
#ifndef TOLLGATE_API_QUERY_H
#define TOLLGATE_API_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct api_call;
struct tg_error;

enum query_kind {
	QUERY_NONE,	/* takes no parameters */
	QUERY_WRITE,	/* dry_run */
	QUERY_TRAFFIC,	/* since or start, until, network, ledger, resolution */
};

/* Reads `query` (NULL: there is none), which is decoded in place and which *to then points into.
 * -1: err->where is the parameter's name as it stands, err->text what is wrong with it. */
int query_read(char *query, enum query_kind kind, struct api_call *to, struct tg_error *err);
/* Decodes %XX in place; '+' is a plus.  false: a bad escape, a NUL or a control byte. */
bool query_decode(char *text);

#endif
