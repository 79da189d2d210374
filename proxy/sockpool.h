/* Sockets that already live in a network's namespace.  A worker may not enter namespaces: it asks
 * the broker ahead of need and spends one on each connection.  Used from one event loop only. */
#ifndef TOLLGATE_PROXY_SOCKPOOL_H
#define TOLLGATE_PROXY_SOCKPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct channel;
struct msg_sockets;
struct sockpool;

#define SOCKPOOL_MOST	      1000	/* sockets kept and asked for */
#define SOCKPOOL_WAITING_MOST 4096	/* connections that wait for one */
#define SOCKPOOL_IDLE_MS      30000

enum sockpool_result {
	SOCKPOOL_READY,		/* *fd is set and is now the caller's to close */
	SOCKPOOL_WAIT,		/* done() comes once, later, from the loop */
	SOCKPOOL_REFUSED,	/* too many wait, or out of memory */
};

typedef void sockpool_done_fn(int fd, void *arg);	/* fd is -1 when none came */

/* NULL when out of memory.  `most`: sockets at a time, SOCKPOOL_MOST. */
struct sockpool *sockpool_new(unsigned batch, unsigned most);
/* Closes what was not spent, calls done(-1) for whoever waits.  NULL is fine. */
void sockpool_free(struct sockpool *pool);
/* The broker's channel, borrowed; NULL while there is none: who waits goes on waiting, and is asked
 * for again when a new one comes. */
void sockpool_set_broker(struct sockpool *pool, struct channel *broker);
/* A non-blocking TCP socket of that family (AF_INET, AF_INET6); netns_cookie 0: the host's namespace. */
enum sockpool_result sockpool_take(struct sockpool *pool, uint64_t netns_cookie, int family,
                                   int *fd, sockpool_done_fn *done, void *arg);
/* Forgets the wait with this arg, if any: done() will not be called. */
void sockpool_cancel(struct sockpool *pool, void *arg);
/* The broker's answer.  Takes the descriptors that are of the namespace they are said to be of. */
void sockpool_answer(struct sockpool *pool, const struct msg_sockets *msg, int *fds, size_t count);
/* Calls keep(cookie) for every network known here and forgets those for which it says false: closes
 * their sockets, calls done(-1) for whoever waits, drops late answers. */
typedef bool sockpool_keep_fn(uint64_t netns_cookie, void *arg);
void sockpool_forget_others(struct sockpool *pool, sockpool_keep_fn *keep, void *arg);
/* Closes what lay idle for SOCKPOOL_IDLE_MS; to be called every few seconds. */
void sockpool_tidy(struct sockpool *pool);
/* Sockets kept now. */
size_t sockpool_count(const struct sockpool *pool);

#endif
