/* What differs between two models, for people and for the report of an apply.  Everything in a model is
 * sorted: one walk over both sides side by side is enough. */
#include "base/model_build.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Two models and what is found. */
struct diff {
	const struct model *before;
	const struct model *after;
	struct model_diff  *to;
	bool                no_memory;
};

static void note(struct diff *d, enum model_op op, const struct model_place *place)
{
	char                 path[MODEL_PATH_MOST];
	struct model_change *change = &d->to->changes[d->to->changes_count];
	size_t               bytes;

	d->to->equal = false;
	if (d->to->changes_count == MODEL_CHANGES_MOST)
		return;
	model_place_print(place, path);
	bytes = strlen(path) + 1;
	change->op = op;
	change->path = model_alloc(bytes);
	if (change->path == NULL) {
		d->no_memory = true;
		return;
	}
	memcpy(change->path, path, bytes);
	d->to->changes_count++;
}

/* Returns whether it differs, so that the caller can say so of what holds it. */
static bool note_field(struct diff *d, bool differs, const struct model_place *up, const char *field)
{
	const struct model_place here = { .up = up, .key = field };

	if (differs)
		note(d, MODEL_CHANGE, &here);
	return differs;
}

static bool cidrs_differ(const struct tg_cidr *a, uint32_t a_count, const struct tg_cidr *b, uint32_t b_count)
{
	return a_count != b_count || (a_count > 0 && memcmp(a, b, a_count * sizeof *a) != 0);
}

static bool texts_differ(const struct diff *d, uint32_t before_at, uint32_t after_at)
{
	return strcmp(model_text(d->before, before_at), model_text(d->after, after_at)) != 0;
}

static bool diff_peer(struct diff *d, const struct model_place *here, const struct model_peer *a,
                      const struct model_peer *b)
{
	bool changed = false;

	changed |= note_field(d, !tg_key_equal(&a->preshared_key, &b->preshared_key), here, "preshared_key");
	changed |= note_field(d,
	                      cidrs_differ(d->before->cidrs + a->ranges_first, a->ranges_count,
	                                   d->after->cidrs + b->ranges_first, b->ranges_count),
	                      here, "allowed_ips");
	changed |= note_field(d, !tg_endpoint_equal(&a->endpoint, &b->endpoint), here, "endpoint");
	changed |= note_field(d, a->keepalive_s != b->keepalive_s, here, "persistent_keepalive");
	return changed;
}

/* What stands on one side only. */
static void note_single(struct diff *d, bool is_new, const struct model_place *here,
                        struct model_tally *tally)
{
	note(d, is_new ? MODEL_ADD : MODEL_REMOVE, here);
	if (is_new)
		tally->added++;
	else
		tally->removed++;
}

/* Peers of one key, one of the two NULL when only one side has it.  Returns whether they differ. */
static bool diff_peers_at(struct diff *d, const struct model_place *up, const struct model_peer *a,
                          const struct model_peer *b)
{
	char                     key[TG_KEY_TEXT];
	const struct model_place here = { .up = up, .key = key };
	const struct model_peer *some = a != NULL ? a : b;
	bool                     changed;

	assert(some != NULL);
	tg_key_print(&some->public_key, key);
	if (a == NULL || b == NULL) {
		note_single(d, a == NULL, &here, &d->to->peers);
		return true;
	}
	changed = diff_peer(d, &here, a, b);
	d->to->peers.changed += changed;
	return changed;
}

static int peers_order(const struct model_peer *a, const struct model_peer *b)
{
	return memcmp(a->public_key.bytes, b->public_key.bytes, TG_KEY_BYTES);
}

