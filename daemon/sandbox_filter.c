#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "daemon/sandbox.h"

/* What every event loop needs.  mmap, mprotect, clone, ioctl, socketpair and prlimit64 are allowed with
 * conditions, in add_conditional(). */
static const int common_calls[] = {
	SCMP_SYS(accept4),	SCMP_SYS(brk),		  SCMP_SYS(clock_gettime),  SCMP_SYS(clock_nanosleep),
	SCMP_SYS(close),	SCMP_SYS(dup),		  SCMP_SYS(epoll_create1),  SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_pwait),	SCMP_SYS(epoll_wait),	  SCMP_SYS(eventfd2),	    SCMP_SYS(exit),
	SCMP_SYS(exit_group),	SCMP_SYS(fcntl),	  SCMP_SYS(fstat),	    SCMP_SYS(futex),
	SCMP_SYS(getegid),	SCMP_SYS(geteuid),	  SCMP_SYS(getgid),	    SCMP_SYS(getpeername),
	SCMP_SYS(getpid),	SCMP_SYS(getrandom),	  SCMP_SYS(getsockname),    SCMP_SYS(getsockopt),
	SCMP_SYS(gettid),	SCMP_SYS(gettimeofday),	  SCMP_SYS(getuid),	    SCMP_SYS(lseek),
	SCMP_SYS(madvise),	SCMP_SYS(mremap),	  SCMP_SYS(munmap),	    SCMP_SYS(nanosleep),
	SCMP_SYS(newfstatat),	SCMP_SYS(pipe2),	  SCMP_SYS(poll),	    SCMP_SYS(ppoll),
	SCMP_SYS(pread64),	SCMP_SYS(read),		  SCMP_SYS(readv),	    SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),	SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigaction),  SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_yield), SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),	SCMP_SYS(setsockopt),	  SCMP_SYS(shutdown),	    SCMP_SYS(sigaltstack),
	SCMP_SYS(sysinfo),	SCMP_SYS(tgkill),	  SCMP_SYS(time),	    SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime), SCMP_SYS(uname),	  SCMP_SYS(write),	    SCMP_SYS(writev),
};

static const int worker_calls[] = {
	SCMP_SYS(connect), SCMP_SYS(splice), SCMP_SYS(tee),
};

/* SQLite, the document on disk, one thread, memory files for documents and routes. */
static const int control_calls[] = {
	SCMP_SYS(access),     SCMP_SYS(faccessat),     SCMP_SYS(faccessat2),   SCMP_SYS(fallocate),
	SCMP_SYS(fchmod),     SCMP_SYS(fdatasync),     SCMP_SYS(flock),        SCMP_SYS(fstatfs),
	SCMP_SYS(fsync),      SCMP_SYS(ftruncate),     SCMP_SYS(getcwd),       SCMP_SYS(getdents64),
	SCMP_SYS(getppid),    SCMP_SYS(link),          SCMP_SYS(listen),       SCMP_SYS(lstat),
	SCMP_SYS(memfd_create), SCMP_SYS(mkdir),       SCMP_SYS(mkdirat),      SCMP_SYS(open),
	SCMP_SYS(openat),     SCMP_SYS(pwrite64),      SCMP_SYS(pwritev),      SCMP_SYS(preadv),
	SCMP_SYS(readlink),   SCMP_SYS(readlinkat),    SCMP_SYS(rename),       SCMP_SYS(renameat),
	SCMP_SYS(renameat2),  SCMP_SYS(rseq),          SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler),
	SCMP_SYS(set_robust_list), SCMP_SYS(stat),     SCMP_SYS(statx),        SCMP_SYS(sync_file_range),
	SCMP_SYS(umask),      SCMP_SYS(unlink),        SCMP_SYS(unlinkat),     SCMP_SYS(utimensat),
};

/* Of all that is forbidden, the little that even a relaxed filter forbids. */
static const int never_calls[] = { SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(mount), SCMP_SYS(setns) };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int add_list(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int bad = seccomp_rule_add(filter, action, calls[i], 0);

		if (bad != 0)
			return bad;
	}
	return 0;
}

