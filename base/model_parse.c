/* A document's tree becomes a model.  Every rule is checked and every fault noted,
 * so what was wrong is read on with a value that keeps the rest going; with any fault the model is
 * thrown away. */
#include "base/model_build.h"

#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"

#define MTU_DEFAULT	  1420
#define MTU_LEAST	  576
#define MTU_MOST	  65535
#define NAME_MOST	  63	/* characters */

/* With the defaults filled in, a document's text may grow, but never so many times. */
#define GROWTH_MOST 8

enum { NET_NAME, NET_PRIVATE_KEY, NET_LISTEN_PORT, NET_ADDRESS, NET_MTU, NET_PEERS, NET_PROXY, NET_FIELDS };
static const char *const network_fields[NET_FIELDS] = {
	[NET_NAME] = "name",       [NET_PRIVATE_KEY] = "private_key",
	[NET_MTU] = "mtu",         [NET_LISTEN_PORT] = "listen_port",
	[NET_ADDRESS] = "address", [NET_PEERS] = "peers",
	[NET_PROXY] = "proxy",
};

/* A member of the document, to be sorted before it is read. */
struct network_item {
	const cJSON *node;
	uint16_t     port;	/* 0: the key is none */
};

bool model_port_read(const char *key, size_t len, uint16_t *to)
{
	unsigned value = 0;

	if (len < 1 || len > 5 || key[0] == '0')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (key[i] < '0' || key[i] > '9')
			return false;
		value = value * 10 + (unsigned)(key[i] - '0');
	}
	if (value > 65535)
		return false;
	*to = (uint16_t)value;
	return true;
}

/* A label for people: UTF-8 (which the scan made sure of) without control characters. */
static bool is_label(const char *text)
{
	size_t characters = 0;

	for (const char *c = text; *c != '\0'; c++) {
		unsigned byte = (unsigned char)*c;

		if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && ((unsigned char)c[1] & 0xe0) == 0x80))
			return false;
		characters += (byte & 0xc0) != 0x80;
	}
	return characters > 0 && characters <= NAME_MOST;
}

static void read_name(struct model_build *b, const struct model_place *up, const cJSON *node,
                      struct model_network *network)
{
	const struct model_place here = { .up = up, .key = "name" };

	if (node == NULL)
		return;
	if (!cJSON_IsString(node))
		model_fault(b, &here, "must be a string");
	else if (!is_label(node->valuestring))
		model_fault(b, &here, "must be 1 to %d characters, none of them a control character",
		            NAME_MOST);
	else
		network->name_at = model_add_text(b, node->valuestring);
}

static void read_private_key(struct model_build *b, const struct model_place *up, const cJSON *node,
                             struct model_network *network)
{
	const struct model_place here = { .up = up, .key = "private_key" };

	if (node == NULL) {
		model_fault(b, &here, "is required");
		return;
	}
	if (!model_key(b, &here, node, &network->private_key))
		return;
	if (tg_key_is_zero(&network->private_key))
		model_fault(b, &here, "is all zeros, which WireGuard takes for none");
	else if (model_public_key(&network->private_key, &network->public_key) == -1)
		b->no_memory = true;
}

static void read_listen_port(struct model_build *b, const struct model_place *up, const cJSON *node,
                             uint16_t port)
{
	const struct model_place here = { .up = up, .key = "listen_port" };
	uint32_t                 value;

	/* With a bad key there is nothing to compare with. */
	if (node != NULL && model_whole(b, &here, node, 0, 65535, &value) && value != 0 && port != 0 &&
	    value != port)
		model_fault(b, &here, "must be 0 or %u, the network's key", port);
}

/* Takes what stands twice out of sorted ranges and returns how many are left. */
static uint32_t cidrs_unique(struct tg_cidr *cidrs, uint32_t count)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < count; i++)
		if (left == 0 || model_cidr_order(&cidrs[left - 1], &cidrs[i]) != 0)
			cidrs[left++] = cidrs[i];
	return left;
}

