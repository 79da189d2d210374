#include "proxy/counters.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/msg.h"

#define ROW_BYTES (MSG_SLOTS * sizeof(uint32_t))

struct counters {
	struct msg_counters *map;
	uint32_t            *rows;	/* of all workers */
	uint32_t            *row;	/* this worker's */
	uint32_t             workers;
};

static void *map_shared(int fd, size_t bytes, struct tg_error *err)
{
	struct stat st;

	if (fstat(fd, &st) == -1) {
		tg_fail_sys(err, "cannot look at the counters");
		return NULL;
	}
	/* A page behind the end of the file would be a SIGBUS later. */
	if (st.st_size < 0 || (size_t)st.st_size < bytes) {
		tg_fail(err, TG_CODE_PROTOCOL, "the counters have %lld bytes", (long long)st.st_size);
		return NULL;
	}

	void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED) {
		tg_fail_sys(err, "cannot map the counters");
		return NULL;
	}
	return map;
}

struct counters *counters_new(int segment_fd, int active_fd, uint32_t index, uint32_t workers,
                              struct tg_error *err)
{
	struct counters *counters;

	if (workers == 0 || workers > MSG_WORKERS_MOST || index >= workers) {
		tg_fail(err, TG_CODE_PROTOCOL, "worker %u of %u", index, workers);
		return NULL;
	}
	counters = calloc(1, sizeof(*counters));
	if (counters == NULL) {
		tg_fail_memory(err);
		return NULL;
	}
	counters->workers = workers;
	counters->map = map_shared(segment_fd, MSG_SEGMENT_BYTES, err);
	counters->rows = counters->map == NULL ? NULL : map_shared(active_fd, workers * ROW_BYTES, err);
	if (counters->rows == NULL) {
		counters_free(counters);
		return NULL;
	}
	counters->row = counters->rows + (size_t)index * MSG_SLOTS;
	/* What the worker before left there.  Punching a hole keeps the file sparse. */
	if (madvise(counters->row, ROW_BYTES, MADV_REMOVE) == -1)
		memset(counters->row, 0, ROW_BYTES);
	return counters;
}

void counters_free(struct counters *counters)
{
	if (counters == NULL)
		return;
	if (counters->map != NULL)
		munmap(counters->map, MSG_SEGMENT_BYTES);
	if (counters->rows != NULL)
		munmap(counters->rows, counters->workers * ROW_BYTES);
	free(counters);
}

/* One writer: no read-modify-write that is atomic is needed, only that no reader sees half a value. */
static void add64(uint64_t *cell, uint64_t more)
{
	__atomic_store_n(cell, *cell + more, __ATOMIC_RELAXED);
}

static void add32(uint32_t *cell, uint32_t more)
{
	__atomic_store_n(cell, *cell + more, __ATOMIC_RELAXED);
}

void counters_received(struct counters *counters, uint32_t slot, uint64_t bytes)
{
	if (counters != NULL && slot < MSG_SLOTS && bytes != 0)
		add64(&counters->map->slots[slot].rx, bytes);
}

/* Release: a signal that kills comes between two stores, and finds them in the order of the program. */
static void say_sending(struct msg_counters *map, uint32_t slot, uint64_t tx)
{
	__atomic_store_n(&map->sending, (uint64_t)slot << 32 | (uint32_t)tx, __ATOMIC_RELEASE);
}

void counters_sending(struct counters *counters, uint32_t slot, uint64_t most)
{
	if (counters != NULL && slot < MSG_SLOTS)
		say_sending(counters->map, slot, counters->map->slots[slot].tx + most);
}

void counters_sent(struct counters *counters, uint32_t slot, uint64_t bytes)
{
	if (counters == NULL || slot >= MSG_SLOTS)
		return;

	struct msg_counters *map = counters->map;
	uint64_t             tx = map->slots[slot].tx + bytes;

	/* In this order: behind the slot, the word would claim what was not sent for a moment longer. */
	say_sending(map, slot, tx);
	__atomic_store_n(&map->slots[slot].tx, tx, __ATOMIC_RELEASE);
}

void counters_connection(struct counters *counters, uint32_t slot)
{
	if (counters != NULL && slot < MSG_SLOTS)
		add64(&counters->map->slots[slot].connections, 1);
}

void counters_opened(struct counters *counters, uint32_t slot)
{
	if (counters != NULL && slot < MSG_SLOTS)
		add32(&counters->row[slot], 1);
}

void counters_closed(struct counters *counters, uint32_t slot)
{
	if (counters != NULL && slot < MSG_SLOTS)
		add32(&counters->row[slot], UINT32_MAX);
}

uint64_t counters_open(const struct counters *counters, uint32_t slot)
{
	uint64_t sum = 0;

	if (counters == NULL || slot >= MSG_SLOTS)
		return 0;
	for (uint32_t i = 0; i < counters->workers; i++)
		sum += __atomic_load_n(&counters->rows[(size_t)i * MSG_SLOTS + slot], __ATOMIC_RELAXED);
	return sum;
}
