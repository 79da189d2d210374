/* One network's state while it is being read.  Of very many peers that takes longer than the loop may wait,
 * so it goes in parts; meanwhile a dump may be under way on a socket of the tenant's: nothing else may be
 * sent there until the reading has come to its end, or was given up. */
#ifndef TOLLGATE_NETNS_READING_H
#define TOLLGATE_NETNS_READING_H

#include <stdbool.h>
#include <stdint.h>

#include "netns/netlink.h"
#include "netns/state.h"
#include "netns/uapi.h"

struct netns_host;
struct tenant;
struct tg_error;
struct wireguard;

enum reading_result {
	READING_DONE,
	READING_MORE,	/* the time is up, or all of many peers has just been read: call again */
	READING_WAIT,	/* wireguard-go does not answer yet: begin anew in some milliseconds, others first */
	READING_FAILED,
};

enum reading_what {
	READING_ALL,
	READING_PEERS,	/* keys, port, peers and routes of a link that was as it should be: whoever begins it
			 * puts MTU and addresses into its state.  Is it another link, all is read */
	READING_DEVICE,	/* keys, port and peers of a link that is there: what counters need */
	READING_LAST,	/* all, of a link that is down for good */
};

/* In the order in which they come. */
enum reading_stage {
	READING_AT_NAMESPACE,
	READING_AT_LINKS,
	READING_AT_SYSCTLS,
	READING_AT_DEVICE,
	READING_AT_ORDER,
	READING_AT_END,
};

struct reading {
	const struct netns_host *host;	/* borrowed */
	struct tenant           *tenant;	/* borrowed */
	enum reading_what        what;
	enum reading_stage       stage;
	struct state             state;	/* complete and sorted once it is done */
	unsigned                 tries;
	unsigned                 dump;	/* of those of the link, the one that is next */
	bool                     asked;	/* a dump is under way */
	struct netlink_exchange  exchange;
	struct uapi_answer       answer;	/* of wireguard-go */
};

/* Nothing is read yet: host and tenant must outlive it, or reading_end(). */
void reading_begin(struct reading *reading, const struct netns_host *host, struct tenant *tenant,
                   enum reading_what what);
/* Goes on until all is read or the monotonic clock reaches until_ms (something is read at least).  Adopts a
 * namespace that has the tenant's name when it has none; that there is none is no error. */
enum reading_result reading_go_on(const struct wireguard *wireguard, struct reading *reading,
                                  uint64_t until_ms, struct tg_error *err);
/* Whenever it ends: frees the state, and gives up what is under way. */
void reading_end(struct reading *reading);

/* For those who read a part: goes on with the dump that is under way on `fd`, or begins it with what ask()
 * makes.  `each` gets the reading. */
enum reading_result reading_dump(struct reading *reading, int fd,
                                 struct nl_msg *(*ask)(const struct reading *reading), netlink_each_fn *each,
                                 uint64_t until_ms, struct tg_error *err);

#endif
