#include <stddef.h>
#include <string.h>

#include "base/model.h"

static bool same_cidrs(const struct model *a, uint32_t a_first, uint32_t a_count, const struct model *b,
                       uint32_t b_first, uint32_t b_count)
{
	return a_count == b_count &&
	       memcmp(&a->cidrs[a_first], &b->cidrs[b_first], a_count * sizeof *a->cidrs) == 0;
}

/* Only where its ranges lie may differ; what stands before that has no padding (model_pack.c). */
static bool same_peer(const struct model *a, const struct model_peer *x, const struct model *b,
                      const struct model_peer *y)
{
	return memcmp(x, y, offsetof(struct model_peer, ranges_first)) == 0 &&
	       same_cidrs(a, x->ranges_first, x->ranges_count, b, y->ranges_first, y->ranges_count);
}

static bool same_text(const struct model *a, uint32_t a_at, const struct model *b, uint32_t b_at)
{
	return strcmp(model_text(a, a_at), model_text(b, b_at)) == 0;
}

/* As same_peer(): the upstreams may lie elsewhere, and the texts. */
static bool same_host(const struct model *a, const struct model_host *x, const struct model *b,
                      const struct model_host *y)
{
	return x->scheme == y->scheme && x->proxy_protocol == y->proxy_protocol &&
	       x->redirect_to_https == y->redirect_to_https && x->max_connections == y->max_connections &&
	       x->upstreams_count == y->upstreams_count &&
	       memcmp(&a->upstreams[x->upstreams_first], &b->upstreams[y->upstreams_first],
	              x->upstreams_count * sizeof *a->upstreams) == 0 &&
	       same_text(a, x->name_at, b, y->name_at) && same_text(a, x->raw_at, b, y->raw_at) &&
	       same_text(a, x->host_header_at, b, y->host_header_at);
}

bool model_same_link(const struct model *a, const struct model_network *x, const struct model *b,
                     const struct model_network *y)
{
	return x->port == y->port && x->mtu == y->mtu &&
	       same_cidrs(a, x->addresses_first, x->addresses_count, b, y->addresses_first,
	                  y->addresses_count);
}

bool model_same_network(const struct model *a, const struct model_network *x, const struct model *b,
                        const struct model_network *y)
{
	if (!model_same_link(a, x, b, y) || x->peers_count != y->peers_count ||
	    !tg_key_equal(&x->private_key, &y->private_key))
		return false;
	for (uint32_t i = 0; i < x->peers_count; i++)
		if (!same_peer(a, &a->peers[x->peers_first + i], b, &b->peers[y->peers_first + i]))
			return false;
	return true;
}

bool model_equal_network(const struct model *a, const struct model_network *x, const struct model *b,
                         const struct model_network *y)
{
	if (!model_same_network(a, x, b, y) || x->hosts_count != y->hosts_count ||
	    !same_text(a, x->name_at, b, y->name_at))
		return false;
	for (uint32_t i = 0; i < x->hosts_count; i++)
		if (!same_host(a, &a->hosts[x->hosts_first + i], b, &b->hosts[y->hosts_first + i]))
			return false;
	return true;
}
