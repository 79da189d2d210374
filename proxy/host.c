#include "proxy/host.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define uthash_nonfatal_oom(entry) ((entry)->listed = false)
#define HASH_NONFATAL_OOM 1
#include "base/uthash.h"

#include "proxy/counters.h"
#include "proxy/worker.h"

/* A host as some table said it.  Listed: the newest table says the same.  An unlisted one lives as
 * long as the connections that began with it. */
struct record {
	struct host      host;		/* first: a host is its record */
	struct host_use *uses;
	struct record   *next, *previous;
	bool             listed;
	UT_hash_handle   hh;
};

struct hosts {
	struct record *all;
	struct record *listed[2];	/* by scheme: tables of names */
	bool           swapping;	/* records are freed afterwards */
};

struct hosts *hosts_new(void)
{
	return calloc(1, sizeof(struct hosts));
}

static struct record *record_of(struct host *host)
{
	return (struct record *)host;
}

static void record_unlist(struct hosts *hosts, struct record *record)
{
	if (record->listed)
		HASH_DEL(hosts->listed[record->host.scheme], record);
	record->listed = false;
}

static void record_free(struct hosts *hosts, struct record *record)
{
	assert(record->uses == NULL);
	record_unlist(hosts, record);
	if (record->next != NULL)
		record->next->previous = record->previous;
	if (record->previous != NULL)
		record->previous->next = record->next;
	else
		hosts->all = record->next;
	free(record);
}

void hosts_free(struct hosts *hosts)
{
	if (hosts == NULL)
		return;
	while (hosts->all != NULL)
		record_free(hosts, hosts->all);
	free(hosts);
}

static struct record *record_find(struct hosts *hosts, enum routes_scheme scheme, const char *name)
{
	struct record *record;

	HASH_FIND(hh, hosts->listed[scheme], name, strlen(name), record);
	return record;
}

/* One block: the record, its upstreams, its texts. */
static struct record *record_new(struct hosts *hosts, enum routes_scheme scheme,
                                 const struct routes_host *from)
{
	const struct routes_target *target = &from->scheme[scheme];
	size_t         upstreams_bytes = target->upstreams_count * sizeof(struct tg_endpoint);
	size_t         name_bytes = strlen(from->name) + 1;
	size_t         header_bytes = target->host_header == NULL ? 0 : strlen(target->host_header) + 1;
	struct record *record = malloc(sizeof(*record) + upstreams_bytes + name_bytes + header_bytes);

	if (record == NULL)
		return NULL;

	struct tg_endpoint *upstreams = (struct tg_endpoint *)(record + 1);
	char               *name = (char *)upstreams + upstreams_bytes;
	char               *header = name + name_bytes;

	memcpy(upstreams, target->upstreams, upstreams_bytes);
	memcpy(name, from->name, name_bytes);
	if (header_bytes != 0)
		memcpy(header, target->host_header, header_bytes);
	*record = (struct record){
		.host = {
			.name = name,
			.host_header = header_bytes != 0 ? header : NULL,
			.upstreams = upstreams,
			.netns_cookie = from->netns_cookie,
			.slot = from->slot,
			.max_connections = target->max_connections,
			.upstreams_count = target->upstreams_count,
			.scheme = (uint8_t)scheme,
			.proxy_protocol = target->proxy_protocol,
			.redirect_to_https = target->redirect_to_https,
			.up = from->slot == ROUTES_FORWARD || from->network_id != 0,
		},
		.next = hosts->all,
		.listed = true,
	};
	HASH_ADD_KEYPTR(hh, hosts->listed[scheme], record->host.name, name_bytes - 1, record);
	if (!record->listed) {
		free(record);
		return NULL;
	}
	record->host.name_hash = record->hh.hashv;
	if (hosts->all != NULL)
		hosts->all->previous = record;
	hosts->all = record;
	return record;
}

static void use_begin(struct worker *w, struct record *record, struct host_use *use, host_gone_fn *on_gone)
{
	assert(use->host == NULL);
	*use = (struct host_use){
		.worker = w,
		.host = &record->host,
		.next = record->uses,
		.on_gone = on_gone,
	};
	if (record->uses != NULL)
		record->uses->previous = use;
	record->uses = use;
}

enum host_result host_enter(struct worker *w, enum routes_scheme scheme, const char *name,
                            struct host_use *use, host_gone_fn *on_gone)
{
	struct routes_host found;
	struct record     *record;

	if (w->routes == NULL || !routes_find(w->routes, scheme, name, &found))
		return HOST_UNKNOWN;
	record = record_find(w->hosts, scheme, found.name);
	if (record == NULL)
		record = record_new(w->hosts, scheme, &found);
	if (record == NULL)
		return HOST_NO_MEMORY;

