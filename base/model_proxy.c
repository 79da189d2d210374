/* The host names of a network: what their keys and values may be, and that no two networks claim one. */
#include "base/model_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cjson/cJSON.h>

enum {
	HOST_UPSTREAMS,
	HOST_PROXY_PROTOCOL,
	HOST_MAX_CONNECTIONS,
	HOST_REDIRECT,
	HOST_HEADER,
	HOST_FIELDS,
};
static const char *const host_fields[HOST_FIELDS] = {
	[HOST_UPSTREAMS] = "upstreams",
	[HOST_PROXY_PROTOCOL] = "proxy_protocol",
	[HOST_MAX_CONNECTIONS] = "max_connections",
	[HOST_REDIRECT] = "redirect_to_https",
	[HOST_HEADER] = "host_header",
};

/* A member of `proxy`, to be sorted before it is read. */
struct host_item {
	const cJSON      *node;
	uint32_t          name_at;	/* 0: the key is none */
	enum model_scheme scheme;
};

static bool begins(const char *key, const char *scheme)
{
	return strncasecmp(key, scheme, strlen(scheme)) == 0;
}

/* Names end in letters (RFC 3696 §2): four numbers are an address, which no client asks for by name. */
static bool ends_in_number(const char *host)
{
	const char *last = strrchr(host, '.');
	const char *label = last != NULL ? last + 1 : host;

	return label[strspn(label, "0123456789")] == '\0';
}

const char *model_proxy_key(const char *key, enum model_scheme *scheme, char host[MSG_HOST_MOST])
{
	const char *port;

	if (begins(key, "ssh://")) {
		*scheme = MODEL_SSH;
		return NULL;
	}
	if (begins(key, "https://")) {
		*scheme = MODEL_HTTPS;
		key += strlen("https://");
		port = ":443";
	} else if (begins(key, "http://")) {
		*scheme = MODEL_HTTP;
		key += strlen("http://");
		port = ":80";
	} else {
		return "must begin with https:// or http://";
	}

	size_t len = strcspn(key, "/?#");

	if (key[len] != '\0' && strcmp(key + len, "/") != 0)
		return "must have no path";

	const char *colon = memchr(key, ':', len);

	if (colon != NULL) {
		size_t port_len = (size_t)(key + len - colon);

		if (port_len != strlen(port) || memcmp(colon, port, port_len) != 0)
			return "must have no port but its scheme's own";
		len = (size_t)(colon - key);
	}
	if (!model_host_read(key, len, true, host))
		return "must hold a host name, or *. and a host name";
	return ends_in_number(host) ? "must hold a host name, not an address" : NULL;
}

/* Whether some peer of the network may send from that address. */
static bool is_allowed(const struct model_build *b, const struct tg_endpoint *upstream)
{
	unsigned which = upstream->family == AF_INET ? MODEL_LENGTH_IPV4 : MODEL_LENGTH_IPV6;

	/* There may be very many ranges, but of a few lengths only. */
	for (unsigned bits = 0; bits < sizeof b->range_lengths; bits++) {
		struct tg_cidr range = { .family = upstream->family, .prefix = (uint8_t)bits };

		if ((b->range_lengths[bits] & which) == 0)
			continue;
		memcpy(range.bytes, upstream->bytes, sizeof range.bytes);
		tg_cidr_mask(&range);
		/* `range` is the first member of struct model_range. */
		if (bsearch(&range, b->ranges, b->ranges_count, sizeof *b->ranges, model_cidr_order) != NULL)
			return true;
	}
	return false;
}

static bool is_own_address(const struct model_build *b, const struct model_network *network,
                           const struct tg_endpoint *upstream)
{
	const struct tg_cidr *own = b->model->cidrs + network->addresses_first;

	for (uint32_t i = 0; i < network->addresses_count; i++)
		if (own[i].family == upstream->family && memcmp(own[i].bytes, upstream->bytes, 16) == 0)
			return true;
	return false;
}

