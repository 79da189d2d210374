/* The PROXY protocol's header (HAProxy's proxy-protocol.txt): who the client is, said to an upstream
 * in front of the client's first byte. */
#ifndef TOLLGATE_PROXY_PROXY_PROTOCOL_H
#define TOLLGATE_PROXY_PROXY_PROTOCOL_H

#include <stddef.h>

struct tg_endpoint;

#define PROXY_PROTOCOL_MOST 108	/* v1: 107 and a NUL; v2: 52 */

/* Prints version 1 or 2 for a connection from `client` to `local` (of the same family, else it says
 * UNKNOWN or LOCAL).  Returns the header's length, 0 for another version. */
size_t proxy_protocol_print(int version, const struct tg_endpoint *client, const struct tg_endpoint *local,
                            char header[PROXY_PROTOCOL_MOST]);
/* The same for an accepted socket, whose own address is asked of the kernel. */
size_t proxy_protocol_print_of(int version, const struct tg_endpoint *client, int fd,
                               char header[PROXY_PROTOCOL_MOST]);

#endif
