/* What /proc/sys must say inside a hub's namespace. */
#ifndef TOLLGATE_NETNS_SYSCTL_H
#define TOLLGATE_NETNS_SYSCTL_H

#include <stdbool.h>

struct tenant;
struct tg_error;

/* Both speak of the namespace that this thread is in.  What this kernel lacks (IPv6 off) is left out.
 * `link` says whether wg<port> is there and is looked at too. */
bool sysctl_right(const struct tenant *tenant, bool link);
int sysctl_set(const struct tenant *tenant, struct tg_error *err);

#endif
