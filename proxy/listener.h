/* A listening socket: accepts in bounded batches, refuses clients that have too many connections,
 * pauses while descriptors are scarce. */
#ifndef TOLLGATE_PROXY_LISTENER_H
#define TOLLGATE_PROXY_LISTENER_H

struct listener;
struct tg_endpoint;
struct worker;

/* Takes the descriptor of a connection of `client`. */
typedef void listener_accept_fn(struct worker *w, int fd, const struct tg_endpoint *client);

/* Takes `fd`.  NULL when out of memory; it is then closed. */
struct listener *listener_new(struct worker *w, int fd, listener_accept_fn *on_accept);
/* Begins to accept. */
void listener_start(struct listener *listener);
/* Accepts what is queued already, then closes. */
void listener_drain(struct listener *listener);
void listener_free(struct listener *listener);

#endif
