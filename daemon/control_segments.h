/* The workers' byte counters as control sees them: the files of live workers, and of dead ones until
 * what is in them is committed. */
#ifndef TOLLGATE_DAEMON_CONTROL_SEGMENTS_H
#define TOLLGATE_DAEMON_CONTROL_SEGMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/msg.h"

struct control_segments;
struct store_host;

/* What stood in all of them at a moment. */
struct control_reading {
	struct store_host *hosts;	/* what is not zero; names are borrowed of `names` */
	size_t             hosts_count;
	char             (*names)[MSG_NAME_MOST];	/* of all, so that none goes meanwhile */
	const char       **all;		/* borrowed of `names`, likewise `done` */
	size_t             all_count;
	const char       **done;	/* of dead workers: these are their last values */
	size_t             done_count;
};

/* NULL when out of memory. */
struct control_segments *control_segments_new(void);
void control_segments_free(struct control_segments *segments);
/* A new one, or the word on a known one that its worker is dead.  Takes the descriptor.  `end` (may be
 * NULL) is raised to the number behind the last slot that a new one was counted in. */
void control_segments_add(struct control_segments *segments, const struct msg_segment *body, int fd,
                          uint32_t *end);
/* What is in it is committed: false when there is none of that name. */
bool control_segments_drop(struct control_segments *segments, const char *name);
/* Whether one is of that worker (MSG_SEGMENT_ADOPTED: one that an earlier daemon left behind), which was not
 * said to be dead. */
bool control_segments_live(const struct control_segments *segments, uint32_t index);
/* Reads the slots up to `end`.  -1: out of memory, to be cleared all the same. */
int control_segments_read(const struct control_segments *segments, uint32_t end,
                          struct control_reading *to);
void control_reading_clear(struct control_reading *reading);

#endif
