#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/key.h"
#include "base/model.h"
#include "netns/differ.h"
#include "netns/link.h"
#include "netns/namespace.h"
#include "netns/reading.h"
#include "netns/state.h"
#include "netns/uapi.h"
#include "netns/userspace.h"
#include "netns/wireguard.h"

/* What is asked of wireguard-go, and told.  One question is open at a time, and none while a change is: else
 * an answer could come that is older than what is known already. */

#define ANSWER_MS     5		/* it answers within one: whoever does not is asked again later */
#define CHANGE_MS     10	/* for each new peer it computes X25519, too: then the loop has its turn */
#define CHANGES_MS    250	/* so long others wait, rather than that the plan is made anew */
#define FRESH_MS      1000	/* from one look for an answer to the next: it tells of a time between them */
#define DEAF_MS	      5000	/* on a busy machine it is a little late */
#define REFUSED_MS    2000	/* until who had the port is gone: it may just have been told to end */
#define REQUEST_BYTES 65536

/* No answer is no failure until it has been so for long: in between the loop goes on.  Returns -1. */
static int not_answered(struct tenant *tenant, const struct tg_error *why, struct tg_error *err)
{
	uint64_t now = tg_clock_ms();

	if (why->sys != EAGAIN) {
		*err = *why;
		return -1;
	}
	if (tenant->deaf_since_ms == 0)
		tenant->deaf_since_ms = now;
	if (now - tenant->deaf_since_ms < DEAF_MS)
		return tg_fail_errno(err, WIREGUARD_SLOW, "wireguard-go does not answer yet");
	return tg_fail(err, TG_CODE_SYSTEM, "wireguard-go does not answer");
}

/* The public key of the device, which the socket does not tell.  It takes 100 µs, so the last is kept. */
static int fill_public_key(struct tenant *tenant, struct state *to, struct tg_error *err)
{
	if (tg_key_is_zero(&to->private_key))
		return 0;
	if (!tg_key_equal(&tenant->private_key, &to->private_key)) {
		if (tg_key_public(&to->private_key, &tenant->public_key) != 0)
			return tg_fail_memory(err);
		tenant->private_key = to->private_key;
	}
	to->public_key = tenant->public_key;
	return 0;
}

/* One that nobody was waiting for any more says how it was then.  To counters, which only grow, that is no
 * harm for a while. */
static bool is_late(const struct reading *reading)
{
	const struct tenant *tenant = reading->tenant;
	uint64_t             now = tg_clock_ms();

	return now - tenant->asked_at_ms >= DEAF_MS ||
	       (reading->what != READING_DEVICE && now >= tenant->awaited_at_ms + FRESH_MS);
}

/* Whether the answer to the question that is open is to be waited for.  Not one that has come late, or that
 * was asked for before the link went down: it is not the last; and who is gone gives none. */
static bool is_open(const struct reading *reading)
{
	struct tenant *tenant = reading->tenant;
	char           byte;

	if (tenant->asked == -1 || (reading->what == READING_LAST && !tenant->asked_last))
		return false;

	ssize_t n = recv(tenant->asked, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n == -1 && errno == EAGAIN)
		return true;
	tenant->deaf_since_ms = 0;
	return n == 1 && !is_late(reading);
}

/* The state of the link before its device is asked for: MORE, it is to be. */
static enum reading_result find_server(struct reading *reading, int *fd, struct tg_error *err)
{
	struct tenant *tenant = reading->tenant;
	struct state  *to = &reading->state;
	pid_t          pid = 0;

	*fd = uapi_connect(tenant->link, &pid, err);
	if (*fd == -1 && err->code == TG_CODE_NOT_FOUND) {
		/* A TUN that nobody serves. */
		if (to->link == STATE_LINK_OURS)
			to->link = STATE_LINK_OTHER;
		return READING_DONE;
	}
	if (*fd == -1)
		return READING_FAILED;
	if (to->link == STATE_LINK_NONE) {
		if (link_in_host(reading->host, tenant, NULL) == 0)
			to->link = STATE_LINK_HOST;
		return READING_DONE;
	}
	userspace_watch(tenant, pid);
	return READING_MORE;
}

/* Asks whoever serves the link for the device, unless that was done: MORE, the answer is to come. */
static enum reading_result ask_device(struct reading *reading, struct tg_error *err)
{
	struct tenant      *tenant = reading->tenant;
	const struct state *to = &reading->state;

	if (to->link == STATE_LINK_OTHER || to->renamed)
		return READING_DONE;
	if (to->link == STATE_LINK_OURS && is_open(reading)) {
		reading->answer = (struct uapi_answer){ .fd = tg_take_fd(&tenant->asked),
			                                .heard_at_ms = tg_clock_ms() };
		return READING_MORE;
	}
	tg_close_at(&tenant->asked);

