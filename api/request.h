/* A request between its arrival and its answer. */
#ifndef TOLLGATE_API_REQUEST_H
#define TOLLGATE_API_REQUEST_H

#include <stdbool.h>

#include "api/api.h"

struct body;
struct conn;
struct evhttp_request;

#define REQUEST_RETRY_AFTER "2"	/* seconds, beside every 503 */

/* NULL when out of memory. */
struct api_request *request_new(struct conn *conn, struct evhttp_request *evreq, bool head);
/* Takes the body, which goes with the answer: what is being applied counts as large as what comes. */
void request_keep_body(struct api_request *request, struct body *body);
/* Its client has left, or its connection is being closed. */
void request_left(struct api_request *request);
/* Answers with a status that is not of the interface (501 …).  `allow` may be NULL. */
void request_refuse(struct api_request *request, int status, const char *allow, const char *body);
/* Answers with the OpenAPI document. */
void request_describe(struct api_request *request);

#endif
