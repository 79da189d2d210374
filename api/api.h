/* The HTTP side of the API: listeners, TLS, tokens, limits, the table of routes, parsing of paths and
 * queries, the error form, streamed answers and server-sent events.  What a request means is decided
 * by whoever gave `on_call`.  Used from one event loop only. */
#ifndef TOLLGATE_API_API_H
#define TOLLGATE_API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/key.h"

struct api;
struct api_limits;
struct api_request;
struct evbuffer;
struct event_base;
struct model_faults;
struct tg_error;

enum api_action {
	API_CONFIG_GET,
	API_CONFIG_APPLY,	/* POST /apply, POST /config */
	API_CONFIG_PATCH,
	API_NETWORKS_GET,	/* port 0: all */
	API_PEERS_GET,		/* all of a network, or `peer` */
	API_PEER_PUT,
	API_PEER_DELETE,
	API_TRAFFIC_GET,
	API_EVENTS_GET,
	API_HEALTH_GET,
	API_METRICS_GET,
};				/* GET /openapi.json is answered by api itself */

enum api_accept { API_ACCEPT_JSON, API_ACCEPT_NDJSON, API_ACCEPT_CSV };

/* One request whose head, token, path and query are in order.  Borrowed during the call. */
struct api_call {
	enum api_action action;
	bool            secrets;	/* may see private keys (admin) */
	bool            authenticated;	/* GET /health comes without a token too */
	bool            dry_run;
	bool            has_peer;
	uint16_t        port;		/* in the path; 0: none */
	struct tg_key   peer;
	const char     *if_match;	/* NULL: none; else the value as sent */
	const char     *if_none_match;
	const char     *last_event_id;
	const char     *body;		/* not NUL-terminated; this one is there until the answer */
	size_t          body_bytes;
	enum api_accept accept;
	/* of /traffic */
	int64_t         since_unix_s;	/* default 0 */
	int64_t         until_unix_s;	/* default INT64_MAX */
	const char     *network;	/* NULL: none; a public key or a port, unchecked */
	const char     *ledger;		/* NULL: none */
	const char     *resolution;	/* NULL, "hour" or "day" */
};

/* Every call is answered once, now or later, with one of the api_reply functions; `request` is valid
 * until then, also when its client has left meanwhile. */
typedef void api_call_fn(struct api_request *request, const struct api_call *call, void *arg);

struct api_options {
	api_call_fn             *on_call;
	void                    *arg;
	const struct api_limits *limits;	/* NULL: the usual ones */
};

enum api_error {		/* the codes of the interface, with their status */
	API_BAD_REQUEST,	/* 400 */
	API_CONFIG_INVALID,	/* 400 */
	API_UNAUTHENTICATED,	/* 401 */
	API_FORBIDDEN,		/* 403 */
	API_NOT_FOUND,		/* 404 */
	API_METHOD_NOT_ALLOWED,	/* 405 */
	API_CONFLICT,		/* 409 */
	API_GONE,		/* 410 */
	API_PRECONDITION_FAILED, /* 412 */
	API_TOO_LARGE,		/* 413 */
	API_UNSUPPORTED_MEDIA_TYPE, /* 415 */
	API_APPLY_INCOMPLETE,	/* 500 */
	API_INTERNAL,		/* 500 */
	API_NOT_READY,		/* 503 */
	API_ERRORS,
};

/* NULL when out of memory. */
struct api *api_new(struct event_base *base, const struct api_options *options);
void api_free(struct api *api);
/* Takes a listening socket.  On a Unix socket (`local`) everybody is admin. */
int api_listen(struct api *api, int fd, bool local, struct tg_error *err);
/* Reads the token file's text and replaces all tokens; on -1 the old ones stay. */
int api_tokens(struct api *api, const char *text, size_t bytes, struct tg_error *err);
/* From now on connections over TCP are TLS (1.2 and up).  Texts in PEM; with `ca` (NULL: none) a client
 * must show a certificate of one of its authorities beside the token.  May be called again; on -1
 * everything stays as it was. */
int api_tls(struct api *api, const char *cert, size_t cert_bytes, const char *key, size_t key_bytes,
            const char *ca, size_t ca_bytes, struct tg_error *err);

/* Answers with `body` (JSON unless `type` says otherwise), which is copied.  `etag` may be NULL.
 * HEAD is seen to here. */
void api_reply(struct api_request *request, int status, const char *type, const char *etag, const char *body,
               size_t bytes);
/* Answers 200 with the JSON in `body`, which is moved, not copied: an empty buffer is left to the caller. */
void api_reply_buffer(struct api_request *request, struct evbuffer *body);
/* 304. */
void api_reply_not_modified(struct api_request *request, const char *etag);
/* The error form.  `details` may be NULL.  API_NOT_READY carries Retry-After. */
void api_reply_error(struct api_request *request, enum api_error error, const char *message,
                     const struct model_faults *details);
/* The "error" object alone, {"code":…,"message":…,"details":[…]}, for an answer that holds more beside
 * it.  free() it; NULL when out of memory. */
char *api_error_print(enum api_error error, const char *message, const struct model_faults *details);

/* A streamed answer: begin, any number of chunks, end.  `more` is called when what was given has
 * nearly all been sent: the moment for the next chunk.  `gone` comes once if the client leaves first;
 * the request must then still be ended.  `stop_time`: the Tollgate-Stop-Time header, -1: none. */
typedef void api_stream_fn(struct api_request *request, void *arg);
void api_stream_begin(struct api_request *request, const char *type, int64_t stop_time, api_stream_fn *more,
                      api_stream_fn *gone, void *arg);
void api_stream_chunk(struct api_request *request, const char *data, size_t bytes);
/* `whole` false: the connection is closed without the final chunk. */
void api_stream_end(struct api_request *request, bool whole);
/* Bytes given but not yet taken by the client. */
size_t api_stream_waiting(const struct api_request *request);

#endif
