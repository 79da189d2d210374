#include "base/model_build.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/json.h"

void *model_grow_by(struct model_build *b, void *array, size_t count, size_t more, size_t *room, size_t size)
{
	size_t wanted = *room == 0 ? 16 : *room;
	void  *larger;

	while (wanted - count < more)
		wanted *= 2;
	if (wanted == *room)
		return array;
	larger = model_alloc(wanted * size);
	if (larger == NULL) {
		b->no_memory = true;
		return NULL;
	}
	if (count > 0)
		memcpy(larger, array, count * size);
	model_release(array);
	*room = wanted;
	return larger;
}

void *model_grow(struct model_build *b, void *array, size_t count, size_t *room, size_t size)
{
	return model_grow_by(b, array, count, 1, room, size);
}

int model_cidr_order(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct tg_cidr));
}

/* Padding may not stand between what memcmp() compares, nor go to another process. */
_Static_assert(sizeof(struct tg_cidr) == 18 && sizeof(struct tg_key) == TG_KEY_BYTES, "padding");

/* Appends a step; false when it does not fit. */
static bool step_print(const struct model_place *place, char *path, size_t *at)
{
	char        number[24];
	const char *step = place->key;

	if (step == NULL) {
		snprintf(number, sizeof number, "%zu", place->index);
		step = number;
	}
	if (*at + 2 > MODEL_PATH_MOST)
		return false;
	path[(*at)++] = '/';
	for (; *step != '\0'; step++) {
		if (*at + 3 > MODEL_PATH_MOST) {
			/* Not inside of a character. */
			while (((unsigned char)path[*at - 1] & 0xc0) == 0x80)
				(*at)--;
			if (((unsigned char)path[*at - 1] & 0xc0) == 0xc0)
				(*at)--;
			return false;
		}
		if (*step == '~' || *step == '/') {
			path[(*at)++] = '~';
			path[(*at)++] = *step == '~' ? '0' : '1';
		} else {
			path[(*at)++] = *step;
		}
	}
	return true;
}

const char *model_name_of(const struct cJSON *member)
{
	return member != NULL ? member->string : "";
}

const char *model_place_print(const struct model_place *place, char path[MODEL_PATH_MOST])
{
	const struct model_place *steps[JSON_DEPTH_MOST + 2];
	size_t                    count = 0;
	size_t                    at = 0;

	for (; place != NULL && count < JSON_DEPTH_MOST + 2; place = place->up)
		steps[count++] = place;
	while (count > 0 && step_print(steps[count - 1], path, &at))
		count--;
	path[at] = '\0';
	return path;
}

__attribute__((format(printf, 4, 0)))
static void faults_add(struct model_build *b, struct model_faults *faults, const struct model_place *place,
                       const char *format, va_list args)
{
	char path[MODEL_PATH_MOST];
	char text[sizeof faults->list[0].text];

	if (faults == NULL)
		return;

	size_t kept = faults->count;

	vsnprintf(text, sizeof text, format, args);
	model_faults_add(faults, model_place_print(place, path), "%s", text);
	if (kept < MODEL_FAULTS_MOST && faults->count == kept)
		b->no_memory = true;
}

void model_fault(struct model_build *b, const struct model_place *place, const char *format, ...)
{
	va_list args;

	b->found++;
	va_start(args, format);
	faults_add(b, b->faults, place, format, args);
	va_end(args);
}

void model_warn(struct model_build *b, const struct model_place *place, const char *format, ...)
{
	va_list args;

	b->warned++;
	va_start(args, format);
	faults_add(b, b->warnings, place, format, args);
	va_end(args);
}

void model_add_network(struct model_build *b, const struct model_network *network, const struct cJSON *node)
{
	struct model         *m = b->model;
	struct model_network *networks;
	const cJSON         **nodes;

	networks = model_grow(b, m->networks, m->networks_count, &b->networks_room, sizeof *networks);
	if (networks == NULL)
		return;
	m->networks = networks;
	nodes = model_grow(b, b->network_nodes, m->networks_count, &b->network_nodes_room,
	                   sizeof(const cJSON *));
	if (nodes == NULL)
		return;
	b->network_nodes = nodes;
	nodes[m->networks_count] = node;
	networks[m->networks_count++] = *network;
}