/* What Linux gives to no interface: nothing, IPv6's loopback and groups. */
static bool is_own_address(const struct tg_cidr *cidr)
{
	static const uint8_t none[16], loopback[16] = { [15] = 1 };

	if (memcmp(cidr->bytes, none, sizeof none) == 0)
		return false;
	return cidr->family != AF_INET6 ||
	       (cidr->bytes[0] != 0xff && memcmp(cidr->bytes, loopback, sizeof loopback) != 0);
}

static int address_order(const void *a, const void *b)
{
	const struct tg_cidr *one = a;
	const struct tg_cidr *two = b;
	int                   order = memcmp(one->bytes, two->bytes, sizeof one->bytes);

	if (one->family != two->family)
		return one->family > two->family ? 1 : -1;
	return order != 0 ? order : (one->prefix > two->prefix) - (one->prefix < two->prefix);
}

/* Linux knows an IPv6 address of an interface once, with whatever prefix. */
static void check_prefixes(struct model_build *b, const struct model_place *here, struct tg_cidr *cidrs,
                           uint32_t count)
{
	char text[TG_CIDR_TEXT];

	qsort(cidrs, count, sizeof *cidrs, address_order);
	for (uint32_t i = 1; i < count; i++)
		if (cidrs[i - 1].family == AF_INET6 && cidrs[i - 1].prefix != cidrs[i].prefix &&
		    memcmp(cidrs[i - 1].bytes, cidrs[i].bytes, sizeof cidrs[i].bytes) == 0)
			model_fault(b, here, "has the address of %s with another prefix length, too",
			            tg_cidr_print(&cidrs[i], text));
}

static void read_address(struct model_build *b, const struct model_place *up, const cJSON *node,
                         struct model_network *network, bool *ipv6)
{
	const struct model_place here = { .up = up, .key = "address" };
	const cJSON             *element;
	size_t                   index = 0;

	network->addresses_first = (uint32_t)b->model->cidrs_count;
	if (!cJSON_IsArray(node) || node->child == NULL) {
		model_fault(b, &here, node == NULL ? "is required" :
		            "must be an array of one address or more");
		return;
	}
	cJSON_ArrayForEach(element, node) {
		const struct model_place place = { .up = &here, .index = index };
		struct tg_cidr           cidr;

		index++;
		if (!cJSON_IsString(element) || !tg_cidr_read(element->valuestring, &cidr)) {
			model_fault(b, &place, "must be an IP address with a prefix length");
			continue;
		}
		if (!is_own_address(&cidr))
			model_fault(b, &place, "is no address that an interface can have");
		*ipv6 |= cidr.family == AF_INET6;

		struct tg_cidr *to = model_add_cidr(b);

		if (to == NULL)
			return;
		*to = cidr;
	}

	uint32_t        count = (uint32_t)b->model->cidrs_count - network->addresses_first;
	struct tg_cidr *first = b->model->cidrs + network->addresses_first;

	if (count == 0)
		return;
	if (count > 1 && *ipv6)
		check_prefixes(b, &here, first, count);
	qsort(first, count, sizeof *first, model_cidr_order);
	network->addresses_count = cidrs_unique(first, count);
	b->model->cidrs_count = network->addresses_first + network->addresses_count;
}

static void read_mtu(struct model_build *b, const struct model_place *up, const cJSON *node, bool ipv6,
                     struct model_network *network)
{
	const struct model_place here = { .up = up, .key = "mtu" };

	network->mtu = MTU_DEFAULT;
	if (node != NULL)
		model_whole(b, &here, node, ipv6 ? MODEL_MTU_IPV6 : MTU_LEAST, MTU_MOST, &network->mtu);
}

