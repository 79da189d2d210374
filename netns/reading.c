#include "netns/reading.h"

#include <errno.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "netns/link.h"
#include "netns/namespace.h"
#include "netns/sysctl.h"
#include "netns/wireguard.h"

#define TRIES_MOST 5	/* a dump that changes under the reader is begun anew */
#define LARGE      1000	/* peers or routes: sorting and comparing them takes a while, too */

void reading_begin(struct reading *reading, const struct netns_host *host, struct tenant *tenant,
                   enum reading_what what)
{
	*reading = (struct reading){ .host = host, .tenant = tenant, .what = what, .answer.fd = -1 };
}

void reading_end(struct reading *reading)
{
	struct tg_error err;

	/* A dump that nobody reads stands in the way of the next one, and of whoever deletes the link. */
	if (reading->asked && netns_reopen(reading->host, reading->tenant, &err) != 0)
		tg_die("%s", err.text);
	reading->asked = false;
	uapi_end(&reading->answer);
	state_clear(&reading->state);
}

enum reading_result reading_dump(struct reading *reading, int fd,
                                 struct nl_msg *(*ask)(const struct reading *reading), netlink_each_fn *each,
                                 uint64_t until_ms, struct tg_error *err)
{
	struct netlink_exchange *ex = &reading->exchange;

	if (!reading->asked && netlink_begin(ex, fd, ask(reading), each, reading, err) != 0)
		return READING_FAILED;

	int done = netlink_go_on(ex, fd, until_ms, err);

	reading->asked = !ex->over;
	if (done != 0)
		return READING_FAILED;
	return ex->over ? READING_DONE : READING_MORE;
}

static enum reading_result result_of(int done)
{
	return done == 0 ? READING_DONE : READING_FAILED;
}

static enum reading_result find_namespace(struct reading *reading, struct tg_error *err)
{
	struct tenant *tenant = reading->tenant;
	struct state  *to = &reading->state;

	if (tenant->ns == -1 && netns_adopt(reading->host, tenant, err) != 0) {
		if (err->code != TG_CODE_NOT_FOUND)
			return READING_FAILED;
		reading->stage = READING_AT_END;
		return READING_DONE;
	}
	to->exists = true;
	if (reading->what == READING_DEVICE) {
		to->link = STATE_LINK_OURS;
		reading->stage = READING_AT_DEVICE;
		return READING_DONE;
	}
	if (reading->what == READING_PEERS) {
		to->pinned = to->sysctls = to->lo_up = to->up = true;
		to->link = STATE_LINK_OURS;
		to->ifindex = tenant->ifindex;
		reading->dump = LINK_DUMP_ROUTES;
	} else {
		to->pinned = netns_pinned(reading->host, tenant);
	}
	reading->stage = READING_AT_LINKS;
	return READING_DONE;
}

/* One stage, or a part of it; whether that stage is through. */
static enum reading_result read_stage(const struct wireguard *wireguard, struct reading *reading,
                                      uint64_t until_ms, struct tg_error *err)
{
	struct tenant      *tenant = reading->tenant;
	struct state       *to = &reading->state;
	enum reading_result result = READING_DONE;

	switch (reading->stage) {
	case READING_AT_NAMESPACE:
		return find_namespace(reading, err);
	case READING_AT_LINKS:
		result = link_read(reading, until_ms, err);
		if (result == READING_DONE && to->link == STATE_LINK_OURS)
			tenant->ifindex = to->ifindex;
		break;
	case READING_AT_SYSCTLS:
		if (!to->sysctls)
			result = result_of(sysctl_read(reading->host, tenant, to->link == STATE_LINK_OURS,
			                               &to->sysctls, err));
		break;
	case READING_AT_DEVICE:
		if (wireguard != NULL)
			result = wireguard->read(reading, until_ms, err);
		if (result == READING_DONE && reading->what == READING_PEERS && !to->device)
			result = result_of(tg_fail_errno(err, EINTR, "it has another link"));
		break;
	case READING_AT_ORDER:
		state_sort(to);
		break;
	case READING_AT_END:
		return READING_DONE;
	}
	if (result == READING_DONE)
		reading->stage++;
	return result;
}

static void begin_anew(struct reading *reading)
{
	unsigned tries = reading->tries + 1;

	uapi_end(&reading->answer);
	state_clear(&reading->state);
	reading_begin(reading, reading->host, reading->tenant,
	              reading->what == READING_PEERS ? READING_ALL : reading->what);
	reading->tries = tries;
}

/* With few peers a look at the clock between two stages would cost more than it is good for. */
static bool is_large(const struct reading *reading)
{
	return reading->tries > 0 || reading->state.peers_count + reading->state.routes_count >= LARGE;
}

enum reading_result reading_go_on(const struct wireguard *wireguard, struct reading *reading,
                                  uint64_t until_ms, struct tg_error *err)
{
	while (reading->stage != READING_AT_END) {
		struct tg_error     why = { .code = TG_CODE_NONE };
		enum reading_result result = read_stage(wireguard, reading, until_ms, &why);

		if (result == READING_FAILED && !reading->asked &&
		    (reading->what == READING_PEERS ||
		     (why.sys == EINTR && reading->tries + 1 < TRIES_MOST)))
			begin_anew(reading);
		else if (result != READING_DONE) {
			if (result == READING_FAILED && err != NULL)
				*err = why;
			return result;
		}
		/* What is done with a large one then is the work of a whole turn, too. */
		if (is_large(reading) && (reading->stage == READING_AT_END || tg_clock_ms() >= until_ms))
			return READING_MORE;
	}
	return READING_DONE;
}
