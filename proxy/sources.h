/* How many connections each client address has: one address, or one /64 of IPv6, which is what one
 * customer of a provider is given. */
#ifndef TOLLGATE_PROXY_SOURCES_H
#define TOLLGATE_PROXY_SOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sources;
struct tg_endpoint;

/* `most` 0: no limit, nothing is kept.  NULL when out of memory. */
struct sources *sources_new(uint32_t most);
void sources_free(struct sources *sources);
/* false: the client has as many as it may (or no memory is left); else sources_leave() undoes it. */
bool sources_enter(struct sources *sources, const struct tg_endpoint *client);
void sources_leave(struct sources *sources, const struct tg_endpoint *client);
/* Different addresses known now. */
size_t sources_count(const struct sources *sources);
/* The most of them that a search has to pass by. */
size_t sources_crowd(const struct sources *sources);

#endif
