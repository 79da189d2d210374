#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/events.h"
#include "cli/show.h"

static void on_event(const char *type, const char *data, void *arg)
{
	const struct show *show = arg;
	cJSON             *json = cJSON_Parse(data);

	show_event(show, type, json);
	fflush(show->to);
	cJSON_Delete(json);
}

static bool on_piece(const char *piece, size_t bytes, void *arg)
{
	return events_read(arg, piece, bytes) && !ferror(stdout);
}

int command_events(const struct args *args)
{
	struct show          show = show_on(stdout);
	struct events        events = { .each = on_event, .arg = &show };
	struct tg_error      err;
	struct client_answer answer;
	struct client       *client = client_new(args, &err);
	int                  result = -1;

	if (client != NULL)
		result = client_stream(client, "/events", "text/event-stream", on_piece, &events, &answer,
		                       &err);

	client_free(client);
	if (result == -1)
		return command_failed(&err);
	if (answer.status != 200) {
		command_refused(&answer);
		client_answer_clear(&answer);
		return 1;
	}
	fputs("tollgate: the daemon closed the stream\n", stderr);
	return 1;
}