	TG_AUTO_FD          fd = -1;
	enum reading_result result = find_server(reading, &fd, err);

	if (result != READING_MORE)
		return result;
	tenant->asked_at_ms = tg_clock_ms();
	tenant->asked_last = reading->what == READING_LAST;
	if (uapi_begin(&reading->answer, tg_take_fd(&fd), "get=1\n\n", 7, err) != 0)
		return READING_FAILED;
	return READING_MORE;
}

/* Until something has come there is little patience, and none with who is deaf. */
static int hear(struct reading *reading, uint64_t until_ms, struct tg_error *err)
{
	struct tenant      *tenant = reading->tenant;
	struct uapi_answer *answer = &reading->answer;
	uint64_t            patient_until_ms = answer->heard_at_ms;

	if (answer->bytes > 0)
		return uapi_go_on(answer, until_ms, err);
	if (tenant->deaf_since_ms == 0)
		patient_until_ms += ANSWER_MS;
	if (uapi_go_on(answer, until_ms < patient_until_ms ? until_ms : patient_until_ms, err) != 0)
		return -1;
	if (answer->bytes > 0 || tg_clock_ms() < patient_until_ms)
		return 0;
	/* The question stays open, for the next reading. */
	tenant->awaited_at_ms = tg_clock_ms();
	tenant->asked = tg_take_fd(&answer->fd);
	return tg_fail_errno(err, EAGAIN, "wireguard-go does not answer");
}

static enum reading_result take_device(struct reading *reading, uint64_t until_ms, struct tg_error *err)
{
	struct tenant *tenant = reading->tenant;
	struct state  *to = &reading->state;

	if (hear(reading, until_ms, err) != 0)
		return READING_FAILED;
	if (!reading->answer.over)
		return READING_MORE;
	tenant->deaf_since_ms = 0;
	if (uapi_read_some(&reading->answer, to, until_ms, err) != 0)
		return READING_FAILED;
	if (!to->device)
		return READING_MORE;
	uapi_end(&reading->answer);
	if (tenant->port_refused)
		to->port = 0;
	return fill_public_key(tenant, to, err) == 0 ? READING_DONE : READING_FAILED;
}

static int refused(struct tenant *tenant, struct tg_error *err)
{
	uint64_t now = tg_clock_ms();

	if (tenant->refused_since_ms == 0)
		tenant->refused_since_ms = now;
	if (now - tenant->refused_since_ms < REFUSED_MS)
		return tg_fail_errno(err, WIREGUARD_SLOW, "UDP port %u is not free yet",
		                     (unsigned)tenant->port);
	return wireguard_port_used(tenant->port, err);
}

/* What came of a change, if it is known by then. */
static int take_change(struct tenant *tenant, struct uapi_answer *answer, uint64_t until_ms,
                       struct tg_error *err)
{
	struct tg_error why = { .sys = 0 };
	int             failed = uapi_go_on(answer, until_ms, &why);

	if (failed == 0 && !answer->over && answer->bytes > 0)
		failed = tg_fail(&why, TG_CODE_PROTOCOL, "wireguard-go's answer has no end");
	if (failed == 0 && !answer->over) {
		tenant->changing = tg_take_fd(&answer->fd);
		uapi_end(answer);
		tg_fail_errno(&why, EAGAIN, "wireguard-go does not answer");
		return not_answered(tenant, &why, err);
	}
	uapi_end(answer);
	tenant->deaf_since_ms = 0;
	if (tenant->changes_port) {
		/* It reports the port that it could not bind as if it had it. */
		tenant->port_refused = failed != 0;
		if (failed == 0)
			tenant->refused_since_ms = 0;
	}
	if (failed == 0)
		return 0;
	if (why.sys == EADDRINUSE)
		return refused(tenant, err);
	*err = why;
	return -1;
}

/* Before the change has been carried out nothing that is read would be right. */
static int await_change(struct reading *reading, struct tg_error *err)
{
	struct tenant     *tenant = reading->tenant;
	struct uapi_answer answer = { .fd = -1 };

	if (tenant->changing == -1)
		return 0;
	/* Who made it is to hear of it. */
	if (reading->what == READING_DEVICE)
		return tg_fail_errno(err, WIREGUARD_SLOW, "wireguard-go is being changed");
	answer = (struct uapi_answer){ .fd = tg_take_fd(&tenant->changing), .heard_at_ms = tg_clock_ms() };

	int failed = take_change(tenant, &answer, 0, err);

	/* It may have come to nothing, but what was counted meanwhile is to be read all the same. */
	return reading->what == READING_LAST && tenant->changing == -1 ? 0 : failed;
}

