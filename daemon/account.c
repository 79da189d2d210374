#include "daemon/account.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"

#define STANDARD_NAME "tollgate"
/* Debian gives 1000 and up to people, from below; 60000 and up are reserved. */
#define UNNAMED_FIRST 59999
#define UNNAMED_LAST  50000

static bool is_unnamed(uid_t id)
{
	return getpwuid(id) == NULL && getgrgid(id) == NULL;
}

static int find_unnamed(struct account *to, const char *state_dir, struct tg_error *err)
{
	struct stat st;

	if (stat(state_dir, &st) == 0 && st.st_uid >= UNNAMED_LAST && st.st_uid <= UNNAMED_FIRST &&
	    is_unnamed(st.st_uid)) {
		to->uid = to->gid = st.st_uid;
		return 0;
	}
	for (uid_t id = UNNAMED_FIRST; id >= UNNAMED_LAST; id--) {
		if (is_unnamed(id)) {
			to->uid = to->gid = id;
			return 0;
		}
	}
	return tg_fail(err, TG_CODE_LIMIT, "no uid from %d to %d is free", UNNAMED_LAST, UNNAMED_FIRST);
}

int account_find(struct account *to, const char *name, const char *state_dir, struct tg_error *err)
{
	const struct passwd *entry = getpwnam(name != NULL ? name : STANDARD_NAME);

	if (entry == NULL && name != NULL)
		return tg_fail(err, TG_CODE_INVALID, "there is no user \"%.60s\"", name);
	if (entry == NULL) {
		if (find_unnamed(to, state_dir, err) == -1)
			return -1;
		tg_log(TG_LOG_WARN,
		       "there is no user " STANDARD_NAME ": control runs as a uid without a name", "uid=%u",
		       to->uid);
		return 0;
	}
	if (entry->pw_uid == 0 || entry->pw_uid == ACCOUNT_NOBODY)
		return tg_fail(err, TG_CODE_INVALID, "control may not run as \"%.60s\"", entry->pw_name);
	to->uid = entry->pw_uid;
	to->gid = entry->pw_gid;
	return 0;
}

static bool is_ours(const char *name)
{
	return strncmp(name, "state.json", 10) == 0 || strncmp(name, "traffic.db", 10) == 0;
}

/* Gives what belonged to `before`, and our files that root put there (a backup), to the account.  The
 * owner was unprivileged: links that it may have put there are left alone. */
static int own_file(int dir, const char *name, uid_t before, const struct account *owner,
                    struct tg_error *err)
{
	TG_AUTO_FD  fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_nlink != 1)
		return 0;
	if (st.st_uid == owner->uid || !(is_ours(name) || (before != 0 && st.st_uid == before)))
		return 0;
	if (fchown(fd, owner->uid, owner->gid) == -1)
		return tg_fail_sys(err, "cannot give %.60s to uid %u", name, owner->uid);
	return 0;
}

/* Goes through the directory: makes the files the account's, or with `foreign` only finds out whether it
 * holds files and none of ours. */
static int go_through(int dir, uid_t before, const struct account *owner, bool *foreign, struct tg_error *err)
{
	TG_AUTO_FD copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR       *list = copy == -1 ? NULL : fdopendir(copy);
	bool       others = false, ours = false;
	int        result = 0;

	if (list == NULL)
		return tg_fail_sys(err, "cannot be listed");
	(void)tg_take_fd(&copy);	/* closedir() closes it */
	for (const struct dirent *entry; result == 0 && (entry = readdir(list)) != NULL;) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		ours = ours || is_ours(entry->d_name);
		others = true;
		if (foreign == NULL)
			result = own_file(dir, entry->d_name, before, owner, err);
	}
	closedir(list);
	if (foreign != NULL)
		*foreign = others && !ours;
	return result;
}

int account_state_dir(const char *path, const struct account *owner, struct tg_error *err)
{
	if (mkdir(path, 0700) == -1 && errno != EEXIST)
		return tg_fail_sys(err, "cannot be made");

	TG_AUTO_FD  fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1)
		return tg_fail_sys(err, "cannot be opened");
	if (flock(fd, LOCK_EX | LOCK_NB) == -1)
		return errno == EWOULDBLOCK ? tg_fail(err, TG_CODE_INVALID, "is used by another daemon")
					    : tg_fail_sys(err, "cannot be locked");
	if (st.st_uid != owner->uid) {
		bool foreign = false;

		/* `--state-dir /etc` would otherwise take it away from everybody. */
		if (go_through(fd, 0, owner, &foreign, err) == -1)
			return -1;
		if (foreign && (st.st_mode & 0077) != 0)
			return tg_fail(err, TG_CODE_INVALID, "holds files that are not the daemon's");
	}
	if (fchown(fd, owner->uid, owner->gid) == -1 || fchmod(fd, 0700) == -1)
		return tg_fail_sys(err, "cannot be given to uid %u", owner->uid);
	if (go_through(fd, st.st_uid, owner, NULL, err) == -1)
		return -1;
	return tg_take_fd(&fd);
}
