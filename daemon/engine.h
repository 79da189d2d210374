/* The engine's inside: what its files share.  Networks are looked at, planned for and worked on in slices
 * of one event loop; engine_reconcile.c has the states, role_engine.c the messages. */
#ifndef TOLLGATE_DAEMON_ENGINE_H
#define TOLLGATE_DAEMON_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/key.h"
#include "base/msg.h"
#include "base/snapshot.h"
#include "daemon/ports.h"
#include "netns/apply.h"
#include "netns/differ.h"
#include "netns/namespace.h"
#include "netns/reading.h"

struct channel;
struct event;
struct event_base;
struct model;
struct model_network;
struct role;
struct state;
struct tg_error;

#define ENGINE_SLICE_MS	   10	/* of work before the loop gets its turn */
#define ENGINE_CHECK_MS	   6000	/* between two looks at everything */
#define ENGINE_BACKOFF_MS  1000	/* doubled up to the most */
#define ENGINE_BACKOFF_MOST_MS 60000
#define ENGINE_BACKOFF_PORT_MS 5000	/* the most while another program has the port: trying is cheap */
#define ENGINE_ROUNDS_MOST 4	/* of reading and changing one network before it is called failed */
#define ENGINE_EVENT_MS	   50	/* one change makes several events: look once */
#define ENGINE_BEHIND_MS   50	/* from the word that what changed is in force to the look at the rest */
#define ENGINE_OVERDUE_MS  8000	/* so long a look waits for documents that come one behind the other */
#define ENGINE_BROKER_MOST 256	/* messages that the broker has not answered: a channel's queue has an end */
#define ENGINE_NSIDS_MOST  (1U << 20)
#define ENGINE_POLL_MS	   5	/* while a wireguard-go starts, or does not answer */
#define ENGINE_TELL_MS	   500	/* from one word on what is in force to the next while some are late */
#define ENGINE_LATE_MS	   250	/* a snapshot waits for wireguard-go's answers, all together */

/* A document, or what was new in one: held by each network that is to be, or was last, brought in line with
 * it. */
struct engine_model {
	struct model *model;
	unsigned      refs;
};

struct engine_network {
	struct engine       *engine;	/* borrowed */
	struct tenant        tenant;
	struct engine_model *desired;	/* the document that wants it; NULL: it is to be removed */
	const struct model_network *want;	/* in `desired`, NULL as that is */
	struct engine_model *settled;	/* the document that the kernel was last equal to; NULL: not known */
	struct engine_model *endpoints;	/* the one whose endpoints its peers were given last; likewise */
	struct event        *exited;	/* of wireguard-go */
	int                  watched;	/* a pidfd of its own for `exited`, -1 */
	int32_t              watched_pid;
	struct event        *answers;	/* wireguard-go, after it had failed to */
	int                  answer;	/* a descriptor of its own for `answers`, -1 */
	uint64_t             watched_cookie;	/* the namespace whose events are told apart */
	uint64_t             broker_cookie;	/* what the broker has been given, 0: nothing */
	struct tg_key        public_key;	/* that its counters are booked under */
	uint32_t             ifindex;
	uint32_t             mtu;
	bool                 changed;	/* by the document, and not settled since */
	bool                 dirty;	/* differs: is to be worked on */
	bool                 keyed;	/* public_key is known */
	bool                 up;
	bool                 failed;
	bool                 counted;	/* it is to be removed, and its last reading was taken */
	bool                 rekeying;	/* until it has its new key, its readings would be booked twice */
	bool                 trusted;	/* was settled when a document came that leaves its link as it is */
	bool                 fresh;	/* its link was not there when the work began */
	uint8_t              rounds;
	uint64_t             wait_until_ms;
	uint64_t             retry_at_ms;
	uint64_t             looked_at_ms;	/* when it was last compared with the document */
	uint32_t             backoff_ms;
	char                 reason[160];
	char                 did[96];	/* what differed, for the log */
};

/* In the order of an apply; the waiting ones end with a message. */
enum engine_phase {
	ENGINE_IDLE,
	ENGINE_LOOK,		/* compare suspects with the document */
	ENGINE_LEDGER,		/* wait: control stores readings of what will go or be re-keyed */
	ENGINE_WORK,		/* make and change */
	ENGINE_BROKER,		/* wait: the broker knows the new namespaces and forgot the old */
	ENGINE_UNROUTE,		/* wait: no worker uses what is to be removed */
	ENGINE_DOWN,		/* links of what is to be removed go down, last readings */
	ENGINE_LAST_LEDGER,	/* wait: control stores those */
	ENGINE_REMOVE,
	ENGINE_LATE,		/* for a moment: some wireguard-go did not answer, and is looked at again */
};

