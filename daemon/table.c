#include "daemon/table.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/store.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/model.h"
#include "base/msg.h"
#include "base/snapshot.h"
#include "daemon/slots.h"
#include "proxy/routes.h"

/* Hosts under construction. */
struct building {
	struct routes_host *hosts;
	size_t              count;
	struct store_slot  *fresh;
	size_t              fresh_count;
};

static void target_fill(const struct model *model, const struct model_host *from, struct routes_target *to)
{
	to->present = 1;
	to->host_header = from->host_header_at != 0 ? model_text(model, from->host_header_at) : NULL;
	to->upstreams = from->upstreams_count > 0 ? &model->upstreams[from->upstreams_first] : NULL;
	to->upstreams_count = from->upstreams_count;
	to->max_connections = from->max_connections;
	to->proxy_protocol = from->proxy_protocol;
	to->redirect_to_https = from->redirect_to_https;
}

/* Hosts of a network are sorted by name, so the two schemes of one name stand together. */
static int building_network(const struct table_source *from, struct building *b,
                            const struct model_network *network)
{
	const struct model            *model = from->model;
	const struct snapshot_network *live = snapshot_find(from->state, network->port);
	bool up = live != NULL && live->state == SNAPSHOT_UP &&
	          tg_key_equal(&live->public_key, &network->public_key);

	for (uint32_t i = 0; i < network->hosts_count; i++) {
		const struct model_host *host = &model->hosts[network->hosts_first + i];
		const char              *name = model_text(model, host->name_at);
		struct routes_host      *to = b->count > 0 ? &b->hosts[b->count - 1] : NULL;

		if (host->scheme == MODEL_SSH)
			continue;
		if (to == NULL || strcmp(to->name, name) != 0) {
			bool fresh = false;

			to = &b->hosts[b->count];
			memset(to, 0, sizeof *to);
			to->name = name;
			to->netns_cookie = up ? live->epoch.netns_cookie : 0;
			to->network_id = to->netns_cookie;
			to->slot = slots_take(from->slots, &network->public_key, name, &fresh);
			if (to->slot == SLOTS_NONE)
				return -1;
			b->count++;
			if (fresh) {
				struct store_slot *slot = &b->fresh[b->fresh_count++];

				slot->slot = to->slot;
				slot->network = network->public_key;
				snprintf(slot->host, sizeof slot->host, "%s", name);
			}
		}
		target_fill(model, host,
		            &to->scheme[host->scheme == MODEL_HTTPS ? ROUTES_HTTPS : ROUTES_HTTP]);
	}
	return 0;
}

static void building_forwards(const struct table_source *from, struct building *b)
{
	size_t first = b->count;

	for (size_t i = 0; i < from->forwards_count; i++) {
		const struct msg_forward *forward = &from->forwards[i];
		struct routes_host       *to = NULL;

		for (size_t k = first; k < b->count; k++)
			if (strcmp(b->hosts[k].name, forward->host) == 0)
				to = &b->hosts[k];
		if (to == NULL) {
			to = &b->hosts[b->count++];
			memset(to, 0, sizeof *to);
			to->name = forward->host;
			to->network_id = 1;
			to->slot = ROUTES_FORWARD;
		}

		struct routes_target *target = &to->scheme[forward->https ? ROUTES_HTTPS : ROUTES_HTTP];

		target->present = 1;
		target->upstreams = &forward->upstream;
		target->upstreams_count = 1;
		target->max_connections = MODEL_UNLIMITED;
	}
}

int table_plan(const struct table_source *from, struct table *to, struct tg_error *err)
{
	const struct model *model = from->model;
	size_t              most = model->hosts_count + from->forwards_count;
	struct building     b = { .hosts = calloc(most + 1, sizeof *b.hosts),
				  .fresh = calloc(model->hosts_count + 1, sizeof *b.fresh) };
	int                 failed = b.hosts == NULL || b.fresh == NULL ? tg_fail_memory(err) : 0;

	*to = (struct table){ .fd = -1, .version = from->version };
	if (failed == 0) {
		slots_table_begin(from->slots);
		for (size_t i = 0; i < model->networks_count && failed == 0; i++)
			if (building_network(from, &b, &model->networks[i]) == -1)
				failed = tg_fail(err, TG_CODE_LIMIT, "more than %u hosts have counters",
				                 MSG_SLOTS);
		slots_table_end(from->slots, from->version);
	}
	if (failed == -1) {
		free(b.hosts);
		free(b.fresh);
		return -1;
	}
	building_forwards(from, &b);
	to->hosts = b.hosts;
	to->hosts_count = b.count;
	to->slots = b.fresh;
	to->slots_count = b.fresh_count;
	return 0;
}

int table_make(struct table *table, struct tg_error *err)
{
	table->fd = routes_build(table->hosts, table->hosts_count, err);
	if (table->fd == -1)
		return -1;
	free(table->hosts);
	table->hosts = NULL;
	return 0;
}

void table_clear(struct table *table)
{
	tg_close_at(&table->fd);
	free(table->hosts);
	free(table->slots);
	*table = (struct table){ .fd = -1 };
}
