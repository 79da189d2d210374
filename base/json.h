/* JSON that strangers wrote: a scan of the bytes in front of cJSON, which lets pass what a document
 * must not contain; and small helpers for printing. */
#ifndef TOLLGATE_BASE_JSON_H
#define TOLLGATE_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;
struct tg_error;

#define JSON_DEPTH_MOST	 16
#define JSON_VALUES_MOST (1U << 23)	/* cJSON needs some 80 bytes for each */

/* RFC 8259, strictly: refuses bad UTF-8, control bytes, lone surrogates, numbers that are not JSON, text
 * after the end (TG_CODE_INVALID); and what is JSON but not taken: \u0000, depth over JSON_DEPTH_MOST,
 * more than JSON_VALUES_MOST values, numbers of more than 63 characters (TG_CODE_LIMIT).  `err` names
 * line and column. */
int json_scan(const char *text, size_t bytes, struct tg_error *err);

/* A member of the object that a text is. */
struct json_member {
	const char *name;	/* what stands between its quotes, escapes and all */
	const char *value;	/* without the white space around it */
	size_t      name_bytes, value_bytes;
	size_t      values;	/* that are in its value, with itself */
};

/* Tells of each member as it comes, though a fault may follow. */
typedef void json_member_fn(void *arg, const struct json_member *member);
/* Asks for a member whose value begins `left` bytes before the end.  true: a good value that was scanned
 * before stands there, and how many bytes and values it has was set; it is not scanned again. */
typedef bool json_known_fn(void *arg, struct json_member *member, size_t left);

/* json_scan() that tells of members.  A text that is no object has none.  `known` may be NULL. */
int json_scan_members(const char *text, size_t bytes, json_known_fn *known, json_member_fn *member, void *arg,
                      struct tg_error *err);
/* json_scan(), then cJSON.  The caller deletes it (cJSON_Delete); NULL when refused. */
struct cJSON *json_parse(const char *text, size_t bytes, struct tg_error *err);
/* Takes the next bytes of what is printed. */
typedef void json_put_fn(void *to, const char *bytes, size_t count);
/* Prints `text`, which is UTF-8, as a string of JSON with its quotes: piece by piece, to `put`. */
void json_quote(const char *text, json_put_fn *put, void *to);
/* Appends a 64-bit counter: a cJSON number is a double.  -1: out of memory. */
int json_add_u64(struct cJSON *object, const char *name, uint64_t value);

#endif
