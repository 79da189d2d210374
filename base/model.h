/* The configuration document as one plain value: networks sorted by port, what belongs to each in
 * arrays by index and count, texts in one pool.  Read from JSON with every rule of the interface
 * checked, printed as JSON, compared, and packed into a sealed memory file for the engine.  Of a model
 * that was read or unpacked no array is NULL, and what belongs to a network or peer follows what belongs
 * to the one before it. */
#ifndef TOLLGATE_BASE_MODEL_H
#define TOLLGATE_BASE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/key.h"

struct model_sources;
struct tg_error;

#define MODEL_BYTES_MOST  (64U << 20)	/* of a document's text */
#define MODEL_FAULTS_MOST 100
#define MODEL_MTU_IPV6	  1280	/* Linux takes all IPv6 from a link whose MTU is less (RFC 8200 §5) */

enum model_scheme { MODEL_HTTP, MODEL_HTTPS, MODEL_SSH };
enum model_proxy_protocol { MODEL_PROXY_NONE, MODEL_PROXY_V1, MODEL_PROXY_V2 };

#define MODEL_UNLIMITED UINT32_MAX

struct model_network {
	struct tg_key private_key;
	struct tg_key public_key;
	uint16_t      port;
	uint16_t      zero;
	uint32_t      mtu;
	uint32_t      name_at;		/* in texts; 0: absent */
	uint32_t      addresses_first, addresses_count;	/* in cidrs, sorted (memcmp), no doubles */
	uint32_t      peers_first, peers_count;		/* sorted by public key */
	uint32_t      hosts_first, hosts_count;		/* sorted by name, then scheme */
};

struct model_peer {
	struct tg_key      public_key;
	struct tg_key      preshared_key;	/* all zero: none */
	struct tg_endpoint endpoint;		/* family 0: none */
	uint16_t           keepalive_s;		/* 0: off */
	uint16_t           zero;
	uint32_t           ranges_first, ranges_count;	/* in cidrs: masked and sorted */
};

struct model_host {
	uint32_t name_at;		/* lower case; a wildcard begins with "*."; for ssh the whole key */
	uint32_t host_header_at;	/* a host, perhaps with a port; 0: as the client sent it */
	uint32_t raw_at;		/* ssh only: its value as JSON text */
	uint32_t max_connections;	/* MODEL_UNLIMITED: null */
	uint32_t upstreams_first, upstreams_count;
	uint8_t  scheme;		/* enum model_scheme */
	uint8_t  proxy_protocol;	/* enum model_proxy_protocol */
	uint8_t  redirect_to_https;
	uint8_t  zero;
};

struct model {
	struct model_network *networks;
	struct tg_cidr       *cidrs;
	struct model_peer    *peers;
	struct model_host    *hosts;
	struct tg_endpoint   *upstreams;
	char                 *texts;	/* NUL-terminated, one behind the other; the first is "" */
	size_t                networks_count, cidrs_count, peers_count, hosts_count, upstreams_count;
	size_t                texts_bytes;
	struct model_sources *sources;	/* how its text was written, for model_parse_next(); may be NULL */
};

/* A fault or warning of a document, with the JSON Pointer (RFC 6901) of the place. */
struct model_fault {
	char *path;
	char  text[160];
};

struct model_faults {
	struct model_fault list[MODEL_FAULTS_MOST];
	size_t             count;	/* in list */
	size_t             total;	/* found, kept or not */
};

