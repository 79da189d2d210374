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
	struct engine_network *n = engine_next_of(e, &e->unsettled, port);

	while (n != NULL && n->want != NULL)
		n = engine_next_of(e, &e->unsettled, n->tenant.port + 1U);
	return n;
}

bool engine_has_removals(const struct engine *e)
{
	return next_removal(e, 1) != NULL;
}

/* Whom wireguard-go does not answer for yet is read anew behind the others, until it is taken for deaf: on a
 * busy machine it is only late, and what it counted would be lost. */
static bool is_through(struct engine *e, struct engine_network *n, enum reading_result result)
{
	if (result == READING_WAIT)
		engine_read_later(e, n);
	return result != READING_WAIT && result != READING_MORE;
}

/* false: it is still being read, or waits for its wireguard-go. */
static bool count_last(struct engine *e, struct engine_network *n, uint64_t until_ms)
{
	enum reading_result result;

	/* From here on nothing is counted any more, so the next reading is the last. */
	if (!engine_reads(e, n, ENGINE_READER_LAST))
		link_down(&n->tenant, NULL);
	result = engine_read(e, n, ENGINE_READER_LAST, until_ms, NULL);
	if (!is_through(e, n, result))
		return false;
	if (result == READING_DONE)
		engine_ledger_last(e, n, &e->reading.state);
	engine_read_end(e);
	n->counted = true;
	return true;
}

enum presence { PRESENCE_NONE, PRESENCE_THERE, PRESENCE_UNKNOWN };	/* the last: not yet read */

/* Reads: that adopts one that this process has not seen yet, and tells under which key it is booked. */
static enum presence look_for(struct engine *e, struct engine_network *n, uint64_t until_ms)
{
	enum reading_result result = engine_read(e, n, ENGINE_READER_STEPS, until_ms, NULL);
	const struct state *state = &e->reading.state;
	enum presence       presence = PRESENCE_NONE;

	if (!is_through(e, n, result))
		return PRESENCE_UNKNOWN;
	if (result == READING_DONE && state->exists)
		presence = PRESENCE_THERE;
	if (presence == PRESENCE_THERE && !n->keyed && state->device) {
		n->public_key = state->public_key;
		n->keyed = !tg_key_is_zero(&n->public_key);
	}
	engine_read_end(e);
	return presence;
}

bool engine_key_moves(const struct engine *e, const struct engine_network *n)
{
	const struct engine_network *other = engine_next(e, 1);

	while (other != NULL && (other == n || other->want == NULL ||
	                         !tg_key_equal(&other->want->public_key, &n->public_key)))
		other = engine_next(e, other->tenant.port + 1U);
	return other != NULL;
}

bool engine_count_moved(struct engine *e, struct engine_network *n, uint64_t until_ms)
{
	if (n->counted)
		return true;
	if (!n->keyed && look_for(e, n, until_ms) == PRESENCE_UNKNOWN)
		return false;
	return !n->keyed || !engine_key_moves(e, n) || count_last(e, n, until_ms);
}

static void down(struct engine *e, struct engine_network *n, uint64_t until_ms)
{
	if (!n->counted && (n->tenant.ns == -1 || engine_reads(e, n, ENGINE_READER_STEPS))) {
		enum presence presence = look_for(e, n, until_ms);

		if (presence == PRESENCE_UNKNOWN)
			return;
		n->counted = presence == PRESENCE_NONE;
	}
	if (!n->counted)
		count_last(e, n, until_ms);
}

bool engine_down_next(struct engine *e, uint64_t until_ms)
{
	struct engine_network *n = next_removal(e, e->at);

	if (n == NULL)
		return false;
	e->at = n->tenant.port;
	if (e->reader != ENGINE_READER_NONE || n->wait_until_ms <= tg_clock_ms())
		down(e, n, until_ms);
	/* One that waits for its wireguard-go has its turn again when the others have had theirs. */
	if (e->reader == ENGINE_READER_NONE)
		e->at = n->tenant.port + 1U;
	return true;
}

bool engine_down_waits(const struct engine *e)
{
	const struct engine_network *n = next_removal(e, 1);

	while (n != NULL && n->counted)
		n = next_removal(e, n->tenant.port + 1U);
	return n != NULL;
}

bool engine_remove_next(struct engine *e, uint64_t until_ms)
{
	struct tg_error        err = { .code = TG_CODE_NONE };
	struct engine_network *n = next_removal(e, e->at);

	(void)until_ms;
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
