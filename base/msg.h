/* Every message that two of the daemon's processes exchange: fixed-size bodies, one table (msg.c)
 * of who may say what to whom.  What is larger goes as a sealed memory file (base/fd.h), or, when it
 * is small and of a type that may, behind the body; the receiver checks it before use. */
#ifndef TOLLGATE_BASE_MSG_H
#define TOLLGATE_BASE_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/key.h"

enum msg_role {
	MSG_ROLE_SUPERVISOR,
	MSG_ROLE_ENGINE,
	MSG_ROLE_BROKER,
	MSG_ROLE_CONTROL,
	MSG_ROLE_WORKER,
	MSG_ROLES,
};

#define MSG_WORKERS_MOST  256	/* worker processes */
#define MSG_FORWARDS_MOST 256	/* --forward */
#define MSG_PREFIX_MOST	  32	/* of --netns-prefix, with the NUL */
#define MSG_NAME_MOST	  64	/* of a segment file, with the NUL */
#define MSG_HOST_MOST	  256	/* of a host name, with the NUL (RFC 1035: 253 characters) */
#define MSG_FDS_MOST	  64	/* descriptors in one message */
#define MSG_BODY_MOST	  1024	/* bytes of the largest body */
#define MSG_VALUE_MOST	  4096	/* bytes of a value that needs no memory file */
#define MSG_SOCKETS_BATCH 8	/* sockets asked for at once: larger batches raise p99 */

enum msg_type {
	/* supervisor to any role */
	MSG_START,	/* first, once */
	MSG_CHANNEL,	/* + 1 fd: a new end of the channel to another role; replaces the old */
	MSG_LISTENER,	/* + 1 fd */
	MSG_FILE,	/* + 1 fd; again after SIGHUP */
	MSG_FORWARD,	/* one --forward, to control */
	MSG_SEGMENT,	/* + 1 fd: a worker's counters (struct msg_counters) */
	MSG_ACTIVE,	/* + 1 fd, to workers: uint32_t[workers][MSG_SLOTS], connections open now; row
			 * `index` is the receiver's to write, who clears it first */
	MSG_GO,		/* the last of the beginning; after SIGHUP: the last of the new files */
	MSG_STOP,	/* finish what is under way, then exit 0 */
	MSG_DOWN,	/* to control: processes that are not ready, when their number changes */
	/* any role to the supervisor */
	MSG_READY,	/* control: the first document, if any, is in force */
	/* control to supervisor */
	MSG_SEGMENT_DONE, /* all of a dead worker's counters are committed: unlink the file */
	MSG_WORKER_STUCK, /* kill that worker: it did not acknowledge in time */
	/* control and engine */
	MSG_DESIRED,	/* control: + value, a packed model: make it so, whole or what is new in it */
	MSG_LEDGER,	/* engine: + value, struct msg_reading[count]: store these before I go on */
	MSG_LEDGER_DONE, /* control: they are committed */
	MSG_NETWORKS,	/* engine: + memfd, a snapshot without peers: what is up, with cookies; no memfd: that
			 * is as it was told last */
	MSG_ROUTED,	/* control: all workers obey routes made of that MSG_NETWORKS */
	MSG_LOOK,	/* control: send a snapshot */
	MSG_SNAPSHOT,	/* engine: + memfd, a snapshot */
	/* control and worker */
	MSG_ROUTES,	/* control: + memfd, a route table: obey it */
	MSG_ROUTES_DONE, /* worker: obeyed, connections of what is gone are closed */
	/* worker and broker */
	MSG_SOCKETS_WANTED,
	MSG_SOCKETS,	/* + as many fds as made; fewer than wanted, or none, with `sys` */
	/* engine and broker */
	MSG_NETNS_ADD,	/* + 1 fd: a namespace */
	MSG_NETNS_REMOVE, /* cookie 0: all that this engine did not add, which a former one did */
	MSG_NETNS_DONE,	/* broker: added or forgotten */
	MSG_TYPES,
};

enum msg_wireguard { MSG_WIREGUARD_AUTO, MSG_WIREGUARD_KERNEL, MSG_WIREGUARD_USERSPACE };

struct msg_start {
	uint32_t index;		/* of the worker, 0 for others */
	uint32_t workers;
	uint32_t log_level;	/* enum tg_log_level */
	uint32_t wireguard;	/* enum msg_wireguard */
	uint32_t source_connections;	/* for this process; 0: no limit */
	uint32_t again;	/* bool: an earlier life of this role was ready; a bad file stops nothing now */
	uint64_t sample_interval_ms;
	uint64_t retention_s;
	uint64_t rollup_retention_s;
	uint64_t drain_timeout_ms;
	char     netns_prefix[MSG_PREFIX_MOST];
};

struct msg_channel {
	uint32_t role;		/* of the other end */
	uint32_t index;		/* of the other end, when a worker */
};

enum msg_listener {
	MSG_LISTENER_HTTP,
	MSG_LISTENER_HTTPS,
	MSG_LISTENER_API_UNIX,
	MSG_LISTENER_API_TCP,
};

struct msg_listening {
	uint32_t kind;
};

enum msg_file_kind {
	MSG_FILE_CONFIG,
	MSG_FILE_TOKENS,
	MSG_FILE_ACCESS_LOG,
	MSG_FILE_API_CERT,
	MSG_FILE_API_KEY,
	MSG_FILE_API_CLIENT_CA,
};

struct msg_file {
	uint32_t kind;
};

struct msg_forward {
	uint32_t           https;	/* else http */
	struct tg_endpoint upstream;
	char               host[MSG_HOST_MOST];
};

/* One host's bytes in one worker: cumulative, written by that worker alone, read by control. */
struct msg_slot {
	uint64_t rx;		/* bytes from the internet client */
	uint64_t tx;		/* bytes to it */
	uint64_t connections;
};

