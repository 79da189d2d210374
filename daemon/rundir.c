#include "daemon/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

#define PID_FILE "tollgated.pid"

static int open_dir(int at, const char *name, mode_t mode, struct tg_error *err)
{
	if (mkdirat(at, name, mode) == -1 && errno != EEXIST)
		return tg_fail_sys(err, "cannot make %.80s", name);

	TG_AUTO_FD  fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1)
		return tg_fail_sys(err, "cannot open %.80s", name);
	/* Who can write here can put a socket in the place of ours. */
	if (st.st_uid != geteuid() || (st.st_mode & 0022) != 0)
		return tg_fail(err, TG_CODE_INVALID, "%.80s may be written by others than root", name);
	return tg_take_fd(&fd);
}

/* The lock says whether a daemon lives, the text only who: a pid may be another's by now. */
static int lock_pid_file(int dir, struct tg_error *err)
{
	TG_AUTO_FD fd = openat(dir, PID_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	char       text[24] = "";

	if (fd == -1)
		return tg_fail_sys(err, "cannot open " PID_FILE);
	if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		if (errno != EWOULDBLOCK)
			return tg_fail_sys(err, "cannot lock " PID_FILE);

		ssize_t got = pread(fd, text, sizeof text - 1, 0);

		if (got > 0 && text[got - 1] == '\n')
			text[got - 1] = '\0';
		return tg_fail(err, TG_CODE_INVALID, "is used by another daemon (process %s)", text);
	}

	int len = snprintf(text, sizeof text, "%d\n", (int)getpid());

	if (ftruncate(fd, 0) == -1 || pwrite(fd, text, (size_t)len, 0) != len)
		return tg_fail_sys(err, "cannot write " PID_FILE);
	return tg_take_fd(&fd);
}

static int make_empty(int dir, struct tg_error *err)
{
	if (mkdirat(dir, "empty", 0) == -1 && errno != EEXIST)
		return tg_fail_sys(err, "cannot make an empty directory");

	TG_AUTO_FD fd = openat(dir, "empty", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	/* Removed while open: nothing can be made in it, and nobody finds it. */
	if (fd == -1 || unlinkat(dir, "empty", AT_REMOVEDIR) == -1)
		return tg_fail_sys(err, "cannot make an empty directory");
	return tg_take_fd(&fd);
}

int rundir_open(struct rundir *to, const char *path, struct tg_error *err)
{
	TG_AUTO_FD dir = open_dir(AT_FDCWD, path, 0755, err);
	TG_AUTO_FD pid_file = dir == -1 ? -1 : lock_pid_file(dir, err);
	TG_AUTO_FD segments = pid_file == -1 ? -1 : open_dir(dir, "segments", 0700, err);
	TG_AUTO_FD empty = segments == -1 ? -1 : make_empty(dir, err);

	if (empty == -1)
		return -1;
	to->dir = tg_take_fd(&dir);
	to->pid_file = tg_take_fd(&pid_file);
	to->segments = tg_take_fd(&segments);
	to->empty = tg_take_fd(&empty);
	return 0;
}

void rundir_close(struct rundir *dir)
{
	unlinkat(dir->dir, RUNDIR_SOCKET, 0);
	unlinkat(dir->dir, PID_FILE, 0);
	tg_close_at(&dir->segments);
	tg_close_at(&dir->empty);
	tg_close_at(&dir->pid_file);
	tg_close_at(&dir->dir);
}