static bool diff_peers(struct diff *d, const struct model_place *network, const struct model_network *before,
                       const struct model_network *after)
{
	const struct model_place here = { .up = network, .key = "peers" };
	const struct model_peer *a = d->before->peers + before->peers_first;
	const struct model_peer *b = d->after->peers + after->peers_first;
	const struct model_peer *a_end = a + before->peers_count;
	const struct model_peer *b_end = b + after->peers_count;
	bool                     changed = false;

	while (a < a_end || b < b_end) {
		int order = a == a_end ? 1 : b == b_end ? -1 : peers_order(a, b);

		changed |= diff_peers_at(d, &here, order <= 0 ? a : NULL, order >= 0 ? b : NULL);
		a += order <= 0;
		b += order >= 0;
	}
	return changed;
}

static bool hosts_differ(const struct diff *d, const struct model_host *a, const struct model_host *b)
{
	const struct tg_endpoint *before = d->before->upstreams + a->upstreams_first;
	const struct tg_endpoint *after = d->after->upstreams + b->upstreams_first;

	if (a->max_connections != b->max_connections || a->proxy_protocol != b->proxy_protocol ||
	    a->redirect_to_https != b->redirect_to_https || a->upstreams_count != b->upstreams_count)
		return true;
	for (uint32_t i = 0; i < a->upstreams_count; i++)
		if (!tg_endpoint_equal(&before[i], &after[i]))
			return true;
	return texts_differ(d, a->host_header_at, b->host_header_at) || texts_differ(d, a->raw_at, b->raw_at);
}

/* As diff_peers_at(). */
static bool diff_hosts_at(struct diff *d, const struct model_place *up, const struct model_host *a,
                          const struct model_host *b)
{
	static const char *const schemes[] = {
		[MODEL_HTTP] = "http://",
		[MODEL_HTTPS] = "https://",
		[MODEL_SSH] = "",
	};
	char                     key[MODEL_PATH_MOST];
	const struct model_place here = { .up = up, .key = key };
	const struct model_host *some = a != NULL ? a : b;

	assert(some != NULL);
	snprintf(key, sizeof key, "%s%s", schemes[some->scheme],
	         model_text(a != NULL ? d->before : d->after, some->name_at));
	if (a == NULL || b == NULL) {
		note_single(d, a == NULL, &here, &d->to->hosts);
		return true;
	}
	if (!hosts_differ(d, a, b))
		return false;
	note(d, MODEL_CHANGE, &here);
	d->to->hosts.changed++;
	return true;
}

static int hosts_order(const struct diff *d, const struct model_host *a, const struct model_host *b)
{
	int order = strcmp(model_text(d->before, a->name_at), model_text(d->after, b->name_at));

	return order != 0 ? order : (a->scheme > b->scheme) - (a->scheme < b->scheme);
}

static bool diff_hosts(struct diff *d, const struct model_place *network, const struct model_network *before,
                       const struct model_network *after)
{
	const struct model_place here = { .up = network, .key = "proxy" };
	const struct model_host *a = d->before->hosts + before->hosts_first;
	const struct model_host *b = d->after->hosts + after->hosts_first;
	const struct model_host *a_end = a + before->hosts_count;
	const struct model_host *b_end = b + after->hosts_count;
	bool                     changed = false;

	while (a < a_end || b < b_end) {
		int order = a == a_end ? 1 : b == b_end ? -1 : hosts_order(d, a, b);

		changed |= diff_hosts_at(d, &here, order <= 0 ? a : NULL, order >= 0 ? b : NULL);
		a += order <= 0;
		b += order >= 0;
	}
	return changed;
}

static bool diff_name(struct diff *d, const struct model_place *network, uint32_t before_at,
                      uint32_t after_at)
{
	const struct model_place here = { .up = network, .key = "name" };

	if (!texts_differ(d, before_at, after_at))
		return false;
	if (before_at == 0 || after_at == 0)
		note(d, before_at == 0 ? MODEL_ADD : MODEL_REMOVE, &here);
	else
		note(d, MODEL_CHANGE, &here);
	return true;
}

