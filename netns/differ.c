#include "netns/differ.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/model.h"
#include "netns/state.h"

static const char *const step_names[STEP_KINDS] = {
	[STEP_NAMESPACE_MAKE] = "namespace",
	[STEP_NAMESPACE_PIN] = "namespace_name",
	[STEP_SYSCTLS] = "sysctls",
	[STEP_LINK_DELETE] = "foreign_link",
	[STEP_LINK_RENAME] = "link_name",
	[STEP_LINK_MAKE] = "link",
	[STEP_DEVICE] = "key_or_port",
	[STEP_PEER_SET] = "peer",
	[STEP_RANGES_DROP] = "allowed_ips",
	[STEP_PEER_REMOVE] = "surplus_peer",
	[STEP_LO_UP] = "loopback_up",
	[STEP_MTU] = "mtu",
	[STEP_ADDRESS_REMOVE] = "surplus_address",
	[STEP_ADDRESS_ADD] = "address",
	[STEP_LINK_UP] = "link_up",
	[STEP_ROUTE_REMOVE] = "surplus_route",
	[STEP_ROUTE_ADD] = "route",
};

/* The two values, and the plan that grows. */
struct differ {
	const struct model         *model;
	const struct model_network *want;
	const struct state         *have;
	const struct model         *before;
	const struct model_network *want_before;
	struct plan                *plan;
	bool                        memory;
};

const char *step_name(enum step_kind kind)
{
	return step_names[kind];
}

void plan_clear(struct plan *plan)
{
	free(plan->steps);
	free(plan->ranges);
	*plan = (struct plan){ .want = NULL };
}

bool plan_set_peers(const struct plan *plan, size_t at)
{
	if (at < plan->steps_count)
		return plan->steps[at].kind > STEP_PEER_REMOVE;
	return at == 0 || plan->steps[at - 1].kind != STEP_LINK_RENAME;
}

static struct step *add_step(struct differ *d, enum step_kind kind)
{
	static struct step nowhere;
	struct plan       *plan = d->plan;

	if (plan->steps_count == plan->steps_room) {
		size_t       room = plan->steps_room == 0 ? 16 : plan->steps_room * 2;
		struct step *grown = reallocarray(plan->steps, room, sizeof *grown);

		if (grown == NULL) {
			d->memory = true;
			return &nowhere;
		}
		plan->steps = grown;
		plan->steps_room = room;
	}
	plan->steps[plan->steps_count] = (struct step){ .kind = kind };
	return &plan->steps[plan->steps_count++];
}

static void add_range(struct differ *d, const struct tg_cidr *range)
{
	struct plan *plan = d->plan;

	if (plan->ranges_count == plan->ranges_room) {
		size_t          room = plan->ranges_room == 0 ? 16 : plan->ranges_room * 2;
		struct tg_cidr *grown = reallocarray(plan->ranges, room, sizeof *grown);

		if (grown == NULL) {
			d->memory = true;
			return;
		}
		plan->ranges = grown;
		plan->ranges_room = room;
	}
	plan->ranges[plan->ranges_count++] = *range;
}

/* A list of CIDRs in the order of cidr_compare(), to be freed; NULL is the empty list. */
static struct tg_cidr *sorted_copy(struct differ *d, const struct tg_cidr *list, size_t count)
{
	struct tg_cidr *copy;

	if (count == 0)
		return NULL;
	copy = reallocarray(NULL, count, sizeof *copy);
	if (copy == NULL) {
		d->memory = true;
		return NULL;
	}
	memcpy(copy, list, count * sizeof *copy);
	if (count > 1)
		qsort(copy, count, sizeof *copy, cidr_compare);
	return copy;
}

static bool has_cidr(const struct tg_cidr *list, size_t count, const struct tg_cidr *cidr)
{
	return count > 0 && bsearch(cidr, list, count, sizeof *list, cidr_compare) != NULL;
}

/* The same from *at on, for walks along two sorted lists. */
static bool next_cidr(const struct tg_cidr *list, size_t count, size_t *at, const struct tg_cidr *cidr)
{
	while (*at < count && cidr_compare(&list[*at], cidr) < 0)
		++*at;
	return *at < count && cidr_compare(&list[*at], cidr) == 0;
}

/* WireGuard gives a private key back clamped (RFC 7748 §5), a document may have it as it was drawn. */
static bool same_private_key(const struct tg_key *want, const struct tg_key *have)
{
	struct tg_key clamped = *want;

	clamped.bytes[0] &= 0xf8;
	clamped.bytes[31] = (clamped.bytes[31] & 0x7f) | 0x40;
	return tg_key_equal(&clamped, have);
}

