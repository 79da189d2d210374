/* tollgated: the supervisor, or with `--role NAME` one of the processes that it starts. */
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/check.h"
#include "daemon/options.h"
#include "daemon/role.h"
#include "daemon/rundir.h"
#include "daemon/sandbox.h"
#include "daemon/supervisor.h"
#include "netns/teardown.h"

#define EXIT_REFUSED 1
#define EXIT_USAGE   2

static int complain(const struct tg_error *err, int status)
{
	fprintf(stderr, "tollgated: %s%s%s\n", err->where, err->where[0] != '\0' ? ": " : "", err->text);
	return status;
}

/* A running daemon would make again what is removed here: its run directory is locked meanwhile. */
static int teardown(const struct options *options)
{
	struct tg_error err = { 0 };
	struct rundir   run;

	tg_log_level((enum tg_log_level)options->log_level);
	if (!sandbox_has_rights(&err))
		return complain(&err, EXIT_USAGE);
	if (rundir_open(&run, options->run_dir, &err) == -1) {
		snprintf(err.where, sizeof err.where, "%s", options->run_dir);
		return complain(&err, EXIT_REFUSED);
	}

	int result = netns_teardown(options->netns_prefix, &err);

	rundir_close(&run);
	return result == -1 ? complain(&err, EXIT_REFUSED) : 0;
}

static bool has_tun(void)
{
	TG_AUTO_FD fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	return fd != -1;
}

static int serve(const struct options *options)
{
	struct tg_error err = { 0 };

	if (!sandbox_has_rights(&err))
		return complain(&err, EXIT_USAGE);
	/* What our parent left open is no business of the roles; `--config /dev/fd/63` still is ours. */
	close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	if (options->wireguard == MSG_WIREGUARD_USERSPACE && !has_tun()) {
		tg_fail_at(&err, TG_CODE_SYSTEM, "--wireguard",
		           "userspace needs /dev/net/tun, which cannot be opened");
		return complain(&err, EXIT_USAGE);
	}
	return supervisor_run(options);
}

int main(int argc, char **argv)
{
	static struct options options;	/* too large for the stack */
	struct tg_error       err = { 0 };

	if (argc == 3 && strcmp(argv[1], "--role") == 0)
		return role_main(argv[2]);
	if (options_read(&options, argc, argv, &err) == -1)
		return complain(&err, EXIT_USAGE);
	switch (options.action) {
	case OPTIONS_RUN:
		return serve(&options);
	case OPTIONS_CHECK:
		return check_files(&options);
	case OPTIONS_TEARDOWN:
		return teardown(&options);
	case OPTIONS_HELP:
		options_print_help();
		return 0;
	case OPTIONS_VERSION:
		puts("tollgated " TOLLGATE_VERSION);
		return 0;
	}
	return EXIT_USAGE;
}