/* Calls that are harmless only with some arguments. */
static int add_conditional(scmp_filter_ctx filter, enum msg_role role)
{
	int bad = 0;

	/* No new code. */
	bad = bad != 0 ? bad : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
	                                        SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	bad = bad != 0 ? bad : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
	                                        SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	bad = bad != 0 ? bad : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
	                                        SCMP_A1(SCMP_CMP_EQ, FIONREAD, 0));
	bad = bad != 0 ? bad : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
	                                        SCMP_A1(SCMP_CMP_EQ, FIONBIO, 0));
	/* Reads limits only: glibc's getrlimit() and sysconf(). */
	bad = bad != 0 ? bad : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2,
	                                        SCMP_A0(SCMP_CMP_EQ, 0, 0), SCMP_A2(SCMP_CMP_EQ, 0, 0));
	if (role != MSG_ROLE_CONTROL)
		return bad;
	bad = bad != 0 ? bad : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
	                                        SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));
	/* Threads, not processes.  clone3's arguments are out of a filter's sight: glibc falls back. */
	bad = bad != 0 ? bad : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
	                                        SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	bad = bad != 0 ? bad : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return bad;
}

static int add_rules(scmp_filter_ctx filter, enum msg_role role)
{
	int bad;

	if (sandbox_is_relaxed()) {
		bad = add_list(filter, SCMP_ACT_KILL_PROCESS, never_calls, COUNT(never_calls));
		if (bad == 0 && role == MSG_ROLE_WORKER)
			bad = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socket), 0);
		return bad;
	}
	bad = add_list(filter, SCMP_ACT_ALLOW, common_calls, COUNT(common_calls));
	if (bad == 0 && role == MSG_ROLE_WORKER)
		bad = add_list(filter, SCMP_ACT_ALLOW, worker_calls, COUNT(worker_calls));
	if (bad == 0 && role == MSG_ROLE_CONTROL)
		bad = add_list(filter, SCMP_ACT_ALLOW, control_calls, COUNT(control_calls));
	return bad != 0 ? bad : add_conditional(filter, role);
}

/* In a signal handler: nothing but write(2). */
static void on_forbidden(int number, siginfo_t *info, void *context)
{
	char   line[] = "level=error msg=\"a forbidden system call\" syscall=0000\n";
	size_t at = sizeof line - 3;

	(void)number, (void)context;
	for (int left = info->si_syscall, i = 0; i < 4; i++, left /= 10)
		line[at--] = (char)('0' + left % 10);

	ssize_t wrote = write(STDERR_FILENO, line, sizeof line - 1);

	(void)wrote;
	_exit(128 + SIGSYS);
}

static int explain_calls(struct tg_error *err)
{
	struct sigaction action = { .sa_sigaction = on_forbidden, .sa_flags = SA_SIGINFO };

	if (sigaction(SIGSYS, &action, NULL) == -1)
		return tg_fail_sys(err, "cannot handle SIGSYS");
	return 0;
}

int sandbox_filter(enum msg_role role, bool explain, struct tg_error *err)
{
	if (role != MSG_ROLE_CONTROL && role != MSG_ROLE_WORKER)
		return 0;
	if (sandbox_is_relaxed())
		tg_log(TG_LOG_WARN, "built with sanitizers: the sandbox is relaxed", NULL);
	else if (explain && explain_calls(err) == -1)
		return -1;

	uint32_t        forbid = explain ? SCMP_ACT_TRAP : SCMP_ACT_KILL_PROCESS;
	scmp_filter_ctx filter = seccomp_init(sandbox_is_relaxed() ? SCMP_ACT_ALLOW : forbid);

	if (filter == NULL)
		return tg_fail_memory(err);

	int bad = add_rules(filter, role);

	if (bad == 0)
		bad = seccomp_load(filter);
	seccomp_release(filter);
	return bad == 0 ? 0 : tg_fail_errno(err, bad, "cannot filter system calls");
}
