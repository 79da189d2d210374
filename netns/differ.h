/* The difference between what the document wants of one network and what the kernel has, as an ordered
 * list of steps.  Pure: it reads two values and touches nothing; apply.c carries the steps out. */
#ifndef TOLLGATE_NETNS_DIFFER_H
#define TOLLGATE_NETNS_DIFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/key.h"

struct model;
struct model_network;
struct model_peer;
struct state;

#define DIFFER_RANGES_MOST 400	/* in one step, so that it fits a netlink message */

/* In the order in which a plan has them. */
enum step_kind {
	STEP_NAMESPACE_MAKE,
	STEP_NAMESPACE_PIN,
	STEP_SYSCTLS,
	STEP_LINK_DELETE,
	STEP_LINK_RENAME,	/* then the plan ends: what the link has is not known yet */
	STEP_LINK_MAKE,
	STEP_DEVICE,		/* flags: STEP_KEY, STEP_PORT */
	STEP_PEER_SET,		/* flags: STEP_PEER_*; the ranges it names come to this peer */
	STEP_RANGES_DROP,	/* ranges that no peer is to have any more */
	STEP_PEER_REMOVE,
	STEP_LO_UP,
	STEP_MTU,
	STEP_ADDRESS_REMOVE,
	STEP_ADDRESS_ADD,
	STEP_LINK_UP,
	STEP_ROUTE_REMOVE,
	STEP_ROUTE_ADD,
	STEP_KINDS,
};

enum step_flag {
	STEP_KEY = 1 << 0,
	STEP_PORT = 1 << 1,
	STEP_PEER_NEW = 1 << 2,
	STEP_PEER_PRESHARED = 1 << 3,
	STEP_PEER_KEEPALIVE = 1 << 4,
	STEP_PEER_ENDPOINT = 1 << 5,
};

struct step {
	enum step_kind           kind;
	unsigned                 flags;
	const struct model_peer *peer;	/* borrowed from the model; PEER_SET */
	struct tg_key            key;	/* of the peer; PEER_* */
	struct tg_cidr           cidr;	/* ADDRESS_*, ROUTE_* */
	uint32_t                 ranges_first, ranges_count;	/* in the plan's ranges */
};

struct plan {
	const struct model_network *want;	/* borrowed */
	struct step                *steps;
	struct tg_cidr             *ranges;
	size_t                      steps_count, steps_room;
	size_t                      ranges_count, ranges_room;
};

/* What is to be done so that `have` becomes `want`, a network of `model`.  `before` is the model whose
 * endpoints the peers were last given, NULL when that is not known: an endpoint of a peer that is there
 * already is set only when it differs between the two; when that is not known, if nothing was heard of the
 * peer yet.  -1: out of memory, `to` is empty. */
int differ_plan(const struct model *model, const struct model_network *want, const struct state *have,
                const struct model *before, struct plan *to);
void plan_clear(struct plan *plan);
/* Whether nothing is left to be set of a peer when the steps before `at` are carried out. */
bool plan_set_peers(const struct plan *plan, size_t at);
const char *step_name(enum step_kind kind);

#endif
