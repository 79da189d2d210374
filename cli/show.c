#include "cli/show.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct show show_on(FILE *to)
{
	const char *none = getenv("NO_COLOR");
	const char *term = getenv("TERM");
	bool        dumb = term == NULL || strcmp(term, "dumb") == 0;
	bool        wanted = (none == NULL || *none == '\0') && !dumb;

	return (struct show){ .to = to, .colours = wanted && isatty(fileno(to)) == 1 };
}

void show_text(const struct show *show, const char *text)
{
	/* What a tenant wrote must not steer the operator's terminal. */
	for (; *text != '\0'; text++)
		fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, show->to);
}

void show_styled(const struct show *show, enum show_style style, const char *text)
{
	static const char *const codes[] = {
		[SHOW_BOLD] = "1",    [SHOW_NETWORK] = "1;32", [SHOW_PEER] = "1;33", [SHOW_ADD] = "32",
		[SHOW_CHANGE] = "33", [SHOW_REMOVE] = "31",    [SHOW_BAD] = "1;31"
	};

	if (show->colours)
		fprintf(show->to, "\033[%sm", codes[style]);
	show_text(show, text);
	if (show->colours)
		fputs("\033[0m", show->to);
}

const char *show_bytes(double bytes, char text[32])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	size_t                   unit = 0;

	while (bytes >= 1024 && unit + 1 < sizeof units / sizeof *units) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, 32, unit == 0 ? "%.0f %s" : "%.2f %s", bytes, units[unit]);
	return text;
}

const char *show_ago(int64_t seconds, char text[96])
{
	static const struct {
		const char *name;
		int64_t     seconds;
	} units[] = { { "day", 86400 }, { "hour", 3600 }, { "minute", 60 }, { "second", 1 } };
	size_t len = 0;

	if (seconds <= 0)
		return strcpy(text, "Now");
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		int64_t count = seconds / units[i].seconds;

		seconds %= units[i].seconds;
		if (count != 0)
			len += (size_t)snprintf(text + len, 96 - len, "%s%lld %s%s", len == 0 ? "" : ", ",
			                        (long long)count, units[i].name, count == 1 ? "" : "s");
	}
	snprintf(text + len, 96 - len, " ago");
	return text;
}

static const char *string_of(const cJSON *object, const char *name)
{
	const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsString(member) ? member->valuestring : "";
}

void show_error(const struct show *show, long status, const char *body)
{
	cJSON       *json = body == NULL ? NULL : cJSON_Parse(body);
	const cJSON *error = cJSON_GetObjectItemCaseSensitive(json, "error");
	const cJSON *each;

	if (!cJSON_IsObject(error)) {
		fprintf(show->to, "tollgate: the answer has status %ld", status);
		if (body != NULL && *body != '\0') {
			fputs(": ", show->to);
			show_text(show, body);
		}
		fputc('\n', show->to);
		cJSON_Delete(json);
		return;
	}
	fputs("tollgate: ", show->to);
	show_styled(show, SHOW_BAD, string_of(error, "code"));
	fputs(": ", show->to);
	show_text(show, string_of(error, "message"));
	fputc('\n', show->to);
	cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(error, "details")) {
		const char *path = string_of(each, "path");

		fputs("  ", show->to);
		show_styled(show, SHOW_BOLD, *path == '\0' ? "/" : path);
		fputs(": ", show->to);
		show_text(show, string_of(each, "message"));
		fputc('\n', show->to);
	}
	cJSON_Delete(json);
}

void show_event(const struct show *show, const char *type, const cJSON *data)
{
	static const char *const fields[] = { "port", "network", "peer", "endpoint", "generation", "reason" };
	const cJSON             *time_of = cJSON_GetObjectItemCaseSensitive(data, "time");

	if (cJSON_IsNumber(time_of))
		fprintf(show->to, "%.0f ", time_of->valuedouble);
	show_styled(show, SHOW_BOLD, type);
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		const cJSON *field = cJSON_GetObjectItemCaseSensitive(data, fields[i]);

		if (cJSON_IsNumber(field))
			fprintf(show->to, " %s=%.0f", fields[i], field->valuedouble);
		if (!cJSON_IsString(field))
			continue;
		fprintf(show->to, " %s=", fields[i]);
		show_text(show, field->valuestring);
	}
	fputc('\n', show->to);
}
