#include "daemon/segments.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"

struct segments {
	int            dir;	/* borrowed */
	size_t         count;
	struct segment list[SEGMENTS_MOST];
};

/* A lock belongs to the open file, which a worker's mapping keeps: while it is held, somebody may write.
 * Our own descriptor came from another open() and holds none. */
static bool has_writer(const struct segments *segments, const char *name)
{
	TG_AUTO_FD fd = openat(segments->dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	return fd != -1 && flock(fd, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK;
}

static void adopt(struct segments *segments, const char *name)
{
	TG_AUTO_FD      fd = openat(segments->dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct segment *one = &segments->list[segments->count];
	struct stat     st;
	char            quoted[2 * MSG_NAME_MOST];

	if (fd == -1 || fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) ||
	    (st.st_size != (off_t)MSG_SEGMENT_BYTES && st.st_size != (off_t)MSG_SLOTS_BYTES) ||
	    strlen(name) >= MSG_NAME_MOST || segments->count == SEGMENTS_MOST) {
		tg_log(TG_LOG_WARN, "left a file alone that holds no counters", "file=%s",
		       tg_quote(quoted, sizeof quoted, name));
		return;
	}
	memset(one, 0, sizeof *one);
	snprintf(one->is.name, sizeof one->is.name, "%s", name);
	one->is.index = MSG_SEGMENT_ADOPTED;
	one->orphan = has_writer(segments, name);
	one->is.live = one->orphan;
	one->fd = tg_take_fd(&fd);
	segments->count++;
}

struct segments *segments_new(int dir, struct tg_error *err)
{
	TG_AUTO_FREE struct segments *segments = calloc(1, sizeof *segments);
	TG_AUTO_FD                    copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR                          *list = copy == -1 ? NULL : fdopendir(copy);

	if (list == NULL) {
		tg_fail_sys(err, "cannot list the counters' directory");
		return NULL;
	}
	(void)tg_take_fd(&copy);	/* closedir() closes it */
	if (segments == NULL) {
		closedir(list);
		tg_fail_memory(err);
		return NULL;
	}
	segments->dir = dir;
	for (const struct dirent *entry; (entry = readdir(list)) != NULL;)
		if (entry->d_name[0] != '.')
			adopt(segments, entry->d_name);
	closedir(list);
	return tg_take_ptr(&segments);
}

void segments_free(struct segments *segments)
{
	if (segments == NULL)
		return;
	for (size_t i = 0; i < segments->count; i++)
		close(segments->list[i].fd);
	free(segments);
}

static void drop(struct segments *segments, size_t i)
{
	unlinkat(segments->dir, segments->list[i].is.name, 0);
	close(segments->list[i].fd);
	segments->count--;
	memmove(&segments->list[i], &segments->list[i + 1], (segments->count - i) * sizeof segments->list[0]);
}

/* Workers die faster than control stores: some bytes must be lost, and are said to be. */
static void make_room(struct segments *segments)
{
	if (segments->count < SEGMENTS_MOST)
		return;
	for (size_t i = 0; i < segments->count; i++) {
		if (segments->list[i].is.live)
			continue;
		tg_log(TG_LOG_ERROR, "lost a dead worker's byte counters: control takes none", "segment=%s",
		       segments->list[i].is.name);
		drop(segments, i);
		return;
	}
}

const struct segment *segments_add(struct segments *segments, uint32_t worker, struct tg_error *err)
{
	uint64_t random;

	make_room(segments);
	if (segments->count == SEGMENTS_MOST || getrandom(&random, sizeof random, 0) != sizeof random) {
		tg_fail(err, TG_CODE_LIMIT, "no room for one more file of counters");
		return NULL;
	}

	struct segment *one = &segments->list[segments->count];

	memset(one, 0, sizeof *one);
	one->is.index = worker;
	one->is.live = 1;
	snprintf(one->is.name, sizeof one->is.name, "worker-%" PRIu32 "-%016" PRIx64, worker, random);

	TG_AUTO_FD fd = openat(segments->dir, one->is.name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd == -1 || ftruncate(fd, MSG_SEGMENT_BYTES) == -1 || flock(fd, LOCK_SH | LOCK_NB) == -1) {
		tg_fail_sys(err, "cannot make a file of counters");
		if (fd != -1)
			unlinkat(segments->dir, one->is.name, 0);
		return NULL;
	}
	one->fd = tg_take_fd(&fd);
	segments->count++;
	return one;
}

static struct segment *segments_find(struct segments *segments, const char *name)
{
	for (size_t i = 0; i < segments->count; i++)
		if (strcmp(segments->list[i].is.name, name) == 0)
			return &segments->list[i];
	return NULL;
}

const struct segment *segments_end(struct segments *segments, const char *name)
{
	struct segment *one = segments_find(segments, name);

	if (one == NULL)
		return NULL;
	one->is.live = 0;
	one->orphan = false;
	return one;
}

const struct segment *segments_orphan_ended(struct segments *segments)
{
	for (size_t i = 0; i < segments->count; i++)
		if (segments->list[i].orphan && !has_writer(segments, segments->list[i].is.name))
			return segments_end(segments, segments->list[i].is.name);
	return NULL;
}

bool segments_remove(struct segments *segments, const char *name)
{
	for (size_t i = 0; i < segments->count; i++) {
		if (strcmp(segments->list[i].is.name, name) != 0 || segments->list[i].is.live)
			continue;
		drop(segments, i);
		return true;
	}
	return false;
}

const struct segment *segments_at(const struct segments *segments, size_t i)
{
	return i < segments->count ? &segments->list[i] : NULL;
}