static bool diff_network(struct diff *d, const struct model_place *here, const struct model_network *a,
                         const struct model_network *b)
{
	bool changed = diff_name(d, here, a->name_at, b->name_at);

	changed |= note_field(d, !tg_key_equal(&a->private_key, &b->private_key), here, "private_key");
	changed |= note_field(d,
	                      cidrs_differ(d->before->cidrs + a->addresses_first, a->addresses_count,
	                                   d->after->cidrs + b->addresses_first, b->addresses_count),
	                      here, "address");
	changed |= note_field(d, a->mtu != b->mtu, here, "mtu");
	changed |= diff_peers(d, here, a, b);
	changed |= diff_hosts(d, here, a, b);
	return changed;
}

static void note_network(struct diff *d, bool is_new, const struct model_place *here,
                         const struct model_network *network)
{
	struct model_diff *to = d->to;

	note(d, is_new ? MODEL_ADD : MODEL_REMOVE, here);
	if (is_new) {
		to->added[to->added_count++] = network->port;
		to->peers.added += network->peers_count;
		to->hosts.added += network->hosts_count;
	} else {
		to->removed[to->removed_count++] = network->port;
		to->peers.removed += network->peers_count;
		to->hosts.removed += network->hosts_count;
	}
}

/* As diff_peers_at(), for networks. */
static void diff_networks_at(struct diff *d, const struct model_network *a, const struct model_network *b)
{
	char                        port[8];
	const struct model_place    here = { .key = port };
	const struct model_network *some = a != NULL ? a : b;

	assert(some != NULL);
	if (a != NULL && b != NULL && model_equal_network(d->before, a, d->after, b)) {
		d->to->unchanged_count++;
		return;
	}
	snprintf(port, sizeof port, "%d", some->port);
	if (a == NULL || b == NULL)
		note_network(d, a == NULL, &here, some);
	else if (diff_network(d, &here, a, b))
		d->to->changed[d->to->changed_count++] = a->port;
	else
		d->to->unchanged_count++;
}

static int networks_order(const struct model_network *a, const struct model_network *b)
{
	return (a->port > b->port) - (a->port < b->port);
}

static int make_room(struct model_diff *to, size_t before, size_t after)
{
	to->added = model_alloc((after + 1) * sizeof *to->added);
	to->changed = model_alloc((after + 1) * sizeof *to->changed);
	to->removed = model_alloc((before + 1) * sizeof *to->removed);
	to->changes = model_alloc(MODEL_CHANGES_MOST * sizeof *to->changes);
	if (to->added == NULL || to->changed == NULL || to->removed == NULL || to->changes == NULL)
		return -1;
	return 0;
}

int model_diff(const struct model *before, const struct model *after, struct model_diff *to)
{
	static struct model_network none;
	static const struct model   nothing = { .networks = &none };
	struct diff                 d = { .before = before, .after = after, .to = to };

	if (before == NULL)
		d.before = &nothing;
	memset(to, 0, sizeof *to);
	to->equal = true;
	if (make_room(to, d.before->networks_count, after->networks_count) == -1) {
		model_diff_clear(to);
		return -1;
	}

	const struct model_network *a = d.before->networks;
	const struct model_network *b = after->networks;
	const struct model_network *a_end = a + d.before->networks_count;
	const struct model_network *b_end = b + after->networks_count;

	while ((a < a_end || b < b_end) && !d.no_memory) {
		int order = a == a_end ? 1 : b == b_end ? -1 : networks_order(a, b);

		diff_networks_at(&d, order <= 0 ? a : NULL, order >= 0 ? b : NULL);
		a += order <= 0;
		b += order >= 0;
	}
	if (d.no_memory) {
		model_diff_clear(to);
		return -1;
	}
	return 0;
}

void model_diff_clear(struct model_diff *diff)
{
	for (size_t i = 0; i < diff->changes_count; i++)
		model_release(diff->changes[i].path);
	model_release(diff->changes);
	model_release(diff->added);
	model_release(diff->changed);
	model_release(diff->removed);
	memset(diff, 0, sizeof *diff);
}
