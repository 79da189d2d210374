/* A role in a process of its own, and those it talks to, which are the test. */
#ifndef TOLLGATE_TESTS_SUPPORT_PEER_H
#define TOLLGATE_TESTS_SUPPORT_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/msg.h"

struct channel;
struct event_base;

/* One of those, and what it heard last. */
struct peer {
	struct channel *channel;
	struct msg      msg;
	int             fds[MSG_FDS_MOST];
	size_t          count;
	bool            heard, closed;
};

struct troupe {
	struct event_base *base;
	struct peer        supervisor;
	enum msg_role      role;
	pid_t              pid;
};

/* Runs `run` in a new process with its channel to the supervisor, and exits with what it returns. */
typedef int troupe_run_fn(int supervisor_fd);
void troupe_begin(struct troupe *troupe, enum msg_role role, troupe_run_fn *run);
/* The supervisor goes, if it has not yet; expects exit status 0. */
void troupe_end(struct troupe *troupe);
/* Gives the role a channel to `peer`, who is `role`. */
void troupe_introduce(struct troupe *troupe, struct peer *peer, enum msg_role role);

/* Runs the loop until that is true; the test's time limit is that of the wait. */
void peer_wait(struct troupe *troupe, const bool *what);
/* Whether `peer` hears nothing for so long. */
bool peer_is_silent(struct troupe *troupe, const struct peer *peer, unsigned ms);
/* Sends; `fd` -1: none, else it stays the caller's.  What was heard before is forgotten. */
void peer_say(struct peer *peer, enum msg_type type, const void *body, int fd);
/* Closes the channel and what it heard. */
void peer_leave(struct peer *peer);

#endif
