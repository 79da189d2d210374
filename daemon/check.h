/* `tollgated --check`: what would stop a start, found without starting. */
#ifndef TOLLGATE_DAEMON_CHECK_H
#define TOLLGATE_DAEMON_CHECK_H

struct options;

/* Prints each fault of what the options name (files, the user), with its place, to standard error.  Returns
 * the exit status: 0, or 2 when there is one. */
int check_files(const struct options *options);

#endif
