/* What the engine sees in the kernel, as one value that goes to control in a sealed memory file:
 * networks sorted by port, the peers of each behind one another, the ranges of each peer likewise. */
#ifndef TOLLGATE_BASE_SNAPSHOT_H
#define TOLLGATE_BASE_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/key.h"
#include "base/msg.h"

struct tg_error;

enum snapshot_state { SNAPSHOT_UP, SNAPSHOT_FAILED };

struct snapshot_network {
	struct tg_key    public_key;
	struct msg_epoch epoch;		/* netns_cookie is the network's id; 0 when it has no namespace */
	uint16_t         port;
	uint8_t          state;		/* enum snapshot_state */
	uint8_t          wireguard;	/* enum msg_wireguard: KERNEL or USERSPACE */
	uint32_t         peers_first;
	uint32_t         peers_count;
	uint32_t         mtu;
	char             reason[160];	/* why it failed, else empty */
};

struct snapshot_peer {
	struct tg_key      public_key;
	struct tg_endpoint endpoint;	/* family 0: not known yet */
	uint32_t           ranges_first;
	uint64_t           rx;
	uint64_t           tx;
	int64_t            handshake_unix_s;	/* 0: never */
	uint32_t           ranges_count;
	uint32_t           zero;
};

struct snapshot {
	struct snapshot_network *networks;
	struct snapshot_peer    *peers;
	struct tg_cidr          *ranges;
	size_t                   networks_count;
	size_t                   peers_count;
	size_t                   ranges_count;
};

/* A sealed memory file of it (the caller's), or -1. */
int snapshot_pack(const struct snapshot *snapshot, struct tg_error *err);
/* Reads and checks one (seals, sizes, indexes, termination of texts).  `to` owns its arrays. */
int snapshot_unpack(int fd, struct snapshot *to, struct tg_error *err);
void snapshot_clear(struct snapshot *snapshot);
/* NULL when there is none. */
const struct snapshot_network *snapshot_find(const struct snapshot *snapshot, uint16_t port);

#endif
