/* Members that stand twice in an object.  cJSON keeps both, and which of them its readers find is an
 * accident that a document must not rest on. */
#include "base/model_build.h"

#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#define HASH_NONFATAL_OOM	     1
#define uthash_malloc(bytes)	     model_alloc(bytes)
#define uthash_free(memory, bytes)   model_release(memory)
#define uthash_nonfatal_oom(element) (b->no_memory = true)
#include "base/uthash.h"

/* Up to so many members are compared with each other: most objects are that small. */
#define FEW 8

struct seen {
	UT_hash_handle hh;
};

static void take_out(struct model_build *b, const struct model_place *place, cJSON *object, cJSON *member)
{
	const struct model_place here = { .up = place, .key = member->string };

	model_fault(b, &here, "stands twice");
	cJSON_Delete(cJSON_DetachItemViaPointer(object, member));
}

static bool stands_before(const cJSON *object, const cJSON *member)
{
	for (const cJSON *other = object->child; other != member; other = other->next)
		if (strcmp(other->string, member->string) == 0)
			return true;
	return false;
}

static void unique_few(struct model_build *b, const struct model_place *place, cJSON *object)
{
	cJSON *next;

	for (cJSON *member = object->child; member != NULL; member = next) {
		next = member->next;
		if (stands_before(object, member))
			take_out(b, place, object, member);
	}
}

/* Keys are borrowed of members that stay. */
static void unique_many(struct model_build *b, const struct model_place *place, cJSON *object, size_t count)
{
	struct seen *all = model_alloc(count * sizeof *all);
	struct seen *set = NULL;
	struct seen *spare = all;
	struct seen *found;
	cJSON       *next;

	if (all == NULL) {
		b->no_memory = true;
		return;
	}
	for (cJSON *member = object->child; member != NULL && !b->no_memory; member = next) {
		size_t len = strlen(member->string);

		next = member->next;
		HASH_FIND(hh, set, member->string, len, found);
		if (found != NULL) {
			take_out(b, place, object, member);
			continue;
		}
		HASH_ADD_KEYPTR(hh, set, member->string, len, spare);
		spare++;
	}
	HASH_CLEAR(hh, set);
	model_release(all);
}

void model_unique(struct model_build *b, const struct model_place *place, struct cJSON *node)
{
	size_t count = 0;
	size_t index = 0;
	cJSON *member;

	if (!cJSON_IsObject(node) && !cJSON_IsArray(node))
		return;
	if (cJSON_IsObject(node)) {
		cJSON_ArrayForEach(member, node)
			count++;
		if (count > FEW)
			unique_many(b, place, node, count);
		else
			unique_few(b, place, node);
	}
	cJSON_ArrayForEach(member, node) {
		const struct model_place here = { .up = place, .key = member->string, .index = index };

		if (b->no_memory)
			return;
		model_unique(b, &here, member);
		index++;
	}
}