/* For what a network is being read. */
enum engine_reader {
	ENGINE_READER_NONE,	/* none is */
	ENGINE_READER_STEPS,	/* to find out what is to be done */
	ENGINE_READER_LAST,	/* its last reading */
	ENGINE_READER_LOOK,	/* a snapshot for control */
};

/* A snapshot that is being made for control, some networks at a time. */
struct engine_looking {
	bool            active;
	struct msg_look ask;
	uint32_t        at;	/* the next port, or the one that is being read */
	uint64_t        late_until_ms;	/* it waits for wireguard-go until then; 0: it did not have to */
	struct snapshot snapshot;
	size_t          networks_room, peers_room, ranges_room;
};

struct engine {
	struct role        *role;	/* borrowed */
	struct event_base  *base;	/* borrowed */
	struct channel     *supervisor, *control, *broker;
	struct event       *tick;
	uint64_t            tick_at_ms;	/* when it comes; 0: not set */
	bool                busy;	/* this turn has enough to do: what goes on lets others have theirs */
	struct event       *names;	/* inotify on NETNS_DIR */
	struct event       *links;	/* rtnetlink's events of all namespaces */
	int                 names_fd, links_fd;
	uint16_t           *nsids;	/* the port of each nsid, 0: none */
	size_t              nsids_room;
	struct netns_host   host;
	struct apply_kernel kernel;

	uint64_t                generation;	/* of the newest MSG_DESIRED; 0: none, nothing is touched */
	struct engine_network **networks;	/* by port */
	struct ports            present;	/* that have one */
	struct ports            suspect;	/* are to be looked at */
	struct ports            unsettled;	/* may not be as the document wants, or are to be removed */
	struct ports            untold;	/* may not be with the broker as they are */
	struct reading          reading;	/* under way, for `reader`: one at a time */
	enum engine_reader      reader;
	enum engine_phase       phase;
	uint32_t                at;	/* the next port of a phase that walks through them */
	struct plan             plan;	/* under way, for plan_port (0: none) */
	size_t                  plan_at;
	uint16_t                plan_port;
	bool                    unlisted;	/* a name of ours may be there that is not in the table */
	bool                    announce;	/* control is to hear of something */
	bool                    news;		/* what is up is not as control was told last */
	uint64_t                began_at_ms;	/* the round */
	uint64_t                all_suspect_at_ms;	/* when all were to be looked at last */
	uint64_t                all_looked_at_ms;	/* no look at any network is older */
	bool                    late;	/* some wait for their wireguard-go: this round is not the last */
	bool                    held;	/* one of them must be read before anything is changed */
	uint64_t                tell_at_ms;	/* what is in force meanwhile; 0: not set */
	bool                    hasty;	/* only what the document changed is looked at; the rest behind */
	uint32_t                repaired;
	uint32_t                broker_waits;
	bool                    broker_cleared;	/* of what others told it */
	uint32_t                greet_at;	/* the next port that a new broker is told of */
	uint64_t                ledger_id;
	uint64_t                seq;	/* of the last MSG_NETWORKS */
	uint64_t                check_at_ms;
	struct msg_reading     *readings;
	size_t                  readings_count, readings_room;
	struct engine_looking   looking;
};

/* role_engine.c */
void engine_schedule(struct engine *e, uint64_t in_ms);
struct engine_model *engine_model_hold(struct engine_model *held);
void engine_model_drop(struct engine_model **at);
/* Drops what is held there and holds `to`. */
void engine_model_turn(struct engine_model **at, struct engine_model *to);

/* engine_networks.c: the first from this port on, of all or of a set of `e`; NULL when there is none. */
struct engine_network *engine_next(const struct engine *e, uint32_t port);
struct engine_network *engine_next_of(const struct engine *e, const struct ports *set, uint32_t port);
struct engine_network *engine_network_get(struct engine *e, uint16_t port);
void engine_network_free(struct engine *e, uint16_t port);
void engine_suspect_all(struct engine *e);
/* The same when it is time for it.  Returns when it is again. */
uint64_t engine_suspect_at_times(struct engine *e, uint64_t now);
/* Takes over a new document, or (`whole` false) what is new in it, and drops the caller's hold of it.  What
 * the document has, what this process knows and what has a name of ours: all in one table, suspect.  Whether
 * any differs from what was settled before. */
