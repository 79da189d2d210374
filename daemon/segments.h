/* The files of the workers' byte counters (struct msg_counters, sparse): one for each worker incarnation,
 * kept until control has committed what is in it, also across a restart of the daemon. */
#ifndef TOLLGATE_DAEMON_SEGMENTS_H
#define TOLLGATE_DAEMON_SEGMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/msg.h"

struct segments;
struct tg_error;

#define SEGMENTS_MOST 1024

struct segment {
	struct msg_segment is;	/* index, live, name */
	int                fd;
	bool               orphan;	/* of a worker of an earlier daemon that may still be draining */
};

/* Takes stock of what earlier lives left in `dir` (borrowed).  NULL when that cannot be read. */
struct segments *segments_new(int dir, struct tg_error *err);
/* The files stay. */
void segments_free(struct segments *segments);
/* Makes the file of a worker that is about to start.  Borrowed; NULL with `err`. */
const struct segment *segments_add(struct segments *segments, uint32_t worker, struct tg_error *err);
/* Its worker is dead: returns it (borrowed), or NULL when it was none of them. */
const struct segment *segments_end(struct segments *segments, const char *name);
/* An orphan whose last writer is gone since the last call, as segments_end(); NULL: none. */
const struct segment *segments_orphan_ended(struct segments *segments);
/* Control has all of it: forgets it and removes the file.  false: no dead one has that name. */
bool segments_remove(struct segments *segments, const char *name);
/* The i-th, borrowed; NULL behind the last. */
const struct segment *segments_at(const struct segments *segments, size_t i);

#endif
