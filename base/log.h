/* Log lines in logfmt on standard error, one write(2) each:
 * level=info role=engine msg="…" network=51820 */
#ifndef TOLLGATE_BASE_LOG_H
#define TOLLGATE_BASE_LOG_H

#include <stddef.h>

enum tg_log_level {
	TG_LOG_ERROR,
	TG_LOG_WARN,
	TG_LOG_INFO,
	TG_LOG_DEBUG,
};

/* What stands in `role=`: borrowed, for ever.  "tollgated" until it is set. */
void tg_log_role(const char *role);
void tg_log_level(enum tg_log_level level);
/* `fields` is a printf format of `key=value key=value` or NULL.  Keys (private, preshared, tokens)
 * never go in; bytes of tenants and strangers go through tg_quote(). */
void tg_log(enum tg_log_level level, const char *msg, const char *fields, ...)
	__attribute__((format(printf, 3, 4)));
/* Writes `text` as a logfmt value: in double quotes, with \" \\ \n \xNN escapes, cut to fit (with a
 * trailing …).  Returns `to`. */
const char *tg_quote(char *to, size_t size, const char *text);

#endif