static void warn_unreachable(struct model_build *b, const struct model_place *place,
                             const struct model_network *network, const struct tg_endpoint *upstream)
{
	struct tg_cidr address = { .family = upstream->family };
	char           text[TG_CIDR_TEXT];

	if (is_allowed(b, upstream) || is_own_address(b, network, upstream))
		return;
	address.prefix = upstream->family == AF_INET ? 32 : 128;
	memcpy(address.bytes, upstream->bytes, sizeof address.bytes);
	tg_cidr_print(&address, text);
	text[strcspn(text, "/")] = '\0';
	model_warn(b, place, "%s is in no peer's allowed_ips", text);
}

/* `may_be_empty`: a redirect needs no upstream. */
static void read_upstreams(struct model_build *b, const struct model_place *here, const cJSON *node,
                           bool may_be_empty, const struct model_network *network, struct model_host *host)
{
	const cJSON *element;
	size_t       index = 0;

	host->upstreams_first = (uint32_t)b->model->upstreams_count;
	if (node == NULL && may_be_empty)
		return;
	if (node == NULL) {
		model_fault(b, here, "is required");
		return;
	}
	if (!cJSON_IsArray(node) || (node->child == NULL && !may_be_empty)) {
		model_fault(b, here, "must be an array of one upstream or more");
		return;
	}
	cJSON_ArrayForEach(element, node) {
		const struct model_place place = { .up = here, .index = index };
		struct tg_endpoint       upstream;

		index++;
		if (!cJSON_IsString(element) || !tg_endpoint_read(element->valuestring, &upstream)) {
			model_fault(b, &place, "must be IP:port or [IPv6]:port");
			continue;
		}
		warn_unreachable(b, &place, network, &upstream);

		struct tg_endpoint *to = model_add_upstream(b);

		if (to == NULL)
			return;
		*to = upstream;
		host->upstreams_count++;
	}
}

static void read_proxy_protocol(struct model_build *b, const struct model_place *up, const cJSON *node,
                                struct model_host *host)
{
	const struct model_place here = { .up = up, .key = "proxy_protocol" };

	if (model_absent(node))
		host->proxy_protocol = MODEL_PROXY_NONE;
	else if (cJSON_IsString(node) && strcmp(node->valuestring, "v1") == 0)
		host->proxy_protocol = MODEL_PROXY_V1;
	else if (cJSON_IsString(node) && strcmp(node->valuestring, "v2") == 0)
		host->proxy_protocol = MODEL_PROXY_V2;
	else
		model_fault(b, &here, "must be \"v1\", \"v2\" or null");
}

static void read_redirect(struct model_build *b, const struct model_place *up, const cJSON *node,
                          struct model_host *host)
{
	const struct model_place here = { .up = up, .key = "redirect_to_https" };

	if (node == NULL)
		return;
	if (!cJSON_IsBool(node))
		model_fault(b, &here, "must be true or false");
	else if (cJSON_IsTrue(node) && host->scheme != MODEL_HTTP)
		model_fault(b, &here, "is for http:// only");
	else
		host->redirect_to_https = cJSON_IsTrue(node) != 0;
}

/* A host name, and perhaps a port. */
static bool host_header_read(const char *text, char *to, size_t size)
{
	char                     host[MSG_HOST_MOST];
	const char              *colon = strchr(text, ':');
	size_t                   len = colon != NULL ? (size_t)(colon - text) : strlen(text);
	static const char        any[] = "127.0.0.1";
	char                     endpoint[sizeof any + 8];
	struct tg_endpoint       ignored;

	if (!model_host_read(text, len, false, host))
		return false;
	/* What a port may be is known where endpoints are read. */
	if (colon != NULL) {
		if (strlen(colon) > 6)
			return false;
		snprintf(endpoint, sizeof endpoint, "%s%s", any, colon);
		if (!tg_endpoint_read(endpoint, &ignored))
			return false;
	}
	snprintf(to, size, "%s%s", host, colon != NULL ? colon : "");
	return true;
}

static void read_host_header(struct model_build *b, const struct model_place *up, const cJSON *node,
                             struct model_host *host)
{
	const struct model_place here = { .up = up, .key = "host_header" };
	char                     header[MSG_HOST_MOST + 8];

