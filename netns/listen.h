/* Hears of every change of a link, an address or a route in all namespaces that have an nsid (link_nsid()),
 * whoever made it. */
#ifndef TOLLGATE_NETNS_LISTEN_H
#define TOLLGATE_NETNS_LISTEN_H

struct tg_error;

enum listen_result {
	LISTEN_EVENT,	/* *nsid says where, -1: in the host's own namespace */
	LISTEN_LOST,	/* there were too many: look at everything */
	LISTEN_NONE,
};

/* A non-blocking socket of the host's namespace; the caller's.  Needs CAP_NET_BROADCAST. */
int listen_open(struct tg_error *err);
enum listen_result listen_next(int fd, int *nsid);

#endif
