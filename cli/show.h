/* Answers of the API as text for people.  Pure: JSON in, text out. */
#ifndef TOLLGATE_CLI_SHOW_H
#define TOLLGATE_CLI_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct cJSON;

enum show_style {
	SHOW_BOLD,
	SHOW_NETWORK,
	SHOW_PEER,
	SHOW_ADD,
	SHOW_CHANGE,
	SHOW_REMOVE,
	SHOW_BAD,
};

struct show {
	FILE *to;		/* borrowed */
	bool  colours;
};

/* Colours when `to` is a terminal and neither NO_COLOR is set nor TERM is dumb. */
struct show show_on(FILE *to);
/* Text of the server's, in a style; control bytes are shown as '?'. */
void show_styled(const struct show *show, enum show_style style, const char *text);
void show_text(const struct show *show, const char *text);
/* `1.21 MiB`, as wg prints it. */
const char *show_bytes(double bytes, char text[32]);
/* `2 minutes, 3 seconds ago`. */
const char *show_ago(int64_t seconds, char text[96]);

/* The error form; what is no such form is printed as it is. */
void show_error(const struct show *show, long status, const char *body);
/* The report of an apply. */
void show_report(const struct show *show, const struct cJSON *report);
/* The report of a dry run as a diff; `before` (the active document) and `after` may be NULL. */
void show_plan(const struct show *show, const struct cJSON *report, const struct cJSON *before,
               const struct cJSON *after);
/* One network of GET /networks. */
void show_network(const struct show *show, const struct cJSON *network, int64_t now_unix_s);
/* An event's type and data; one line. */
void show_event(const struct show *show, const char *type, const struct cJSON *data);

#endif