static void diff_device(struct differ *d)
{
	const struct state *have = d->have;
	unsigned            flags = 0;

	if (!have->device || !same_private_key(&d->want->private_key, &have->private_key))
		flags |= STEP_KEY;
	if (!have->device || have->port != d->want->port)
		flags |= STEP_PORT;
	if (flags != 0)
		add_step(d, STEP_DEVICE)->flags = flags;
}

static bool endpoint_is_new(const struct differ *d, const struct model_peer *want,
                            const struct state_peer *have)
{
	if (want->endpoint.family == 0)
		return false;
	if (have == NULL)
		return true;
	if (tg_endpoint_equal(&want->endpoint, &have->endpoint))
		return false;
	/* Who was never heard of has not roamed: another engine did not come to the change. */
	if (d->want_before == NULL)
		return have->rx == 0;

	const struct model_peer *before = model_find_peer(d->before, d->want_before, &want->public_key);

	return before == NULL || !tg_endpoint_equal(&before->endpoint, &want->endpoint);
}

/* Sets what differs of one peer.  A range that another peer has comes over in the same step, so there
 * is no moment in which none has it. */
static void diff_peer(struct differ *d, const struct model_peer *want, const struct state_peer *have)
{
	static const struct state_peer none;
	const struct state_peer       *now = have != NULL ? have : &none;
	const struct tg_cidr          *had = d->have->ranges + now->ranges_first;
	const struct tg_cidr          *range = d->model->cidrs + want->ranges_first;
	struct step                   *step = NULL;
	unsigned                       flags = have == NULL ? STEP_PEER_NEW : 0;

	if (!tg_key_equal(&now->preshared_key, &want->preshared_key))
		flags |= STEP_PEER_PRESHARED;
	if (now->keepalive_s != want->keepalive_s)
		flags |= STEP_PEER_KEEPALIVE;
	if (endpoint_is_new(d, want, have))
		flags |= STEP_PEER_ENDPOINT;
	if (flags != 0) {
		step = add_step(d, STEP_PEER_SET);
		step->flags = flags;
		step->peer = want;
		step->key = want->public_key;
		step->ranges_first = (uint32_t)d->plan->ranges_count;
	}
	for (uint32_t i = 0; i < want->ranges_count; i++) {
		if (have != NULL && has_cidr(had, now->ranges_count, &range[i]))
			continue;
		if (step == NULL || step->ranges_count == DIFFER_RANGES_MOST) {
			step = add_step(d, STEP_PEER_SET);
			step->peer = want;
			step->key = want->public_key;
			step->ranges_first = (uint32_t)d->plan->ranges_count;
		}
		add_range(d, &range[i]);
		step->ranges_count++;
	}
}

/* Walks both lists, each sorted by key. */
static void diff_peers(struct differ *d)
{
	const struct model_peer *want = d->model->peers + d->want->peers_first;
	const struct state_peer *have = d->have->peers;
	size_t                   w = 0;
	size_t                   h = 0;

	while (w < d->want->peers_count) {
		int order = h == d->have->peers_count ? -1
		                                      : memcmp(&want[w].public_key, &have[h].public_key,
		                                               sizeof want[w].public_key);

		if (order <= 0)
			diff_peer(d, &want[w++], order == 0 ? &have[h] : NULL);
		if (order >= 0)
			h++;
	}
}

static void drop_range(struct differ *d, struct step **step, const struct tg_cidr *range)
{
	if (*step == NULL || (*step)->ranges_count == DIFFER_RANGES_MOST) {
		*step = add_step(d, STEP_RANGES_DROP);
		(*step)->ranges_first = (uint32_t)d->plan->ranges_count;
	}
	add_range(d, range);
	(*step)->ranges_count++;
}

/* The peer of a sorted list that has this key, if any, from *at on: for walks that go with the order. */
static const struct model_peer *next_wanted(const struct differ *d, uint32_t *at, const struct tg_key *key)
{
	const struct model_peer *want = d->model->peers + d->want->peers_first;

	while (*at < d->want->peers_count) {
		int order = memcmp(&want[*at].public_key, key, sizeof *key);

		if (order >= 0)
			return order == 0 ? &want[*at] : NULL;
		++*at;
	}
	return NULL;
}

