/* A listening socket: accepts in bounded batches, refuses clients that have too many connections,
 * pauses while descriptors are scarce. */
#ifndef TOLLGATE_PROXY_LISTENER_H
#define TOLLGATE_PROXY_LISTENER_H

#include <stddef.h>

struct listener;
struct tg_endpoint;
struct worker;

/* Takes the descriptor of a connection of `client`. */
typedef void listener_accept_fn(struct worker *w, int fd, const struct tg_endpoint *client);

#define LISTENER_REFUSAL_MOST 512

/* Takes `fd`.  A client that has too many connections is told `refusal`, of which a copy is made.  NULL when
 * out of memory; `fd` is then closed. */
struct listener *listener_new(struct worker *w, int fd, listener_accept_fn *on_accept, const void *refusal,
                              size_t refusal_bytes);
/* Begins to accept. */
void listener_start(struct listener *listener);
/* Accepts what is queued already, then closes. */
void listener_drain(struct listener *listener);
void listener_free(struct listener *listener);

#endif