bool engine_enlist(struct engine *e, struct engine_model *held, bool whole);
/* The kernel has what the document wants of it. */
void engine_in_line(struct engine_network *n);
/* The broker did not take the network with that cookie: it is told again with the next round. */
void engine_broker_refused(struct engine *e, uint64_t cookie);
/* A new broker knows nothing: from `greet_at` on it gets every namespace that the document wants, as many
 * at a time as it takes.  Called again when it has answered.  One that is to be removed may go before
 * anybody would tell it to forget that one. */
void engine_broker_greet(struct engine *e);
/* What became of the namespaces that were looked at or worked on, as much as the broker takes at a time.
 * false: the rest waits for its answers. */
bool engine_broker_tell(struct engine *e);

/* engine_read.c: goes on with the reading of a network that is under way for `who`, or begins one.  When it
 * is DONE its state is in e->reading until engine_read_end(), which is to be called unless it is MORE; that
 * also gives up one that is under way. */
enum reading_result engine_read(struct engine *e, struct engine_network *n, enum engine_reader who,
                                uint64_t until_ms, struct tg_error *err);
bool engine_reads(const struct engine *e, const struct engine_network *n, enum engine_reader who);
void engine_read_end(struct engine *e);
/* It came to WAIT: ends it.  The network waits, the longer the longer it has not answered. */
void engine_read_later(struct engine *e, struct engine_network *n);

/* engine_reconcile.c: begins a new round with the desired document, and goes on with the one under way.
 * `hasty`: what the document did not change is looked at behind. */
void engine_begin(struct engine *e, bool hasty);
void engine_step(struct engine *e);
/* Gives up what is under way, but for a snapshot: documents may come one behind the other. */
void engine_pause(struct engine *e);

/* engine_settle.c: what the work on a network came to.  A failed one is tried again later. */
void engine_failed(struct engine *e, struct engine_network *n, const struct tg_error *err);
/* The plan is still to be carried out after many rounds. */
void engine_given_up(struct engine *e, struct engine_network *n, const struct plan *plan);
/* The kernel is equal to the document. */
void engine_settled(struct engine *e, struct engine_network *n, const struct model_network *want,
                    const struct state *have);
/* The kernel has said so of every step of the plan. */
void engine_carried_out(struct engine *e, struct engine_network *n, const struct plan *plan);
/* The names of the steps, each once, for the log. */
void engine_describe(const struct plan *plan, char *to, size_t size);

/* engine_remove.c: one network at a time, or a part of its reading; false when there is none left. */
/* Takes the last reading of a network whose key another one is to have: what that one counts must begin
 * behind it.  false: it is not through yet. */
bool engine_count_moved(struct engine *e, struct engine_network *n, uint64_t until_ms);
/* Whether another network is to have the key that this one is counted under. */
bool engine_key_moves(const struct engine *e, const struct engine_network *n);
bool engine_has_removals(const struct engine *e);
bool engine_down_next(struct engine *e, uint64_t until_ms);
/* Whether the last reading of some is yet to come when there is none left. */
bool engine_down_waits(const struct engine *e);
bool engine_remove_next(struct engine *e, uint64_t until_ms);

/* engine_ledger.c: readings that control must store before the kernel is changed. */
void engine_ledger_plan(struct engine *e, struct engine_network *n, const struct state *have,
                        const struct plan *plan);
void engine_ledger_last(struct engine *e, const struct engine_network *n, const struct state *have);
/* Sends what was collected: control's word is to be waited for.  false: there was nothing. */
bool engine_ledger_send(struct engine *e);
/* Control has stored that one.  Its word may come when nobody waits for it any more: a new document came
 * first. */
void engine_ledger_done(struct engine *e, uint64_t id);

/* engine_look.c */
void engine_look_begin(struct engine *e, const struct msg_look *ask);
void engine_look_some(struct engine *e, uint64_t until_ms);
void engine_look_stop(struct engine *e);
/* Tells control how far its document is in force, and what is up when that is news: of what is still being
 * made it hears when all is complete. */
void engine_announce(struct engine *e, bool complete);

/* engine_watch.c: who tells of drift. */
void engine_watch_start(struct engine *e);
void engine_watch_stop(struct engine *e);
/* The network is settled: its process and its namespace are watched from here on. */
void engine_watch_network(struct engine *e, struct engine_network *n);
/* It has failed: when that is since its wireguard-go does not answer, it is tried again once that does. */
void engine_watch_answer(struct engine *e, struct engine_network *n);
void engine_watch_answer_end(struct engine_network *n);
/* Takes in what has been told until now. */
void engine_watch_drain(struct engine *e);
void engine_watch_drain_names(struct engine *e);

#endif