/* Whether a peer that stays is to lose a range, to another peer or for good. */
static bool loses_ranges(const struct differ *d)
{
	const struct state *have = d->have;
	uint32_t            at = 0;

	for (size_t i = 0; i < have->peers_count; i++) {
		const struct state_peer *peer = &have->peers[i];
		const struct model_peer *want = next_wanted(d, &at, &peer->public_key);

		for (uint32_t r = 0; want != NULL && r < peer->ranges_count; r++)
			if (!has_cidr(d->model->cidrs + want->ranges_first, want->ranges_count,
			              &have->ranges[peer->ranges_first + r]))
				return true;
	}
	return false;
}

/* All ranges of all peers, sorted, to be freed.  NULL: out of memory. */
static struct tg_cidr *wanted_ranges(struct differ *d, size_t *count)
{
	const struct model_peer *peers = d->model->peers + d->want->peers_first;
	size_t                   room = 1;
	struct tg_cidr          *ranges;

	*count = 0;
	for (uint32_t i = 0; i < d->want->peers_count; i++)
		room += peers[i].ranges_count;
	ranges = reallocarray(NULL, room, sizeof *ranges);
	if (ranges == NULL) {
		d->memory = true;
		return NULL;
	}
	for (uint32_t i = 0; i < d->want->peers_count; i++) {
		if (peers[i].ranges_count == 0)
			continue;
		memcpy(ranges + *count, d->model->cidrs + peers[i].ranges_first,
		       peers[i].ranges_count * sizeof *ranges);
		*count += peers[i].ranges_count;
	}
	qsort(ranges, *count, sizeof *ranges, cidr_compare);
	return ranges;
}

/* Ranges of peers that stay, which nobody is to have any more.  What another peer is to have has come
 * over to that one by now. */
static void diff_surplus_ranges(struct differ *d, const struct tg_cidr *wanted, size_t count)
{
	const struct state *have = d->have;
	struct step        *step = NULL;
	uint32_t            at = 0;

	for (size_t i = 0; i < have->peers_count; i++) {
		const struct state_peer *peer = &have->peers[i];
		const struct model_peer *want = next_wanted(d, &at, &peer->public_key);

		if (want == NULL)
			continue;	/* it goes, and its ranges with it */
		for (uint32_t r = 0; r < peer->ranges_count; r++) {
			const struct tg_cidr *range = &have->ranges[peer->ranges_first + r];

			if (!has_cidr(d->model->cidrs + want->ranges_first, want->ranges_count, range) &&
			    !has_cidr(wanted, count, range))
				drop_range(d, &step, range);
		}
	}
}

static void diff_surplus_peers(struct differ *d)
{
	const struct state *have = d->have;
	uint32_t            at = 0;

	for (size_t i = 0; i < have->peers_count; i++)
		if (next_wanted(d, &at, &have->peers[i].public_key) == NULL)
			add_step(d, STEP_PEER_REMOVE)->key = have->peers[i].public_key;
}

/* IPv6 knows an address once, with whatever prefix, and IPv4 removes the first of several that differ in
 * their prefix alone: the one that is there has to go before the other can come. */
static bool in_the_way(const struct tg_cidr *have, const struct tg_cidr *want, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (want[i].family == have->family &&
		    memcmp(want[i].bytes, have->bytes, sizeof have->bytes) == 0)
			return true;
	return false;
}

/* Below this MTU a link has none: with the change of the MTU all goes, and nothing can come. */
static bool has_ipv6(const struct differ *d)
{
	return d->want->mtu >= MODEL_MTU_IPV6;
}

static void remove_address(struct differ *d, const struct tg_cidr *address)
{
	if (address->family != AF_INET6 || has_ipv6(d))
		add_step(d, STEP_ADDRESS_REMOVE)->cidr = *address;
}

/* Else new ones come first, since IPv4's routes go with the last address of the link. */
static void diff_addresses(struct differ *d)
{
	const struct state          *have = d->have;
	size_t                       count = d->want->addresses_count;
	TG_AUTO_FREE struct tg_cidr *want = sorted_copy(d, d->model->cidrs + d->want->addresses_first, count);

	if (want == NULL)
		return;
	for (size_t i = 0; i < have->addresses_count; i++)
		if (!has_cidr(want, count, &have->addresses[i]) &&
		    in_the_way(&have->addresses[i], want, count))
			remove_address(d, &have->addresses[i]);
	for (size_t i = 0; i < count; i++)
		if (!has_cidr(have->addresses, have->addresses_count, &want[i]))
			add_step(d, STEP_ADDRESS_ADD)->cidr = want[i];
	for (size_t i = 0; i < have->addresses_count; i++)
		if (!has_cidr(want, count, &have->addresses[i]) &&
		    !in_the_way(&have->addresses[i], want, count))
			remove_address(d, &have->addresses[i]);
}

