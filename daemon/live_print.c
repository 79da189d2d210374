#include "daemon/live_print.h"

#include <event2/buffer.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/model.h"
#include "base/snapshot.h"
#include "daemon/control.h"

struct printing {
	struct evbuffer       *to;
	const struct snapshot *live;
	int64_t                now_unix_s;
	bool                   failed;	/* out of memory: something is missing */
};

static struct printing printing_begin(struct evbuffer *to, const struct snapshot *live)
{
	return (struct printing){ .to = to, .live = live, .now_unix_s = tg_clock_unix_ms() / 1000 };
}

static enum live_result printing_end(const struct printing *p)
{
	return p->failed ? LIVE_NO_MEMORY : LIVE_PRINTED;
}

static void put_bytes(struct printing *p, const char *text, size_t bytes)
{
	p->failed |= evbuffer_add(p->to, text, bytes) == -1;
}

static void put(struct printing *p, const char *text)
{
	put_bytes(p, text, strlen(text));
}

__attribute__((format(printf, 2, 3)))
static void put_format(struct printing *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	p->failed |= evbuffer_add_vprintf(p->to, format, args) == -1;
	va_end(args);
}

/* Names and reasons hold what others wrote. */
static void put_piece(void *to, const char *bytes, size_t count)
{
	put_bytes(to, bytes, count);
}

static void put_quoted(struct printing *p, const char *text)
{
	json_quote(text, put_piece, p);
}

static void put_ranges(struct printing *p, const struct tg_cidr *ranges, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		char text[TG_CIDR_TEXT];

		put(p, i > 0 ? ",\"" : "\"");
		put(p, tg_cidr_print(&ranges[i], text));
		put(p, "\"");
	}
}

static void put_peer(struct printing *p, const struct snapshot_peer *peer)
{
	char endpoint[TG_ENDPOINT_TEXT];

	put(p, "{\"endpoint\":");
	if (peer->endpoint.family != 0) {
		put(p, "\"");
		put(p, tg_endpoint_print(&peer->endpoint, endpoint));
		put(p, "\"");
	} else {
		put(p, "null");
	}
	put(p, ",\"allowed_ips\":[");
	put_ranges(p, &p->live->ranges[peer->ranges_first], peer->ranges_count);
	put(p, "],\"latest_handshake\":");
	if (peer->handshake_unix_s > 0)
		put_format(p, "%" PRId64, peer->handshake_unix_s);
	else
		put(p, "null");
	put_format(p, ",\"rx\":%" PRIu64 ",\"tx\":%" PRIu64 ",\"connected\":%s}", peer->rx, peer->tx,
	           control_peer_connected(peer, p->now_unix_s) ? "true" : "false");
}

static void put_peers(struct printing *p, const struct snapshot_network *network)
{
	put(p, "{");
	for (uint32_t i = 0; network != NULL && i < network->peers_count; i++) {
		const struct snapshot_peer *peer = &p->live->peers[network->peers_first + i];
		char                        key[TG_KEY_TEXT];

		put(p, i > 0 ? ",\"" : "\"");
		put(p, tg_key_print(&peer->public_key, key));
		put(p, "\":");
		put_peer(p, peer);
	}
	put(p, "}");
}

static void put_network(struct printing *p, const struct model *model, const struct model_network *network,
                        const char *netns_prefix)
{
	const struct snapshot_network *seen = snapshot_find(p->live, network->port);
	bool                           up = seen != NULL && seen->state == SNAPSHOT_UP;
	bool                           kernel = seen != NULL && seen->wireguard == MSG_WIREGUARD_KERNEL;
	char                           key[TG_KEY_TEXT];

	put_format(p, "{\"port\":%u,\"name\":", network->port);
	if (network->name_at != 0)
		put_quoted(p, model_text(model, network->name_at));
	else
		put(p, "null");
	put_format(p, ",\"public_key\":\"%s\",\"netns\":\"%s%u\",\"interface\":\"wg%u\",\"wireguard\":\"%s\"",
	           tg_key_print(&network->public_key, key), netns_prefix, network->port, network->port,
	           kernel ? "kernel" : "userspace");
	put_format(p, ",\"state\":\"%s\"", up ? "up" : "failed");
	if (!up) {
		put(p, ",\"reason\":");
		put_quoted(p, seen != NULL ? seen->reason : "it is being brought up");
	}
	put(p, ",\"address\":[");
	put_ranges(p, &model->cidrs[network->addresses_first], network->addresses_count);
	put_format(p, "],\"mtu\":%" PRIu32 ",\"peers\":", network->mtu);
	put_peers(p, seen);
	put(p, "}");
}

enum live_result live_print_networks(struct evbuffer *to, const struct model *model,
                                     const struct snapshot *live, uint16_t port, const char *netns_prefix)
{
	struct printing             p = printing_begin(to, live);
	const struct model_network *one = port != 0 ? model_find(model, port) : NULL;

	if (port != 0 && one == NULL)
		return LIVE_NOT_FOUND;
	if (one != NULL) {
		put_network(&p, model, one, netns_prefix);
		return printing_end(&p);
	}
	put(&p, "{");
	for (size_t i = 0; i < model->networks_count; i++) {
		put_format(&p, "%s\"%u\":", i > 0 ? "," : "", model->networks[i].port);
		put_network(&p, model, &model->networks[i], netns_prefix);
	}
	put(&p, "}");
	return printing_end(&p);
}

enum live_result live_print_peers(struct evbuffer *to, const struct model *model,
                                  const struct snapshot *live, uint16_t port, const struct tg_key *peer)
{
	struct printing                p = printing_begin(to, live);
	const struct snapshot_network *network = snapshot_find(live, port);
	const struct model_network    *wanted = model_find(model, port);

	if (peer == NULL) {
		put_peers(&p, network);
		return printing_end(&p);
	}
	for (uint32_t i = 0; network != NULL && i < network->peers_count; i++) {
		const struct snapshot_peer *one = &live->peers[network->peers_first + i];

		if (!tg_key_equal(&one->public_key, peer))
			continue;
		put_peer(&p, one);
		return printing_end(&p);
	}
	return wanted != NULL && model_find_peer(model, wanted, peer) != NULL ? LIVE_NOT_SEEN
	                                                                      : LIVE_NOT_FOUND;
}