void model_read_network(struct model_build *b, const char *key, const struct cJSON *node, uint16_t port)
{
	const struct model_place here = { .key = key };
	const cJSON             *fields[NET_FIELDS];
	struct model_network     network = { .port = port };
	bool                     ipv6 = false;

	if (!model_fields(b, &here, node, network_fields, NET_FIELDS, fields))
		return;
	read_name(b, &here, fields[NET_NAME], &network);
	read_private_key(b, &here, fields[NET_PRIVATE_KEY], &network);
	read_listen_port(b, &here, fields[NET_LISTEN_PORT], port);
	read_address(b, &here, fields[NET_ADDRESS], &network, &ipv6);
	read_mtu(b, &here, fields[NET_MTU], ipv6, &network);
	model_read_peers(b, &here, fields[NET_PEERS], &network);
	model_read_proxy(b, &here, fields[NET_PROXY], &network);

	model_add_network(b, &network, node);
}

static int network_item_order(const void *a, const void *b)
{
	const struct network_item *one = a;
	const struct network_item *two = b;

	return (one->port > two->port) - (one->port < two->port);
}

static void read_networks(struct model_build *b, const cJSON *tree)
{
	const cJSON         *member;
	size_t               count = (size_t)cJSON_GetArraySize(tree);
	size_t               at = 0;
	struct network_item *items = model_alloc((count + 1) * sizeof *items);

	if (items == NULL) {
		b->no_memory = true;
		return;
	}
	cJSON_ArrayForEach(member, tree) {
		const struct model_place here = { .key = member->string };
		struct network_item     *item = &items[at++];

		*item = (struct network_item){ .node = member };
		if (!model_port_read(member->string, strlen(member->string), &item->port))
			model_fault(b, &here, "a network's key must be a port: 1 to 65535, no leading zero");
	}
	qsort(items, count, sizeof *items, network_item_order);
	for (size_t i = 0; i < count && !b->no_memory; i++)
		model_read_network(b, items[i].node->string, items[i].node, items[i].port);
	model_release(items);
}

static int public_key_order(const void *a, const void *b, void *arg)
{
	const uint32_t             *one = a;
	const uint32_t             *two = b;
	const struct model_network *networks = arg;
	int                         order;

	order = memcmp(networks[*one].public_key.bytes, networks[*two].public_key.bytes, TG_KEY_BYTES);

	return order != 0 ? order : (*one > *two) - (*one < *two);
}

/* Private keys are told apart by their public halves: bits that X25519 ignores make no other key. */
static void check_keys(struct model_build *b)
{
	const struct model *m = b->model;
	size_t              count = m->networks_count;
	uint32_t           *sorted = model_alloc((count + 1) * sizeof *sorted);

	if (sorted == NULL) {
		b->no_memory = true;
		return;
	}
	for (size_t i = 0; i < count; i++)
		sorted[i] = (uint32_t)i;
	qsort_r(sorted, count, sizeof *sorted, public_key_order, m->networks);
	for (size_t i = 1; i < count; i++) {
		const struct tg_key     *key = &m->networks[sorted[i]].public_key;
		const struct model_place up = { .key = model_name_of(b->network_nodes[sorted[i]]) };
		const struct model_place here = { .up = &up, .key = "private_key" };

		if (!tg_key_is_zero(key) && tg_key_equal(key, &m->networks[sorted[i - 1]].public_key))
			model_fault(b, &here, "is the private key of another network too");
	}
	model_release(sorted);
}

/* What was taken must be taken again when it comes back as `GET /config` gives it. */
static enum model_result check_size(struct model_build *b, size_t bytes_read)
{
	size_t bytes;

	if (bytes_read <= MODEL_BYTES_MOST / GROWTH_MOST)
		return MODEL_OK;

	char *text = model_print(b->model, true, &bytes);

	if (text == NULL)
		return MODEL_NO_MEMORY;

	bool too_large = bytes > MODEL_BYTES_MOST;
	bool readable = !too_large && json_scan(text, bytes, NULL) == 0;

	model_release(text);
	if (readable)
		return MODEL_OK;
	model_fault(b, NULL, "%s with its defaults filled in",
	            too_large ? "is larger than 64 MiB" : "has too many values");
	return MODEL_TOO_LARGE;
}

