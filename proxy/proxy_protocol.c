#include "proxy/proxy_protocol.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/address.h"

#define V2_SIGNATURE	 "\r\n\r\n\0\r\nQUIT\n"
#define V2_SIGNATURE_LEN 12
#define V2_PROXY	 0x21
#define V2_TCP4		 0x11
#define V2_TCP6		 0x21

static size_t print_v1(const struct tg_endpoint *client, const struct tg_endpoint *local, char *header)
{
	char from[INET6_ADDRSTRLEN];
	char to[INET6_ADDRSTRLEN];
	int  length;

	if (inet_ntop(client->family, client->bytes, from, sizeof(from)) == NULL ||
	    inet_ntop(local->family, local->bytes, to, sizeof(to)) == NULL)
		return 0;
	length = snprintf(header, PROXY_PROTOCOL_MOST, "PROXY %s %s %s %u %u\r\n",
	                  client->family == AF_INET ? "TCP4" : "TCP6", from, to,
	                  (unsigned)client->port, (unsigned)local->port);
	return length > 0 && length < PROXY_PROTOCOL_MOST ? (size_t)length : 0;
}

static size_t print_v2(const struct tg_endpoint *client, const struct tg_endpoint *local, char *header)
{
	size_t   address_bytes = client->family == AF_INET ? 4 : 16;
	uint16_t rest = htons((uint16_t)(2 * address_bytes + 4));
	uint16_t ports[] = { htons(client->port), htons(local->port) };
	char    *at = header;

	memcpy(at, V2_SIGNATURE, V2_SIGNATURE_LEN);
	at += V2_SIGNATURE_LEN;
	*at++ = V2_PROXY;
	*at++ = client->family == AF_INET ? V2_TCP4 : V2_TCP6;
	memcpy(at, &rest, sizeof(rest));
	at += sizeof(rest);
	memcpy(at, client->bytes, address_bytes);
	at += address_bytes;
	memcpy(at, local->bytes, address_bytes);
	at += address_bytes;
	memcpy(at, ports, sizeof(ports));
	at += sizeof(ports);
	return (size_t)(at - header);
}

size_t proxy_protocol_print(int version, const struct tg_endpoint *client, const struct tg_endpoint *local,
                            char header[PROXY_PROTOCOL_MOST])
{
	static const char unknown[] = "PROXY UNKNOWN\r\n";
	static const char local_v2[] =
	        V2_SIGNATURE "\x20\x00\x00"; /* LOCAL; length 0, with the literal's NUL */
	bool known =
	        client->family == local->family && (client->family == AF_INET || client->family == AF_INET6);

	if (version != 1 && version != 2)
		return 0;
	if (known)
		return version == 1 ? print_v1(client, local, header) : print_v2(client, local, header);
	if (version == 1) {
		memcpy(header, unknown, sizeof(unknown) - 1);
		return sizeof(unknown) - 1;
	}
	memcpy(header, local_v2, sizeof(local_v2));
	return sizeof(local_v2);
}

size_t proxy_protocol_print_of(int version, const struct tg_endpoint *client, int fd,
                               char header[PROXY_PROTOCOL_MOST])
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	socklen_t               bytes = sizeof(address);
	struct tg_endpoint      local = { 0 };

	if (version != 1 && version != 2)
		return 0;
	if (getsockname(fd, (struct sockaddr *)&address, &bytes) == 0)
		tg_endpoint_from_sockaddr((struct sockaddr *)&address, &local);
	return proxy_protocol_print(version, client, &local, header);
}
