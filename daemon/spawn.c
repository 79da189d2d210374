#include "daemon/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "daemon/role.h"

#define FD_ABOVE 16	/* where dup2() to the first descriptors overwrites nothing that is still needed */

/* Secrets and what is for the supervisor alone.  PATH and the loader's variables stay. */
static void clean_environment(void)
{
	for (char **at = environ; *at != NULL;) {
		char   name[64];
		size_t len = strcspn(*at, "=");
		bool   ours = strncmp(*at, "TOLLGATE_", 9) == 0 || strncmp(*at, "NOTIFY_SOCKET=", 14) == 0;

		if (!ours || len >= sizeof name) {
			at++;
			continue;
		}
		memcpy(name, *at, len);
		name[len] = '\0';
		unsetenv(name);	/* moves the later ones up */
	}
}

/* Terminals and service managers signal whole groups; only the supervisor acts on it and then tells the
 * roles what to do. */
static void ignore_signals(void)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE };
	sigset_t         none;

	for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become(enum msg_role role, int channel, int state_dir, int home)
{
	char  program[] = "tollgated";
	char  flag[] = "--role";
	char  name[16];
	char *argv[] = { program, flag, name, NULL };
	int   null = open("/dev/null", O_RDWR | O_CLOEXEC);

	strncpy(name, msg_role_name(role), sizeof name - 1);
	name[sizeof name - 1] = '\0';
	channel = fcntl(channel, F_DUPFD_CLOEXEC, FD_ABOVE);
	if (state_dir != -1)
		state_dir = fcntl(state_dir, F_DUPFD_CLOEXEC, FD_ABOVE);
	if (channel == -1 || null == -1 || fchdir(home) == -1 || dup2(null, STDIN_FILENO) == -1 ||
	    dup2(channel, ROLE_SUPERVISOR_FD) == -1)
		_exit(1);
	if (state_dir != -1 && dup2(state_dir, ROLE_STATE_FD) == -1)
		_exit(1);
	ignore_signals();
	clean_environment();
	/* The link leads to the running program, also after a newer one was installed over it: all
	 * processes of a daemon speak the same messages. */
	execve("/proc/self/exe", argv, environ);
	_exit(1);
}

pid_t spawn_role(enum msg_role role, int channel, int state_dir, int home, struct tg_error *err)
{
	pid_t pid = fork();

	if (pid == -1)
		return tg_fail_sys(err, "cannot fork");
	if (pid == 0)
		become(role, channel, state_dir, home);
	return pid;
}
