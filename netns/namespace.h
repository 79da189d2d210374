/* Network namespaces: made, pinned below /run/netns as `ip netns` does, entered for a moment, and told
 * apart by the kernel's cookie.  A struct netns_host is this process's view of the machine, a struct
 * tenant what it keeps open of one network. */
#ifndef TOLLGATE_NETNS_NAMESPACE_H
#define TOLLGATE_NETNS_NAMESPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/key.h"
#include "base/msg.h"

struct tg_error;

#define NETNS_DIR	"/run/netns"
#define NETNS_NAME_MOST	(MSG_PREFIX_MOST + 6)
#define NETNS_PATH_MOST	(sizeof NETNS_DIR + NETNS_NAME_MOST)
#define NETNS_LINK_MOST	16	/* IFNAMSIZ */
#define NETNS_SYSCTLS	7	/* files that are looked at, sysctl.c */

struct netns_host {
	int                home;	/* the host's namespace */
	int                route;	/* an rtnetlink socket of it */
	uint64_t           cookie;
	uint8_t            boot_id[16];
	enum msg_wireguard wireguard;	/* the backend: KERNEL or USERSPACE; AUTO: none works */
	uint16_t           genl_family;	/* of WireGuard in the kernel, 0 when there is none */
	char               prefix[MSG_PREFIX_MOST];
	char               reason[160];	/* why none works */
};

struct tenant {
	uint16_t port;
	char     link[NETNS_LINK_MOST];	/* wg<port> */
	int      ns;		/* the namespace, -1 when there is none yet */
	int      route;		/* an rtnetlink socket inside */
	int      genl;		/* a generic netlink socket inside; kernel backend only */
	int      sysctls[NETNS_SYSCTLS];	/* kept open to be read again, or -1 */
	uint64_t cookie;
	uint32_t ifindex;	/* of the link when last seen, 0: not yet; finds one that was renamed */
	dev_t    dev;		/* the namespace's inode, which the pin must have too */
	ino_t    ino;
	pid_t    pid;		/* of wireguard-go, 0 when not known */
	int      pidfd;
	bool     port_refused;	/* wireguard-go could not bind its port, whatever it says */
	uint64_t started_at_ms;	/* wireguard-go, while it is not yet heard of; else 0 */
	uint64_t deaf_since_ms;	/* wireguard-go, while it does not answer; else 0 */
	int      asked;		/* where wireguard-go's answer is to come that has not yet, or -1 */
	uint64_t asked_at_ms;
	uint64_t awaited_at_ms;	/* when it was last looked for */
	bool     asked_last;	/* since its link is down for good */
	int      changing;	/* the same of a change */
	uint64_t changed_at_ms;
	size_t   changed;	/* so many steps of that call are carried out when it is answered */
	bool     changes_port;	/* the last change was to */
	uint64_t refused_since_ms;	/* its port, while another has it; else 0 */
	struct tg_key private_key, public_key;	/* of the device when it was last read */
};

/* Opens what is kept of the host and reads its boot id.  `clear` takes it back. */
int netns_host_init(struct netns_host *host, const char *prefix, struct tg_error *err);
void netns_host_clear(struct netns_host *host);

void tenant_init(struct tenant *tenant, uint16_t port);
/* Closes everything; the namespace itself stays. */
void tenant_clear(struct tenant *tenant);

/* Enter and leave.  A thread that cannot come home must not go on: netns_leave() then dies. */
int netns_enter(int ns, struct tg_error *err);
void netns_leave(const struct netns_host *host);

void netns_path(const struct netns_host *host, uint16_t port, char path[NETNS_PATH_MOST]);
/* The port of a name of ours: the prefix and 1..65535 as the kernel would print it.  0: not ours. */
uint16_t netns_port_of(const char *prefix, const char *name);

/* Makes /run/netns a shared mount unless it is one. */
int netns_prepare(struct tg_error *err);
/* Makes and pins a namespace and opens the sockets in it.  A failure leaves nothing behind. */
int netns_make(const struct netns_host *host, struct tenant *tenant, struct tg_error *err);
/* Opens one that is pinned already.  NOT_FOUND: nothing has that name; INVALID: what has it is not a
 * namespace of ours to touch (a plain file, the host's own). */
int netns_adopt(const struct netns_host *host, struct tenant *tenant, struct tg_error *err);
/* New sockets in the tenant's namespace for the old ones, whatever was under way there.  A failure leaves it
 * without. */
int netns_reopen(const struct netns_host *host, struct tenant *tenant, struct tg_error *err);
/* Whether the name leads to the tenant's namespace. */
bool netns_pinned(const struct netns_host *host, const struct tenant *tenant);
/* Puts the name back, whatever stands there now. */
int netns_pin(const struct netns_host *host, const struct tenant *tenant, struct tg_error *err);
/* Takes the name away.  The namespace goes once nothing holds it. */
int netns_unpin(const struct netns_host *host, uint16_t port, struct tg_error *err);

/* Calls `each` for every port that has a name of ours. */
int netns_list(const char *prefix, void (*each)(uint16_t port, void *arg), void *arg, struct tg_error *err);

/* SO_NETNS_COOKIE of the namespace that a socket is in, 0 when the kernel does not tell. */
uint64_t netns_cookie_of(int socket_fd);

#endif
