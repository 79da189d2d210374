/* What /proc/sys must say inside a hub's namespace. */
#ifndef TOLLGATE_NETNS_SYSCTL_H
#define TOLLGATE_NETNS_SYSCTL_H

#include <stdbool.h>

struct netns_host;
struct tenant;
struct tg_error;

/* What this kernel lacks (IPv6 off) is left out.  Both keep the files open, so that they can be read again
 * without a walk through /proc, as long as descriptors are not scarce.
 * Whether all is right; `link` says whether wg<port> is there and is looked at too. */
int sysctl_read(const struct netns_host *host, struct tenant *tenant, bool link, bool *right,
                struct tg_error *err);
int sysctl_set(const struct netns_host *host, struct tenant *tenant, struct tg_error *err);

#endif
