#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char        *log_role = "tollgated";
static enum tg_log_level  log_level = TG_LOG_INFO;
static const char *const  level_names[] = {
	 [TG_LOG_ERROR] = "error",
	 [TG_LOG_WARN] = "warn",
	 [TG_LOG_INFO] = "info",
	 [TG_LOG_DEBUG] = "debug",
};

void tg_log_role(const char *role)
{
	log_role = role;
}

void tg_log_level(enum tg_log_level level)
{
	log_level = level;
}

const char *tg_quote(char *to, size_t size, const char *text)
{
	static const char more[] = "…\"";
	size_t            at = 0;

	if (size < sizeof more + 2) {
		if (size > 0)
			to[0] = '\0';
		return to;
	}
	to[at++] = '"';
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		/* The longest escape is four bytes; what closes the value must fit behind it. */
		if (at + 4 + sizeof more > size) {
			memcpy(to + at, more, sizeof more);
			return to;
		}
		if (c == '"' || c == '\\') {
			to[at++] = '\\';
			to[at++] = (char)c;
		} else if (c == '\n') {
			to[at++] = '\\';
			to[at++] = 'n';
		} else if (c < 0x20 || c >= 0x7f) {
			at += (size_t)snprintf(to + at, size - at, "\\x%02x", c);
		} else {
			to[at++] = (char)c;
		}
	}
	to[at++] = '"';
	to[at] = '\0';
	return to;
}

void tg_log(enum tg_log_level level, const char *msg, const char *fields, ...)
{
	char quoted[512];
	char line[1024];
	int  kept = errno;

	if (level > log_level)
		return;

	int at = snprintf(line, sizeof line, "level=%s role=%s msg=%s", level_names[level], log_role,
	                  tg_quote(quoted, sizeof quoted, msg));

	if (fields != NULL && at > 0 && (size_t)at < sizeof line - 2) {
		va_list args;

		line[at++] = ' ';
		va_start(args, fields);

		int more = vsnprintf(line + at, sizeof line - (size_t)at, fields, args);

		va_end(args);
		if (more > 0)
			at += more;
	}
	if (at < 0 || (size_t)at > sizeof line - 2)
		at = (int)sizeof line - 2;
	line[at++] = '\n';
	/* A log that nobody reads must not stop the daemon. */
	ssize_t wrote = write(STDERR_FILENO, line, (size_t)at);

	(void)wrote;
	errno = kept;
}
