#include "daemon/role.h"

#include <event2/event.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/error.h"
#include "base/log.h"
#include "daemon/sandbox.h"

#define OWN_MAP_BYTES (1 << 20)	/* a block of so many is the kernel's again as soon as it is freed */

typedef int role_fn(struct role *role);

static const struct {
	enum msg_role role;
	int           kept_bytes;	/* of what is freed, at the heap's end; 0: as the allocator does */
	role_fn      *run;
} roles[] = {
	{ MSG_ROLE_ENGINE, 256 << 10, role_engine },
	{ MSG_ROLE_BROKER, 0, role_broker },
	/* One apply to some hundred networks takes less; what is not taken again goes back in its thread. */
	{ MSG_ROLE_CONTROL, 4 << 20, role_control },
	{ MSG_ROLE_WORKER, 0, role_worker },
};

/* libevent would write lines of its own form. */
static void on_libevent_log(int severity, const char *text)
{
	char quoted[512];

	tg_log(severity == EVENT_LOG_ERR    ? TG_LOG_ERROR
	       : severity == EVENT_LOG_WARN ? TG_LOG_WARN
					    : TG_LOG_DEBUG,
	       "libevent has something to say", "reason=%s", tg_quote(quoted, sizeof quoted, text));
}

/* Left to itself the allocator keeps twice the largest block that was ever freed, up to 64 MB, and that for
 * each thread: after one large document it would be so for ever. */
static void keep_little(int kept_bytes)
{
	if (kept_bytes == 0)
		return;
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, OWN_MAP_BYTES);
	mallopt(M_TRIM_THRESHOLD, kept_bytes);
}

static int run(enum msg_role self, role_fn *body)
{
	struct role     role = { .self = self, .supervisor_fd = ROLE_SUPERVISOR_FD, .state_dir = -1 };
	struct tg_error err = { 0 };
	struct msg      msg;
	int             fds[MSG_FDS_MOST];

	tg_log_role(msg_role_name(self));
	prctl(PR_SET_NAME, "tollgated");	/* else it is that of the link it was started from: exe */
	event_set_log_callback(on_libevent_log);
	signal(SIGPIPE, SIG_IGN);
	/* They had to pass our exec, but no wireguard-go of the engine may keep them open. */
	if (fcntl(ROLE_SUPERVISOR_FD, F_SETFD, FD_CLOEXEC) == -1 ||
	    (self == MSG_ROLE_CONTROL && fcntl(ROLE_STATE_FD, F_SETFD, FD_CLOEXEC) == -1))
		tg_die("not started by a supervisor");
	if (channel_wait(ROLE_SUPERVISOR_FD, self, MSG_ROLE_SUPERVISOR, &msg, fds, &err) != 0 ||
	    msg.type != MSG_START) {
		tg_log(TG_LOG_ERROR, "not started by a supervisor", NULL);
		return 1;
	}
	role.start = msg.body.start;
	role.start.netns_prefix[sizeof role.start.netns_prefix - 1] = '\0';
	tg_log_level((enum tg_log_level)role.start.log_level);
	if (self == MSG_ROLE_CONTROL)
		role.state_dir = ROLE_STATE_FD;
	role.base = event_base_new();
	if (role.base == NULL)
		tg_die("out of memory");
	if (sandbox_enter(self, role.start.log_level >= TG_LOG_DEBUG, &err) == -1)
		tg_die("%s", err.text);

	int status = body(&role);

	event_base_free(role.base);
	return status;
}

int role_main(const char *name)
{
	for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
		if (strcmp(name, msg_role_name(roles[i].role)) == 0) {
			keep_little(roles[i].kept_bytes);
			return run(roles[i].role, roles[i].run);
		}
	tg_log(TG_LOG_ERROR, "--role is for the daemon itself", NULL);
	return 2;
}
