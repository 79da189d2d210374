/* What the files that read a document share: the model while it grows, and the place in the document
 * that is being looked at.  For base/model*.c only. */
#ifndef TOLLGATE_BASE_MODEL_BUILD_H
#define TOLLGATE_BASE_MODEL_BUILD_H

#include "base/model.h"
#include "base/msg.h"

struct cJSON;

#define MODEL_PATH_MOST 2048	/* of a JSON Pointer, with the NUL: longer ones are cut */

/* One step of a JSON Pointer, on the stack of whoever looks there; printed only for a fault. */
struct model_place {
	const struct model_place *up;	/* NULL: the document */
	const char               *key;	/* NULL: an element of an array */
	size_t                    index;
};

/* A range that some peer of the network at hand is allowed. */
struct model_range {
	struct tg_cidr      range;
	uint32_t            index;	/* in its array */
	uint32_t            seq;	/* in the network: which of two equal ones came later */
	const struct cJSON *peer;	/* borrowed */
};

#define MODEL_LENGTH_IPV4 1U
#define MODEL_LENGTH_IPV6 2U

/* A host name that a network claims. */
struct model_claim {
	uint32_t            name_at;
	uint32_t            network;	/* index */
	const struct cJSON *node;	/* borrowed: the member of `proxy`; NULL: its tree is gone */
};

struct model_build {
	struct model         *model;
	struct model_faults  *faults;		/* borrowed, may be NULL */
	struct model_faults  *warnings;		/* borrowed, may be NULL */
	const struct cJSON  **network_nodes;	/* beside model->networks; NULL: its tree is gone */
	struct model_range   *ranges;		/* of the network at hand */
	uint8_t               range_lengths[129];	/* of which prefix lengths they are: MODEL_LENGTH_* */
	struct model_claim   *claims;		/* of all networks */
	size_t                ranges_count, claims_count;
	size_t                network_nodes_room, ranges_room, claims_room;
	size_t                networks_room, cidrs_room, peers_room, hosts_room, upstreams_room, texts_room;
	size_t                found;		/* faults, kept or not */
	size_t                warned;		/* the same of warnings */
	bool                  no_memory;	/* give up: the result is MODEL_NO_MEMORY */
};

/* The allocator of model*.c is cJSON's (cJSON_malloc): one that fails in a test fails in both. */
void *model_alloc(size_t bytes);
void model_release(void *memory);
/* `array` with room for one more than `count`: itself or a larger copy.  NULL: out of memory, noted in
 * `b`, and `array` stays as it is. */
void *model_grow(struct model_build *b, void *array, size_t count, size_t *room, size_t size);
/* model_grow() for `more` than one. */
void *model_grow_by(struct model_build *b, void *array, size_t count, size_t more, size_t *room, size_t size);
/* Takes back what came after the first `count` of `total`. */
void model_faults_cut(struct model_faults *faults, size_t count, size_t total);

/* The name of a member, for a place; "" when its tree is gone: nobody hears of its faults then. */
const char *model_name_of(const struct cJSON *member);
const char *model_place_print(const struct model_place *place, char path[MODEL_PATH_MOST]);
void model_fault(struct model_build *b, const struct model_place *place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void model_warn(struct model_build *b, const struct model_place *place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void model_add_network(struct model_build *b, const struct model_network *network, const struct cJSON *node);
/* Each returns what was added, to be filled in, or NULL without memory.  The pointer is good until the
 * next one is added. */
struct tg_cidr *model_add_cidr(struct model_build *b);
struct tg_endpoint *model_add_upstream(struct model_build *b);
struct model_host *model_add_host(struct model_build *b);
/* Its place in texts; 0 without memory. */
uint32_t model_add_text(struct model_build *b, const char *text);

/* Finds the members of `node` by their names and complains of others.  false (and a fault): no object. */
bool model_fields(struct model_build *b, const struct model_place *place, const struct cJSON *node,
                  const char *const *names, size_t count, const struct cJSON **to);
/* false (and a fault): no whole number of that range. */
bool model_whole(struct model_build *b, const struct model_place *place, const struct cJSON *node,
                 uint32_t least, uint32_t most, uint32_t *to);

/* false (and a fault): no key in base64. */
bool model_key(struct model_build *b, const struct model_place *place, const struct cJSON *node,
               struct tg_key *to);
/* Left out or null. */
bool model_absent(const struct cJSON *node);

/* Complains of members that stand twice, at any depth, and takes the later ones out. */
void model_unique(struct model_build *b, const struct model_place *place, struct cJSON *node);

/* A network's key. */
bool model_port_read(const char *key, size_t len, uint16_t *to);
/* Makes the empty model that networks are added to.  false: out of memory. */
bool model_build_begin(struct model_build *b);
/* Adds the network that `node` is; `port` is 0 when `key` is none. */
void model_read_network(struct model_build *b, const char *key, const struct cJSON *node, uint16_t port);
/* Checks the rules between networks.  The text was `bytes` long; faults found before count. */
enum model_result model_build_end(struct model_build *b, size_t bytes, struct model **to);

/* Reads a text member by member, without a tree of the whole.  MODEL_INVALID: it has faults, or a key that is
 * not written plainly, and is left to model_read_tree(); nothing is noted. */
enum model_result model_read_members(struct model_build *b, const struct model *before, const char *text,
                                     size_t bytes, struct model **to);
/* Reads the tree of a text of `bytes` that model_unique() has seen.  Faults found before count. */
enum model_result model_read_tree(struct model_build *b, const struct cJSON *tree, size_t bytes,
                                  struct model **to);
/* Frees what `b` holds, a model that was not taken too. */
void model_build_clear(struct model_build *b);
/* Reads a text and looks for members that stand twice; *tree is the caller's.  A fault in the text
 * itself gives another result than MODEL_OK, members that stand twice are in b->found. */
enum model_result model_parse_tree(struct model_build *b, const char *text, size_t bytes,
                                   struct cJSON **tree);

/* The `peers` member of a network: leaves their ranges in b->ranges, sorted. */
void model_read_peers(struct model_build *b, const struct model_place *place, const struct cJSON *node,
                      struct model_network *network);
/* The `proxy` member of a network, whose peers' ranges stand in b->ranges, sorted. */
void model_read_proxy(struct model_build *b, const struct model_place *place, const struct cJSON *node,
                      struct model_network *network);
/* Notes who claims a host name: the network that is added next. */
void model_add_claim(struct model_build *b, uint32_t name_at, const struct cJSON *node);
/* Rules between networks: who claims which host name. */
void model_check_claims(struct model_build *b);
/* Compares as memcmp() does; for qsort() and bsearch() of struct tg_cidr. */
int model_cidr_order(const void *a, const void *b);

/* A key of `proxy` in its one form: scheme, and the name in `host`, or for ssh nothing.  NULL when it is
 * good, else what is wrong. */
const char *model_proxy_key(const char *key, enum model_scheme *scheme, char host[MSG_HOST_MOST]);

/* The public key of a private one, from memory when it was asked for before.  -1: out of memory.
 * May be called from any thread. */
int model_public_key(const struct tg_key *private_key, struct tg_key *public_key);
/* Tests: from now on at most `most` keys are remembered (0 forgets all).  Returns how many are. */
size_t model_public_keys_keep(size_t most);

#endif
