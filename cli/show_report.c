#include "cli/show.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CHANGES_MOST 1000	/* in a report */
#define VALUE_MOST   100	/* characters of a value that is shown */

static double number_of(const cJSON *object, const char *name)
{
	const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsNumber(member) ? member->valuedouble : 0;
}

static const char *string_of(const cJSON *object, const char *name)
{
	const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsString(member) ? member->valuestring : "";
}

static void show_tally(const struct show *show, const cJSON *report, const char *what)
{
	const cJSON *tally = cJSON_GetObjectItemCaseSensitive(report, what);

	fprintf(show->to, "; %s: +%.0f ~%.0f -%.0f", what, number_of(tally, "added"),
	        number_of(tally, "changed"), number_of(tally, "removed"));
}

static int count_of(const cJSON *report, const char *name)
{
	const cJSON *networks = cJSON_GetObjectItemCaseSensitive(report, "networks");

	return cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(networks, name));
}

static void show_counts(const struct show *show, const cJSON *report)
{
	fprintf(show->to, "networks: +%d ~%d -%d, %.0f unchanged", count_of(report, "added"),
	        count_of(report, "changed"), count_of(report, "removed"),
	        number_of(cJSON_GetObjectItemCaseSensitive(report, "networks"), "unchanged"));
	show_tally(show, report, "peers");
	show_tally(show, report, "hosts");
}

static void show_troubles(const struct show *show, const cJSON *report)
{
	const cJSON *networks = cJSON_GetObjectItemCaseSensitive(report, "networks");
	const cJSON *each;

	cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(report, "warnings")) {
		show_styled(show, SHOW_CHANGE, "warning: ");
		show_text(show, string_of(each, "path"));
		fputs(": ", show->to);
		show_text(show, string_of(each, "message"));
		fputc('\n', show->to);
	}
	cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(networks, "failed")) {
		show_styled(show, SHOW_BAD, "failed: ");
		show_text(show, each->string);
		fputs(": ", show->to);
		show_text(show, cJSON_IsString(each) ? each->valuestring : "");
		fputc('\n', show->to);
	}
}

void show_report(const struct show *show, const cJSON *report)
{
	show_troubles(show, report);
	fprintf(show->to, "generation %.0f: ", number_of(report, "generation"));
	show_counts(show, report);
	fprintf(show->to, " (%.1f ms)\n", number_of(report, "duration_ms"));
}

/* One token of a JSON Pointer (RFC 6901), unescaped into `to`; returns what follows it. */
static const char *pointer_next(const char *path, char *to, size_t size)
{
	size_t len = 0;

	for (; *path != '\0' && *path != '/'; path++) {
		char c = *path;

		if (c == '~' && (path[1] == '0' || path[1] == '1'))
			c = *++path == '0' ? '~' : '/';
		if (len + 1 < size)
			to[len++] = c;
	}
	to[len] = '\0';
	return path;
}

static const cJSON *pointer_find(const cJSON *document, const char *path)
{
	char token[512];

	while (document != NULL && *path == '/') {
		path = pointer_next(path + 1, token, sizeof token);
		if (cJSON_IsArray(document))
			document = cJSON_GetArrayItem(document, atoi(token));
		else
			document = cJSON_GetObjectItemCaseSensitive(document, token);
	}
	return document;
}

/* Networks and peers are named by their path; only single values are worth a look.  No keys. */
static char *value_of(const cJSON *document, const char *path)
{
	const cJSON *value = pointer_find(document, path);
	const char  *last = strrchr(path, '/');

	if (value == NULL || cJSON_IsObject(value) || last == NULL || strcmp(last, "/private_key") == 0 ||
	    strcmp(last, "/preshared_key") == 0)
		return NULL;

	char *text = cJSON_PrintUnformatted(value);

	if (text != NULL && strlen(text) > VALUE_MOST) {
		free(text);
		return NULL;
	}
	return text;
}

static void show_change(const struct show *show, const cJSON *change, const cJSON *before, const cJSON *after)
{
	static const struct {
		const char     *op;
		char            sign;
		enum show_style style;
	} ops[] = { { "add", '+', SHOW_ADD },
		    { "remove", '-', SHOW_REMOVE },
		    { "change", '~', SHOW_CHANGE } };
	const char *path = string_of(change, "path");
	size_t      op = 0;

	while (op < 2 && strcmp(string_of(change, "op"), ops[op].op) != 0)
		op++;

	char  sign[] = { ops[op].sign, ' ', '\0' };
	char *old = ops[op].style == SHOW_ADD ? NULL : value_of(before, path);
	char *new = ops[op].style == SHOW_REMOVE ? NULL : value_of(after, path);

	show_styled(show, ops[op].style, sign);
	show_styled(show, ops[op].style, path);
	bool both = ops[op].style == SHOW_CHANGE && (old != NULL || new != NULL);

	if (old != NULL || new != NULL)
		fputs(": ", show->to);
	/* Of a change one value alone would not say which of the two it is. */
	if (old != NULL || both)
		show_text(show, old != NULL ? old : "…");
	if (both)
		fputs(" -> ", show->to);
	if (new != NULL || both)
		show_text(show, new != NULL ? new : "…");
	fputc('\n', show->to);
	free(old);
	free(new);
}

void show_plan(const struct show *show, const cJSON *report, const cJSON *before, const cJSON *after)
{
	const cJSON *changes = cJSON_GetObjectItemCaseSensitive(report, "changes");
	const cJSON *each;

	cJSON_ArrayForEach(each, changes)
		show_change(show, each, before, after);
	if (cJSON_GetArraySize(changes) >= CHANGES_MOST)
		fprintf(show->to, "… (only the first %d changes are shown)\n", CHANGES_MOST);
	show_troubles(show, report);
	if (cJSON_GetArraySize(changes) == 0)
		fputs("nothing would change: ", show->to);
	else
		fputs("would change: ", show->to);
	show_counts(show, report);
	fputc('\n', show->to);
}
