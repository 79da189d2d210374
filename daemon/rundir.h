/* The run directory: pid file and lock, api.sock, the workers' counters. */
#ifndef TOLLGATE_DAEMON_RUNDIR_H
#define TOLLGATE_DAEMON_RUNDIR_H

struct tg_error;

struct rundir {
	int dir;
	int pid_file;	/* locked as long as this process lives: children do not have it */
	int segments;	/* the directory of the workers' counters */
	int empty;	/* a directory that is empty and has no name any more: the workers' root */
};

/* Makes what is missing and locks it; a directory that a living daemon uses is refused. */
int rundir_open(struct rundir *to, const char *path, struct tg_error *err);
/* Removes api.sock and the pid file: the orderly end.  What a killed daemon left is replaced by the next. */
void rundir_close(struct rundir *dir);

#define RUNDIR_SOCKET "api.sock"

#endif
