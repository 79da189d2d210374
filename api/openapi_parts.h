/* The texts that the OpenAPI document is put together from: what the table of routes does not say. */
#ifndef TOLLGATE_API_OPENAPI_PARTS_H
#define TOLLGATE_API_OPENAPI_PARTS_H

#include "api/api_routes.h"

/* clang-format off */
#define OPENAPI_ERROR_REF   "{\"$ref\":\"#/components/responses/Error\"}"
#define OPENAPI_STRING      "{\"type\":\"string\"}"
#define OPENAPI_SECONDS     "{\"type\":\"integer\",\"minimum\":0}"
#define OPENAPI_REF(schema) "{\"$ref\":\"#/components/schemas/" schema "\"}"

#define OPENAPI_TYPED(type, schema) "\"" type "\":{\"schema\":" schema "}"
#define OPENAPI_CONTENT(typed)      "\"content\":{" typed "}"
#define OPENAPI_JSON(schema)        OPENAPI_CONTENT(OPENAPI_TYPED("application/json", OPENAPI_REF(schema)))
#define OPENAPI_HEADER(name, schema) \
	"\"headers\":{\"" name "\":{\"schema\":" schema "}}"

#define OPENAPI_FRAME \
	"{\"openapi\":\"3.1.0\"," \
	"\"info\":{\"title\":\"Tollgate\",\"version\":\"1\"}," \
	"\"servers\":[{\"url\":\"" API_ROUTES_BASE "\"}]," \
	"\"security\":[{\"bearer\":[]},{\"token\":[]}]," \
	"\"components\":{" \
	"\"securitySchemes\":{" \
	"\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\"}," \
	"\"token\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"Token\"}}," \
	"\"responses\":{" \
	"\"Error\":{\"description\":\"Refused or failed\"," OPENAPI_JSON("Error") "}}}}"

/* One answer each, by its status. */
#define OPENAPI_OK(schema) \
	"\"200\":{\"description\":\"OK\"," OPENAPI_JSON(schema) "},"
#define OPENAPI_TAGGED(status, schema) \
	"\"" status "\":{\"description\":\"OK\"," OPENAPI_HEADER("ETag", OPENAPI_STRING) "," \
	OPENAPI_JSON(schema) "},"
#define OPENAPI_INCOMPLETE \
	"\"500\":{\"description\":\"Active, but some networks are not up\"," OPENAPI_JSON("Report") "},"
#define OPENAPI_NOT_FOUND "\"404\":" OPENAPI_ERROR_REF ","
#define OPENAPI_OTHERS    "\"default\":" OPENAPI_ERROR_REF

/* All answers of an operation. */
#define OPENAPI_RESPONSE(schema)        "{" OPENAPI_OK(schema) OPENAPI_OTHERS "}"
#define OPENAPI_FOUND_RESPONSES(schema) "{" OPENAPI_OK(schema) OPENAPI_NOT_FOUND OPENAPI_OTHERS "}"
#define OPENAPI_TEXT_RESPONSE(type) \
	"{\"200\":{\"description\":\"OK\"," OPENAPI_CONTENT(OPENAPI_TYPED(type, OPENAPI_STRING)) "}," \
	OPENAPI_OTHERS "}"
#define OPENAPI_CONFIG_RESPONSES \
	"{" OPENAPI_TAGGED("200", "Document") "\"304\":{\"description\":\"Not modified\"}," OPENAPI_OTHERS "}"
#define OPENAPI_REPORT_RESPONSES \
	"{" OPENAPI_TAGGED("200", "Report") OPENAPI_INCOMPLETE OPENAPI_OTHERS "}"
#define OPENAPI_PUT_RESPONSES \
	"{" OPENAPI_TAGGED("200", "Report") OPENAPI_TAGGED("201", "Report") OPENAPI_INCOMPLETE \
	OPENAPI_NOT_FOUND OPENAPI_OTHERS "}"
#define OPENAPI_DELETE_RESPONSES \
	"{" OPENAPI_TAGGED("200", "Report") OPENAPI_INCOMPLETE OPENAPI_NOT_FOUND OPENAPI_OTHERS "}"
#define OPENAPI_HEALTH_RESPONSES \
	"{" OPENAPI_OK("Health") "\"503\":" OPENAPI_ERROR_REF "," OPENAPI_OTHERS "}"
#define OPENAPI_TRAFFIC_RESPONSES \
	"{\"200\":{\"description\":\"OK\"," OPENAPI_HEADER("Tollgate-Stop-Time", OPENAPI_SECONDS) "," \
	OPENAPI_CONTENT( \
		OPENAPI_TYPED("application/json", OPENAPI_REF("Traffic")) "," \
		OPENAPI_TYPED("application/x-ndjson", OPENAPI_STRING) "," \
		OPENAPI_TYPED("text/csv", OPENAPI_STRING)) "}," \
	"\"409\":" OPENAPI_ERROR_REF ",\"410\":" OPENAPI_ERROR_REF "," OPENAPI_OTHERS "}"

#define OPENAPI_BODY(content) "{\"required\":true," content "}"
#define OPENAPI_DOCUMENT_BODY OPENAPI_BODY(OPENAPI_JSON("Document"))
#define OPENAPI_PEER_BODY     OPENAPI_BODY(OPENAPI_JSON("PeerConfig"))
#define OPENAPI_PATCH_BODY \
	OPENAPI_BODY(OPENAPI_CONTENT( \
		OPENAPI_TYPED("application/merge-patch+json", OPENAPI_REF("Any")) "," \
		OPENAPI_TYPED("application/json", OPENAPI_REF("Any"))))

#define OPENAPI_PARAMETER(place, name, schema) \
	"{\"name\":\"" name "\",\"in\":\"" place "\",\"schema\":" schema "}"
#define OPENAPI_QUERY(name, schema) OPENAPI_PARAMETER("query", name, schema)
#define OPENAPI_WRITE_PARAMETERS \
	"[" OPENAPI_QUERY("dry_run", "{\"type\":\"boolean\",\"default\":false}") "," \
	OPENAPI_PARAMETER("header", "If-Match", OPENAPI_STRING) "]"
#define OPENAPI_TRAFFIC_PARAMETERS \
	"[" OPENAPI_QUERY("since", OPENAPI_SECONDS) "," \
	OPENAPI_QUERY("start", OPENAPI_SECONDS) "," \
	OPENAPI_QUERY("until", OPENAPI_SECONDS) "," \
	OPENAPI_QUERY("network", OPENAPI_STRING) "," \
	OPENAPI_QUERY("ledger", OPENAPI_STRING) "," \
	OPENAPI_QUERY("resolution", "{\"enum\":[\"hour\",\"day\"]}") "]"
#define OPENAPI_PORT_PARAMETER \
	"{\"name\":\"port\",\"in\":\"path\",\"required\":true," \
	"\"schema\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":65535}}"
#define OPENAPI_KEY_PARAMETER \
	"{\"name\":\"key\",\"in\":\"path\",\"required\":true," \
	"\"description\":\"Percent-encoded base64, or base64url\",\"schema\":" OPENAPI_STRING "}"
/* clang-format on */

struct openapi_schema {
	const char *name;
	const char *text;
};

/* Ends with a name of NULL. */
extern const struct openapi_schema openapi_schemas[];

#endif
