#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/model.h"
#include "daemon/engine.h"
#include "netns/state.h"

/* What the work on a network comes to. */

void engine_describe(const struct plan *plan, char *to, size_t size)
{
	size_t         at = 0;
	enum step_kind last = STEP_KINDS;

	to[0] = '\0';
	for (size_t i = 0; i < plan->steps_count && at < size; i++) {
		if (plan->steps[i].kind == last)
			continue;
		last = plan->steps[i].kind;
		at += (size_t)snprintf(to + at, size - at, "%s%s", at > 0 ? "," : "", step_name(last));
	}
}

void engine_failed(struct engine *e, struct engine_network *n, const struct tg_error *err)
{
	const char *reason = err->text;
	uint32_t    most = err->sys == EADDRINUSE ? ENGINE_BACKOFF_PORT_MS : ENGINE_BACKOFF_MOST_MS;
	bool        known = n->failed && strcmp(n->reason, reason) == 0;

	snprintf(n->reason, sizeof n->reason, "%s", reason);
	n->backoff_ms = n->backoff_ms == 0 ? ENGINE_BACKOFF_MS : n->backoff_ms * 2;
	if (n->backoff_ms > most)
		n->backoff_ms = most;
	n->retry_at_ms = tg_clock_ms() + n->backoff_ms;
	n->dirty = n->rekeying = false;
	n->up = false;
	n->failed = true;
	ports_add(&e->unsettled, n->tenant.port);
	engine_watch_answer(e, n);
	if (known)
		return;
	e->announce = e->news = true;

	char quoted[256];

	tg_log(TG_LOG_ERROR, "network failed", "network=%u reason=%s", (unsigned)n->tenant.port,
	       tg_quote(quoted, sizeof quoted, reason));
}

void engine_given_up(struct engine *e, struct engine_network *n, const struct plan *plan)
{
	struct tg_error err;
	char            still[96];

	engine_describe(plan, still, sizeof still);
	tg_fail(&err, TG_CODE_SYSTEM, "does not become as it should: %s", still);
	engine_failed(e, n, &err);
}

static void log_settled(struct engine *e, const struct engine_network *n)
{
	unsigned    port = n->tenant.port;
	const char *backend = e->host.wireguard == MSG_WIREGUARD_KERNEL ? "kernel" : "userspace";

	if (n->failed)
		tg_log(TG_LOG_INFO, "network recovered", "network=%u", port);
	else if (n->did[0] == '\0')
		return;
	else if (n->settled == n->desired)
		tg_log(TG_LOG_WARN, "network repaired", "network=%u differed=%s", port, n->did);
	else if (n->fresh)
		tg_log(TG_LOG_INFO, "network created", "network=%u wireguard=%s", port, backend);
	else
		tg_log(TG_LOG_INFO, "network changed", "network=%u differed=%s", port, n->did);
}

void engine_settled(struct engine *e, struct engine_network *n, const struct model_network *want,
                    const struct state *have)
{
	log_settled(e, n);
	if (n->did[0] != '\0' && n->settled == n->desired && !n->failed) {
		e->repaired++;
		e->announce = true;
	}
	if (!n->up || n->ifindex != have->ifindex)
		e->announce = e->news = true;
	if (n->mtu != have->mtu || !n->keyed || !tg_key_equal(&n->public_key, &want->public_key))
		e->news = true;
	engine_in_line(n);
	engine_watch_answer_end(n);
	n->up = true;
	n->failed = n->changed = n->dirty = n->fresh = n->rekeying = n->trusted = false;
	n->rounds = 0;
	n->backoff_ms = 0;
	n->retry_at_ms = 0;
	n->did[0] = n->reason[0] = '\0';
	n->ifindex = have->ifindex;
	n->mtu = have->mtu;
	n->public_key = want->public_key;
	n->keyed = true;
}

/* Whether the kernel's word that it carried out every step is enough for now: nothing that such a plan does
 * changes what it did not name.  wireguard-go says so of ports, too, that it did not get. */
static bool is_plain(const struct engine *e, const struct plan *plan)
{
	if (e->host.wireguard != MSG_WIREGUARD_KERNEL)
		return false;
	for (size_t i = 0; i < plan->steps_count; i++)
		if (plan->steps[i].kind != STEP_PEER_SET && plan->steps[i].kind != STEP_PEER_REMOVE &&
		    plan->steps[i].kind != STEP_ROUTE_ADD)
			return plan->steps[0].kind == STEP_NAMESPACE_MAKE;
	return true;
}

/* It is read once more behind the answer, since it stays suspect, and watched from then on. */
void engine_carried_out(struct engine *e, struct engine_network *n, const struct plan *plan)
{
	const struct state have = { .ifindex = n->tenant.ifindex, .mtu = plan->want->mtu };

	if (!is_plain(e, plan) || have.ifindex == 0)
		return;	/* the next round reads again, and finds it equal */
	engine_settled(e, n, plan->want, &have);
	ports_add(&e->suspect, n->tenant.port);
}
