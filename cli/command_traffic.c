#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/fd.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/show.h"
#include "cli/tally.h"

/* Appends `&NAME=VALUE`, escaped. */
static int add(char **path, const char *name, const char *value, struct tg_error *err)
{
	TG_AUTO_FREE char *escaped = value == NULL ? NULL : client_escape(value);
	char              *longer;

	if (value == NULL)
		return 0;
	if (escaped == NULL || asprintf(&longer, "%s&%s=%s", *path, name, escaped) == -1)
		return tg_fail_memory(err);
	free(*path);
	*path = longer;
	return 0;
}

static int path_make(const struct args *args, char **path, struct tg_error *err)
{
	int64_t now = (int64_t)time(NULL);
	int64_t since = 0;
	int64_t until = 0;
	char    number[32];

	if (args->since != NULL && !args_time_read(args->since, now, &since))
		return tg_fail(err, TG_CODE_INVALID, "--since \"%.40s\" is no time", args->since);
	if (args->until != NULL && !args_time_read(args->until, now, &until))
		return tg_fail(err, TG_CODE_INVALID, "--until \"%.40s\" is no time", args->until);
	if (asprintf(path, "/traffic?since=%" PRId64, since) == -1) {
		*path = NULL;
		return tg_fail_memory(err);
	}
	snprintf(number, sizeof number, "%" PRId64, until);
	if (add(path, "until", args->until == NULL ? NULL : number, err) == -1 ||
	    add(path, "network", args->network, err) == -1 || add(path, "ledger", args->ledger, err) == -1)
		return -1;
	return add(path, "resolution", args->resolution, err);
}

static bool on_plain(const char *piece, size_t bytes, void *arg)
{
	(void)arg;
	return fwrite(piece, 1, bytes, stdout) == bytes;
}

static bool on_tally(const char *piece, size_t bytes, void *arg)
{
	return tally_read(arg, piece, bytes);
}

static const char *accept_of(const char *format)
{
	if (strcmp(format, "json") == 0)
		return "application/json";
	return strcmp(format, "ndjson") == 0 ? "application/x-ndjson" : "text/csv";
}

static void show_time(const struct show *show, const char *what, int64_t unix_s)
{
	time_t    at = (time_t)unix_s;
	struct tm parts;
	char      text[64];

	if (unix_s > 0 && localtime_r(&at, &parts) != NULL &&
	    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts) > 0)
		fprintf(show->to, "%s %s (%" PRId64 ")\n", what, text, unix_s);
}

int command_traffic(const struct args *args)
{
	TG_AUTO_FREE char   *path = NULL;
	struct show          show = show_on(stdout);
	struct tg_error      err;
	struct client_answer answer = { .status = 0 };
	bool                 table = strcmp(args->format, "table") == 0;
	int                  result = 0;

	if (path_make(args, &path, &err) == -1) {
		command_failed(&err);
		return err.code == TG_CODE_INVALID ? 2 : 1;
	}

	struct client *client = client_new(args, &err);
	struct tally  *tally = client == NULL ? NULL : tally_new();

	if (client != NULL && tally == NULL)
		tg_fail_memory(&err);
	if (tally == NULL ||
	    client_stream(client, path, accept_of(args->format), table ? on_tally : on_plain, tally, &answer,
	                  &err) == -1)
		result = command_failed(&err);
	else if (answer.status != 200)
		result = command_refused(&answer);
	if (result == 0 && table) {
		show_time(&show, "up to", answer.stop_time);
		tally_show(tally, &show);
	}
	client_answer_clear(&answer);
	client_free(client);
	tally_free(tally);
	return result == 0 ? command_done() : result;
}
