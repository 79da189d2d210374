#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/model.h"
#include "daemon/control.h"

/* Every helper here lets a NULL through, and only the printing at the end says "out of memory": what
 * cJSON could not add is missing, so each addition is checked into one flag. */
struct printing {
	bool failed;
};

static cJSON *put(struct printing *p, cJSON *object, const char *name, cJSON *item)
{
	if (item == NULL || !cJSON_AddItemToObject(object, name, item)) {
		cJSON_Delete(item);
		p->failed = true;
		return NULL;
	}
	return item;
}

static void append(struct printing *p, cJSON *array, cJSON *item)
{
	if (item == NULL || !cJSON_AddItemToArray(array, item)) {
		cJSON_Delete(item);
		p->failed = true;
	}
}

static void put_u64(struct printing *p, cJSON *object, const char *name, uint64_t value)
{
	if (json_add_u64(object, name, value) == -1)
		p->failed = true;
}

static char *print(struct printing *p, cJSON *root)
{
	char *text = p->failed || root == NULL ? NULL : cJSON_PrintUnformatted(root);

	cJSON_Delete(root);
	return text;
}

size_t control_text_failed(const struct snapshot *state)
{
	size_t failed = 0;

	for (size_t i = 0; i < state->networks_count; i++)
		failed += state->networks[i].state == SNAPSHOT_FAILED;
	return failed;
}

static cJSON *ports(struct printing *p, const uint16_t *list, size_t count)
{
	cJSON *array = cJSON_CreateArray();

	for (size_t i = 0; i < count; i++) {
		char port[8];

		snprintf(port, sizeof port, "%u", list[i]);
		append(p, array, cJSON_CreateString(port));
	}
	return array;
}

static void put_tally(struct printing *p, cJSON *root, const char *name, const struct model_tally *tally)
{
	cJSON *object = put(p, root, name, cJSON_CreateObject());

	put_u64(p, object, "added", tally->added);
	put_u64(p, object, "changed", tally->changed);
	put_u64(p, object, "removed", tally->removed);
}

static void put_networks(struct printing *p, cJSON *root, const struct control_report *report)
{
	const struct model_diff *diff = report->diff;
	cJSON                   *networks = put(p, root, "networks", cJSON_CreateObject());
	cJSON                   *failed;

	put(p, networks, "added", ports(p, diff->added, diff->added_count));
	put(p, networks, "changed", ports(p, diff->changed, diff->changed_count));
	put(p, networks, "removed", ports(p, diff->removed, diff->removed_count));
	put_u64(p, networks, "unchanged", diff->unchanged_count);
	failed = put(p, networks, "failed", cJSON_CreateObject());
	for (size_t i = 0; report->state != NULL && i < report->state->networks_count; i++) {
		const struct snapshot_network *network = &report->state->networks[i];
		char                           port[8];

		if (network->state != SNAPSHOT_FAILED)
			continue;
		snprintf(port, sizeof port, "%u", network->port);
		put(p, failed, port, cJSON_CreateString(network->reason));
	}
}

static void put_changes(struct printing *p, cJSON *root, const struct model_diff *diff)
{
	static const char *const ops[] = { [MODEL_ADD] = "add", [MODEL_CHANGE] = "change",
					   [MODEL_REMOVE] = "remove" };
	cJSON                   *changes = put(p, root, "changes", cJSON_CreateArray());

	for (size_t i = 0; i < diff->changes_count; i++) {
		cJSON *change = cJSON_CreateObject();

		put(p, change, "op", cJSON_CreateString(ops[diff->changes[i].op]));
		put(p, change, "path", cJSON_CreateString(diff->changes[i].path));
		append(p, changes, change);
	}
}

static void put_warnings(struct printing *p, cJSON *root, const struct model_faults *faults)
{
	cJSON *warnings = put(p, root, "warnings", cJSON_CreateArray());

	for (size_t i = 0; i < faults->count; i++) {
		cJSON *warning = cJSON_CreateObject();

		put(p, warning, "path", cJSON_CreateString(faults->list[i].path));
		put(p, warning, "message", cJSON_CreateString(faults->list[i].text));
		append(p, warnings, warning);
	}
}

char *control_text_report(const struct control_report *report)
{
	struct printing p = { false };
	cJSON          *root = cJSON_CreateObject();
	char            ms[32];

	put_u64(&p, root, "generation", report->generation);
	put(&p, root, "dry_run", cJSON_CreateBool(report->dry_run));
	snprintf(ms, sizeof ms, "%.1f", report->duration_ms);
	put(&p, root, "duration_ms", cJSON_CreateRaw(ms));
	put_networks(&p, root, report);
	put_tally(&p, root, "peers", &report->diff->peers);
	put_tally(&p, root, "hosts", &report->diff->hosts);
	put_changes(&p, root, report->diff);
	put_warnings(&p, root, report->warnings);
	if (report->error != NULL)
		put(&p, root, "error", cJSON_CreateRaw(report->error));
	return print(&p, root);
}
