#include "tests/support/kernel.h"

#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/error.h"
#include "base/model.h"
#include "netns/differ.h"
#include "netns/wireguard.h"

struct fake_kernel fake;

static const struct wireguard fake_wireguard;

void fake_reset(void)
{
	state_clear(&fake.state);
	fake = (struct fake_kernel){ .calls = 0 };
}

static int call(struct tg_error *err)
{
	fake.calls++;
	if (fake.calls == fake.fail_at)
		return tg_fail(err, TG_CODE_SYSTEM, "told to fail");
	return 0;
}

static void copy_state(struct state *to, const struct state *from)
{
	*to = *from;
	to->addresses = to->routes = to->ranges = to->foreign = NULL;
	to->peers = NULL;
	to->addresses_count = to->routes_count = to->ranges_count = to->foreign_count = to->peers_count = 0;
	for (size_t i = 0; i < from->addresses_count; i++)
		state_add_address(to, &from->addresses[i]);
	for (size_t i = 0; i < from->routes_count; i++)
		state_add_route(to, &from->routes[i], false);
	for (size_t i = 0; i < from->foreign_count; i++)
		state_add_route(to, &from->foreign[i], true);
	for (size_t i = 0; i < from->peers_count; i++) {
		const struct state_peer *peer = &from->peers[i];
		struct state_peer       *copy = state_add_peer(to, &peer->public_key);
		uint32_t                 first = copy->ranges_first;

		*copy = *peer;
		copy->ranges_first = first;
		copy->ranges_count = 0;
		for (uint32_t r = 0; r < peer->ranges_count; r++)
			state_add_range(to, &from->ranges[peer->ranges_first + r]);
	}
	state_sort(to);
}

static enum reading_result fake_read(const struct wireguard *wireguard, struct reading *reading,
                                     uint64_t until_ms, struct tg_error *err)
{
	(void)wireguard;
	(void)until_ms;
	(void)err;
	if (fake.parts > reading->tries) {
		reading->tries++;
		return READING_MORE;
	}
	state_clear(&reading->state);
	copy_state(&reading->state, &fake.state);
	if (reading->what == READING_PEERS) {
		reading->state.pinned = reading->state.sysctls = true;
		reading->state.lo_up = reading->state.up = true;
	}
	return READING_DONE;
}

static int fake_make(const struct netns_host *host, struct tenant *tenant, struct tg_error *err)
{
	(void)host;
	(void)tenant;
	if (call(err) != 0)
		return -1;
	ck_assert(!fake.state.exists);
	fake.state.exists = fake.state.pinned = true;
	return 0;
}

static int fake_pin(const struct netns_host *host, const struct tenant *tenant, struct tg_error *err)
{
	(void)host;
	(void)tenant;
	ck_assert(fake.state.exists);
	if (call(err) != 0)
		return -1;
	fake.state.pinned = true;
	return 0;
}

static int fake_sysctls(const struct netns_host *host, struct tenant *tenant, struct tg_error *err)
{
	(void)host;
	(void)tenant;
	ck_assert(fake.state.exists);
	if (call(err) != 0)
		return -1;
	fake.state.sysctls = true;
	return 0;
}

static void lose_link(void)
{
	struct state kept = fake.state;

	fake.state = (struct state){ .exists = kept.exists, .pinned = kept.pinned, .sysctls = kept.sysctls };
	fake.state.lo_up = kept.lo_up;
	kept.exists = false;
	state_clear(&kept);
}

static int fake_link_delete(const struct tenant *tenant, struct tg_error *err)
{
	(void)tenant;
	if (call(err) != 0)
		return -1;
	lose_link();
	return 0;
}

static int fake_link_rename(const struct tenant *tenant, struct tg_error *err)
{
	(void)tenant;
	ck_assert(fake.state.renamed);
	if (call(err) != 0)
		return -1;
	fake.state.renamed = false;
	fake.state.link = STATE_LINK_OURS;
	return 0;
}

static enum wireguard_result fake_link_make(const struct netns_host *host, struct tenant *tenant,
                                            const struct plan *plan, struct tg_error *err)
{
	(void)host;
	(void)tenant;
	ck_assert(fake.state.exists);
	if (call(err) != 0)
		return WIREGUARD_FAILED;
	if (fake.waits > 0) {
		fake.waits--;
		return WIREGUARD_WAIT;
	}
	fake.state.link = STATE_LINK_OURS;
	fake.state.device = true;
	fake.state.ifindex = 2;
	fake.state.mtu = plan->want->mtu;
	return WIREGUARD_DONE;
}

