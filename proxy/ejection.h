/* Upstreams that failed lately, by namespace and endpoint: they are left out for a while. */
#ifndef TOLLGATE_PROXY_EJECTION_H
#define TOLLGATE_PROXY_EJECTION_H

#include <stdbool.h>
#include <stdint.h>

struct ejection;
struct tg_endpoint;

#define EJECTION_MS   10000
#define EJECTION_MOST 4096	/* when more fail, the oldest is forgotten */

struct ejection *ejection_new(void);
void ejection_free(struct ejection *ejection);
void ejection_add(struct ejection *ejection, uint64_t netns_cookie, const struct tg_endpoint *endpoint);
void ejection_remove(struct ejection *ejection, uint64_t netns_cookie, const struct tg_endpoint *endpoint);
bool ejection_has(struct ejection *ejection, uint64_t netns_cookie, const struct tg_endpoint *endpoint);

#endif
