/* The route table: one immutable value in a sealed memory file, built by control, mapped read-only by
 * workers and swapped whole.  A look-up is a hash of the name and, when that fails, of its wildcard. */
#ifndef TOLLGATE_PROXY_ROUTES_H
#define TOLLGATE_PROXY_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

struct routes;
struct tg_error;

#define ROUTES_FORWARD UINT32_MAX

enum routes_scheme { ROUTES_HTTP, ROUTES_HTTPS };

/* What one host name has under one scheme. */
struct routes_target {
	const char               *host_header;	/* NULL: as the client sent it */
	const struct tg_endpoint *upstreams;
	uint32_t                  upstreams_count;
	uint32_t                  max_connections;	/* UINT32_MAX: no limit */
	uint8_t                   present;	/* this scheme is configured for the name */
	uint8_t                   proxy_protocol;	/* 0, 1 or 2 */
	uint8_t                   redirect_to_https;
};

struct routes_host {
	const char          *name;	/* lower case, a wildcard as written: "*.apps.example.com" */
	uint64_t             netns_cookie;	/* of the namespace; 0: there is none, or --forward */
	uint64_t             network_id;	/* the same cookie while the network is up, else 0 */
	uint32_t             slot;	/* of its counters; ROUTES_FORWARD: --forward, from the host's own
					 * namespace and not counted */
	struct routes_target scheme[2];	/* by enum routes_scheme */
};

/* Builds a table into a sealed memory file (the caller's), or -1.  What `hosts` points to is copied;
 * names must differ, and a --forward has no cookie.  Equal hosts make equal tables. */
int routes_build(const struct routes_host *hosts, size_t count, struct tg_error *err);
/* Maps and checks a table; keeps no descriptor.  NULL when it is refused. */
struct routes *routes_open(int fd, struct tg_error *err);
void routes_close(struct routes *routes);
/* Looks up a name (lower case, as from model_host_read()) under a scheme: the exact one, else `*.` and
 * what follows its first label.  false: none with that scheme.  What `to` points at
 * lives as long as `routes`. */
bool routes_find(const struct routes *routes, enum routes_scheme scheme, const char *name,
                 struct routes_host *to);
/* Whether any host of the table is in that network. */
bool routes_have_network(const struct routes *routes, uint64_t netns_cookie);

#endif
