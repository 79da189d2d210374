#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static void __attribute__((format(printf, 5, 0)))
fail_with(struct tg_error *err, enum tg_code code, int sys, const char *where, const char *format,
          va_list args)
{
	if (err == NULL)
		return;
	err->code = code;
	err->sys = sys;
	snprintf(err->where, sizeof err->where, "%s", where);

	int said = vsnprintf(err->text, sizeof err->text, format, args);

	if (sys != 0 && said >= 0 && (size_t)said < sizeof err->text) {
		char reason[96];

		snprintf(err->text + said, sizeof err->text - (size_t)said, ": %s",
		         strerror_r(sys, reason, sizeof reason));
	}
}

int tg_fail(struct tg_error *err, enum tg_code code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail_with(err, code, 0, "", format, args);
	va_end(args);
	return -1;
}

int tg_fail_at(struct tg_error *err, enum tg_code code, const char *where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail_with(err, code, 0, where, format, args);
	va_end(args);
	return -1;
}

int tg_fail_sys(struct tg_error *err, const char *format, ...)
{
	int     sys = errno;
	va_list args;

	va_start(args, format);
	fail_with(err, TG_CODE_SYSTEM, sys, "", format, args);
	va_end(args);
	return -1;
}

int tg_fail_errno(struct tg_error *err, int sys, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail_with(err, TG_CODE_SYSTEM, abs(sys), "", format, args);
	va_end(args);
	return -1;
}

int tg_fail_memory(struct tg_error *err)
{
	return tg_fail(err, TG_CODE_MEMORY, "out of memory");
}

void tg_die(const char *format, ...)
{
	int     sys = errno;
	char    text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (sys != 0)
		tg_log(TG_LOG_ERROR, text, "errno=%d", sys);
	else
		tg_log(TG_LOG_ERROR, text, NULL);
	exit(1);
}
