#include "tests/support/peer.h"

#include <check.h>
#include <event2/event.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/fd.h"

static void drop_fds(struct peer *peer)
{
	for (size_t i = 0; i < peer->count; i++)
		close(peer->fds[i]);
	peer->count = 0;
}

static void on_message(struct channel *channel, const struct msg *msg, int *fds, size_t count, void *arg)
{
	struct peer *peer = arg;

	(void)channel;
	drop_fds(peer);
	peer->msg = *msg;
	peer->heard = true;
	for (; peer->count < count; peer->count++)
		peer->fds[peer->count] = tg_take_fd(&fds[peer->count]);
}

static void on_closed(struct channel *channel, void *arg)
{
	struct peer *peer = arg;

	channel_free(channel);
	peer->channel = NULL;
	peer->closed = true;
}

static void peer_join(struct troupe *troupe, struct peer *peer, enum msg_role role, int fd)
{
	*peer = (struct peer){ .closed = false };
	peer->channel = channel_new(troupe->base, fd, role, troupe->role, on_message, on_closed, peer);
	ck_assert_ptr_nonnull(peer->channel);
}

void troupe_begin(struct troupe *troupe, enum msg_role role, troupe_run_fn *run)
{
	int ends[2];

	*troupe = (struct troupe){ .base = event_base_new(), .role = role };
	ck_assert_int_eq(channel_pair(ends, NULL), 0);
	troupe->pid = fork();
	ck_assert_int_ne(troupe->pid, -1);
	if (troupe->pid == 0) {
		close(ends[0]);
		_exit(run(ends[1]));
	}
	close(ends[1]);
	peer_join(troupe, &troupe->supervisor, MSG_ROLE_SUPERVISOR, ends[0]);
}

void troupe_end(struct troupe *troupe)
{
	int status;

	peer_leave(&troupe->supervisor);
	ck_assert_int_eq(waitpid(troupe->pid, &status, 0), troupe->pid);
	ck_assert_int_eq(status, 0);
	event_base_free(troupe->base);
}

void troupe_introduce(struct troupe *troupe, struct peer *peer, enum msg_role role)
{
	struct msg_channel to = { .role = role };
	int                ends[2];

	ck_assert_int_eq(channel_pair(ends, NULL), 0);
	peer_join(troupe, peer, role, ends[0]);
	ck_assert_int_eq(channel_send_taken(troupe->supervisor.channel, MSG_CHANNEL, &to, ends[1]), 0);
}

void peer_wait(struct troupe *troupe, const bool *what)
{
	while (!*what)
		ck_assert_int_eq(event_base_loop(troupe->base, EVLOOP_ONCE), 0);
}

bool peer_is_silent(struct troupe *troupe, const struct peer *peer, unsigned ms)
{
	const struct timeval wait = { .tv_usec = (suseconds_t)(1000 * ms) };

	event_base_loopexit(troupe->base, &wait);
	event_base_dispatch(troupe->base);
	return !peer->heard;
}

void peer_say(struct peer *peer, enum msg_type type, const void *body, int fd)
{
	peer->heard = false;
	ck_assert_int_eq(channel_send(peer->channel, type, body, &fd, fd == -1 ? 0 : 1), 0);
}

void peer_leave(struct peer *peer)
{
	drop_fds(peer);
	channel_free(peer->channel);
	peer->channel = NULL;
}
