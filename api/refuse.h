/* Answers given past evhttp, which would first have to read the request they refuse. */
#ifndef TOLLGATE_API_REFUSE_H
#define TOLLGATE_API_REFUSE_H

struct conn;

/* Takes the connection's callbacks away from evhttp, writes the refusal that `conn->gate` holds, and
 * closes the connection once the client has it and has left, or lingered too long.  -1: could not be
 * written; the caller closes. */
int refuse_write(struct conn *conn);
/* "100 Continue", in the middle of a request that evhttp has not seen. */
void refuse_continue(struct conn *conn);

#endif
