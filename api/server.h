/* What the files of this folder share of one struct api. */
#ifndef TOLLGATE_API_SERVER_H
#define TOLLGATE_API_SERVER_H

#include <sys/queue.h>

#include <openssl/types.h>

#include "api/api.h"
#include "api/api_listener.h"
#include "api/limits.h"

struct tokens;

struct api {
	struct event_base      *base;	/* borrowed */
	struct api_options      options;
	struct api_limits       limits;
	struct tokens          *tokens;	/* NULL: none yet, nobody may */
	SSL_CTX                *tls;	/* NULL: plain */
	unsigned                big_bodies;
	char                    path[24];	/* of the heads that evhttp gets: nobody can guess it */
	LIST_HEAD(listeners, api_listener) listeners;
};

#endif
