/* What the supervisor's files share. */
#ifndef TOLLGATE_DAEMON_SUPERVISOR_STATE_H
#define TOLLGATE_DAEMON_SUPERVISOR_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/msg.h"
#include "daemon/account.h"
#include "daemon/rundir.h"

struct channel;
struct event;
struct event_base;
struct options;
struct segments;
struct supervisor;
struct tg_error;

struct process {
	struct supervisor *supervisor;	/* borrowed */
	enum msg_role      role;
	uint32_t           index;	/* of a worker, else 0 */
	pid_t              pid;		/* 0: not running */
	struct channel    *channel;	/* NULL: not running, or about to be gone */
	struct event      *timer;	/* not running: time to start; else: time to kill */
	bool               stopping;	/* was told to stop: not to be started again */
	bool               ready;
	bool               ever_ready;	/* in any of its lives */
	uint64_t           ready_at_ms;
	unsigned           failures;	/* short lives in a row */
	int                http, https;	/* a worker's listening sockets, for ever; -1: none */
	char               segment[MSG_NAME_MOST];	/* a worker's file of counters; "": none */
};

enum phase {
	PHASE_RUN,
	PHASE_DRAIN,		/* workers finish; control answers, engine and broker serve them */
	PHASE_STORE,		/* control records the last counters */
	PHASE_END,		/* engine and broker go */
};

#define SUPERVISOR_SIGNALS 5
#define SUPERVISOR_FILES   (MSG_FILE_API_CLIENT_CA + 1)	/* kinds of them */

struct supervisor {
	const struct options *options;	/* borrowed */
	struct event_base    *base;
	enum phase            phase;
	int                   status;	/* the exit status */
	bool                  announced;	/* that everything is ready, once */
	struct rundir         run;
	struct account        account;
	int                   state_dir;	/* locked */
	int                   root;	/* "/" */
	int                   api_unix, api_tcp;	/* -1: none */
	int                   files[SUPERVISOR_FILES];	/* sealed copies, by enum msg_file_kind; -1: none */
	int                   active;	/* MSG_ACTIVE's memory file */
	struct segments      *segments;
	struct event         *orphans;	/* looks for workers of an earlier daemon that have gone */
	struct event         *signals[SUPERVISOR_SIGNALS];
	struct process       *processes;	/* engine, broker, control, workers */
	size_t                count;
};

#define SUPERVISOR_ENGINE  0
#define SUPERVISOR_BROKER  1
#define SUPERVISOR_CONTROL 2
#define SUPERVISOR_WORKERS 3	/* the first of them */

/* supervisor_open.c: everything that may fail with a line for the operator.  On -1 what was opened is
 * left for supervisor_close(). */
int supervisor_open(struct supervisor *s, const struct options *options, struct tg_error *err);
void supervisor_close(struct supervisor *s);
/* Reads the options' files again; one that cannot be read is logged and stays as it was.  false: none
 * was read. */
bool supervisor_read_again(struct supervisor *s);

/* supervisor_start.c */
/* Starts the process and gives it all it needs, or tries again later. */
void supervisor_start(struct process *p);
/* Sends control the options' files. */
void supervisor_send_files(struct supervisor *s);

/* supervisor.c */
/* From the loop, as the channel's callbacks want them. */
void supervisor_on_message(struct channel *channel, const struct msg *msg, int *fds, size_t count, void *arg);
void supervisor_on_closed(struct channel *channel, void *arg);
/* Tells control which processes are not ready: it answers for them in GET /health. */
void supervisor_tell_down(struct supervisor *s);
/* Arms the process's timer. */
void supervisor_set_timer(struct process *p, uint64_t after_ms);

#endif
