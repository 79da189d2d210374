#include "daemon/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

#define FIRST_BYTES 65536

static int seal(const struct tg_part *parts, size_t count, struct tg_error *err)
{
	TG_AUTO_FD fd = tg_memfd_make("tollgate-file", parts, count, err);

	if (fd != -1 && lseek(fd, 0, SEEK_SET) == -1)
		return tg_fail_sys(err, "cannot rewind a memory file");
	return tg_take_fd(&fd);
}

/* Reads to the end, into *data (the caller's, also on failure). */
static int read_all(int fd, char **data, size_t *bytes, size_t most, struct tg_error *err)
{
	size_t room = 0;

	*data = NULL;
	for (*bytes = 0;;) {
		if (*bytes == room) {
			room = room == 0 ? FIRST_BYTES : room * 2;

			char *grown = realloc(*data, room);

			if (grown == NULL)
				return tg_fail_memory(err);
			*data = grown;
		}

		ssize_t got = read(fd, *data + *bytes, room - *bytes);

		if (got == 0)
			return 0;
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return tg_fail_sys(err, "cannot be read");
		*bytes += (size_t)got;
		if (*bytes > most)
			return tg_fail(err, TG_CODE_LIMIT, "is larger than %zu bytes", most);
	}
}

int files_read(const char *path, size_t most, struct tg_error *err)
{
	TG_AUTO_FREE char *data = NULL;
	TG_AUTO_FD         fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct tg_part     part = { 0 };
	struct stat        st;

	if (fd == -1)
		return tg_fail_sys(err, "cannot be opened");
	if (fstat(fd, &st) == -1 || S_ISDIR(st.st_mode))
		return tg_fail(err, TG_CODE_INVALID, "is no file");
	if (read_all(fd, &data, &part.bytes, most, err) == -1)
		return -1;
	part.data = data;
	return seal(&part, 1, err);
}

int files_of_text(const char *text, struct tg_error *err)
{
	const struct tg_part parts[] = { { text, strlen(text) }, { "\n", 1 } };

	return seal(parts, 2, err);
}