static int fake_device(const struct netns_host *host, struct tenant *tenant, const struct plan *plan,
                       const struct step *step, struct tg_error *err)
{
	(void)host;
	(void)tenant;
	ck_assert_int_eq(fake.state.link, STATE_LINK_OURS);
	if (call(err) != 0)
		return -1;
	if ((step->flags & STEP_KEY) != 0) {
		fake.state.private_key = plan->want->private_key;
		/* As WireGuard does (RFC 7748 §5). */
		fake.state.private_key.bytes[0] &= 0xf8;
		fake.state.private_key.bytes[31] &= 0x7f;
		fake.state.private_key.bytes[31] |= 0x40;
		fake.state.public_key = plan->want->public_key;
	}
	if ((step->flags & STEP_PORT) != 0)
		fake.state.port = plan->want->port;
	return 0;
}

static bool same_key(const struct state_peer *peer, const struct tg_key *key)
{
	return memcmp(&peer->public_key, key, sizeof *key) == 0;
}

/* The state anew, with `step` carried out on its peers: as the kernel does, a range that one peer gets
 * leaves the one that had it. */
static void change_peers(const struct plan *plan, const struct step *step)
{
	const struct tg_cidr *moved = plan->ranges + step->ranges_first;
	struct state          old;
	bool                  there = false;

	copy_state(&old, &fake.state);
	free(fake.state.peers);
	free(fake.state.ranges);
	fake.state.peers = NULL;
	fake.state.ranges = NULL;
	fake.state.peers_count = fake.state.ranges_count = 0;
	for (size_t i = 0; i < old.peers_count; i++) {
		const struct state_peer *peer = &old.peers[i];
		bool                     it = step->kind != STEP_RANGES_DROP && same_key(peer, &step->key);

		if (it && step->kind == STEP_PEER_REMOVE)
			continue;

		struct state_peer *copy = state_add_peer(&fake.state, &peer->public_key);
		uint32_t           first = copy->ranges_first;

		*copy = *peer;
		copy->ranges_first = first;
		copy->ranges_count = 0;
		for (uint32_t r = 0; r < peer->ranges_count; r++) {
			const struct tg_cidr *range = &old.ranges[peer->ranges_first + r];
			bool                  goes = false;

			for (uint32_t m = 0; m < step->ranges_count; m++)
				goes |= cidr_compare(&moved[m], range) == 0;
			if (!goes)
				state_add_range(&fake.state, range);
		}
		for (uint32_t m = 0; it && m < step->ranges_count; m++)
			state_add_range(&fake.state, &moved[m]);
		there |= it;
	}
	if (step->kind == STEP_PEER_SET && !there) {
		ck_assert_msg((step->flags & STEP_PEER_NEW) != 0, "a change of a peer that is not there");
		state_add_peer(&fake.state, &step->key);
		for (uint32_t m = 0; m < step->ranges_count; m++)
			state_add_range(&fake.state, &moved[m]);
	}
	for (size_t i = 0; step->kind == STEP_PEER_SET && i < fake.state.peers_count; i++) {
		struct state_peer *peer = &fake.state.peers[i];

		if (!same_key(peer, &step->key))
			continue;
		if ((step->flags & STEP_PEER_PRESHARED) != 0)
			peer->preshared_key = step->peer->preshared_key;
		if ((step->flags & STEP_PEER_KEEPALIVE) != 0)
			peer->keepalive_s = step->peer->keepalive_s;
		if ((step->flags & STEP_PEER_ENDPOINT) != 0)
			peer->endpoint = step->peer->endpoint;
	}
	state_clear(&old);
	state_sort(&fake.state);
}

static void look_for_orphans(void)
{
	for (size_t k = 0; k < fake.keep_count; k++) {
		bool owned = false;

		for (size_t i = 0; i < fake.state.ranges_count; i++)
			owned |= cidr_compare(&fake.state.ranges[i], &fake.keep[k]) == 0;
		if (!owned)
			fake.orphaned++;
	}
}

