/* Descriptors and memory that free themselves, and sealed memory files: how a value larger than a
 * message goes from one process to another. */
#ifndef TOLLGATE_BASE_FD_H
#define TOLLGATE_BASE_FD_H

#include <stddef.h>

struct tg_error;

#define TG_AUTO_FD   __attribute__((cleanup(tg_close_at))) int
#define TG_AUTO_FREE __attribute__((cleanup(tg_free_at)))

/* Closes *fd unless it is -1, sets it to -1, keeps errno. */
void tg_close_at(int *fd);
/* Frees what the pointer at `at` points to. */
void tg_free_at(void *at);
/* Returns *fd, which is then -1: ownership goes to the caller. */
int tg_take_fd(int *fd);
/* Returns *(void **)at, which is then NULL. */
void *tg_take_ptr(void *at);

struct tg_part {
	const void *data;
	size_t      bytes;
};

/* A memory file that holds the parts one behind the other, sealed against any change.  Returns the
 * descriptor (the caller's), or -1. */
int tg_memfd_make(const char *name, const struct tg_part *parts, size_t count, struct tg_error *err);
/* Maps a sealed memory file read-only.  Refuses one that is not sealed (write, grow, shrink), or
 * smaller than `least` or larger than `most` bytes.  The caller unmaps (tg_memfd_unmap); the
 * descriptor may be closed at once. */
const void *tg_memfd_map(int fd, size_t least, size_t most, size_t *bytes, struct tg_error *err);
void tg_memfd_unmap(const void *map, size_t bytes);

#endif
