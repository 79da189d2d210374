/* Whose processes control is, and the directory of its files. */
#ifndef TOLLGATE_DAEMON_ACCOUNT_H
#define TOLLGATE_DAEMON_ACCOUNT_H

#include <sys/types.h>

struct tg_error;

#define ACCOUNT_NOBODY 65534	/* the workers' uid and gid; control's never: it holds the keys */

struct account {
	uid_t uid;
	gid_t gid;
};

/* The account of that name.  With NULL: `tollgate`, else a uid that has no name (of `state_dir`'s owner
 * when that is one, so that it stays the same), with a warning in the log. */
int account_find(struct account *to, const char *name, const char *state_dir, struct tg_error *err);
/* Opens the state directory, made when missing (mode 0700), it and the files in it being the account's.
 * Locks it (no other daemon may use it).  The descriptor is the caller's. */
int account_state_dir(const char *path, const struct account *owner, struct tg_error *err);

#endif
