#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/show.h"

/* One GET whose body is wanted: 0, or the exit status. */
static int get(const struct args *args, const char *path, struct client_answer *answer)
{
	struct tg_error err;
	struct client  *client = client_new(args, &err);
	int             result = client == NULL ? -1 : client_call(client, path, NULL, 0, answer, &err);

	client_free(client);
	if (result == -1)
		return command_failed(&err);
	if (answer->status == 200)
		return 0;
	result = command_refused(answer);
	client_answer_clear(answer);
	return result;
}

int command_get(const struct args *args)
{
	struct client_answer answer = { .status = 0 };
	int                  result = get(args, "/config", &answer);

	if (result != 0)
		return result;
	/* Byte for byte as the daemon has it; a terminal's prompt begins a line of its own. */
	fwrite(answer.body, 1, answer.bytes, stdout);
	if (answer.bytes == 0 || answer.body[answer.bytes - 1] != '\n')
		putchar('\n');
	client_answer_clear(&answer);
	return command_done();
}

int command_status(const struct args *args)
{
	struct show          show = show_on(stdout);
	struct client_answer answer = { .status = 0 };
	char                 path[64] = "/networks";

	if (args->operand != NULL) {
		if (strlen(args->operand) > 5 ||
		    strspn(args->operand, "0123456789") != strlen(args->operand)) {
			fprintf(stderr, "tollgate: \"%s\" is no listen port\n", args->operand);
			return 2;
		}
		snprintf(path, sizeof path, "/networks/%s", args->operand);
	}

	int result = get(args, path, &answer);

	if (result != 0)
		return result;

	cJSON       *json = cJSON_ParseWithLength(answer.body, answer.bytes);
	const cJSON *each;
	int64_t      now = (int64_t)time(NULL);

	client_answer_clear(&answer);
	if (!cJSON_IsObject(json)) {
		cJSON_Delete(json);
		fputs("tollgate: the answer is not JSON\n", stderr);
		return 1;
	}
	if (args->operand != NULL)
		show_network(&show, json, now);
	else
		cJSON_ArrayForEach(each, json) {
			if (each != json->child)
				putchar('\n');
			show_network(&show, each, now);
		}
	cJSON_Delete(json);
	return command_done();
}
