/* Carries out a plan: the only place that turns steps into calls.  The
 * calls go through a table, so that tests can put a kernel of their own below, which fails at will. */
#ifndef TOLLGATE_NETNS_APPLY_H
#define TOLLGATE_NETNS_APPLY_H

#include <stddef.h>
#include <stdint.h>

#include "netns/reading.h"

struct netns_host;
struct plan;
struct step;
struct tenant;
struct tg_error;
struct wireguard;

struct apply_kernel {
	/* reading_go_on() */
	enum reading_result (*read)(const struct wireguard *wireguard, struct reading *reading,
	                            uint64_t until_ms, struct tg_error *err);
	int (*make)(const struct netns_host *host, struct tenant *tenant, struct tg_error *err);
	int (*pin)(const struct netns_host *host, const struct tenant *tenant, struct tg_error *err);
	int (*sysctls)(const struct netns_host *host, struct tenant *tenant, struct tg_error *err);
	int (*link_delete)(const struct tenant *tenant, struct tg_error *err);
	int (*link_rename)(const struct tenant *tenant, struct tg_error *err);
	/* Steps from STEP_LO_UP on. */
	int (*links)(struct tenant *tenant, const struct plan *plan, const struct step *steps,
	             size_t count, struct tg_error *err);
	const struct wireguard *wireguard;	/* borrowed; NULL: none works here */
};

enum apply_result {
	APPLY_DONE,
	APPLY_MORE,	/* the time is up: call again */
	APPLY_WAIT,	/* something is under way: read and plan again in some milliseconds */
	APPLY_FAILED,
};

/* The real one, for the backend that the host has. */
struct apply_kernel apply_kernel_of(const struct netns_host *host);

/* Carries out steps from *at on, until the plan ends or the monotonic clock reaches until_ms (at least one
 * call is made); *at is then the first that was not carried out. */
enum apply_result apply_some(const struct apply_kernel *kernel, const struct netns_host *host,
                             struct tenant *tenant, const struct plan *plan, size_t *at, uint64_t until_ms,
                             struct tg_error *err);

#endif
