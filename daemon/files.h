/* Files that options name, read by the supervisor and handed on as sealed memory files: what a role
 * gets cannot change under it, and is the same again after a restart of the role. */
#ifndef TOLLGATE_DAEMON_FILES_H
#define TOLLGATE_DAEMON_FILES_H

#include <stddef.h>

struct tg_error;

#define FILES_SMALL_BYTES_MOST (1U << 20)	/* of tokens, certificates and keys */

/* The content of the file, or -1 when it cannot be read or is larger than `most`.  The descriptor is
 * the caller's and stands at its beginning. */
int files_read(const char *path, size_t most, struct tg_error *err);
/* The same of a text and a newline. */
int files_of_text(const char *text, struct tg_error *err);

#endif
