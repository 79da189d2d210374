/* A model as JSON: one network, peer and host after the other in their order, every default written
 * out, so that equal models have equal texts. */
#include "base/model_build.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

#define TEXT_LEAST 4096

struct text {
	char  *at;
	size_t bytes;
	size_t room;
	bool   failed;		/* out of memory: nothing more is added */
};

static bool text_reserve(struct text *t, size_t more)
{
	size_t room = t->room;
	char  *larger;

	if (t->failed)
		return false;
	if (room - t->bytes >= more)
		return true;
	if (room == 0)
		room = more > TEXT_LEAST ? more : TEXT_LEAST;
	while (room - t->bytes < more)
		room *= 2;
	larger = model_alloc(room);
	if (larger == NULL) {
		t->failed = true;
		return false;
	}
	if (t->bytes > 0)
		memcpy(larger, t->at, t->bytes);
	model_release(t->at);
	t->at = larger;
	t->room = room;
	return true;
}

static void text_add(struct text *t, const char *what, size_t bytes)
{
	if (!text_reserve(t, bytes))
		return;
	memcpy(t->at + t->bytes, what, bytes);
	t->bytes += bytes;
}

static void text_put(struct text *t, const char *what)
{
	text_add(t, what, strlen(what));
}

__attribute__((format(printf, 2, 3)))
static void text_format(struct text *t, const char *format, ...)
{
	char    line[256];
	va_list args;

	va_start(args, format);

	int len = vsnprintf(line, sizeof line, format, args);

	va_end(args);
	assert(len >= 0 && (size_t)len < sizeof line);
	text_add(t, line, (size_t)len);
}

static void text_piece(void *to, const char *bytes, size_t count)
{
	text_add(to, bytes, count);
}

static void print_quoted(struct text *t, const char *what)
{
	json_quote(what, text_piece, t);
}

static void print_cidrs(struct text *t, const struct tg_cidr *cidrs, uint32_t count)
{
	char text[TG_CIDR_TEXT];

	text_put(t, "[");
	for (uint32_t i = 0; i < count; i++)
		text_format(t, "%s\"%s\"", i > 0 ? ", " : "", tg_cidr_print(&cidrs[i], text));
	text_put(t, "]");
}

static void print_endpoints(struct text *t, const struct tg_endpoint *endpoints, uint32_t count)
{
	char text[TG_ENDPOINT_TEXT];

	text_put(t, "[");
	for (uint32_t i = 0; i < count; i++)
		text_format(t, "%s\"%s\"", i > 0 ? ", " : "", tg_endpoint_print(&endpoints[i], text));
	text_put(t, "]");
}

/* A key, or null for none and for one that is not to be seen. */
static void print_secret(struct text *t, const struct tg_key *key, bool secrets)
{
	char text[TG_KEY_TEXT];

	if (!secrets || tg_key_is_zero(key)) {
		text_put(t, "null");
		return;
	}
	text_format(t, "\"%s\"", tg_key_print(key, text));
	explicit_bzero(text, sizeof text);
}

static void print_peer(struct text *t, const struct model *m, const struct model_peer *peer, bool secrets)
{
	char key[TG_KEY_TEXT];
	char endpoint[TG_ENDPOINT_TEXT];

	text_format(t, "      \"%s\": { \"preshared_key\": ", tg_key_print(&peer->public_key, key));
	print_secret(t, &peer->preshared_key, secrets);
	text_put(t, ", \"allowed_ips\": ");
	print_cidrs(t, m->cidrs + peer->ranges_first, peer->ranges_count);
	if (peer->endpoint.family == 0)
		text_put(t, ", \"endpoint\": null");
	else
		text_format(t, ", \"endpoint\": \"%s\"", tg_endpoint_print(&peer->endpoint, endpoint));
	text_format(t, ", \"persistent_keepalive\": %u }", peer->keepalive_s);
}

static const char *protocol_text(enum model_proxy_protocol protocol)
{
	switch (protocol) {
	case MODEL_PROXY_NONE:
		return "null";
	case MODEL_PROXY_V1:
		return "\"v1\"";
	case MODEL_PROXY_V2:
		return "\"v2\"";
	}
	return "null";
}

static void print_host_object(struct text *t, const struct model *m, const struct model_host *host)
{
	text_put(t, "{ \"upstreams\": ");
	print_endpoints(t, m->upstreams + host->upstreams_first, host->upstreams_count);
	text_format(t, ", \"proxy_protocol\": %s",
	            protocol_text((enum model_proxy_protocol)host->proxy_protocol));
	if (host->max_connections == MODEL_UNLIMITED)
		text_put(t, ", \"max_connections\": null");
	else
		text_format(t, ", \"max_connections\": %" PRIu32, host->max_connections);
	/* The rest is for http:// only. */
	if (host->scheme == MODEL_HTTP) {
		text_format(t, ", \"redirect_to_https\": %s", host->redirect_to_https ? "true" : "false");
		text_put(t, ", \"host_header\": ");
		if (host->host_header_at != 0)
			print_quoted(t, model_text(m, host->host_header_at));
		else
			text_put(t, "null");
	}
	text_put(t, " }");
}

static bool has_settings(const struct model_host *host)
{
	return host->proxy_protocol != MODEL_PROXY_NONE || host->max_connections != MODEL_UNLIMITED ||
	       host->redirect_to_https || host->host_header_at != 0;
}