static int fake_peers(const struct netns_host *host, struct tenant *tenant, const struct plan *plan,
                      const struct step *steps, size_t count, struct tg_error *err)
{
	(void)host;
	(void)tenant;
	ck_assert_uint_le(count, WIREGUARD_PEERS_MOST);
	ck_assert(fake.state.device);
	ck_assert(tg_key_equal(&fake.state.public_key, &plan->want->public_key));
	if (call(err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		ck_assert_uint_le(steps[i].ranges_count, DIFFER_RANGES_MOST);
		change_peers(plan, &steps[i]);
		look_for_orphans();
	}
	return 0;
}

static void take_out(struct tg_cidr *list, size_t *count, const struct tg_cidr *cidr)
{
	for (size_t i = 0; i < *count; i++) {
		if (cidr_compare(&list[i], cidr) != 0)
			continue;
		list[i] = list[--*count];
		return;
	}
	ck_abort_msg("a step takes away what is not there");
}

/* With the kernel's own route, of which there is one for a prefix. */
static void add_address(struct state *state, const struct tg_cidr *address)
{
	struct tg_cidr prefix = *address;

	state_add_address(state, address);
	tg_cidr_mask(&prefix);
	for (size_t i = 0; i < state->foreign_count; i++)
		if (cidr_compare(&state->foreign[i], &prefix) == 0)
			return;
	if (address->family == AF_INET6 || address->prefix < 32)
		state_add_route(state, &prefix, true);
}

static void remove_address(struct state *state, const struct tg_cidr *address)
{
	struct tg_cidr gone = *address;

	take_out(state->addresses, &state->addresses_count, address);
	tg_cidr_mask(&gone);
	for (size_t i = 0; i < state->addresses_count; i++) {
		struct tg_cidr prefix = state->addresses[i];

		tg_cidr_mask(&prefix);
		if (cidr_compare(&prefix, &gone) == 0)
			return;
	}
	/* Somebody may have taken it away before. */
	for (size_t i = 0; i < state->foreign_count; i++)
		if (cidr_compare(&state->foreign[i], &gone) == 0)
			state->foreign[i] = state->foreign[--state->foreign_count];
}

static size_t without_ipv6(struct tg_cidr *list, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (list[i].family == AF_INET)
			list[kept++] = list[i];
	return kept;
}

/* As Linux does: below a certain MTU a link has no IPv6. */
static void change_mtu(struct state *state, uint32_t mtu)
{
	state->mtu = mtu;
	if (mtu >= MODEL_MTU_IPV6)
		return;
	state->addresses_count = without_ipv6(state->addresses, state->addresses_count);
	state->routes_count = without_ipv6(state->routes, state->routes_count);
	state->foreign_count = without_ipv6(state->foreign, state->foreign_count);
}

static void change_link(const struct plan *plan, const struct step *step)
{
	struct state *state = &fake.state;

	if (step->kind == STEP_LO_UP)
		state->lo_up = true;
	else if (step->kind == STEP_LINK_UP)
		state->up = true;
	else if (step->kind == STEP_MTU)
		change_mtu(state, plan->want->mtu);
	else if (step->kind == STEP_ADDRESS_ADD)
		add_address(state, &step->cidr);
	else if (step->kind == STEP_ADDRESS_REMOVE)
		remove_address(state, &step->cidr);
	else if (step->kind == STEP_ROUTE_REMOVE)
		take_out(state->routes, &state->routes_count, &step->cidr);
	else if (step->kind == STEP_ROUTE_ADD) {
		ck_assert_msg(state->up, "a route through a link that is down");
		ck_assert(step->cidr.family == AF_INET || state->mtu >= MODEL_MTU_IPV6);
		state_add_route(state, &step->cidr, false);
	}
	state_sort(state);
}

static int fake_links(struct tenant *tenant, const struct plan *plan, const struct step *steps,
                      size_t count, struct tg_error *err)
{
	(void)tenant;
	ck_assert_int_eq(fake.state.link, STATE_LINK_OURS);
	if (call(err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		change_link(plan, &steps[i]);
	return 0;
}

static const struct wireguard fake_wireguard = {
	.make = fake_link_make,
	.device = fake_device,
	.peers = fake_peers,
};

struct apply_kernel fake_kernel_of(void)
{
	return (struct apply_kernel){
		.read = fake_read,
		.make = fake_make,
		.pin = fake_pin,
		.sysctls = fake_sysctls,
		.link_delete = fake_link_delete,
		.link_rename = fake_link_rename,
		.links = fake_links,
		.wireguard = &fake_wireguard,
	};
}

unsigned fake_apply(const struct model *model, uint16_t port, const struct model *before)
{
	const struct model_network *want = model_find(model, port);
	struct apply_kernel         kernel = fake_kernel_of();
	struct netns_host           host = { .home = -1, .route = -1 };
	struct tenant               tenant;
	struct tg_error             err;

	tenant_init(&tenant, port);
	for (unsigned round = 1; round < 10; round++) {
		struct reading    reading;
		struct plan       plan;
		size_t            at = 0;
		enum apply_result result = APPLY_MORE;

		reading_begin(&reading, &host, &tenant, READING_ALL);
		ck_assert_int_eq(kernel.read(kernel.wireguard, &reading, 0, &err), READING_DONE);
		ck_assert_int_eq(differ_plan(model, want, &reading.state, before, &plan), 0);

		size_t steps = plan.steps_count;

		/* A time that is over: each call stands alone. */
		while (result == APPLY_MORE)
			result = apply_some(&kernel, &host, &tenant, &plan, &at, 0, &err);
		plan_clear(&plan);
		reading_end(&reading);
		if (result == APPLY_FAILED)
			return 0;
		if (steps == 0)
			return round;
	}
	ck_abort_msg("it never ends");
	return 0;
}
