#include "daemon/slots.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define uthash_nonfatal_oom(entry) ((entry)->listed = false)
#define HASH_NONFATAL_OOM 1
#include "base/uthash.h"

enum slot_state { SLOT_USED, SLOT_RETIRING, SLOT_QUIET, SLOT_READ };

struct slot_name {
	struct tg_key network;
	char          host[256];	/* up to its NUL it is part of the hash's key */
};

struct slot {
	struct slot_name name;
	UT_hash_handle   hh;
	uint32_t         number;
	enum slot_state  state;
	bool             listed;	/* in by_name */
	bool             in_table;	/* of the table being made */
	bool             stored;	/* the database knows what it stands for */
	uint64_t         version;	/* retiring: the first table without it */
};

struct slots {
	struct slot *by_name;
	uint32_t    *spare;	/* freed numbers, a stack */
	uint32_t     spare_count, spare_room;
	uint32_t     end;
	uint32_t     most;
};

struct slots *slots_new(uint32_t most)
{
	struct slots *slots = calloc(1, sizeof *slots);

	if (slots != NULL)
		slots->most = most;
	return slots;
}

void slots_free(struct slots *slots)
{
	struct slot *slot, *next;

	if (slots == NULL)
		return;
	HASH_ITER (hh, slots->by_name, slot, next) {
		HASH_DEL(slots->by_name, slot);
		free(slot);
	}
	free(slots->spare);
	free(slots);
}

static void name_make(struct slot_name *name, const struct tg_key *network, const char *host)
{
	size_t len = strnlen(host, sizeof name->host - 1);

	name->network = *network;
	memcpy(name->host, host, len);
	name->host[len] = '\0';
}

/* Of its key: hashing room that is not used takes longer than all the rest. */
static size_t name_bytes(const struct slot_name *name)
{
	return offsetof(struct slot_name, host) + strlen(name->host) + 1;
}

static struct slot *slot_add(struct slots *slots, uint32_t number, const struct slot_name *name,
                             enum slot_state state)
{
	struct slot *slot = calloc(1, sizeof *slot);

	if (slot == NULL)
		return NULL;
	memcpy(&slot->name, name, name_bytes(name));
	slot->number = number;
	slot->state = state;
	slot->listed = true;
	HASH_ADD(hh, slots->by_name, name, name_bytes(name), slot);
	if (slot->listed)
		return slot;
	free(slot);
	return NULL;
}

/* Room for every number to become spare, so that freeing one cannot fail. */
static int spare_reserve(struct slots *slots, uint32_t numbers)
{
	uint32_t  room = slots->spare_room;
	uint32_t *more;

	if (numbers <= room)
		return 0;
	while (room < numbers)
		room = room == 0 ? 64 : room * 2;
	more = realloc(slots->spare, room * sizeof *more);
	if (more == NULL)
		return -1;
	slots->spare = more;
	slots->spare_room = room;
	return 0;
}

int slots_restore(struct slots *slots, uint32_t number, const struct tg_key *network, const char *host)
{
	struct slot_name name;

	if (number >= slots->most || spare_reserve(slots, number + 1) == -1)
		return -1;
	/* Numbers in between that the database does not know are free. */
	for (; slots->end < number; slots->end++)
		slots->spare[slots->spare_count++] = slots->end;
	if (number == slots->end)
		slots->end++;
	else
		for (uint32_t i = 0; i < slots->spare_count; i++)
			if (slots->spare[i] == number)
				slots->spare[i] = slots->spare[--slots->spare_count];
	name_make(&name, network, host);

	struct slot *slot = slot_add(slots, number, &name, SLOT_RETIRING);

	if (slot == NULL)
		return -1;
	slot->stored = true;
	return 0;
}

void slots_table_begin(struct slots *slots)
{
	for (struct slot *slot = slots->by_name; slot != NULL; slot = slot->hh.next)
		slot->in_table = false;
}

uint32_t slots_take(struct slots *slots, const struct tg_key *network, const char *host, bool *fresh)
{
	struct slot_name name;
	struct slot     *slot;
	uint32_t         number;

	*fresh = false;
	name_make(&name, network, host);
	HASH_FIND(hh, slots->by_name, &name, name_bytes(&name), slot);
	if (slot == NULL) {
		if (slots->spare_count == 0 &&
		    (slots->end == slots->most || spare_reserve(slots, slots->end + 1) == -1))
			return SLOTS_NONE;
		number = slots->spare_count > 0 ? slots->spare[slots->spare_count - 1] : slots->end;
		slot = slot_add(slots, number, &name, SLOT_USED);
		if (slot == NULL)
			return SLOTS_NONE;
		if (slots->spare_count > 0)
			slots->spare_count--;
		else
			slots->end++;
	}
	*fresh = !slot->stored;
	slot->state = SLOT_USED;
	slot->in_table = true;
	return slot->number;
}

void slots_table_end(struct slots *slots, uint64_t version)
{
	for (struct slot *slot = slots->by_name; slot != NULL; slot = slot->hh.next)
		if (!slot->in_table && slot->state == SLOT_USED) {
			slot->state = SLOT_RETIRING;
			slot->version = version;
		}
}

void slots_stored(struct slots *slots)
{
	for (struct slot *slot = slots->by_name; slot != NULL; slot = slot->hh.next)
		if (slot->in_table)
			slot->stored = true;
}

void slots_obeyed(struct slots *slots, uint64_t version)
{
	for (struct slot *slot = slots->by_name; slot != NULL; slot = slot->hh.next)
		if (slot->state == SLOT_RETIRING && slot->version <= version)
			slot->state = SLOT_QUIET;
}

void slots_reading(struct slots *slots)
{
	for (struct slot *slot = slots->by_name; slot != NULL; slot = slot->hh.next)
		if (slot->state == SLOT_QUIET)
			slot->state = SLOT_READ;
}

void slots_committed(struct slots *slots)
{
	struct slot *slot, *next;

	HASH_ITER (hh, slots->by_name, slot, next) {
		if (slot->state != SLOT_READ)
			continue;
		HASH_DEL(slots->by_name, slot);
		slots->spare[slots->spare_count++] = slot->number;
		free(slot);
	}
}

uint32_t slots_end(const struct slots *slots)
{
	return slots->end;
}
