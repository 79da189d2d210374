#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK)

void tg_close_at(int *fd)
{
	if (*fd == -1)
		return;

	int kept = errno;

	close(*fd);
	*fd = -1;
	errno = kept;
}

void tg_free_at(void *at)
{
	void *taken = tg_take_ptr(at);

	free(taken);
}

int tg_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

void *tg_take_ptr(void *at)
{
	void *taken;
	void *none = NULL;

	memcpy(&taken, at, sizeof taken);
	memcpy(at, &none, sizeof none);
	return taken;
}

static int write_all(int fd, const char *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(fd, data, bytes);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		data += n;
		bytes -= (size_t)n;
	}
	return 0;
}

int tg_memfd_make(const char *name, const struct tg_part *parts, size_t count, struct tg_error *err)
{
	TG_AUTO_FD fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1)
		return tg_fail_sys(err, "cannot make a memory file");
	for (size_t i = 0; i < count; i++)
		if (write_all(fd, parts[i].data, parts[i].bytes) == -1)
			return tg_fail_sys(err, "cannot fill a memory file");
	if (fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) == -1)
		return tg_fail_sys(err, "cannot seal a memory file");
	return tg_take_fd(&fd);
}

const void *tg_memfd_map(int fd, size_t least, size_t most, size_t *bytes, struct tg_error *err)
{
	struct stat st;
	int         seals = fcntl(fd, F_GET_SEALS);

	if (seals == -1 || (seals & SEALS) != SEALS) {
		tg_fail(err, TG_CODE_PROTOCOL, "a memory file is not sealed");
		return NULL;
	}
	if (fstat(fd, &st) == -1) {
		tg_fail_sys(err, "cannot look at a memory file");
		return NULL;
	}
	if (st.st_size <= 0 || (size_t)st.st_size < least || (size_t)st.st_size > most) {
		tg_fail(err, TG_CODE_PROTOCOL, "a memory file has %lld bytes", (long long)st.st_size);
		return NULL;
	}

	void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED) {
		tg_fail_sys(err, "cannot map a memory file");
		return NULL;
	}
	*bytes = (size_t)st.st_size;
	return map;
}

void tg_memfd_unmap(const void *map, size_t bytes)
{
	union {
		const void *given;
		void       *plain;
	} at = { .given = map };

	if (map != NULL)
		munmap(at.plain, bytes);
}
