/* What runs, as the API shows it in JSON: pure work on values, done in the thread. */
#ifndef TOLLGATE_DAEMON_LIVE_PRINT_H
#define TOLLGATE_DAEMON_LIVE_PRINT_H

#include <stdint.h>

struct evbuffer;
struct model;
struct snapshot;
struct tg_key;

enum live_result {
	LIVE_PRINTED,
	LIVE_NOT_FOUND,
	LIVE_NOT_SEEN,	/* the document has it: its network has failed, or could not be read */
	LIVE_NO_MEMORY,
};

/* The networks of `model` (`port` 0: all of them) as they are in `live`, behind what is in `to`, which is of
 * no use unless they were printed. */
enum live_result live_print_networks(struct evbuffer *to, const struct model *model,
                                     const struct snapshot *live, uint16_t port, const char *netns_prefix);
/* The peers of one network, or (not NULL) the one of them with this key. */
enum live_result live_print_peers(struct evbuffer *to, const struct model *model,
                                  const struct snapshot *live, uint16_t port, const struct tg_key *peer);

#endif
