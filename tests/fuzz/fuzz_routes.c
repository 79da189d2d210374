/* A route table from another process: refused, or safe to use. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "proxy/routes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct routes *routes, const char *name)
{
	struct routes_host host;

	for (int scheme = 0; scheme < 2; scheme++) {
		if (!routes_find(routes, (enum routes_scheme)scheme, name, &host))
			continue;
		const struct routes_target *target = &host.scheme[scheme];

		if (strlen(host.name) > 255 ||
		    (target->host_header != NULL && strlen(target->host_header) > 255))
			abort();
		for (uint32_t i = 0; i < target->upstreams_count; i++) {
			if (target->upstreams[i].port == 0)
				abort();
		}
	}
}

/* The first two bytes say which byte of a sound table becomes the third, and so on; without that no
 * input would get past the magic number. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tg_endpoint upstream = { .family = 2, .port = 443 };
	static uint8_t sound[4096];
	static size_t  sound_bytes;
	uint8_t        table[4096];

	if (sound_bytes == 0) {
		struct routes_host hosts[] = {
			{ .name = "a.example", .slot = 1, .netns_cookie = 5, .network_id = 5,
			  .scheme[1] = { "b.example", &upstream, 1, 9, 1, 1, 0 } },
			{ .name = "*.example", .slot = 2, .scheme[0] = { NULL, &upstream, 1, 9, 1, 0, 1 } },
		};
		TG_AUTO_FD fd = routes_build(hosts, 2, NULL);

		sound_bytes = (size_t)pread(fd, sound, sizeof sound, 0);
	}
	memcpy(table, sound, sound_bytes);
	for (; size >= 3; data += 3, size -= 3)
		table[(size_t)(data[0] << 8 | data[1]) % sound_bytes] = data[2];

	const struct tg_part part = { table, sound_bytes };
	TG_AUTO_FD           fd = tg_memfd_make("fuzz", &part, 1, NULL);
	struct routes       *routes = routes_open(fd, NULL);

	if (routes != NULL) {
		use(routes, "a.example");
		use(routes, "x.example");
		use(routes, "");
		routes_have_network(routes, 5);
	}
	routes_close(routes);
	return 0;
}
