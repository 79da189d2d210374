/* A route table for the workers: of the document, of what is up and of --forward. */
#ifndef TOLLGATE_DAEMON_TABLE_H
#define TOLLGATE_DAEMON_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct model;
struct msg_forward;
struct routes_host;
struct slots;
struct snapshot;
struct store_slot;
struct tg_error;

/* Everything is borrowed. */
struct table_source {
	const struct model       *model;
	const struct snapshot    *state;	/* the engine's last word */
	const struct msg_forward *forwards;
	size_t                    forwards_count;
	struct slots             *slots;	/* is told of the table */
	uint64_t                  version;
};

struct table {
	int                 fd;		/* sealed (proxy/routes.h); -1: not made yet */
	uint64_t            version;
	struct routes_host *hosts;	/* until it is made; they borrow of the source's model and forwards */
	size_t              hosts_count;
	struct store_slot  *slots;	/* of hosts that had none: to be stored before the table goes out */
	size_t              slots_count;
};

/* What is to be in it, with a slot for each host.  On -1 there is nothing to clear; slots that were taken
 * retire with the next table, unless it has them. */
int table_plan(const struct table_source *from, struct table *to, struct tg_error *err);
/* Makes it of that: pure work, which may be done in the thread. */
int table_make(struct table *table, struct tg_error *err);
void table_clear(struct table *table);

#endif
