/* JSON Merge Patch (RFC 7396) of a document.  The active document comes in its one form; the patch is
 * brought to it first: keys of `proxy` normalised, their values made objects. */
#include "base/model_build.h"

#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#define HASH_NONFATAL_OOM	     1
#define uthash_malloc(bytes)	     model_alloc(bytes)
#define uthash_free(memory, bytes)   model_release(memory)
#define uthash_nonfatal_oom(element) (b->no_memory = true)
#include "base/uthash.h"

/* A member of the document that is patched. */
struct target {
	cJSON         *node;
	UT_hash_handle hh;
};

static char *copy_text(struct model_build *b, const char *before, const char *text)
{
	size_t at = strlen(before);
	size_t bytes = strlen(text) + 1;
	char  *copy = model_alloc(at + bytes);

	if (copy == NULL) {
		b->no_memory = true;
		return NULL;
	}
	memcpy(copy, before, at);
	memcpy(copy + at, text, bytes);
	return copy;
}

/* Gives a member of `proxy` its key in the one form.  A key that is none stays, to be found later. */
static void normalise_key(struct model_build *b, cJSON *member)
{
	char              host[MSG_HOST_MOST];
	enum model_scheme scheme;
	char             *key;

	if (model_proxy_key(member->string, &scheme, host) != NULL || scheme == MODEL_SSH)
		return;
	key = copy_text(b, scheme == MODEL_HTTPS ? "https://" : "http://", host);
	if (key == NULL)
		return;
	cJSON_free(member->string);
	member->string = key;
}

/* Turns the array `node` into an object that has it as `upstreams`, in place. */
static void array_to_object(struct model_build *b, cJSON *node)
{
	cJSON *array = cJSON_CreateArray();

	if (array == NULL) {
		b->no_memory = true;
		return;
	}
	array->child = node->child;
	node->child = NULL;
	node->type = cJSON_Object;
	if (!cJSON_AddItemToObject(node, "upstreams", array)) {
		cJSON_Delete(array);
		b->no_memory = true;
	}
}

static void normalise_proxy(struct model_build *b, const struct model_place *place, cJSON *proxy)
{
	cJSON *member;

	cJSON_ArrayForEach(member, proxy) {
		enum model_scheme scheme = MODEL_HTTP;
		char              host[MSG_HOST_MOST];

		if (b->no_memory)
			return;
		if (cJSON_IsArray(member) && model_proxy_key(member->string, &scheme, host) == NULL &&
		    scheme != MODEL_SSH)
			array_to_object(b, member);
		normalise_key(b, member);
	}
	/* Two ways to write one name are one key now. */
	model_unique(b, place, proxy);
}

static void normalise(struct model_build *b, cJSON *tree)
{
	cJSON *network;

	if (!cJSON_IsObject(tree))
		return;
	cJSON_ArrayForEach(network, tree) {
		const struct model_place up = { .key = network->string };
		const struct model_place here = { .up = &up, .key = "proxy" };
		cJSON                   *proxy;

		proxy = cJSON_IsObject(network) ? cJSON_GetObjectItemCaseSensitive(network, "proxy") : NULL;
		if (cJSON_IsObject(proxy) && !b->no_memory)
			normalise_proxy(b, &here, proxy);
	}
}

/* The members of `object` by name: *all is the caller's (model_release) once the set is cleared. */
static struct target *index_members(struct model_build *b, cJSON *object, struct target **all)
{
	size_t         count = (size_t)cJSON_GetArraySize(object);
	struct target *set = NULL;
	struct target *spare = model_alloc((count + 1) * sizeof *spare);
	cJSON         *member;

	*all = spare;
	if (spare == NULL) {
		b->no_memory = true;
		return NULL;
	}
	cJSON_ArrayForEach(member, object) {
		spare->node = member;
		HASH_ADD_KEYPTR(hh, set, member->string, strlen(member->string), spare);
		spare++;
	}
	return set;
}

static cJSON *merge(struct model_build *b, cJSON *target, cJSON *patch);

/* Takes `member` (of no object any more) into `target`, where `old`, if any, has its name. */
static void merge_member(struct model_build *b, cJSON *target, cJSON *old, cJSON *member)
{
	cJSON *value;
	char  *name;

	if (old != NULL)
		cJSON_DetachItemViaPointer(target, old);
	if (cJSON_IsNull(member)) {
		cJSON_Delete(old);
		cJSON_Delete(member);
		return;
	}
	name = copy_text(b, "", member->string);
	value = merge(b, old, member);
	if (name == NULL || value == NULL || !cJSON_AddItemToObject(target, name, value)) {
		b->no_memory = true;
		cJSON_Delete(value);
	}
	model_release(name);
}

/* RFC 7396 §2.  Takes both, gives the result; NULL: out of memory, noted in `b`. */
static cJSON *merge(struct model_build *b, cJSON *target, cJSON *patch)
{
	struct target *all;
	struct target *set;
	cJSON         *next;

	if (!cJSON_IsObject(patch)) {
		cJSON_Delete(target);
		return patch;
	}
	if (!cJSON_IsObject(target)) {
		cJSON_Delete(target);
		target = cJSON_CreateObject();
		b->no_memory |= target == NULL;
	}
	set = index_members(b, target, &all);
	for (cJSON *member = patch->child; member != NULL && !b->no_memory; member = next) {
		struct target *old;

		next = member->next;
		cJSON_DetachItemViaPointer(patch, member);
		HASH_FIND(hh, set, member->string, strlen(member->string), old);
		/* Its name, the key in the set, may go with it. */
		if (old != NULL)
			HASH_DELETE(hh, set, old);
		merge_member(b, target, old != NULL ? old->node : NULL, member);
	}
	HASH_CLEAR(hh, set);
	model_release(all);
	cJSON_Delete(patch);
	return target;
}

/* The active document as a tree, which is the caller's. */
static cJSON *active_tree(struct model_build *b, const struct model *active, size_t *bytes)
{
	char  *text = model_print(active, true, bytes);
	cJSON *tree = text != NULL ? cJSON_ParseWithLength(text, *bytes) : NULL;

	model_release(text);
	b->no_memory |= tree == NULL;
	return tree;
}

enum model_result model_patch(const struct model *active, const char *patch, size_t bytes, struct model **to,
                              struct model_faults *faults, struct model_faults *warnings)
{
	struct model_build b = { .faults = faults, .warnings = warnings };
	struct cJSON      *change = NULL;
	struct cJSON      *tree = NULL;
	size_t             active_bytes = 0;
	enum model_result  result;

	*to = NULL;
	result = model_parse_tree(&b, patch, bytes, &change);
	if (result == MODEL_OK)
		tree = active_tree(&b, active, &active_bytes);
	if (tree != NULL) {
		normalise(&b, tree);
		normalise(&b, change);
		tree = merge(&b, tree, change);
		change = NULL;
	}
	if (b.no_memory)
		result = MODEL_NO_MEMORY;
	if (result == MODEL_OK)
		result = model_read_tree(&b, tree, active_bytes + bytes, to);
	model_build_clear(&b);
	cJSON_Delete(change);
	cJSON_Delete(tree);
	return result;
}
