/* What one network is in the kernel now: a plain value, read from dumps (link.c and the WireGuard
 * backends), compared with the document by the differ. */
#ifndef TOLLGATE_NETNS_STATE_H
#define TOLLGATE_NETNS_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/key.h"

enum state_link {
	STATE_LINK_NONE,
	STATE_LINK_OURS,	/* wg<port>, of the kind that the backend makes */
	STATE_LINK_OTHER,	/* something else has its name */
	STATE_LINK_HOST,	/* wireguard-go runs, its TUN is still in the host's namespace */
};

struct state_peer {
	struct tg_key      public_key;
	struct tg_key      preshared_key;	/* all zero: none */
	struct tg_endpoint endpoint;
	uint32_t           ranges_first, ranges_count;	/* in ranges, sorted */
	uint64_t           rx, tx;
	int64_t            handshake_unix_s;
	uint16_t           keepalive_s;
};

struct state {
	bool            exists;	/* the namespace */
	bool            pinned;
	bool            sysctls;	/* all as a hub's must be */
	bool            lo_up;
	bool            up;		/* wg<port> */
	bool            device;	/* WireGuard answered: the keys, port and peers are known */
	enum state_link link;
	bool            renamed;	/* our link is there, under another name */
	uint32_t        ifindex;
	uint32_t        mtu;
	uint16_t        port;	/* that it listens on; 0 when it does not */
	struct tg_key   private_key;
	struct tg_key   public_key;

	struct tg_cidr    *addresses;	/* of wg<port> */
	struct tg_cidr    *routes;	/* of ours, through wg<port> */
	struct state_peer *peers;	/* sorted by key */
	struct tg_cidr    *ranges;
	struct tg_cidr    *foreign;	/* routes through wg<port> that others added, as the kernel does for
					 * an address's prefix: wanted ones count */
	size_t             addresses_count, routes_count, peers_count, ranges_count, foreign_count;
};

void state_clear(struct state *state);

/* Each appends; -1 when out of memory. */
int state_add_address(struct state *state, const struct tg_cidr *address);
int state_add_route(struct state *state, const struct tg_cidr *range, bool foreign);
/* The new peer, zeroed but for the key: valid until the next one.  NULL when out of memory. */
struct state_peer *state_add_peer(struct state *state, const struct tg_key *public_key);
/* To the peer added last. */
int state_add_range(struct state *state, const struct tg_cidr *range);

/* Brings everything into the order that the differ expects. */
void state_sort(struct state *state);

int cidr_compare(const void *a, const void *b);

#endif
