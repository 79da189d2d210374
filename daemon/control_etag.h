/* If-Match and If-None-Match (RFC 9110 §13.1): lists of entity tags. */
#ifndef TOLLGATE_DAEMON_CONTROL_ETAG_H
#define TOLLGATE_DAEMON_CONTROL_ETAG_H

#include <stdbool.h>

struct document;

enum control_etag {
	CONTROL_ETAG_STRONG,	/* If-Match: a weak tag equals nothing */
	CONTROL_ETAG_WEAK,	/* If-None-Match: W/ makes no difference */
};

/* Whether `header` is `*` (and there is something: `exists`) or a list in which `etag` (strong, with its
 * quotes) is.  What is no list of tags matches up to where it is none. */
bool control_etag_matches(const char *header, const char *etag, bool exists, enum control_etag how);
/* Whether a write with this If-Match (NULL: none) may be done: both tags of the active document name the
 * state that is to be changed.  `exists`: it was ever applied. */
bool control_etag_holds(const char *if_match, const struct document *active, bool exists);

#endif
