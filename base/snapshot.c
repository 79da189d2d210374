#include "base/snapshot.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"

#define MAGIC	   0x31534754U	/* "TGS1" */
#define BYTES_MOST ((size_t)1 << 30)

struct header {
	uint32_t magic;
	uint32_t zero;
	uint64_t networks, peers, ranges;
};

int snapshot_pack(const struct snapshot *snapshot, struct tg_error *err)
{
	const struct header header = { .magic = MAGIC, .networks = snapshot->networks_count,
				       .peers = snapshot->peers_count, .ranges = snapshot->ranges_count };
	const struct tg_part parts[] = {
		{ &header, sizeof header },
		{ snapshot->networks, snapshot->networks_count * sizeof *snapshot->networks },
		{ snapshot->peers, snapshot->peers_count * sizeof *snapshot->peers },
		{ snapshot->ranges, snapshot->ranges_count * sizeof *snapshot->ranges },
	};

	return tg_memfd_make("snapshot", parts, sizeof parts / sizeof parts[0], err);
}

/* Copies `count` elements from *at, which moves on.  NULL when out of memory. */
static void *copy_out(const char **at, size_t count, size_t size)
{
	void *copy = malloc(count * size + 1);

	if (copy != NULL)
		memcpy(copy, *at, count * size);
	*at += count * size;
	return copy;
}

static bool within(uint32_t first, uint32_t count, size_t all)
{
	return first <= all && count <= all - first;
}

static bool snapshot_sound(const struct snapshot *s)
{
	for (size_t i = 0; i < s->networks_count; i++) {
		const struct snapshot_network *n = &s->networks[i];

		if (!within(n->peers_first, n->peers_count, s->peers_count) || n->state > SNAPSHOT_FAILED ||
		    memchr(n->reason, '\0', sizeof n->reason) == NULL)
			return false;
		if (i > 0 && s->networks[i - 1].port >= n->port)
			return false;
	}
	for (size_t i = 0; i < s->peers_count; i++)
		if (!within(s->peers[i].ranges_first, s->peers[i].ranges_count, s->ranges_count))
			return false;
	return true;
}

int snapshot_unpack(int fd, struct snapshot *to, struct tg_error *err)
{
	struct header header;
	size_t        bytes;
	const char   *map = tg_memfd_map(fd, sizeof header, BYTES_MOST, &bytes, err);
	size_t        left;

	memset(to, 0, sizeof *to);
	if (map == NULL)
		return -1;
	memcpy(&header, map, sizeof header);
	left = bytes - sizeof header;
	/* Each count is bounded before it is multiplied. */
	if (header.magic != MAGIC || header.networks > left / sizeof *to->networks ||
	    header.peers > left / sizeof *to->peers || header.ranges > left / sizeof *to->ranges ||
	    left != header.networks * sizeof *to->networks + header.peers * sizeof *to->peers +
			    header.ranges * sizeof *to->ranges) {
		tg_memfd_unmap(map, bytes);
		return tg_fail(err, TG_CODE_PROTOCOL, "a snapshot has wrong sizes");
	}

	const char *at = map + sizeof header;

	to->networks_count = header.networks;
	to->peers_count = header.peers;
	to->ranges_count = header.ranges;
	to->networks = copy_out(&at, to->networks_count, sizeof *to->networks);
	to->peers = copy_out(&at, to->peers_count, sizeof *to->peers);
	to->ranges = copy_out(&at, to->ranges_count, sizeof *to->ranges);
	tg_memfd_unmap(map, bytes);
	if (to->networks == NULL || to->peers == NULL || to->ranges == NULL) {
		snapshot_clear(to);
		return tg_fail_memory(err);
	}
	if (!snapshot_sound(to)) {
		snapshot_clear(to);
		return tg_fail(err, TG_CODE_PROTOCOL, "a snapshot has wrong indexes");
	}
	return 0;
}

void snapshot_clear(struct snapshot *snapshot)
{
	free(snapshot->networks);
	free(snapshot->peers);
	free(snapshot->ranges);
	memset(snapshot, 0, sizeof *snapshot);
}

const struct snapshot_network *snapshot_find(const struct snapshot *snapshot, uint16_t port)
{
	size_t first = 0;
	size_t end = snapshot->networks_count;

	while (first < end) {
		size_t middle = first + (end - first) / 2;

		if (snapshot->networks[middle].port == port)
			return &snapshot->networks[middle];
		if (snapshot->networks[middle].port < port)
			first = middle + 1;
		else
			end = middle;
	}
	return NULL;
}
