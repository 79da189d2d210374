/* IP addresses, ranges and endpoints as plain values, and their text. */
#ifndef TOLLGATE_BASE_ADDRESS_H
#define TOLLGATE_BASE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* An address with a prefix length.  Padding-free, so that memcmp() compares. */
struct tg_cidr {
	uint8_t family;		/* AF_INET or AF_INET6 */
	uint8_t prefix;		/* bits: 0..32 or 0..128 */
	uint8_t bytes[16];	/* network order; IPv4 in the first four, the rest 0 */
};

/* An address with a port.  family 0: none. */
struct tg_endpoint {
	uint8_t  family;	/* AF_INET, AF_INET6, or 0 */
	uint8_t  zero;
	uint16_t port;		/* host order */
	uint8_t  bytes[16];
};

#define TG_CIDR_TEXT	 50	/* with the NUL */
#define TG_ENDPOINT_TEXT 56

/* `1.2.3.4/24`, `fd00::1/64`; a bare address is /32 or /128.  Host bits are kept.  No zone ids, no
 * leading zeros in the prefix length. */
bool tg_cidr_read(const char *text, struct tg_cidr *to);
/* Clears the host bits. */
void tg_cidr_mask(struct tg_cidr *range);
const char *tg_cidr_print(const struct tg_cidr *from, char text[TG_CIDR_TEXT]);

/* `1.2.3.4:80` or `[fd00::1]:80`; port 1..65535. */
bool tg_endpoint_read(const char *text, struct tg_endpoint *to);
const char *tg_endpoint_print(const struct tg_endpoint *from, char text[TG_ENDPOINT_TEXT]);
bool tg_endpoint_equal(const struct tg_endpoint *a, const struct tg_endpoint *b);
/* An IPv4-mapped IPv6 socket address becomes IPv4.  Another family gives family 0. */
void tg_endpoint_from_sockaddr(const struct sockaddr *from, struct tg_endpoint *to);
socklen_t tg_endpoint_to_sockaddr(const struct tg_endpoint *from, struct sockaddr_storage *to);

#endif
