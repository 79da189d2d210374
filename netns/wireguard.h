/* What a backend of WireGuard can do, so that the rest need not know which one it is: the kernel's
 * (wg_kernel.c) or wireguard-go (wg_userspace.c). */
#ifndef TOLLGATE_NETNS_WIREGUARD_H
#define TOLLGATE_NETNS_WIREGUARD_H

#include <stddef.h>
#include <stdint.h>

#include "netns/reading.h"

struct netns_host;
struct plan;
struct step;
struct tenant;
struct tg_error;

/* Steps in one call of peers(): more would hold the loop.  For each new peer WireGuard computes X25519, which
 * takes 50 us or, emulated, 1.7 ms. */
#define WIREGUARD_PEERS_MOST 20
/* An error's `sys`, which is no failure yet: read and plan again in some milliseconds, or make the same call
 * again in the loop's next turn. */
#define WIREGUARD_SLOW	     EINPROGRESS
#define WIREGUARD_SOON	     EALREADY

enum wireguard_result {
	WIREGUARD_DONE,
	WIREGUARD_WAIT,		/* under way: plan again in some milliseconds */
	WIREGUARD_FAILED,
};

struct wireguard {
	/* Makes the link wg<port>, down, in the tenant's namespace, its UDP socket in the host's. */
	enum wireguard_result (*make)(const struct netns_host *host, struct tenant *tenant,
	                              const struct plan *plan, struct tg_error *err);
	/* Fills in device, port, keys and peers (unsorted).  A link that does not answer is no error:
	 * `device` stays false, and the backend may change `link`. */
	enum reading_result (*read)(struct reading *reading, uint64_t until_ms, struct tg_error *err);
	/* A STEP_DEVICE. */
	int (*device)(const struct netns_host *host, struct tenant *tenant, const struct plan *plan,
	              const struct step *step, struct tg_error *err);
	/* STEP_PEER_SET, STEP_RANGES_DROP and STEP_PEER_REMOVE, carried out in order. */
	int (*peers)(const struct netns_host *host, struct tenant *tenant, const struct plan *plan,
	             const struct step *steps, size_t count, struct tg_error *err);
	/* The network goes, or we do while it is being made: ends what the removal of
	 * its namespace would not. */
	void (*end)(const struct netns_host *host, struct tenant *tenant);
};

/* Fails with the words for it, and EADDRINUSE in err->sys. */
int wireguard_port_used(unsigned port, struct tg_error *err);

extern const struct wireguard wireguard_kernel;
extern const struct wireguard wireguard_userspace;

/* Finds out what works here, obeying what the operator asked for (enum msg_wireguard): sets
 * host->wireguard, or leaves it AUTO with host->reason. */
void wireguard_choose(struct netns_host *host, unsigned wanted);
/* The backend chosen, NULL when none works. */
const struct wireguard *wireguard_of(const struct netns_host *host);

#endif
