/* Client connections of the HTTPS port: the hello's server name finds the host, then bytes are relayed
 * untouched.  No TLS key is here. */
#ifndef TOLLGATE_PROXY_TLS_CONN_H
#define TOLLGATE_PROXY_TLS_CONN_H

struct tg_endpoint;
struct worker;

/* Takes `fd`, a new connection of `client`, for which worker_client_came() was called. */
void tls_conn_accept(struct worker *w, int fd, const struct tg_endpoint *client);
/* Resets and frees all connections. */
void tls_conns_free(struct worker *w);

#endif
