#include <string.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/model.h"
#include "daemon/engine.h"
#include "netns/link.h"
#include "netns/state.h"
#include "netns/wireguard.h"

/* The end of networks that the document lacks.  By now the broker has forgotten them, and no worker has a
 * socket in them. */

static struct engine_network *next_removal(const struct engine *e, uint32_t port)
{
	struct engine_network *n = engine_next(e, port);

	while (n != NULL && n->want != NULL)
		n = engine_after(n);
	return n;
}

bool engine_has_removals(const struct engine *e)
{
	return next_removal(e, 1) != NULL;
}

static void count_last(struct engine *e, struct engine_network *n)
{
	struct state    state;
	struct tg_error err;

	/* From here on nothing is counted any more, so the next reading is the last. */
	link_down(&n->tenant, NULL);
	if (apply_read(&e->kernel, &e->host, &n->tenant, &state, &err) == 0)
		engine_ledger_last(e, n, &state);
	state_clear(&state);
	n->counted = true;
}

/* Reads: that adopts one that this process has not seen yet, and tells under which key it is booked. */
static bool is_there(struct engine *e, struct engine_network *n)
{
	struct state    state;
	struct tg_error err;
	bool            there =
		apply_read(&e->kernel, &e->host, &n->tenant, &state, &err) == 0 && state.exists;

	if (there && !n->keyed && state.device) {
		n->public_key = state.public_key;
		n->keyed = !tg_key_is_zero(&n->public_key);
	}
	state_clear(&state);
	return there;
}

void engine_count_moved(struct engine *e, struct engine_network *n)
{
	const struct engine_network *other = engine_next(e, 1);

	if (n->counted || (!n->keyed && !is_there(e, n)) || !n->keyed)
		return;
	while (other != NULL &&
	       (other->want == NULL || !tg_key_equal(&other->want->public_key, &n->public_key)))
		other = engine_after(other);
	if (other != NULL)
		count_last(e, n);
}

bool engine_down_next(struct engine *e)
{
	struct engine_network *n = next_removal(e, e->at);

	if (n == NULL)
		return false;
	e->at = n->tenant.port + 1U;
	if (!n->counted && is_there(e, n))
		count_last(e, n);
	return true;
}

bool engine_remove_next(struct engine *e)
{
	struct tg_error        err = { .code = TG_CODE_NONE };
	struct engine_network *n = next_removal(e, e->at);

	if (n == NULL)
		return false;

	uint16_t port = n->tenant.port;

	e->at = port + 1U;
	if (n->tenant.ns != -1 && e->kernel.wireguard != NULL)
		e->kernel.wireguard->end(&e->host, &n->tenant);
	if (netns_unpin(&e->host, port, &err) != 0) {
		char quoted[256];

		tg_log(TG_LOG_ERROR, "network not removed", "network=%u reason=%s", (unsigned)port,
		       tg_quote(quoted, sizeof quoted, err.text));
		/* It is in the table again with the next apply. */
		e->unlisted = true;
	} else {
		tg_log(TG_LOG_INFO, "network removed", "network=%u", (unsigned)port);
	}
	engine_network_free(e, port);
	return true;
}
