/* Starts a role: fork and exec of this same binary, with nothing open but what it is given. */
#ifndef TOLLGATE_DAEMON_SPAWN_H
#define TOLLGATE_DAEMON_SPAWN_H

#include <sys/types.h>

#include "base/msg.h"

struct tg_error;

/* `channel` becomes its ROLE_SUPERVISOR_FD, `state_dir` (-1: none) its ROLE_STATE_FD and `home` (a
 * directory) its working directory; all stay the caller's.  Returns its pid, or -1. */
pid_t spawn_role(enum msg_role role, int channel, int state_dir, int home, struct tg_error *err);

#endif
