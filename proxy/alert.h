/* What a client of the HTTPS port is told when it can't be served: TLS alerts (RFC 8446 §6), and a
 * response for who speaks plain HTTP there. */
#ifndef TOLLGATE_PROXY_ALERT_H
#define TOLLGATE_PROXY_ALERT_H

#include <stddef.h>

enum alert {
	ALERT_DECODE_ERROR,
	ALERT_INTERNAL_ERROR,
	ALERT_UNRECOGNIZED_NAME,
	ALERT_PLAIN_HTTP,
};

/* The bytes to send: static. */
const void *alert_bytes(enum alert alert, size_t *count);

#endif
