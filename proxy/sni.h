/* The server name in a TLS ClientHello, from bytes that come in any pieces of TCP segments and TLS
 * records.  Keeps nothing between calls: each gets all that has come so far. */
#ifndef TOLLGATE_PROXY_SNI_H
#define TOLLGATE_PROXY_SNI_H

#include <stddef.h>
#include <stdint.h>

#define SNI_HELLO_MOST 16384	/* bytes of a ClientHello without record headers */
#define SNI_BYTES_MOST 32768	/* with them: what sni_read() must be able to see at once */
#define SNI_HOST_MOST  255	/* without the NUL */

enum sni_result {
	SNI_FOUND,	/* host is set, lower case, a valid host name */
	SNI_NONE,	/* a hello without a server name, or with one that no host can have */
	SNI_MORE,	/* so far it is the beginning of a hello */
	SNI_MALFORMED,	/* not TLS, or no hello, or one that breaks the rules */
	SNI_TOO_LARGE,
	SNI_HTTP,	/* a plain HTTP request */
};

enum sni_result sni_read(const uint8_t *bytes, size_t count, char host[SNI_HOST_MOST + 1]);

#endif
