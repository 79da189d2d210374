#include "cli/commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/client.h"
#include "cli/show.h"

int command_failed(const struct tg_error *err)
{
	fprintf(stderr, "tollgate: %s\n", err->text);
	return 1;
}

int command_refused(const struct client_answer *answer)
{
	struct show show = show_on(stderr);

	fflush(stdout);
	show_error(&show, answer->status, answer->body);
	return 1;
}

int command_done(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	fprintf(stderr, "tollgate: cannot write the output: %s\n", strerror(errno));
	return 1;
}
