/* Server-sent events, as they come in pieces. */
#ifndef TOLLGATE_CLI_EVENTS_H
#define TOLLGATE_CLI_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

#define EVENTS_LINE_MOST 8192

/* One whole event; `data` may be empty. */
typedef void events_fn(const char *type, const char *data, void *arg);

/* Plain: all but the first two is zero to begin with. */
struct events {
	events_fn *each;
	void      *arg;
	size_t     len;
	char       line[EVENTS_LINE_MOST];
	char       type[64];
	char       data[EVENTS_LINE_MOST];
};

/* The next bytes, cut anywhere.  false: a line is longer than EVENTS_LINE_MOST. */
bool events_read(struct events *events, const char *piece, size_t bytes);

#endif
