/* What the parts of the control process share.  Each control_*.c owns the struct of its name; the
 * process is one event loop and one thread (daemon/jobs.h). */
#ifndef TOLLGATE_DAEMON_CONTROL_H
#define TOLLGATE_DAEMON_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/msg.h"
#include "base/snapshot.h"

struct api;
struct api_call;
struct api_request;
struct channel;
struct control_api;
struct control_apply;
struct control_count;
struct control_events;
struct control_looks;
struct control_metrics;
struct control_routes;
struct document;
struct event_base;
struct jobs;
struct model;
struct model_faults;
struct role;
struct slots;
struct store;
struct tg_error;

/* Who asked the engine to look stands in the id, so that its answer finds back. */
enum control_look { CONTROL_LOOK_COUNT, CONTROL_LOOK_API, CONTROL_LOOK_EVENTS };

static inline uint64_t control_look_id(uint64_t number, enum control_look who)
{
	return number << 2 | (uint64_t)who;
}

static inline enum control_look control_look_who(uint64_t id)
{
	return (enum control_look)(id & 3);
}

#define CONTROL_CONNECTED_S 180	/* without a handshake: not connected any more */

static inline bool control_peer_connected(const struct snapshot_peer *peer, int64_t now_unix_s)
{
	return peer->handshake_unix_s > 0 && now_unix_s - peer->handshake_unix_s < CONTROL_CONNECTED_S;
}

/* The content of a file between its message and MSG_GO: only then did all come. */
struct control_file {
	char  *text;
	size_t bytes;
};

#define CONTROL_PEMS	  3	/* certificate, key, client CA */
#define CONTROL_LISTENERS 2	/* Unix socket, TCP */

struct control_listener {
	int      fd;
	uint32_t kind;	/* enum msg_listener */
};

struct control {
	struct role           *role;		/* borrowed */
	struct event_base     *base;		/* borrowed */
	struct channel        *supervisor;
	struct channel        *engine;		/* NULL while there is none */
	uint64_t               engines;		/* that have come until now */
	struct channel        *workers[MSG_WORKERS_MOST];	/* likewise */
	struct jobs           *jobs;
	struct store          *store;
	struct api            *http;
	struct control_apply  *apply;
	struct control_routes *routes;
	struct control_count  *count;
	struct control_api    *api;
	struct control_events *events;
	struct control_looks  *looks;
	struct control_metrics *metrics;
	struct document       *active;		/* the empty one as long as there is none */
	bool                   has_document;	/* was ever applied: else nothing is removed */
	uint64_t               generation;	/* of the active document */
	struct control_file    config;
	struct control_file    pem[CONTROL_PEMS];	/* by kind - MSG_FILE_API_CERT */
	bool                   going;		/* MSG_GO came */
	struct control_listener listeners[CONTROL_LISTENERS];	/* until MSG_GO */
	size_t                 listeners_count;
	struct msg_down        down;		/* the supervisor's last word on the others */
	bool                   ready;		/* MSG_READY was sent */
	bool                   stopping;
};

/* control_apply.c: from a request, or the --config file, to a document that is in force. */
struct control_apply *control_apply_new(struct control *control);
void control_apply_free(struct control_apply *apply);
/* Loads the stored document.  -1: it cannot be read or is not valid. */
int control_apply_load(struct control_apply *apply, struct tg_error *err);
/* A write of the API: copied, queued, answered later. */
void control_apply_call(struct control_apply *apply, struct api_request *request,
                        const struct api_call *call);
/* The content of --config, at the start and on SIGHUP: applied when it differs from what was last
 * applied from it.  `first`: a bad one ends the process with status 2. */
void control_apply_config(struct control_apply *apply, const char *text, size_t bytes, bool first);
/* The engine came (back): tell it what is desired. */
void control_apply_engine(struct control_apply *apply);
/* What must be stored before the document comes in force cannot be now.  That is tried again, for as long as
 * it takes, but who waits for it is told. */
