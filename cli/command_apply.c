#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/model.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/show.h"

/* The whole file, NUL-terminated, the caller's; NULL: `err` says why. */
static char *file_read(const char *path, size_t *bytes, struct tg_error *err)
{
	FILE  *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char  *text = NULL;
	size_t room = 0;

	*bytes = 0;
	if (file == NULL) {
		tg_fail_sys(err, "cannot open %.100s", path);
		return NULL;
	}
	for (;;) {
		if (room - *bytes < 2) {
			room = room == 0 ? 65536 : room * 2;

			char *larger = realloc(text, room);

			if (larger == NULL) {
				tg_fail_memory(err);
				break;
			}
			text = larger;
		}

		size_t got = fread(text + *bytes, 1, room - *bytes - 1, file);

		*bytes += got;
		if (*bytes > MODEL_BYTES_MOST) {
			tg_fail(err, TG_CODE_LIMIT, "%.100s is larger than 64 MiB", path);
			break;
		}
		if (got > 0)
			continue;
		if (ferror(file)) {
			tg_fail_sys(err, "cannot read %.100s", path);
			break;
		}
		text[*bytes] = '\0';
		if (file != stdin)
			fclose(file);
		return text;
	}
	free(text);
	if (file != stdin)
		fclose(file);
	return NULL;
}

/* The active document, to show old values beside new ones; NULL when it can't be had. */
static cJSON *active_read(struct client *client)
{
	struct client_answer answer;
	cJSON               *json = NULL;

	if (client_call(client, "/config", NULL, 0, &answer, NULL) == -1)
		return NULL;
	if (answer.status == 200)
		json = cJSON_ParseWithLength(answer.body, answer.bytes);
	client_answer_clear(&answer);
	return json;
}

/* The document as the daemon would have it, defaults and all, so that each change has its new value; NULL
 * when it can't be had. */
static cJSON *after_read(const char *text, size_t bytes)
{
	struct model      *model = NULL;
	TG_AUTO_FREE char *printed = NULL;
	size_t             printed_bytes = 0;

	if (model_parse(text, bytes, &model, NULL, NULL) != MODEL_OK)
		return NULL;
	printed = model_print(model, false, &printed_bytes);
	model_free(model);
	return printed == NULL ? NULL : cJSON_ParseWithLength(printed, printed_bytes);
}

static int show_answer(const struct client_answer *answer, const cJSON *before, const char *text,
                       size_t bytes, bool dry_run)
{
	struct show show = show_on(stdout);
	cJSON      *report = answer->body == NULL ? NULL : cJSON_ParseWithLength(answer->body, answer->bytes);
	bool        is_report = cJSON_HasObjectItem(report, "generation");

	if (is_report && dry_run) {
		cJSON *after = after_read(text, bytes);

		show_plan(&show, report, before, after);
		cJSON_Delete(after);
	} else if (is_report) {
		show_report(&show, report);
	}
	cJSON_Delete(report);
	if (answer->status != 200)
		return command_refused(answer);
	return command_done();
}

int command_apply(const struct args *args)
{
	struct tg_error      err;
	struct client_answer answer;
	size_t               bytes;
	char                *text = file_read(args->operand, &bytes, &err);
	struct client       *client = text == NULL ? NULL : client_new(args, &err);
	cJSON               *before = NULL;
	int                  result;

	if (client == NULL) {
		free(text);
		return command_failed(&err);
	}
	if (args->dry_run)
		before = active_read(client);
	if (client_call(client, args->dry_run ? "/apply?dry_run=true" : "/apply", text, bytes, &answer,
	                &err) == -1) {
		result = command_failed(&err);
	} else {
		result = show_answer(&answer, before, text, bytes, args->dry_run);
		client_answer_clear(&answer);
	}
	cJSON_Delete(before);
	client_free(client);
	free(text);
	return result;
}
