/* What is left of root's rights in each role, so that a fault in it reaches no further. */
#ifndef TOLLGATE_DAEMON_SANDBOX_H
#define TOLLGATE_DAEMON_SANDBOX_H

#include <stdbool.h>

#include "base/msg.h"

struct tg_error;

/* Whether this process has the rights that all roles together need; else `err` names what lacks. */
bool sandbox_has_rights(struct tg_error *err);
/* Takes this process's rights down to the role's, for ever.  The working directory becomes the root of
 * control (its state directory, whose owner it becomes) and of workers (an empty one).  A forbidden
 * system call then kills the process; with `explain` it is named in the log first.  On -1 the rights are
 * undefined: exit. */
int sandbox_enter(enum msg_role role, bool explain, struct tg_error *err);
/* The last part of it: the filter of system calls (none for engine and broker).  Needs no rights. */
int sandbox_filter(enum msg_role role, bool explain, struct tg_error *err);
/* Built with sanitizers, which need more than the filter allows: then the roots are not changed and the
 * filter forbids only new programs (and, in workers, sockets). */
bool sandbox_is_relaxed(void);

#endif
