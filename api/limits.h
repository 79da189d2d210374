/* What one API may hold at a time, and how long it waits.  Tests turn them down. */
#ifndef TOLLGATE_API_LIMITS_H
#define TOLLGATE_API_LIMITS_H

#include <stddef.h>

struct api_limits {
	unsigned tcp_connections;
	unsigned local_connections;	/* of each Unix socket */
	unsigned big_bodies;		/* over big_body_bytes, at a time */
	size_t   big_body_bytes;
	size_t   body_bytes;
	unsigned head_ms;		/* from a head's first byte (or the accept) to its last */
	unsigned idle_ms;		/* between two requests */
	unsigned body_ms;		/* without a byte of a body */
	unsigned send_ms;		/* without a byte taken by the client */
	unsigned linger_ms;		/* reading on after a refusal, so that the client gets to read it */
	unsigned crowd_ms;		/* patience with those that ask nothing while all places are taken */
};

extern const struct api_limits api_limits_usual;

#endif
