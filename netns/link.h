/* Links, addresses and routes, through rtnetlink. */
#ifndef TOLLGATE_NETNS_LINK_H
#define TOLLGATE_NETNS_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "netns/reading.h"

/* Marks our routes: what has another number was added by somebody else.  ('t'; rtnetlink(7) leaves
 * numbers over 4 to programs.) */
#define LINK_PROTOCOL 116

struct netns_host;
struct plan;
struct step;
struct tenant;
struct tg_error;

/* Makes a link of this kind named after the tenant, down, in its namespace.  It is asked for from the
 * host's namespace, so that is where the encrypted packets go. */
int link_make(const struct netns_host *host, const struct tenant *tenant, const char *kind, uint32_t mtu,
              struct tg_error *err);
/* Moves the link of the tenant's name from the host's namespace to the tenant's. */
int link_move(const struct netns_host *host, const struct tenant *tenant, uint32_t mtu, struct tg_error *err);
/* Deletes what has its name there.  It is no error when nothing has. */
int link_delete(const struct tenant *tenant, struct tg_error *err);
/* Gives the link that the tenant knows by its number its name back; it is down then. */
int link_rename(const struct tenant *tenant, struct tg_error *err);
/* The number under which the host's namespace hears of events in the tenant's (NETLINK_LISTEN_ALL_NSID);
 * one is given if there is none. */
int link_nsid(const struct netns_host *host, const struct tenant *tenant, int32_t *nsid,
              struct tg_error *err);
int link_down(const struct tenant *tenant, struct tg_error *err);
/* Whether the host's own namespace has a link of the tenant's name. */
int link_in_host(const struct netns_host *host, const struct tenant *tenant, struct tg_error *err);
/* Whether a link of this kind can be made in the namespace that this thread is in: 0, or why not. */
int link_probe(const char *kind, struct tg_error *err);

/* In the order in which they come: each needs the index of the link that the first finds. */
enum link_dump { LINK_DUMP_LINKS, LINK_DUMP_ADDRESSES, LINK_DUMP_ROUTES, LINK_DUMPS };
/* Fills in link, loopback, addresses and routes, from reading->dump on.  EINTR in err->sys: they changed
 * meanwhile, begin anew. */
enum reading_result link_read(struct reading *reading, uint64_t until_ms, struct tg_error *err);
/* Carries out steps from STEP_LO_UP on, noting the link's number, up to NETLINK_BATCH_MOST in one write. */
int link_change(struct tenant *tenant, const struct plan *plan, const struct step *steps, size_t count,
                struct tg_error *err);

#endif
