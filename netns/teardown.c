#include "netns/teardown.h"

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "netns/namespace.h"
#include "netns/wireguard.h"

struct teardown {
	struct netns_host host;
	struct tg_error  *err;
	bool              failed;
};

static void remove_one(uint16_t port, void *arg)
{
	struct teardown *down = arg;
	struct tenant    tenant;

	tenant_init(&tenant, port);
	/* Links are not taken down one by one: each would wait for all processors to take notice, while
	 * behind the unmounts the kernel clears away all at once. */
	if (netns_adopt(&down->host, &tenant, NULL) == 0)
		wireguard_userspace.end(&down->host, &tenant);
	if (netns_unpin(&down->host, port, down->failed ? NULL : down->err) != 0)
		down->failed = true;
	tenant_clear(&tenant);
}

int netns_teardown(const char *prefix, struct tg_error *err)
{
	struct teardown down = { .err = err };
	int             done = netns_host_init(&down.host, prefix, err);

	down.host.wireguard = MSG_WIREGUARD_USERSPACE;
	if (done == 0)
		done = netns_list(prefix, remove_one, &down, err);
	netns_host_clear(&down.host);
	return done == 0 && !down.failed ? 0 : -1;
}
