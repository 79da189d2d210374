/* A worker in the test's own process: a broker that hands it sockets of this namespace, counters in
 * memory, routes as the test says, clients and upstreams on loopback. */
#ifndef TOLLGATE_TESTS_SUPPORT_INGRESS_H
#define TOLLGATE_TESTS_SUPPORT_INGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/msg.h"
#include "proxy/routes.h"

#define INGRESS_WAIT_MS 15000	/* at most, for what must come */

struct ingress {
	struct event_base *base;
	struct worker     *worker;
	struct channel    *broker;	/* the worker's end */
	struct channel    *fake;	/* the other one */
	struct msg_slot   *slots;	/* the worker's counters */
	uint32_t          *active;	/* two rows: the worker's, and one of another worker */
	uint64_t           cookie;	/* of this namespace: what routes must say */
	unsigned           asks;	/* messages that the broker got */
	bool               mute;	/* the broker does not answer */
	bool               lying;	/* it hands out sockets of the wrong kind */
	bool               dumb;	/* its sockets connect, but cannot send */
	int                refusal;	/* if not 0: it answers this errno and no socket */
	bool               drained;
};

/* `source_connections` 0: no limit. */
void ingress_begin(struct ingress *in, uint32_t source_connections);
void ingress_end(struct ingress *in);
/* A listener of that kind on 127.0.0.1: its port.  The worker accepts at once. */
uint16_t ingress_listen(struct ingress *in, enum msg_listener kind);
void ingress_routes(struct ingress *in, const struct routes_host *hosts, size_t count);
/* The usual route: `name` in this namespace under `scheme`. */
struct routes_host ingress_host(const struct ingress *in, enum routes_scheme scheme, const char *name,
                                const struct tg_endpoint *upstreams, uint32_t count);

/* Runs the loop until `done` says so; false after INGRESS_WAIT_MS. */
typedef bool ingress_done_fn(void *arg);
bool ingress_until(struct ingress *in, ingress_done_fn *done, void *arg);
/* Runs the loop for so long, and at least as many turns: where the processor is away, time alone passes. */
void ingress_run(struct ingress *in, unsigned ms);
/* All non-blocking; they fail the test when it does not come about. */
int ingress_connect(struct ingress *in, uint16_t port);
int ingress_accept(struct ingress *in, int listener);
/* A listening socket on 127.0.0.1. */
int ingress_server(struct tg_endpoint *at);
/* An address where nobody listens. */
struct tg_endpoint ingress_nobody(void);
void ingress_send(struct ingress *in, int fd, const void *data, size_t bytes);
/* Exactly `bytes`, or fewer when the end came before, or -1 with errno. */
long ingress_recv(struct ingress *in, int fd, void *data, size_t bytes);

/* A ClientHello in one record with that server name (NULL: none) and `more` bytes of an unknown
 * extension.  Returns its length, at most 5 + 16388. */
size_t hello_make(uint8_t *to, const char *name, size_t more);

#define HELLO_MAX 20000

#endif
