/* The text of an option's value, read and checked.  All return -1 with `err` set when it is wrong. */
#ifndef TOLLGATE_DAEMON_OPTIONS_VALUE_H
#define TOLLGATE_DAEMON_OPTIONS_VALUE_H

#include <stdint.h>

struct options;
struct options_listen;
struct tg_error;

/* `100ms`, `60s`, `5m`, `24h`, `7d`, into milliseconds. */
int options_value_duration(uint64_t *to_ms, const char *text, uint64_t least_ms, uint64_t most_ms,
                           struct tg_error *err);
/* A decimal number. */
int options_value_count(uint64_t *to, const char *text, uint64_t least, uint64_t most, struct tg_error *err);
/* `IP:port`, `[IPv6]:port` or `none`. */
int options_value_listen(struct options_listen *to, const char *text, struct tg_error *err);
/* `URL=IP:port`, appended to to->forwards. */
int options_value_forward(struct options *to, const char *text, struct tg_error *err);
/* What may begin a namespace's name.  Borrows `text`. */
int options_value_prefix(const char **to, const char *text, struct tg_error *err);

#endif