#define MSG_SLOTS (1U << 20)	/* in a segment file, which is sparse */

/* A segment file.  A worker can die between a call that sends to a client and the counting of what that
 * call has sent, which it alone knew.  So it writes down before each what its slot will then say, and
 * whoever reads the segment of a dead worker, and of no other, takes that for its word: no byte that a
 * client got is lost, and what is counted too much is at most what that one call did not send. */
struct msg_counters {
	struct msg_slot slots[MSG_SLOTS];
	uint64_t        sending;	/* slot << 32 | the low half of its tx once all is sent: one word,
					 * so that it is never the tx of another slot */
};

#define MSG_SEGMENT_BYTES sizeof(struct msg_counters)
#define MSG_SLOTS_BYTES	  (MSG_SLOTS * sizeof(struct msg_slot))	/* of a file of builds before `sending` */

#define MSG_SEGMENT_ADOPTED UINT32_MAX	/* index of a worker of an earlier daemon */

struct msg_segment {
	uint32_t index;		/* of the worker */
	uint32_t live;		/* that worker still runs */
	char     name[MSG_NAME_MOST];	/* of the file, unique for ever */
};

struct msg_segment_done {
	char name[MSG_NAME_MOST];
};

struct msg_down {
	uint32_t processes[MSG_ROLES];	/* of each role: not ready */
};

struct msg_worker {
	uint32_t index;
};

struct msg_none {
	uint32_t zero;
};

struct msg_desired {
	uint64_t generation;
	uint64_t before;	/* of the MSG_DESIRED to which this adds what is new; 0: it is whole */
};

/* Identifies one life of an interface: while it is equal, its counters only grow.  All zero: an
 * interface that is yet to be made. */
struct msg_epoch {
	uint8_t  boot_id[16];
	uint64_t netns_cookie;
	uint32_t ifindex;
	uint32_t zero;
};

enum msg_reading_kind {
	MSG_READING_COUNT,	/* a reading: what came since the last one is to be recorded */
	MSG_READING_BASELINE,	/* from here on count from these values: nothing is recorded */
};

struct msg_reading {
	struct tg_key    network;	/* public key */
	struct tg_key    peer;
	struct msg_epoch epoch;
	uint64_t         rx;		/* bytes, cumulative, as WireGuard counts */
	uint64_t         tx;
	uint32_t         kind;
	uint32_t         zero;
};

struct msg_ledger {
	uint64_t id;
	uint64_t count;
};

struct msg_ledger_done {
	uint64_t id;
};

struct msg_networks {
	uint64_t seq;		/* MSG_ROUTED answers with it */
	uint64_t generation;	/* of the MSG_DESIRED it speaks of */
	uint32_t complete;	/* kernel and document are equal but for failed networks: removals done */
	uint32_t repaired;	/* networks in which drift was mended since the last MSG_NETWORKS */
};

struct msg_routed {
	uint64_t seq;
};

struct msg_look {
	uint64_t id;
	uint32_t ranges;	/* bool: with allowed IPs, which costs more, to be shown: nothing is booked */
	uint32_t port;		/* of one network; 0: all */
};

struct msg_snapshot {
	uint64_t id;
};

struct msg_routes {
	uint64_t version;
};

struct msg_sockets_wanted {
	uint64_t netns_cookie;	/* 0: the host's namespace */
	uint32_t family;	/* AF_INET, AF_INET6 */
	uint32_t count;		/* 1..MSG_FDS_MOST */
};

struct msg_sockets {
	uint64_t netns_cookie;
	uint32_t family;
	uint32_t count;		/* descriptors with this message */
	int32_t  sys;		/* errno, ENOENT when the network is unknown */
	uint32_t zero;
};

struct msg_netns {
	uint64_t netns_cookie;
	int32_t  sys;		/* in MSG_NETNS_DONE: 0 or errno */
	uint32_t added;		/* in MSG_NETNS_DONE: bool, else removed */
};

/* A message as it is on the wire. */
struct msg {
	uint32_t type;
	uint32_t value_bytes;	/* behind the body; 0: there is none, or it is a memory file */
	union {
		struct msg_start          start;
		struct msg_channel        channel;
		struct msg_listening      listening;
		struct msg_file           file;
		struct msg_forward        forward;
		struct msg_segment        segment;
		struct msg_segment_done   segment_done;
		struct msg_down           down;
		struct msg_worker         worker;
		struct msg_none           none;
		struct msg_desired        desired;
		struct msg_ledger         ledger;
		struct msg_ledger_done    ledger_done;
		struct msg_networks       networks;
		struct msg_routed         routed;
		struct msg_look           look;
		struct msg_snapshot       snapshot;
		struct msg_routes         routes;
		struct msg_sockets_wanted sockets_wanted;
		struct msg_sockets        sockets;
		struct msg_netns          netns;
		uint8_t                   bytes[MSG_BODY_MOST];
	} body;
	uint8_t room[MSG_VALUE_MOST];	/* and what the body leaves: for a value (msg_value()) */
};

const char *msg_role_name(enum msg_role role);
/* "NONE" for what is no type. */
const char *msg_type_name(uint32_t type);
/* Bytes of a message of that type: header and body. */
size_t msg_bytes(enum msg_type type);
/* Where the value behind the body of `msg` begins: msg->value_bytes are there. */
const void *msg_value(const struct msg *msg);
/* Whether `bytes` of `msg` with `fds` descriptors are a message that `from` may send to `to`.  Reads no
 * more of it than its header. */
bool msg_allowed(const struct msg *msg, size_t bytes, size_t fds, enum msg_role from, enum msg_role to);

#endif