	use_begin(w, record, use, on_gone);
	if (!record->host.up)
		return HOST_DOWN;
	if (record->host.max_connections != UINT32_MAX &&
	    counters_open(w->counters, record->host.slot) >= record->host.max_connections)
		return HOST_FULL;
	use->active = true;
	counters_opened(w->counters, record->host.slot);
	return HOST_OK;
}

void host_leave(struct host_use *use)
{
	if (use->host == NULL)
		return;

	struct hosts  *hosts = use->worker->hosts;
	struct record *record = record_of(use->host);

	if (use->active)
		counters_closed(use->worker->counters, record->host.slot);
	if (use->next != NULL)
		use->next->previous = use->previous;
	if (use->previous != NULL)
		use->previous->next = use->next;
	else
		record->uses = use->next;
	*use = (struct host_use){ 0 };
	/* A listed one stays for its round robin: there are no more of them than hosts in the table. */
	if (record->uses == NULL && !record->listed && !hosts->swapping)
		record_free(hosts, record);
}

bool host_is(const struct host_use *use, enum routes_scheme scheme, const char *name)
{
	struct routes_host found;

	if (use->host == NULL || use->worker->routes == NULL || !record_of(use->host)->listed ||
	    use->host->scheme != scheme || !routes_find(use->worker->routes, scheme, name, &found))
		return false;
	return strcmp(found.name, use->host->name) == 0;
}

void host_count_connection(const struct host_use *use)
{
	if (use->host != NULL)
		counters_connection(use->worker->counters, use->host->slot);
}

void host_received(const struct host_use *use, uint64_t bytes)
{
	if (use->host != NULL)
		counters_received(use->worker->counters, use->host->slot, bytes);
}

void host_sending(const struct host_use *use, uint64_t most)
{
	if (use->host != NULL)
		counters_sending(use->worker->counters, use->host->slot, most);
}

void host_sent(const struct host_use *use, uint64_t bytes)
{
	if (use->host != NULL)
		counters_sent(use->worker->counters, use->host->slot, bytes);
}

static bool texts_equal(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool record_says(const struct record *record, const struct routes_host *found)
{
	const struct host          *host = &record->host;
	const struct routes_target *target = &found->scheme[host->scheme];
	bool                        up = found->slot == ROUTES_FORWARD || found->network_id != 0;

	return host->up == up && host->max_connections == target->max_connections &&
	       host->proxy_protocol == target->proxy_protocol &&
	       host->redirect_to_https == target->redirect_to_https &&
	       texts_equal(host->host_header, target->host_header) &&
	       host->upstreams_count == target->upstreams_count &&
	       memcmp(host->upstreams, target->upstreams,
	              target->upstreams_count * sizeof(struct tg_endpoint)) == 0;
}

/* The old slot may soon be another host's: what lives on counts in the new one from here. */
static void record_move_slot(struct worker *w, struct record *record, uint32_t slot)
{
	for (const struct host_use *use = record->uses; use != NULL; use = use->next) {
		if (use->active) {
			counters_closed(w->counters, record->host.slot);
			counters_opened(w->counters, slot);
		}
	}
	record->host.slot = slot;
}

static void record_reset(struct record *record)
{
	while (record->uses != NULL) {
		struct host_use *use = record->uses;

		use->on_gone(use);
		assert(record->uses != use);
	}
}

/* A network that is down for the moment, without a cookie, may come back as the one it was; the slot is
 * of network and host, and tells when the name went to another. */
static bool same_network(const struct host *host, const struct routes_host *found)
{
	bool is_forward = found->slot == ROUTES_FORWARD;
	bool was_forward = host->slot == ROUTES_FORWARD;

	if (is_forward || was_forward)
		return is_forward && was_forward;
	return found->netns_cookie == host->netns_cookie ||
	       (found->netns_cookie == 0 && found->slot == host->slot);
}

static void record_swapped(struct worker *w, struct record *record)
{
	struct routes_host found;
	/* A wildcard that has the name now is another host than the exact one that went. */
	bool present = w->routes != NULL &&
	               routes_find(w->routes, record->host.scheme, record->host.name, &found) &&
	               strcmp(found.name, record->host.name) == 0;

	if (!present || !same_network(&record->host, &found)) {
		record_unlist(w->hosts, record);
		record_reset(record);
		return;
	}
	if (!record_says(record, &found))
		record_unlist(w->hosts, record);
	if (found.slot != record->host.slot)
		record_move_slot(w, record, found.slot);
}

void hosts_swapped(struct worker *w)
{
	struct hosts *hosts = w->hosts;

	hosts->swapping = true;
	for (struct record *record = hosts->all; record != NULL; record = record->next)
		record_swapped(w, record);
	hosts->swapping = false;

	for (struct record *record = hosts->all, *next; record != NULL; record = next) {
		next = record->next;
		if (record->uses == NULL && !record->listed)
			record_free(hosts, record);
	}
}
