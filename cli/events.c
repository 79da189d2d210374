#include "cli/events.h"

#include <stdio.h>
#include <string.h>

static const char *value_of(const char *line, const char *name)
{
	size_t len = strlen(name);

	if (strncmp(line, name, len) != 0 || line[len] != ':')
		return NULL;
	return line + len + (line[len + 1] == ' ' ? 2 : 1);
}

static void line_end(struct events *events)
{
	const char *value;

	if (events->len > 0 && events->line[events->len - 1] == '\r')
		events->len--;
	events->line[events->len] = '\0';
	events->len = 0;
	if (events->line[0] == '\0') {
		if (events->type[0] != '\0' || events->data[0] != '\0')
			events->each(events->type[0] == '\0' ? "message" : events->type, events->data,
			             events->arg);
		events->type[0] = events->data[0] = '\0';
		return;
	}
	value = value_of(events->line, "event");
	if (value != NULL)
		snprintf(events->type, sizeof events->type, "%.63s", value);
	value = value_of(events->line, "data");
	if (value != NULL)
		snprintf(events->data, sizeof events->data, "%s", value);
}

bool events_read(struct events *events, const char *piece, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		if (piece[i] == '\n') {
			line_end(events);
			continue;
		}
		if (events->len + 1 == sizeof events->line)
			return false;
		events->line[events->len++] = piece[i];
	}
	return true;
}
