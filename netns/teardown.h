/* Removes every namespace that is the daemon's by name, with its wireguard-go, and nothing else. */
#ifndef TOLLGATE_NETNS_TEARDOWN_H
#define TOLLGATE_NETNS_TEARDOWN_H

struct tg_error;

/* Goes on after a failure and reports the first. */
int netns_teardown(const char *prefix, struct tg_error *err);

#endif
