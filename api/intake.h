/* From a client's bytes to requests: what a connection does with its input. */
#ifndef TOLLGATE_API_INTAKE_H
#define TOLLGATE_API_INTAKE_H

struct conn;

/* Takes all bytes out of the bufferevent's input before evhttp is called with them. */
void intake_read(struct conn *conn);
/* Goes as far with `conn->bytes` as they allow, one request at most: the next one waits for the
 * answer.  CONN_HANDED: evhttp is to be called. */
void intake_next(struct conn *conn);

#endif
