#include "netns/apply.h"

#include <errno.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/error.h"
#include "netns/differ.h"
#include "netns/link.h"
#include "netns/namespace.h"
#include "netns/netlink.h"
#include "netns/reading.h"
#include "netns/sysctl.h"
#include "netns/wireguard.h"

struct apply_kernel apply_kernel_of(const struct netns_host *host)
{
	return (struct apply_kernel){
		.read = reading_go_on,
		.make = netns_make,
		.pin = netns_pin,
		.sysctls = sysctl_set,
		.link_delete = link_delete,
		.link_rename = link_rename,
		.links = link_change,
		.wireguard = wireguard_of(host),
	};
}

static bool of_peers(enum step_kind kind)
{
	return kind == STEP_PEER_SET || kind == STEP_RANGES_DROP || kind == STEP_PEER_REMOVE;
}

/* How many steps from `at` on go in one call, and whether they are about peers, or links. */
static size_t run_length(const struct plan *plan, size_t at)
{
	enum step_kind kind = plan->steps[at].kind;
	bool           peers = of_peers(kind);
	size_t         most = peers ? WIREGUARD_PEERS_MOST : NETLINK_BATCH_MOST;
	size_t         count = 1;

	if (!peers && kind < STEP_LO_UP)
		return 1;
	while (count < most && at + count < plan->steps_count &&
	       of_peers(plan->steps[at + count].kind) == peers)
		count++;
	return count;
}

static enum apply_result result_of(int done)
{
	return done == 0 ? APPLY_DONE : APPLY_FAILED;
}

static enum apply_result result_of_wireguard(int done, const struct tg_error *err)
{
	if (done != 0 && err->sys == WIREGUARD_SOON)
		return APPLY_MORE;
	return done != 0 && err->sys == WIREGUARD_SLOW ? APPLY_WAIT : result_of(done);
}

static enum apply_result make_link(const struct apply_kernel *kernel, const struct netns_host *host,
                                   struct tenant *tenant, const struct plan *plan, struct tg_error *err)
{
	switch (kernel->wireguard->make(host, tenant, plan, err)) {
	case WIREGUARD_DONE:
		return APPLY_DONE;
	case WIREGUARD_WAIT:
		return APPLY_WAIT;
	case WIREGUARD_FAILED:
		break;
	}
	return APPLY_FAILED;
}

static enum apply_result carry_out(const struct apply_kernel *kernel, const struct netns_host *host,
                                   struct tenant *tenant, const struct plan *plan, size_t at, size_t count,
                                   struct tg_error *err)
{
	const struct step *step = &plan->steps[at];

	switch (step->kind) {
	case STEP_NAMESPACE_MAKE:
		return result_of(kernel->make(host, tenant, err));
	case STEP_NAMESPACE_PIN:
		return result_of(kernel->pin(host, tenant, err));
	case STEP_SYSCTLS:
		return result_of(kernel->sysctls(host, tenant, err));
	case STEP_LINK_DELETE:
		return result_of(kernel->link_delete(tenant, err));
	case STEP_LINK_RENAME:
		return result_of(kernel->link_rename(tenant, err));
	case STEP_LINK_MAKE:
		return make_link(kernel, host, tenant, plan, err);
	case STEP_DEVICE:
		return result_of_wireguard(kernel->wireguard->device(host, tenant, plan, step, err), err);
	case STEP_PEER_SET:
	case STEP_RANGES_DROP:
	case STEP_PEER_REMOVE:
		return result_of_wireguard(kernel->wireguard->peers(host, tenant, plan, step, count, err),
		                           err);
	case STEP_LO_UP:
	case STEP_MTU:
	case STEP_ADDRESS_REMOVE:
	case STEP_ADDRESS_ADD:
	case STEP_LINK_UP:
	case STEP_ROUTE_REMOVE:
	case STEP_ROUTE_ADD:
		return result_of(kernel->links(tenant, plan, step, count, err));
	case STEP_KINDS:
		break;
	}
	return APPLY_DONE;
}

enum apply_result apply_some(const struct apply_kernel *kernel, const struct netns_host *host,
                             struct tenant *tenant, const struct plan *plan, size_t *at, uint64_t until_ms,
                             struct tg_error *err)
{
	if (plan->steps_count > 0 && kernel->wireguard == NULL) {
		tg_fail(err, TG_CODE_SYSTEM, "no WireGuard here: %s", host->reason);
		return APPLY_FAILED;
	}
	while (*at < plan->steps_count) {
		size_t            count = run_length(plan, *at);
		enum apply_result result = carry_out(kernel, host, tenant, plan, *at, count, err);

		if (result != APPLY_DONE)
			return result;
		*at += count;
		if (*at < plan->steps_count && tg_clock_ms() >= until_ms)
			return APPLY_MORE;
	}
	return APPLY_DONE;
}