enum reading_result userspace_read(struct reading *reading, uint64_t until_ms, struct tg_error *err)
{
	struct tg_error     why = { .code = TG_CODE_NONE };
	enum reading_result result = READING_MORE;

	if (await_change(reading, &why) != 0)
		result = READING_FAILED;
	else if (reading->answer.fd == -1)
		result = ask_device(reading, &why);
	if (result == READING_MORE)
		result = take_device(reading, until_ms, &why);
	if (result != READING_FAILED)
		return result;
	not_answered(reading->tenant, &why, &why);
	if (err != NULL)
		*err = why;
	return why.sys == WIREGUARD_SLOW ? READING_WAIT : READING_FAILED;
}

/* Goes on with a change: SOON, its end is near. */
static int go_on(struct tenant *tenant, struct uapi_answer *answer, struct tg_error *err)
{
	int failed = take_change(tenant, answer, tg_clock_ms() + CHANGE_MS, err);

	if (tenant->changing != -1 && tg_clock_ms() - tenant->changed_at_ms < CHANGES_MS)
		return tg_fail_errno(err, WIREGUARD_SOON, "wireguard-go is being changed");
	return failed;
}

/* The change that is under way is the one that the call began before. */
static int resume(struct tenant *tenant, struct tg_error *err)
{
	struct uapi_answer answer = { .fd = tg_take_fd(&tenant->changing), .heard_at_ms = tg_clock_ms() };

	return go_on(tenant, &answer, err);
}

static int change(struct tenant *tenant, const char *request, size_t bytes, bool port, struct tg_error *err)
{
	struct uapi_answer answer;
	struct tg_error    why = { .sys = 0 };
	pid_t              pid;
	TG_AUTO_FD         fd = -1;

	assert(tenant->changing == -1);
	/* An answer to come would be one of before. */
	tg_close_at(&tenant->asked);
	fd = uapi_connect(tenant->link, &pid, &why);
	if (fd == -1)
		return not_answered(tenant, &why, err);
	tenant->changes_port = port;
	tenant->changed_at_ms = tg_clock_ms();
	if (uapi_begin(&answer, tg_take_fd(&fd), request, bytes, &why) != 0) {
		uapi_end(&answer);
		return not_answered(tenant, &why, err);
	}
	return go_on(tenant, &answer, err);
}

int userspace_device(const struct netns_host *host, struct tenant *tenant, const struct plan *plan,
                     const struct step *step, struct tg_error *err)
{
	char text[192];
	char hex[65];
	bool port = (step->flags & STEP_PORT) != 0;
	int  n = snprintf(text, sizeof text, "set=1\n");

	(void)host;
	if (tenant->changing != -1)
		return resume(tenant, err);
	if ((step->flags & STEP_KEY) != 0) {
		uapi_print_key(hex, plan->want->private_key.bytes);
		n += snprintf(text + n, sizeof text - (size_t)n, "private_key=%s\n", hex);
	}
	if (port)
		n += snprintf(text + n, sizeof text - (size_t)n, "listen_port=%u\n", (unsigned)tenant->port);
	n += snprintf(text + n, sizeof text - (size_t)n, "\n");

	int failed = change(tenant, text, (size_t)n, port, err);

	explicit_bzero(text, sizeof text);
	explicit_bzero(hex, sizeof hex);
	return failed;
}

int userspace_peers(const struct netns_host *host, struct tenant *tenant, const struct plan *plan,
                    const struct step *steps, size_t count, struct tg_error *err)
{
	TG_AUTO_FREE char *text = malloc(REQUEST_BYTES);
	size_t             i = 0;

	(void)host;
	if (text == NULL)
		return tg_fail_memory(err);
	if (tenant->changing != -1) {
		if (resume(tenant, err) != 0)
			return -1;
		i = tenant->changed;
	}
	while (i < count) {
		size_t at = (size_t)snprintf(text, REQUEST_BYTES, "set=1\n");
		size_t first = i;

		for (; i < count; i++) {
			size_t more = uapi_print_step(text + at, REQUEST_BYTES - at - 2, plan, &steps[i]);

			if (more == 0)
				break;
			at += more;
		}
		if (i == first)
			return tg_fail_memory(err);
		text[at++] = '\n';
		tenant->changed = i;

		int failed = change(tenant, text, at, false, err);

		explicit_bzero(text, at);
		if (failed != 0)
			return -1;
	}
	return 0;
}
