/* The beginning that all roles but the supervisor share: channel, settings, rights, loop. */
#ifndef TOLLGATE_DAEMON_ROLE_H
#define TOLLGATE_DAEMON_ROLE_H

#include "base/msg.h"

struct channel;
struct event_base;

#define ROLE_SUPERVISOR_FD 3	/* a role finds its channel to the supervisor here after exec */
#define ROLE_STATE_FD      4	/* control only: the state directory */
#define ROLE_REFUSED	   2	/* exit status: with these options or files no start will ever be good */

struct role {
	enum msg_role      self;
	struct event_base *base;
	int                supervisor_fd;	/* the role makes its channel of it, with its own callbacks */
	struct msg_start   start;
	int                state_dir;	/* control: the state directory, else -1 */
};

/* Each runs in its final sandbox, makes its channel_new() on supervisor_fd, handles MSG_CHANNEL,
 * MSG_LISTENER, MSG_FILE, MSG_SEGMENT, MSG_GO, MSG_STOP from its loop, says MSG_READY when it does its
 * work, and returns the exit status.  A closed supervisor channel is a MSG_STOP. */
int role_engine(struct role *role);
int role_broker(struct role *role);
int role_control(struct role *role);
int role_worker(struct role *role);

/* Runs role_X() for argv's role: reads MSG_START, takes the rights down to the role's (DESIGN), then
 * calls it.  Returns the exit status. */
int role_main(const char *name);

#endif