void model_faults_add(struct model_faults *faults, const char *path, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void model_faults_clear(struct model_faults *faults);

/* The bytes were not a document at all: not JSON (code BAD_REQUEST of the interface), or JSON that
 * breaks rules (CONFIG_INVALID), or this process's fault. */
enum model_result { MODEL_OK, MODEL_NOT_JSON, MODEL_INVALID, MODEL_TOO_LARGE, MODEL_NO_MEMORY };

/* Reads a document.  MODEL_OK: *to is the caller's (model_free).  Else *to is NULL and `faults` says where
 * and why (up to MODEL_FAULTS_MOST, all are looked for); without memory it may hold only some of them.
 * `faults` and `warnings` are added to, whatever the result, and either may be NULL.  A document whose
 * canonical text is larger than MODEL_BYTES_MOST is MODEL_TOO_LARGE: it could not be read back. */
enum model_result model_parse(const char *text, size_t bytes, struct model **to, struct model_faults *faults,
                              struct model_faults *warnings);
/* The same, when most of the document is likely to be written as that of `before` (NULL: none) was: a network
 * whose text did not change is not read again. */
enum model_result model_parse_next(const struct model *before, const char *text, size_t bytes,
                                   struct model **to, struct model_faults *faults,
                                   struct model_faults *warnings);
/* JSON Merge Patch (RFC 7396) on the document `active`: keys normalised and proxy values made objects
 * before merging; an array as proxy value replaces `upstreams`.  Results as model_parse(). */
enum model_result model_patch(const struct model *active, const char *patch, size_t bytes, struct model **to,
                              struct model_faults *faults, struct model_faults *warnings);
void model_free(struct model *model);

/* The canonical text: defaults filled in, sorted, one form for one value, so that equal documents
 * have equal bytes.  A proxy value with only upstreams is an array.  `secrets` false: private and
 * preshared keys are null.  NULL when out of memory; else free() it. */
char *model_print(const struct model *model, bool secrets, size_t *bytes);

/* A canonical text with secrets, and where in it each network's own ends. */
struct model_printed {
	char     *text;
	size_t    bytes;
	uint32_t *ends;		/* beside model->networks */
};

/* Networks that are as in `before` (NULL: none), of which `printed` was made, are copied from there.
 * -1: out of memory, *to is empty. */
int model_print_next(const struct model *model, const struct model *before,
                     const struct model_printed *printed, struct model_printed *to);
/* The text of the network at `index`, borrowed; it is not terminated. */
const char *model_printed_network(const struct model_printed *printed, size_t index, size_t *bytes);
void model_printed_clear(struct model_printed *printed);

static inline const char *model_text(const struct model *model, uint32_t at)
{
	return model->texts + at;
}

/* NULL when there is none. */
const struct model_network *model_find(const struct model *model, uint16_t port);
const struct model_peer *model_find_peer(const struct model *model, const struct model_network *network,
                                         const struct tg_key *public_key);

/* What an apply changes, for the report. */
enum model_op { MODEL_ADD, MODEL_CHANGE, MODEL_REMOVE };

#define MODEL_CHANGES_MOST 1000

struct model_change {
	enum model_op op;
	char         *path;	/* JSON Pointer: "/51820", "/51820/mtu", "/51820/peers/KEY", … */
};

struct model_tally {
	size_t added, changed, removed;
};

struct model_diff {
	uint16_t           *added, *changed, *removed;	/* ports, sorted */
	size_t              added_count, changed_count, removed_count, unchanged_count;
	struct model_tally  peers;
	struct model_tally  hosts;
	struct model_change *changes;	/* the first MODEL_CHANGES_MOST */
	size_t              changes_count;
	bool                equal;
};

/* From `before` (NULL: nothing) to `after`.  -1: out of memory. */
int model_diff(const struct model *before, const struct model *after, struct model_diff *to);
void model_diff_clear(struct model_diff *diff);

/* Whether `x` of `a` and `y` of `b` are the same for the kernel: names and hosts do not count. */
bool model_same_network(const struct model *a, const struct model_network *x, const struct model *b,
                        const struct model_network *y);
/* Whether their links are: MTU and addresses. */
bool model_same_link(const struct model *a, const struct model_network *x, const struct model *b,
                     const struct model_network *y);
/* Whether they are the same altogether. */
bool model_equal_network(const struct model *a, const struct model_network *x, const struct model *b,
                         const struct model_network *y);

/* What the kernel is to have, without names and hosts, as `bytes` for another process: of all networks, or
 * (diff not NULL) of those that `diff`, which leads to `model`, adds or changes.  The caller frees it with
 * model_packed_free(); NULL: out of memory. */
void *model_pack(const struct model *model, const struct model_diff *diff, size_t *bytes,
                 struct tg_error *err);
void model_packed_free(void *packed);
/* A document of 64 MiB makes less: its arrays are no larger than the text that they are read from, but for
 * peers, which are twice as large at most. */
#define MODEL_PACKED_MOST ((size_t)256 << 20)
/* Reads and checks it: sizes, every index, order of ports and peers.  The caller frees the model; NULL when
 * it is refused. */
struct model *model_unpack(const void *packed, size_t bytes, struct tg_error *err);

/* A host name as the document and a client's Host or server name must have it: labels of letters,
 * digits, '-' and '_', up to 63 each and 253 in all, lower-cased into `to` (size MSG_HOST_MOST), a
 * final dot dropped; `*.` in front only when `wildcard`.  false: not a host name. */
bool model_host_read(const char *text, size_t len, bool wildcard, char *to);

#endif
