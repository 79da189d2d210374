/* Client connections that speak HTTP/1.1: every request is routed by its own Host, to the table and
 * the network of its moment. */
#ifndef TOLLGATE_PROXY_HTTP_CONN_H
#define TOLLGATE_PROXY_HTTP_CONN_H

struct tg_endpoint;
struct worker;

/* Takes `fd`, a new connection of `client`, for which worker_client_came() was called. */
void http_conn_accept(struct worker *w, int fd, const struct tg_endpoint *client);
/* The worker drains: connections that idle between two requests close now, others after their
 * answer. */
void http_conns_drain(struct worker *w);
/* Resets and frees all connections, and w->http. */
void http_conns_free(struct worker *w);

#endif