struct tg_cidr *model_add_cidr(struct model_build *b)
{
	struct model   *m = b->model;
	struct tg_cidr *cidrs = model_grow(b, m->cidrs, m->cidrs_count, &b->cidrs_room, sizeof *cidrs);

	if (cidrs == NULL)
		return NULL;
	m->cidrs = cidrs;
	return &cidrs[m->cidrs_count++];
}

struct tg_endpoint *model_add_upstream(struct model_build *b)
{
	struct model       *m = b->model;
	struct tg_endpoint *upstreams;

	upstreams = model_grow(b, m->upstreams, m->upstreams_count, &b->upstreams_room, sizeof *upstreams);
	if (upstreams == NULL)
		return NULL;
	m->upstreams = upstreams;
	return &upstreams[m->upstreams_count++];
}

struct model_host *model_add_host(struct model_build *b)
{
	struct model      *m = b->model;
	struct model_host *hosts = model_grow(b, m->hosts, m->hosts_count, &b->hosts_room, sizeof *hosts);

	if (hosts == NULL)
		return NULL;
	m->hosts = hosts;
	memset(&hosts[m->hosts_count], 0, sizeof *hosts);
	return &hosts[m->hosts_count++];
}

uint32_t model_add_text(struct model_build *b, const char *text)
{
	struct model *m = b->model;
	size_t        bytes = strlen(text) + 1;
	size_t        at = m->texts_bytes;
	char         *texts = model_grow_by(b, m->texts, at, bytes, &b->texts_room, 1);

	if (texts == NULL)
		return 0;
	m->texts = texts;
	memcpy(m->texts + at, text, bytes);
	m->texts_bytes += bytes;
	return (uint32_t)at;
}

static bool field_find(const char *const *names, size_t count, const char *key, size_t *to)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(names[i], key) == 0) {
			*to = i;
			return true;
		}
	}
	return false;
}

bool model_fields(struct model_build *b, const struct model_place *place, const struct cJSON *node,
                  const char *const *names, size_t count, const struct cJSON **to)
{
	const cJSON *member;
	size_t       i;

	for (i = 0; i < count; i++)
		to[i] = NULL;
	if (!cJSON_IsObject(node)) {
		model_fault(b, place, "must be an object");
		return false;
	}
	cJSON_ArrayForEach(member, node) {
		const struct model_place here = { .up = place, .key = member->string };

		if (field_find(names, count, member->string, &i))
			to[i] = member;
		else
			model_fault(b, &here, "unknown key");
	}
	return true;
}

bool model_whole(struct model_build *b, const struct model_place *place, const struct cJSON *node,
                 uint32_t least, uint32_t most, uint32_t *to)
{
	if (!cJSON_IsNumber(node)) {
		model_fault(b, place, "must be an integer");
		return false;
	}

	double value = node->valuedouble;
	bool   inside = value >= least && value <= most;

	if (inside && (double)(uint32_t)value < value) {
		model_fault(b, place, "must be an integer");
		return false;
	}
	if (!inside) {
		model_fault(b, place, "must be from %u to %u", least, most);
		return false;
	}
	*to = (uint32_t)value;
	return true;
}

bool model_key(struct model_build *b, const struct model_place *place, const struct cJSON *node,
               struct tg_key *to)
{
	if (!cJSON_IsString(node)) {
		model_fault(b, place, "must be a string");
		return false;
	}
	if (!tg_key_read(node->valuestring, strlen(node->valuestring), to)) {
		model_fault(b, place, "must be 32 bytes in base64");
		return false;
	}
	return true;
}

bool model_absent(const struct cJSON *node)
{
	return node == NULL || cJSON_IsNull(node);
}