	if (model_absent(node))
		return;
	if (host->scheme != MODEL_HTTP)
		model_fault(b, &here, "is for http:// only");
	else if (!cJSON_IsString(node) || !host_header_read(node->valuestring, header, sizeof header))
		model_fault(b, &here, "must be a host name or null");
	else
		host->host_header_at = model_add_text(b, header);
}

static void read_host_object(struct model_build *b, const struct model_place *up, const cJSON *node,
                             const struct model_network *network, struct model_host *host)
{
	const struct model_place upstreams = { .up = up, .key = "upstreams" };
	const struct model_place most = { .up = up, .key = "max_connections" };
	const cJSON             *fields[HOST_FIELDS];

	if (!model_fields(b, up, node, host_fields, HOST_FIELDS, fields))
		return;
	read_proxy_protocol(b, up, fields[HOST_PROXY_PROTOCOL], host);
	if (!model_absent(fields[HOST_MAX_CONNECTIONS]))
		model_whole(b, &most, fields[HOST_MAX_CONNECTIONS], 1, MODEL_UNLIMITED - 1,
		            &host->max_connections);
	read_redirect(b, up, fields[HOST_REDIRECT], host);
	read_host_header(b, up, fields[HOST_HEADER], host);
	read_upstreams(b, &upstreams, fields[HOST_UPSTREAMS], host->redirect_to_https != 0, network, host);
}

/* Kept as it is for whoever else reads the document. */
static void read_ssh(struct model_build *b, const struct model_place *place, const cJSON *node,
                     struct model_host *host)
{
	char *raw = cJSON_PrintUnformatted(node);

	if (raw == NULL) {
		b->no_memory = true;
		return;
	}
	host->raw_at = model_add_text(b, raw);
	cJSON_free(raw);
	model_warn(b, place, "ssh:// is kept and ignored");
}

void model_add_claim(struct model_build *b, uint32_t name_at, const struct cJSON *node)
{
	struct model_claim *claims = model_grow(b, b->claims, b->claims_count, &b->claims_room,
	                                        sizeof *claims);

	if (claims == NULL)
		return;
	b->claims = claims;
	claims[b->claims_count++] = (struct model_claim){
		.name_at = name_at,
		.network = (uint32_t)b->model->networks_count,
		.node = node,
	};
}

static void read_host(struct model_build *b, const struct model_place *up, const struct host_item *item,
                      const struct model_network *network)
{
	const struct model_place place = { .up = up, .key = item->node->string };
	struct model_host        host = { .name_at = item->name_at, .scheme = (uint8_t)item->scheme };
	struct model_host       *to;

	host.max_connections = MODEL_UNLIMITED;
	host.upstreams_first = (uint32_t)b->model->upstreams_count;
	if (item->scheme == MODEL_SSH)
		read_ssh(b, &place, item->node, &host);
	else if (cJSON_IsArray(item->node))
		read_upstreams(b, &place, item->node, false, network, &host);
	else if (cJSON_IsObject(item->node))
		read_host_object(b, &place, item->node, network, &host);
	else
		model_fault(b, &place, "must be an array of upstreams or an object");
	if (item->scheme != MODEL_SSH && item->name_at != 0)
		model_add_claim(b, item->name_at, item->node);
	to = model_add_host(b);
	if (to != NULL)
		*to = host;
}

static int host_item_order(const void *a, const void *b, void *arg)
{
	const struct host_item *one = a;
	const struct host_item *two = b;
	const char             *texts = arg;
	int                     order = strcmp(texts + one->name_at, texts + two->name_at);

	return order != 0 ? order : (one->scheme > two->scheme) - (one->scheme < two->scheme);
}

/* The members of `proxy` sorted by name and scheme: *items is the caller's (model_release). */
static size_t hosts_sort(struct model_build *b, const struct model_place *up, const cJSON *node,
                         struct host_item **items)
{
	const cJSON *member;
	size_t       count = (size_t)cJSON_GetArraySize(node);
	size_t       at = 0;

