#include <assert.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/model.h"
#include "daemon/engine.h"
#include "netns/state.h"

/* The reading that is under way.  It is one at a time, and it keeps whoever else would use the network's
 * sockets off them: steps wait while a snapshot's network is read, snapshots while one is read for steps. */

bool engine_reads(const struct engine *e, const struct engine_network *n, enum engine_reader who)
{
	return e->reader == who && e->reading.tenant == &n->tenant;
}

static enum reading_what what_of(const struct engine *e, const struct engine_network *n,
                                 enum engine_reader who)
{
	if (who == ENGINE_READER_LOOK)
		return READING_DEVICE;
	if (who == ENGINE_READER_LAST)
		return READING_LAST;
	if (e->hasty && n->trusted)
		return READING_PEERS;
	return READING_ALL;
}

/* What the kernel was last equal to, and the document leaves as it is: it is looked at behind the answer, as
 * all is of the networks that the document did not change. */
static int believe(const struct engine_network *n, struct state *to)
{
	const struct tg_cidr *addresses = n->desired->model->cidrs + n->want->addresses_first;

	to->mtu = n->want->mtu;
	for (uint32_t i = 0; i < n->want->addresses_count; i++)
		if (state_add_address(to, &addresses[i]) != 0)
			return -1;
	return 0;
}

enum reading_result engine_read(struct engine *e, struct engine_network *n, enum engine_reader who,
                                uint64_t until_ms, struct tg_error *err)
{
	if (e->reader == ENGINE_READER_NONE) {
		enum reading_what what = what_of(e, n, who);

		reading_begin(&e->reading, &e->host, &n->tenant, what);
		/* To read may be to adopt, and to pin anew; what is worked on was read before. */
		ports_add(&e->untold, n->tenant.port);
		e->reader = who;
		if (who == ENGINE_READER_STEPS && what == READING_ALL)
			n->looked_at_ms = tg_clock_ms();
		if (what == READING_PEERS && believe(n, &e->reading.state) != 0) {
			tg_fail_memory(err);
			return READING_FAILED;
		}
	}
	assert(engine_reads(e, n, who));
	return e->kernel.read(e->kernel.wireguard, &e->reading, until_ms, err);
}

void engine_read_end(struct engine *e)
{
	if (e->reader != ENGINE_READER_NONE)
		reading_end(&e->reading);
	e->reader = ENGINE_READER_NONE;
}

void engine_read_later(struct engine *e, struct engine_network *n)
{
	uint64_t now = tg_clock_ms();
	uint64_t deaf_ms = n->tenant.deaf_since_ms != 0 ? now - n->tenant.deaf_since_ms : 0;

	engine_read_end(e);
	n->wait_until_ms = now + ENGINE_POLL_MS + deaf_ms / 8;
}
