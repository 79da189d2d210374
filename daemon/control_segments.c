#include "daemon/control_segments.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accounting/store.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/segments.h"

struct mapped {
	const struct msg_counters *map;
	uint32_t                   index;	/* of its worker, MSG_SEGMENT_ADOPTED */
	bool                       live;
	bool                       slots_only;	/* the map goes no further: of an earlier build's worker */
	char                       name[MSG_NAME_MOST];
};

struct control_segments {
	struct mapped list[SEGMENTS_MOST];
	size_t        count;
};

struct control_segments *control_segments_new(void)
{
	return calloc(1, sizeof(struct control_segments));
}

void control_segments_free(struct control_segments *segments)
{
	if (segments == NULL)
		return;
	for (size_t i = 0; i < segments->count; i++)
		tg_memfd_unmap(segments->list[i].map, MSG_SEGMENT_BYTES);
	free(segments);
}

/* The number behind the last slot that was counted in.  Reading, unlike touching a map, leaves the holes
 * of the file as they are. */
static uint32_t end_of(int fd)
{
	struct msg_slot piece[1024];
	uint32_t        end = 0;
	off_t           at = lseek(fd, 0, SEEK_DATA);

	while (at != -1) {
		at -= at % (off_t)sizeof piece;

		ssize_t got = pread(fd, piece, sizeof piece, at);

		for (size_t i = 0; got > 0 && i < (size_t)got / sizeof piece[0]; i++)
			if (piece[i].rx != 0 || piece[i].tx != 0 || piece[i].connections != 0)
				end = (uint32_t)((size_t)at / sizeof piece[0] + i + 1);
		if (got <= 0)
			break;
		at = lseek(fd, at + (off_t)sizeof piece, SEEK_DATA);
	}
	return end < MSG_SLOTS ? end : MSG_SLOTS;
}

void control_segments_add(struct control_segments *segments, const struct msg_segment *body, int given,
                          uint32_t *end)
{
	TG_AUTO_FD    fd = given;
	struct mapped fresh = { .index = body->index, .live = body->live };
	struct stat   st;
	void         *map;

	memcpy(fresh.name, body->name, sizeof fresh.name);
	fresh.name[sizeof fresh.name - 1] = '\0';
	/* By name alone: after a supervisor's death its workers drain on beside those of the next one. */
	for (size_t i = 0; i < segments->count; i++)
		if (strcmp(segments->list[i].name, fresh.name) == 0) {
			segments->list[i].live = fresh.live;
			return;
		}
	if (segments->count == SEGMENTS_MOST || fstat(fd, &st) == -1 ||
	    st.st_size < (off_t)MSG_SLOTS_BYTES) {
		tg_log(TG_LOG_ERROR, "cannot take up a worker's counters", "segment=%s", fresh.name);
		return;
	}
	map = mmap(NULL, MSG_SEGMENT_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		tg_log(TG_LOG_ERROR, "cannot map a worker's counters", "segment=%s", fresh.name);
		return;
	}
	if (end != NULL && end_of(fd) > *end)
		*end = end_of(fd);
	fresh.map = map;
	fresh.slots_only = st.st_size < (off_t)MSG_SEGMENT_BYTES;
	segments->list[segments->count++] = fresh;
}

bool control_segments_drop(struct control_segments *segments, const char *name)
{
	for (size_t i = 0; i < segments->count; i++) {
		if (strcmp(segments->list[i].name, name) != 0)
			continue;
		tg_memfd_unmap(segments->list[i].map, MSG_SEGMENT_BYTES);
		segments->list[i] = segments->list[--segments->count];
		return true;
	}
	return false;
}

bool control_segments_live(const struct control_segments *segments, uint32_t index)
{
	for (size_t i = 0; i < segments->count; i++)
		if (segments->list[i].live && segments->list[i].index == index)
			return true;
	return false;
}

static uint64_t counter_read(const uint64_t *from)
{
	return __atomic_load_n(from, __ATOMIC_RELAXED);
}

/* A slot's tx by the last word of a dead worker.  The low halves tell how far that word is ahead: it is
 * never behind, and no call sends 2 GiB. */
static uint64_t tx_at_death(const struct mapped *segment, uint32_t slot, uint64_t tx)
{
	uint64_t sending = counter_read(&segment->map->sending);
	uint32_t ahead = (uint32_t)sending - (uint32_t)tx;

	return sending >> 32 == slot && ahead <= INT32_MAX ? tx + ahead : tx;
}

static void segment_read(const struct mapped *segment, const char *name, uint32_t end,
                         struct control_reading *to)
{
	for (uint32_t slot = 0; slot < end; slot++) {
		const struct msg_slot *from = &segment->map->slots[slot];
		struct msg_slot        now = { .rx = counter_read(&from->rx), .tx = counter_read(&from->tx),
					       .connections = counter_read(&from->connections) };

		if (!segment->live && !segment->slots_only)
			now.tx = tx_at_death(segment, slot, now.tx);
		if (now.rx == 0 && now.tx == 0 && now.connections == 0)
			continue;
		to->hosts[to->hosts_count++] =
		        (struct store_host){ .segment = name, .slot = slot, .count = now };
	}
}

int control_segments_read(const struct control_segments *segments, uint32_t end,
                          struct control_reading *to)
{
	size_t count = segments->count;

	*to = (struct control_reading){ .names = calloc(count + 1, sizeof *to->names),
		                        .all = calloc(count + 1, sizeof *to->all),
		                        .done = calloc(count + 1, sizeof *to->done),
		                        .hosts = calloc(count * end + 1, sizeof *to->hosts) };
	if (to->names == NULL || to->all == NULL || to->done == NULL || to->hosts == NULL)
		return -1;
	for (size_t i = 0; i < count; i++) {
		const struct mapped *segment = &segments->list[i];

		memcpy(to->names[i], segment->name, sizeof to->names[i]);
		to->all[to->all_count++] = to->names[i];
		if (!segment->live)
			to->done[to->done_count++] = to->names[i];
		segment_read(segment, to->names[i], end, to);
	}
	return 0;
}

void control_reading_clear(struct control_reading *reading)
{
	free(reading->hosts);
	free(reading->names);
	free(reading->all);
	free(reading->done);
	*reading = (struct control_reading){ 0 };
}