	*items = model_alloc((count + 1) * sizeof **items);
	if (*items == NULL) {
		b->no_memory = true;
		return 0;
	}
	cJSON_ArrayForEach(member, node) {
		const struct model_place here = { .up = up, .key = member->string };
		struct host_item        *item = &(*items)[at++];
		char                     host[MSG_HOST_MOST];
		const char              *fault;

		*item = (struct host_item){ .node = member };
		fault = model_proxy_key(member->string, &item->scheme, host);
		if (fault != NULL)
			model_fault(b, &here, "%s", fault);
		else
			item->name_at = model_add_text(b, item->scheme == MODEL_SSH ? member->string : host);
	}
	qsort_r(*items, count, sizeof **items, host_item_order, b->model->texts);
	return count;
}

void model_read_proxy(struct model_build *b, const struct model_place *up, const struct cJSON *node,
                      struct model_network *network)
{
	const struct model_place here = { .up = up, .key = "proxy" };
	struct host_item        *items;

	network->hosts_first = (uint32_t)b->model->hosts_count;
	if (node == NULL)
		return;
	if (!cJSON_IsObject(node)) {
		model_fault(b, &here, "must be an object");
		return;
	}

	size_t count = hosts_sort(b, &here, node, &items);

	for (size_t i = 0; i < count && !b->no_memory; i++) {
		const struct model_place place = { .up = &here, .key = items[i].node->string };

		if (i > 0 && items[i].name_at != 0 &&
		    host_item_order(&items[i - 1], &items[i], b->model->texts) == 0)
			model_fault(b, &place, "stands twice, written differently");
		read_host(b, &here, &items[i], network);
	}
	model_release(items);
	network->hosts_count = (uint32_t)b->model->hosts_count - network->hosts_first;
}

static int claim_order(const void *a, const void *b, void *arg)
{
	const struct model_claim *one = a;
	const struct model_claim *two = b;
	const char               *texts = arg;
	int                       order = strcmp(texts + one->name_at, texts + two->name_at);

	return order != 0 ? order : (one->network > two->network) - (one->network < two->network);
}

/* The number of claims that come before `name`, or before whatever comes after it. */
static size_t claims_before(const struct model_build *b, const char *name, bool after)
{
	size_t low = 0;
	size_t high = b->claims_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int    order = strcmp(model_text(b->model, b->claims[middle].name_at), name);

		if (order < 0 || (after && order == 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A claim of that name by another network than `mine`, that of the lowest port; NULL: none. */
static const struct model_claim *claim_of_other(const struct model_build *b, const char *name, uint32_t mine)
{
	size_t first = claims_before(b, name, false);
	size_t end = claims_before(b, name, true);

	if (first == end)
		return NULL;
	if (b->claims[first].network != mine)
		return &b->claims[first];
	return b->claims[end - 1].network != mine ? &b->claims[end - 1] : NULL;
}

static void check_claim(struct model_build *b, const struct model_claim *claim)
{
	const struct model_place  network = { .key = model_name_of(b->network_nodes[claim->network]) };
	const struct model_place  proxy = { .up = &network, .key = "proxy" };
	const struct model_place  here = { .up = &proxy, .key = model_name_of(claim->node) };
	const char               *name = model_text(b->model, claim->name_at);
	const char               *rest = strchr(name, '.');
	const struct model_claim *other = claim_of_other(b, name, claim->network);
	char                      wildcard[MSG_HOST_MOST + 1];

	/* The network of the lower port has it; the other is told. */
	if (other != NULL && other->network < claim->network) {
		model_fault(b, &here, "belongs to network %u too",
		            b->model->networks[other->network].port);
		return;
	}
	/* Sorted, wildcards come first. */
	if (name[0] == '*' || rest == NULL || model_text(b->model, b->claims[0].name_at)[0] != '*')
		return;
	snprintf(wildcard, sizeof wildcard, "*%s", rest);
	other = claim_of_other(b, wildcard, claim->network);
	if (other != NULL)
		model_fault(b, &here, "is under %.60s of network %u", wildcard,
		            b->model->networks[other->network].port);
}

void model_check_claims(struct model_build *b)
{
	if (b->claims_count == 0)
		return;
	qsort_r(b->claims, b->claims_count, sizeof *b->claims, claim_order, b->model->texts);
	for (size_t i = 0; i < b->claims_count && !b->no_memory; i++)
		check_claim(b, &b->claims[i]);
}
