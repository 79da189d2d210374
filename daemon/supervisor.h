/* The supervisor: opens what needs root or a path, starts the other processes, passes them what they
 * need, restarts what dies.  It parses nothing that came from outside. */
#ifndef TOLLGATE_DAEMON_SUPERVISOR_H
#define TOLLGATE_DAEMON_SUPERVISOR_H

struct options;

/* Runs the daemon to its end; returns its exit status. */
int supervisor_run(const struct options *options);

#endif