void control_apply_hindered(struct control_apply *apply, const char *why);
/* The engine is gone: who waits for it does not wait for ever. */
void control_apply_engine_gone(struct control_apply *apply);
/* All workers obey what the engine reported for `round`. */
void control_apply_routed(struct control_apply *apply, uint64_t round, bool complete);
/* MSG_GO came: say MSG_READY as soon as there is nothing left to bring in force. */
void control_apply_go(struct control_apply *apply);

/* control_routes.c: the engine's networks and the document's hosts, as a table for the workers. */
struct control_routes *control_routes_new(struct control *control);
void control_routes_free(struct control_routes *routes);
int control_routes_forward(struct control_routes *routes, const struct msg_forward *forward);
/* Adds a fault for every host of `model` that is the operator's own by --forward.  From the thread too:
 * these do not change after MSG_GO. */
void control_routes_claimed(const struct control_routes *routes, const struct model *model,
                            struct model_faults *faults);
/* MSG_GO came: --forward works without any document. */
void control_routes_start(struct control_routes *routes);
void control_routes_networks(struct control_routes *routes, const struct msg_networks *body, int fd);
void control_routes_worker(struct control_routes *routes, uint32_t index);
void control_routes_done(struct control_routes *routes, uint32_t index, uint64_t version);
/* The engine is gone: what it waits for is forgotten. */
void control_routes_engine_gone(struct control_routes *routes);
/* What is up, by the engine's last word; borrowed. */
const struct snapshot *control_routes_state(const struct control_routes *routes);
struct slots *control_routes_slots(struct control_routes *routes);

/* control_count.c: samples, the ledger, workers' segments. */
struct control_count *control_count_new(struct control *control);
void control_count_free(struct control_count *count);
/* Takes up the slots that the database remembers and begins to sample. */
int control_count_start(struct control_count *count, struct tg_error *err);
/* All segments came: takes stock of them, before any slot gets a meaning. */
int control_count_go(struct control_count *count, struct tg_error *err);
/* Takes the descriptor. */
void control_count_segment(struct control_count *count, const struct msg_segment *body, int fd);
/* Ends the process when it cannot be taken up. */
void control_count_ledger(struct control_count *count, const struct msg *msg, const int *fds);
/* `snapshot` NULL: it cannot be had; `id` 0: nor can any other, the engine is gone. */
void control_count_snapshot(struct control_count *count, uint64_t id, const struct snapshot *snapshot);
/* A last sample; `done` is called when it is committed or has failed. */
void control_count_final(struct control_count *count, void (*done)(struct control *control));
bool control_count_healthy(const struct control_count *count);

/* control_look.c: asks the engine to look.  It has one look under way at a time, and begins anew for
 * another: so they go one behind the other. */
struct control_looks *control_looks_new(struct control *control);
void control_looks_free(struct control_looks *looks);
/* Returns the id that the answer will have, shared by who asks the same before it begins.  0: the engine
 * is gone, or too much is asked already. */
uint64_t control_looks_ask(struct control_looks *looks, enum control_look who, bool ranges, uint16_t port);
void control_looks_answered(struct control_looks *looks, uint64_t id);
/* The engine is gone: so are its answers. */
void control_looks_forget(struct control_looks *looks);

/* control_api.c: what requests that only read mean. */
struct control_api *control_api_new(struct control *control);
void control_api_free(struct control_api *api);
void control_api_call(struct api_request *request, const struct api_call *call, void *arg);
/* What the engine saw, for the look `id` (NULL: it cannot be had): it may take what is in `snapshot`, and
 * leave it empty. */
void control_api_snapshot(struct control_api *api, uint64_t id, struct snapshot *snapshot);
void control_api_engine_gone(struct control_api *api);
/* Ends what would last for ever. */
void control_api_stop(struct control_api *api);

/* control_text.c: the report of an apply as JSON; free() it; NULL when out of memory. */
struct model_diff;
struct control_report {
	uint64_t                   generation;
	bool                       dry_run;
	double                     duration_ms;
	const struct model_diff   *diff;
	const struct snapshot     *state;	/* for `failed`; NULL: none */
	const struct model_faults *warnings;
	const char                *error;	/* JSON of the error beside it, or NULL */
};
char *control_text_report(const struct control_report *report);
size_t control_text_failed(const struct snapshot *state);

#endif
