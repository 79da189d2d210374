#include <stdio.h>

#include "base/error.h"
#include "cli/args.h"
#include "cli/commands.h"

static int run(const struct args *args)
{
	switch (args->command) {
	case ARGS_APPLY:
		return command_apply(args);
	case ARGS_GET:
		return command_get(args);
	case ARGS_STATUS:
		return command_status(args);
	case ARGS_TRAFFIC:
		return command_traffic(args);
	case ARGS_EVENTS:
		return command_events(args);
	case ARGS_GENKEY:
		return command_genkey();
	case ARGS_PUBKEY:
		return command_pubkey();
	case ARGS_HELP:
		args_print_help();
		return command_done();
	case ARGS_VERSION:
		puts("tollgate " TOLLGATE_VERSION);
		return command_done();
	}
	return 2;
}

int main(int argc, char **argv)
{
	struct args     args;
	struct tg_error err;

	if (args_read(&args, argc, argv, &err) == -1) {
		fprintf(stderr, "tollgate: %s\n", err.text);
		return 2;
	}
	return run(&args);
}
