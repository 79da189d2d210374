#include "netns/state.h"

#include <stdlib.h>
#include <string.h>

void state_clear(struct state *state)
{
	free(state->addresses);
	free(state->routes);
	free(state->peers);
	free(state->ranges);
	free(state->foreign);
	*state = (struct state){ .exists = false };
}

/* Makes room for one more in an array that doubles: at 0 and at each power of two it is full. */
static void *grow(void *list, size_t count, size_t size)
{
	if (count != 0 && (count < 8 || (count & (count - 1)) != 0))
		return list;
	return reallocarray(list, count == 0 ? 8 : count * 2, size);
}

static int add_cidr(struct tg_cidr **list, size_t *count, const struct tg_cidr *cidr)
{
	struct tg_cidr *grown = grow(*list, *count, sizeof **list);

	if (grown == NULL)
		return -1;
	*list = grown;
	grown[(*count)++] = *cidr;
	return 0;
}

int state_add_address(struct state *state, const struct tg_cidr *address)
{
	return add_cidr(&state->addresses, &state->addresses_count, address);
}

int state_add_route(struct state *state, const struct tg_cidr *range, bool foreign)
{
	if (foreign)
		return add_cidr(&state->foreign, &state->foreign_count, range);
	return add_cidr(&state->routes, &state->routes_count, range);
}

struct state_peer *state_add_peer(struct state *state, const struct tg_key *public_key)
{
	struct state_peer *grown = grow(state->peers, state->peers_count, sizeof *grown);

	if (grown == NULL)
		return NULL;
	state->peers = grown;
	grown += state->peers_count++;
	*grown = (struct state_peer){
		.public_key = *public_key,
		.ranges_first = (uint32_t)state->ranges_count,
	};
	return grown;
}

int state_add_range(struct state *state, const struct tg_cidr *range)
{
	if (state->peers_count == 0 || add_cidr(&state->ranges, &state->ranges_count, range) != 0)
		return -1;
	state->peers[state->peers_count - 1].ranges_count++;
	return 0;
}

int cidr_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct tg_cidr));
}

static int compare_peers(const void *a, const void *b)
{
	const struct state_peer *first = a;
	const struct state_peer *second = b;

	return memcmp(&first->public_key, &second->public_key, sizeof first->public_key);
}

/* Mostly the kernel tells things in the order in which they were set, which is this one. */
static void sort(void *list, size_t count, size_t size, int (*compare)(const void *a, const void *b))
{
	const char *at = list;

	for (size_t i = 1; i < count; i++, at += size) {
		if (compare(at, at + size) > 0) {
			qsort(list, count, size, compare);
			return;
		}
	}
}

void state_sort(struct state *state)
{
	sort(state->addresses, state->addresses_count, sizeof *state->addresses, cidr_compare);
	sort(state->routes, state->routes_count, sizeof *state->routes, cidr_compare);
	sort(state->foreign, state->foreign_count, sizeof *state->foreign, cidr_compare);
	for (size_t i = 0; i < state->peers_count; i++)
		sort(state->ranges + state->peers[i].ranges_first, state->peers[i].ranges_count,
		     sizeof *state->ranges, cidr_compare);
	sort(state->peers, state->peers_count, sizeof *state->peers, compare_peers);
}
