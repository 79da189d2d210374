/* A route table for the workers: of the document, of what is up and of --forward. */
#ifndef TOLLGATE_DAEMON_TABLE_H
#define TOLLGATE_DAEMON_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct model;
struct msg_forward;
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
	int                fd;		/* sealed (proxy/routes.h) */
	uint64_t           version;
	struct store_slot *slots;	/* of hosts that had none: to be stored before the table goes out */
	size_t             slots_count;
};

/* On -1 there is nothing to clear; slots that were taken retire with the next table, unless it has them. */
int table_build(const struct table_source *from, struct table *to, struct tg_error *err);
void table_clear(struct table *table);

#endif
