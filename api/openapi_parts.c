#include "api/openapi_parts.h"

#include <stddef.h>

#define REF(name)           "{\"$ref\":\"#/components/schemas/" name "\"}"
#define ARRAY(items)        "{\"type\":\"array\",\"items\":" items "}"
#define MAP(values)         "{\"type\":\"object\",\"additionalProperties\":" values "}"
#define ENUM(values)        "{\"enum\":[" values "]}"
#define STRING              "{\"type\":\"string\"}"
#define STRING_OR_NULL      "{\"type\":[\"string\",\"null\"]}"
#define INTEGER             "{\"type\":\"integer\"}"
#define INTEGER_OR_NULL     "{\"type\":[\"integer\",\"null\"]}"
#define NUMBER              "{\"type\":\"number\"}"
#define BOOLEAN             "{\"type\":\"boolean\"}"
#define FIELD(name, schema) "\"" name "\":" schema
#define OBJECT(required, properties) \
	"{\"type\":\"object\",\"required\":[" required "],\"properties\":{" properties "}}"

/* clang-format off */
const struct openapi_schema openapi_schemas[] = {
	{ "Any", "{}" },
	{ "Error", OBJECT("\"error\"",
		FIELD("error", REF("ErrorBody"))) },
	{ "ErrorBody", OBJECT("\"code\",\"message\",\"details\"",
		FIELD("code", STRING) ","
		FIELD("message", STRING) ","
		FIELD("details", ARRAY(REF("Note")))) },
	{ "Note", OBJECT("\"path\",\"message\"",
		FIELD("path", STRING) ","
		FIELD("message", STRING)) },
	{ "Document", MAP(REF("NetworkConfig")) },
	{ "NetworkConfig", OBJECT("\"private_key\",\"address\"",
		FIELD("name", STRING) ","
		FIELD("private_key", STRING_OR_NULL) ","
		FIELD("listen_port", INTEGER) ","
		FIELD("address", ARRAY(STRING)) ","
		FIELD("mtu", INTEGER) ","
		FIELD("peers", MAP(REF("PeerConfig"))) ","
		FIELD("proxy", MAP("{\"anyOf\":[" ARRAY(STRING) "," REF("HostConfig") ",{}]}"))) },
	{ "PeerConfig", OBJECT("\"allowed_ips\"",
		FIELD("allowed_ips", ARRAY(STRING)) ","
		FIELD("preshared_key", STRING_OR_NULL) ","
		FIELD("endpoint", STRING_OR_NULL) ","
		FIELD("persistent_keepalive", INTEGER)) },
	{ "HostConfig", OBJECT("\"upstreams\"",
		FIELD("upstreams", ARRAY(STRING)) ","
		FIELD("proxy_protocol", ENUM("\"v1\",\"v2\",null")) ","
		FIELD("max_connections", INTEGER_OR_NULL) ","
		FIELD("redirect_to_https", BOOLEAN) ","
		FIELD("host_header", STRING_OR_NULL)) },
	{ "Report", OBJECT(
		"\"generation\",\"dry_run\",\"networks\",\"peers\",\"hosts\",\"changes\",\"warnings\"",
		FIELD("generation", INTEGER) ","
		FIELD("dry_run", BOOLEAN) ","
		FIELD("duration_ms", NUMBER) ","
		FIELD("networks", REF("ReportNetworks")) ","
		FIELD("peers", REF("Tally")) ","
		FIELD("hosts", REF("Tally")) ","
		FIELD("changes", ARRAY(REF("Change"))) ","
		FIELD("warnings", ARRAY(REF("Note"))) ","
		FIELD("error", REF("ErrorBody"))) },
	{ "ReportNetworks", OBJECT("\"added\",\"changed\",\"removed\",\"unchanged\",\"failed\"",
		FIELD("added", ARRAY(STRING)) ","
		FIELD("changed", ARRAY(STRING)) ","
		FIELD("removed", ARRAY(STRING)) ","
		FIELD("unchanged", INTEGER) ","
		FIELD("failed", MAP(STRING))) },
	{ "Tally", OBJECT("\"added\",\"changed\",\"removed\"",
		FIELD("added", INTEGER) ","
		FIELD("changed", INTEGER) ","
		FIELD("removed", INTEGER)) },
	{ "Change", OBJECT("\"op\",\"path\"",
		FIELD("op", ENUM("\"add\",\"change\",\"remove\"")) ","
		FIELD("path", STRING)) },
	{ "Networks", MAP(REF("Network")) },
	{ "Network", OBJECT("\"port\",\"public_key\",\"state\"",
		FIELD("port", INTEGER) ","
		FIELD("name", STRING_OR_NULL) ","
		FIELD("public_key", STRING) ","
		FIELD("netns", STRING) ","
		FIELD("interface", STRING) ","
		FIELD("wireguard", ENUM("\"kernel\",\"userspace\"")) ","
		FIELD("state", ENUM("\"up\",\"failed\"")) ","
		FIELD("reason", STRING_OR_NULL) ","
		FIELD("address", ARRAY(STRING)) ","
		FIELD("mtu", INTEGER) ","
		FIELD("peers", REF("Peers"))) },
	{ "Peers", MAP(REF("Peer")) },
	{ "Peer", OBJECT("\"endpoint\",\"allowed_ips\",\"latest_handshake\",\"rx\",\"tx\",\"connected\"",
		FIELD("endpoint", STRING_OR_NULL) ","
		FIELD("allowed_ips", ARRAY(STRING)) ","
		FIELD("latest_handshake", INTEGER_OR_NULL) ","
		FIELD("rx", INTEGER) ","
		FIELD("tx", INTEGER) ","
		FIELD("connected", BOOLEAN)) },
	{ "Health", OBJECT("\"status\"",
		FIELD("status", ENUM("\"ok\",\"degraded\"")) ","
		FIELD("failed", INTEGER)) },
	{ "Bytes", OBJECT("\"rx\",\"tx\"",
		FIELD("rx", INTEGER) ","
		FIELD("tx", INTEGER) ","
		FIELD("connections", INTEGER)) },
	{ "Series", OBJECT("\"traffic\",\"times\"",
		FIELD("traffic", REF("Bytes")) ","
		FIELD("times", MAP(REF("Bytes")))) },
	{ "NetworkTraffic", OBJECT("\"traffic\",\"devices\",\"hosts\"",
		FIELD("traffic", REF("Bytes")) ","
		FIELD("devices", MAP(REF("Series"))) ","
		FIELD("hosts", MAP(REF("Series")))) },
	{ "Traffic", OBJECT(
		"\"ledger\",\"start_time\",\"stop_time\",\"oldest_time\",\"traffic\",\"networks\"",
		FIELD("ledger", STRING) ","
		FIELD("start_time", INTEGER) ","
		FIELD("stop_time", INTEGER) ","
		FIELD("oldest_time", INTEGER) ","
		FIELD("traffic", REF("Bytes")) ","
		FIELD("networks", MAP(REF("NetworkTraffic")))) },
	{ NULL, NULL },
};
/* clang-format on */