/* Room in each array, so that none is NULL, not even when it stays empty. */
bool model_build_begin(struct model_build *b)
{
	struct model *m = model_alloc(sizeof *m);

	if (m == NULL) {
		b->no_memory = true;
		return false;
	}
	memset(m, 0, sizeof *m);
	b->model = m;
	m->networks = model_grow(b, NULL, 0, &b->networks_room, sizeof *m->networks);
	m->cidrs = model_grow(b, NULL, 0, &b->cidrs_room, sizeof *m->cidrs);
	m->peers = model_grow(b, NULL, 0, &b->peers_room, sizeof *m->peers);
	m->hosts = model_grow(b, NULL, 0, &b->hosts_room, sizeof *m->hosts);
	m->upstreams = model_grow(b, NULL, 0, &b->upstreams_room, sizeof *m->upstreams);
	model_add_text(b, "");
	return !b->no_memory;
}

enum model_result model_build_end(struct model_build *b, size_t bytes, struct model **to)
{
	enum model_result result;

	if (!b->no_memory)
		check_keys(b);
	if (!b->no_memory)
		model_check_claims(b);
	if (b->no_memory)
		result = MODEL_NO_MEMORY;
	else if (b->found > 0)
		result = MODEL_INVALID;
	else
		result = check_size(b, bytes);
	if (result == MODEL_OK)
		*to = tg_take_ptr(&b->model);
	return result;
}

enum model_result model_read_tree(struct model_build *b, const struct cJSON *tree, size_t bytes,
                                  struct model **to)
{
	if (!model_build_begin(b))
		return MODEL_NO_MEMORY;
	if (!cJSON_IsObject(tree))
		model_fault(b, NULL, "must be an object");
	else
		read_networks(b, tree);
	return model_build_end(b, bytes, to);
}

void model_build_clear(struct model_build *b)
{
	model_free(b->model);
	model_release(b->network_nodes);
	model_release(b->ranges);
	model_release(b->claims);
}

enum model_result model_parse_tree(struct model_build *b, const char *text, size_t bytes, struct cJSON **tree)
{
	struct tg_error err;

	if (bytes > MODEL_BYTES_MOST) {
		model_fault(b, NULL, "is larger than 64 MiB");
		return MODEL_TOO_LARGE;
	}
	*tree = json_parse(text, bytes, &err);
	if (*tree == NULL && err.code == TG_CODE_MEMORY)
		return MODEL_NO_MEMORY;
	if (*tree == NULL) {
		model_fault(b, NULL, "%s", err.text);
		return err.code == TG_CODE_LIMIT ? MODEL_INVALID : MODEL_NOT_JSON;
	}
	model_unique(b, NULL, *tree);
	return b->no_memory ? MODEL_NO_MEMORY : MODEL_OK;
}

static enum model_result parse_tree(const char *text, size_t bytes, struct model **to,
                                    struct model_faults *faults, struct model_faults *warnings)
{
	struct model_build b = { .faults = faults, .warnings = warnings };
	struct cJSON      *tree = NULL;
	enum model_result  result = model_parse_tree(&b, text, bytes, &tree);

	if (result == MODEL_OK)
		result = model_read_tree(&b, tree, bytes, to);
	model_build_clear(&b);
	cJSON_Delete(tree);
	return result;
}

enum model_result model_parse_next(const struct model *before, const char *text, size_t bytes,
                                   struct model **to, struct model_faults *faults,
                                   struct model_faults *warnings)
{
	struct model_build b = { .warnings = warnings };
	enum model_result  result;

	*to = NULL;
	result = model_read_members(&b, before, text, bytes, to);
	model_build_clear(&b);
	return result == MODEL_INVALID ? parse_tree(text, bytes, to, faults, warnings) : result;
}

enum model_result model_parse(const char *text, size_t bytes, struct model **to, struct model_faults *faults,
                              struct model_faults *warnings)
{
	return model_parse_next(NULL, text, bytes, to, faults, warnings);
}