/* Whether the kernel adds a route to the prefix of an address with it.  For one IPv4 address alone it does
 * not; and with one that is there it would have, unless somebody took it away. */
static bool brings_route(const struct differ *d, const struct tg_cidr *address)
{
	const struct state *have = d->have;
	struct tg_cidr      prefix = *address;

	if (address->family == AF_INET && address->prefix == 32)
		return false;
	tg_cidr_mask(&prefix);
	return !have->up || !has_cidr(have->addresses, have->addresses_count, address) ||
	       has_cidr(have->foreign, have->foreign_count, &prefix);
}

/* Leaves those ranges that need a route of their own: those that are an address's prefix have the kernel's.
 * Returns how many these are. */
static size_t keep_routes(struct differ *d, struct tg_cidr *ranges, size_t count)
{
	const struct tg_cidr        *addresses = d->model->cidrs + d->want->addresses_first;
	TG_AUTO_FREE struct tg_cidr *prefixes = sorted_copy(d, addresses, d->want->addresses_count);
	size_t                       connected = 0;
	size_t                       kept = 0;

	if (prefixes == NULL)
		return 0;
	for (uint32_t i = 0; i < d->want->addresses_count; i++) {
		if (!brings_route(d, &addresses[i]))
			continue;
		prefixes[connected] = addresses[i];
		tg_cidr_mask(&prefixes[connected++]);
	}
	qsort(prefixes, connected, sizeof *prefixes, cidr_compare);
	for (size_t i = 0; i < count; i++) {
		if (ranges[i].family == AF_INET6 && !has_ipv6(d))
			continue;
		if (!has_cidr(prefixes, connected, &ranges[i]))
			ranges[kept++] = ranges[i];
	}
	return kept;
}

static void diff_routes(struct differ *d, const struct tg_cidr *want, size_t count)
{
	const struct state *have = d->have;
	size_t              at = 0;

	/* Routes go down with their link, so those of a link that is down are all missing. */
	for (size_t i = 0; i < have->routes_count; i++)
		if (!next_cidr(want, count, &at, &have->routes[i]) &&
		    (have->routes[i].family != AF_INET6 || has_ipv6(d)))
			add_step(d, STEP_ROUTE_REMOVE)->cidr = have->routes[i];
	at = 0;
	for (size_t i = 0; i < count; i++)
		if (!next_cidr(have->routes, have->routes_count, &at, &want[i]) &&
		    !has_cidr(have->foreign, have->foreign_count, &want[i]))
			add_step(d, STEP_ROUTE_ADD)->cidr = want[i];
}

static void diff_link(struct differ *d)
{
	const struct state          *have = d->have;
	size_t                       count;
	TG_AUTO_FREE struct tg_cidr *ranges = wanted_ranges(d, &count);

	if (ranges == NULL)
		return;
	if (have->link != STATE_LINK_OURS)
		add_step(d, STEP_LINK_MAKE);
	diff_device(d);
	diff_peers(d);
	if (loses_ranges(d))
		diff_surplus_ranges(d, ranges, count);
	diff_surplus_peers(d);
	if (!have->lo_up)
		add_step(d, STEP_LO_UP);
	if (have->link == STATE_LINK_OURS && have->mtu != d->want->mtu)
		add_step(d, STEP_MTU);
	diff_addresses(d);
	if (!have->up)
		add_step(d, STEP_LINK_UP);
	diff_routes(d, ranges, keep_routes(d, ranges, count));
}

int differ_plan(const struct model *model, const struct model_network *want, const struct state *have,
                const struct model *before, struct plan *to)
{
	struct differ d = { .model = model, .want = want, .have = have, .before = before, .plan = to };

	*to = (struct plan){ .want = want };
	if (before != NULL)
		d.want_before = model_find(before, want->port);
	if (!have->exists)
		add_step(&d, STEP_NAMESPACE_MAKE);
	else if (!have->pinned)
		add_step(&d, STEP_NAMESPACE_PIN);
	if (!have->sysctls)
		add_step(&d, STEP_SYSCTLS);
	if (have->link == STATE_LINK_OTHER)
		add_step(&d, STEP_LINK_DELETE);
	if (have->link != STATE_LINK_OURS && have->renamed)
		add_step(&d, STEP_LINK_RENAME);
	else
		diff_link(&d);
	if (!d.memory)
		return 0;
	plan_clear(to);
	return -1;
}
