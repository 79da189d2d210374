#include "api/gate.h"

#include <stdio.h>
#include <string.h>

#include "api/api_routes.h"
#include "api/errors.h"
#include "api/limits.h"
#include "api/media.h"
#include "api/tokens.h"
#include "base/error.h"

static void refuse_own(struct gate *gate, int status, const char *code, const char *message)
{
	gate->row = NULL;
	gate->status = status;
	gate->code = code;
	gate->message = message;
}

void gate_refuse(struct gate *gate, enum api_error error, const char *message)
{
	refuse_own(gate, errors_status(error), errors_code(error), message);
}

void gate_refuse_head(struct gate *gate, enum head_result result)
{
	gate->close = true;
	switch (result) {
	case HEAD_OK:
	case HEAD_MORE:
		return;
	case HEAD_MALFORMED:
		refuse_own(gate, 400, "BAD_REQUEST", "not an HTTP request");
		return;
	case HEAD_TOO_LARGE:
		refuse_own(gate, 431, "HEAD_TOO_LARGE", "a head of more than 16 KiB");
		return;
	case HEAD_BAD_VERSION:
		refuse_own(gate, 505, "BAD_VERSION", "only HTTP/1.0 and HTTP/1.1 are spoken here");
		return;
	case HEAD_BAD_CODING:
		refuse_own(gate, 501, "NOT_IMPLEMENTED", "the only transfer coding known here is chunked");
		return;
	case HEAD_BAD_EXPECT:
		refuse_own(gate, 417, "EXPECTATION_FAILED",
		           "the only expectation known here is 100-continue");
		return;
	}
}

char *gate_print(const struct gate *gate)
{
	return errors_print(gate->code, gate->message, gate->where[0] == '\0' ? NULL : gate->where,
	                    gate->text);
}

static bool has_body(const struct head *head)
{
	return head->chunked || head->length > 0;
}

/* Nothing is said of paths or methods to who may not ask. */
static bool admit(struct gate *gate, bool local, const struct tokens *tokens, enum api_routes_result route)
{
	const struct head *head = &gate->head;
	bool reads = head->method == HEAD_GET || head->method == HEAD_HEAD;
	bool asked = head->authorization != NULL || head->token != NULL;
	enum tokens_scope scope = TOKENS_ADMIN;

	if (!local)
		scope = tokens_check(tokens, head->authorization, head->token);
	gate->call.authenticated = scope != TOKENS_NONE;
	gate->call.secrets = scope == TOKENS_ADMIN;
	if (scope == TOKENS_NONE && (asked || route != API_ROUTES_FOUND || !gate->row->open)) {
		gate_refuse(gate, API_UNAUTHENTICATED,
		            asked ? "the token is not one of ours" : "a token is needed");
		gate->close = true;
		return false;
	}
	if (head->method != HEAD_UNKNOWN && !reads && scope != TOKENS_ADMIN) {
		gate_refuse(gate, API_FORBIDDEN, "a read token may only GET");
		return false;
	}
	return true;
}

static bool check_route(struct gate *gate, enum api_routes_result route)
{
	if (gate->head.method == HEAD_UNKNOWN) {
		refuse_own(gate, 501, "NOT_IMPLEMENTED", "a method that is not known here");
		return false;
	}
	switch (route) {
	case API_ROUTES_FOUND:
		return true;
	case API_ROUTES_NOT_FOUND:
		gate_refuse(gate, API_NOT_FOUND, "there is nothing at this path");
		return false;
	case API_ROUTES_BAD_METHOD:
		gate_refuse(gate, API_METHOD_NOT_ALLOWED, "this path has other methods");
		return false;
	case API_ROUTES_BAD_KEY:
		gate_refuse(gate, API_BAD_REQUEST, "not a public key");
		snprintf(gate->where, sizeof(gate->where), "key");
		snprintf(gate->text, sizeof(gate->text),
		         "must be base64 of 32 bytes, percent-encoded, or base64url");
		return false;
	}
	return false;
}

static bool check_body(struct gate *gate, const struct api_limits *limits)
{
	const struct head *head = &gate->head;
	enum head_method method = gate->row->method;

	if (method == HEAD_GET || method == HEAD_DELETE) {
		if (!has_body(head))
			return true;
		gate_refuse(gate, API_BAD_REQUEST, "this request takes no body");
		return false;
	}
	if (!media_is_json(head->content_type, method == HEAD_PATCH)) {
		gate_refuse(gate, API_UNSUPPORTED_MEDIA_TYPE, "the body must be application/json");
		return false;
	}
	if (head->length > limits->body_bytes) {
		gate_refuse(gate, API_TOO_LARGE, "the body is larger than a document may be");
		return false;
	}
	return true;
}

static bool check_query(struct gate *gate)
{
	struct tg_error err;

	if (query_read(gate->head.query, gate->row->query, &gate->call, &err) == 0)
		return true;
	gate_refuse(gate, API_BAD_REQUEST, "bad query");
	memcpy(gate->where, err.where, sizeof(gate->where));
	memcpy(gate->text, err.text, sizeof(gate->text));
	return false;
}

void gate_check(char *text, size_t bytes, bool local, const struct tokens *tokens,
                const struct api_limits *limits, struct gate *to)
{
	*to = (struct gate){ .call = { .until_unix_s = INT64_MAX } };

	enum head_result result = head_read(text, bytes, &to->head);

	if (result != HEAD_OK) {
		gate_refuse_head(to, result);
		return;
	}

	enum api_routes_result route = api_routes_find(to->head.method, to->head.path, &to->row, &to->call,
	                                               to->allow, sizeof(to->allow));

	if (!admit(to, local, tokens, route) || !check_route(to, route) || !check_body(to, limits) ||
	    !check_query(to)) {
		/* A body that was not asked for is not waited for. */
		if (has_body(&to->head))
			to->close = true;
		if (to->status != errors_status(API_METHOD_NOT_ALLOWED))
			to->allow[0] = '\0';
		return;
	}
	to->call.action = to->row->action;
	to->call.accept = media_best(to->head.accept);
	to->call.if_match = to->head.if_match;
	to->call.if_none_match = to->head.if_none_match;
	to->call.last_event_id = to->head.last_event_id;
}
