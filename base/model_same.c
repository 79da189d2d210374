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

bool model_same_network(const struct model *a, const struct model_network *x, const struct model *b,
                        const struct model_network *y)
{
	if (x->port != y->port || x->mtu != y->mtu || x->peers_count != y->peers_count ||
	    !tg_key_equal(&x->private_key, &y->private_key) ||
	    !same_cidrs(a, x->addresses_first, x->addresses_count, b, y->addresses_first, y->addresses_count))
		return false;
	for (uint32_t i = 0; i < x->peers_count; i++)
		if (!same_peer(a, &a->peers[x->peers_first + i], b, &b->peers[y->peers_first + i]))
			return false;
	return true;
}
