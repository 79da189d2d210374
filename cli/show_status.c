#include "cli/show.h"

#include <cjson/cJSON.h>
#include <string.h>

static const char *string_of(const cJSON *object, const char *name)
{
	const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsString(member) ? member->valuestring : NULL;
}

static double number_of(const cJSON *object, const char *name)
{
	const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsNumber(member) ? member->valuedouble : 0;
}

static void field(const struct show *show, const char *indent, const char *name, const char *value)
{
	if (value == NULL)
		return;
	fputs(indent, show->to);
	show_styled(show, SHOW_BOLD, name);
	fputs(": ", show->to);
	show_text(show, value);
	fputc('\n', show->to);
}

static void list(const struct show *show, const char *indent, const char *name, const cJSON *values)
{
	const cJSON *each;
	const char  *comma = "";

	fputs(indent, show->to);
	show_styled(show, SHOW_BOLD, name);
	fputs(": ", show->to);
	if (cJSON_GetArraySize(values) == 0)
		fputs("(none)", show->to);
	cJSON_ArrayForEach(each, values) {
		fputs(comma, show->to);
		show_text(show, cJSON_IsString(each) ? each->valuestring : "");
		comma = ", ";
	}
	fputc('\n', show->to);
}

static void show_peer(const struct show *show, const cJSON *peer, int64_t now_unix_s)
{
	double rx = number_of(peer, "rx");
	double tx = number_of(peer, "tx");
	double handshake = number_of(peer, "latest_handshake");
	char   text[96];
	char   received[32];
	char   sent[32];

	fputs("\n  ", show->to);
	show_styled(show, SHOW_PEER, "peer");
	fputs(": ", show->to);
	show_styled(show, SHOW_PEER, peer->string);
	fputc('\n', show->to);
	field(show, "    ", "endpoint", string_of(peer, "endpoint"));
	list(show, "    ", "allowed ips", cJSON_GetObjectItemCaseSensitive(peer, "allowed_ips"));
	if (handshake > 0)
		field(show, "    ", "latest handshake", show_ago(now_unix_s - (int64_t)handshake, text));
	if (rx > 0 || tx > 0) {
		snprintf(text, sizeof text, "%s received, %s sent", show_bytes(rx, received),
		         show_bytes(tx, sent));
		field(show, "    ", "transfer", text);
	}
}

void show_network(const struct show *show, const cJSON *network, int64_t now_unix_s)
{
	const char  *name = string_of(network, "name");
	const char  *state = string_of(network, "state");
	const cJSON *each;
	char         text[64];

	show_styled(show, SHOW_NETWORK, "network");
	fputs(": ", show->to);
	snprintf(text, sizeof text, "%.0f", number_of(network, "port"));
	show_styled(show, SHOW_NETWORK, text);
	if (name != NULL) {
		fputs(" (", show->to);
		show_text(show, name);
		fputs(")", show->to);
	}
	fputc('\n', show->to);
	if (state != NULL && strcmp(state, "up") != 0) {
		fputs("  ", show->to);
		show_styled(show, SHOW_BAD, state);
		fputs(": ", show->to);
		show_text(show, string_of(network, "reason") == NULL ? "" : string_of(network, "reason"));
		fputc('\n', show->to);
	}
	field(show, "  ", "public key", string_of(network, "public_key"));
	field(show, "  ", "namespace", string_of(network, "netns"));
	field(show, "  ", "interface", string_of(network, "interface"));
	field(show, "  ", "wireguard", string_of(network, "wireguard"));
	list(show, "  ", "address", cJSON_GetObjectItemCaseSensitive(network, "address"));
	snprintf(text, sizeof text, "%.0f", number_of(network, "mtu"));
	field(show, "  ", "mtu", text);
	cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(network, "peers"))
		show_peer(show, each, now_unix_s);
}
