/* The listening sockets.  They are opened once, by the supervisor, and kept for its whole life: closing
 * one resets the connections that wait on it (SO_REUSEPORT moves none). */
#ifndef TOLLGATE_DAEMON_LISTENERS_H
#define TOLLGATE_DAEMON_LISTENERS_H

#include <stdbool.h>

struct options_listen;
struct tg_endpoint;
struct tg_error;

/* A non-blocking listening TCP socket, the caller's, or -1.  With `shared` several may have the same
 * address (SO_REUSEPORT), each with a queue of its own. */
int listeners_tcp(const struct tg_endpoint *at, bool shared, struct tg_error *err);
/* Whether another process listens there already: with `shared` that is no failure, and connections would
 * be split between the two. */
bool listeners_is_taken(const struct tg_endpoint *at);
/* Where ingress listens: the option's address, or 0.0.0.0 for a standard [::] on a host without IPv6. */
struct tg_endpoint listeners_address(const struct options_listen *wanted);
/* A listening Unix socket (mode 0600) at `name` in the directory `dir`.  It replaces what is there in one
 * step, so that a client finds either the old one or the new one.  The caller knows that no living daemon
 * owns the old one. */
int listeners_unix(int dir, const char *name, struct tg_error *err);

#endif