static void print_host(struct text *t, const struct model *m, const struct model_host *host)
{
	text_put(t, "      ");
	if (host->scheme == MODEL_SSH) {
		print_quoted(t, model_text(m, host->name_at));
		text_put(t, ": ");
		text_put(t, model_text(m, host->raw_at));
		return;
	}
	text_put(t, host->scheme == MODEL_HTTPS ? "\"https://" : "\"http://");
	text_put(t, model_text(m, host->name_at));
	text_put(t, "\": ");
	if (has_settings(host))
		print_host_object(t, m, host);
	else
		print_endpoints(t, m->upstreams + host->upstreams_first, host->upstreams_count);
}

static void print_network(struct text *t, const struct model *m, const struct model_network *network,
                          bool secrets)
{
	text_format(t, "  \"%u\": {\n", network->port);
	if (network->name_at != 0) {
		text_put(t, "    \"name\": ");
		print_quoted(t, model_text(m, network->name_at));
		text_put(t, ",\n");
	}
	text_put(t, "    \"private_key\": ");
	print_secret(t, &network->private_key, secrets);
	text_put(t, ",\n    \"address\": ");
	print_cidrs(t, m->cidrs + network->addresses_first, network->addresses_count);
	text_format(t, ",\n    \"mtu\": %" PRIu32 ",\n    \"peers\": {", network->mtu);
	for (uint32_t i = 0; i < network->peers_count; i++) {
		text_put(t, i > 0 ? ",\n" : "\n");
		print_peer(t, m, &m->peers[network->peers_first + i], secrets);
	}
	text_put(t, network->peers_count > 0 ? "\n    },\n" : "},\n");
	text_put(t, "    \"proxy\": {");
	for (uint32_t i = 0; i < network->hosts_count; i++) {
		text_put(t, i > 0 ? ",\n" : "\n");
		print_host(t, m, &m->hosts[network->hosts_first + i]);
	}
	text_put(t, network->hosts_count > 0 ? "\n    }\n  }" : "}\n  }");
}

/* What was printed before, while networks are looked for in it from the first on. */
struct source {
	const struct model         *model;	/* NULL: nothing was */
	const struct model_printed *printed;
	size_t                      next;
};

const char *model_printed_network(const struct model_printed *printed, size_t index, size_t *bytes)
{
	size_t begin = index > 0 ? printed->ends[index - 1] + strlen(",\n") : strlen("{\n");

	*bytes = printed->ends[index] - begin;
	return printed->text + begin;
}

void model_printed_clear(struct model_printed *printed)
{
	if (printed->text != NULL)
		explicit_bzero(printed->text, printed->bytes);
	model_release(printed->text);
	model_release(printed->ends);
	*printed = (struct model_printed){ .text = NULL };
}

/* Adds the text of an equal network.  false: there is none. */
static bool print_copy(struct text *t, struct source *from, const struct model *m,
                       const struct model_network *network)
{
	const struct model *old = from->model;
	const char         *text;
	size_t              bytes;

	if (old == NULL)
		return false;
	while (from->next < old->networks_count && old->networks[from->next].port < network->port)
		from->next++;
	if (from->next == old->networks_count ||
	    !model_equal_network(old, &old->networks[from->next], m, network))
		return false;
	text = model_printed_network(from->printed, from->next, &bytes);
	text_add(t, text, bytes);
	return true;
}

/* `ends` may be NULL.  Returns the text, NULL without memory. */
static char *print_all(struct text *t, struct source *from, const struct model *model, bool secrets,
                       uint32_t *ends)
{
	text_put(t, "{");
	for (size_t i = 0; i < model->networks_count; i++) {
		text_put(t, i > 0 ? ",\n" : "\n");
		if (!print_copy(t, from, model, &model->networks[i]))
			print_network(t, model, &model->networks[i], secrets);
		if (ends != NULL)
			ends[i] = (uint32_t)t->bytes;
	}
	text_put(t, model->networks_count > 0 ? "\n}\n" : "}\n");
	text_add(t, "", 1);
	if (t->failed) {
		model_release(t->at);
		return NULL;
	}
	return t->at;
}

char *model_print(const struct model *model, bool secrets, size_t *bytes)
{
	struct text   t = { .at = NULL };
	struct source none = { .model = NULL };
	char         *text = print_all(&t, &none, model, secrets, NULL);

	if (text != NULL)
		*bytes = t.bytes - 1;
	return text;
}

int model_print_next(const struct model *model, const struct model *before,
                     const struct model_printed *printed, struct model_printed *to)
{
	struct text   t = { .at = NULL };
	struct source from = { .model = before, .printed = printed };

	*to = (struct model_printed){ .ends = model_alloc((model->networks_count + 1) * sizeof *to->ends) };
	if (to->ends == NULL)
		return -1;
	/* It is likely to become about as long: growing there would copy it time and again. */
	if (before != NULL)
		text_reserve(&t, printed->bytes + printed->bytes / 8 + TEXT_LEAST);
	to->text = print_all(&t, &from, model, true, to->ends);
	if (to->text == NULL) {
		model_printed_clear(to);
		return -1;
	}
	to->bytes = t.bytes - 1;
	return 0;
}
