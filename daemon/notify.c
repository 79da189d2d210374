#include "daemon/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"

void notify_send(const char *format, ...)
{
	const char        *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	char               text[512];
	va_list            args;

	/* A path, or with @ in front a name in the abstract namespace, which has a NUL there. */
	if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof to.sun_path)
		return;
	memcpy(to.sun_path, path, strlen(path));
	if (path[0] == '@')
		to.sun_path[0] = '\0';

	va_start(args, format);

	int len = vsnprintf(text, sizeof text, format, args);

	va_end(args);
	if (len < 0 || (size_t)len >= sizeof text)
		return;

	TG_AUTO_FD fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd != -1)
		sendto(fd, text, (size_t)len, MSG_NOSIGNAL, (const struct sockaddr *)&to,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
}
