#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "daemon/sandbox.h"

void test_sandbox_filter(TCase *tc);

typedef void deed_fn(void);

/* Does it under the role's filter, in a process of its own; returns how that ended. */
static int under(enum msg_role role, bool explain, deed_fn *deed)
{
	pid_t pid = fork();
	int   status;

	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		struct tg_error err;

		tg_log_level(TG_LOG_ERROR);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 || sandbox_filter(role, explain, &err) == -1)
			_exit(99);
		deed();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static bool killed(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

static bool fine(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void make_socket(void)
{
	socket(AF_INET, SOCK_STREAM, 0);
}

static void open_file(void)
{
	open("/dev/null", O_RDONLY);
}

static void execute(void)
{
	char *const none[] = { NULL };

	execve("/bin/true", none, none);
}

static void make_code(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void raise_limit(void)
{
	const struct rlimit limit = { 1, 1 };

	setrlimit(RLIMIT_NOFILE, &limit);
}

static void make_process(void)
{
	fork();
}

static void work_of_both(void)
{
	char  buffer[8];
	int   ends[2];
	int   loop = epoll_create1(EPOLL_CLOEXEC);
	int   wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	void *memory = malloc(1 << 20);

	if (loop == -1 || wake == -1 || memory == NULL || pipe2(ends, O_CLOEXEC) == -1)
		_exit(1);
	memset(memory, 1, 1 << 20);
	free(memory);
	if (write(ends[1], "x", 1) != 1 || read(ends[0], buffer, sizeof buffer) != 1)
		_exit(2);
	if (sysconf(_SC_OPEN_MAX) == -1)
		_exit(3);
	tg_log(TG_LOG_DEBUG, "not shown", NULL);
}

static void splice_bytes(void)
{
	int a[2], b[2];

	if (pipe2(a, O_CLOEXEC) == -1 || pipe2(b, O_CLOEXEC) == -1 || write(a[1], "x", 1) != 1)
		_exit(1);
	if (splice(a[0], NULL, b[1], NULL, 1, SPLICE_F_NONBLOCK) != 1)
		_exit(2);
}

static void *thread_body(void *arg)
{
	return arg;
}

static void run_thread(void)
{
	pthread_t thread;
	void     *got = NULL;
	int       mark;

	if (pthread_create(&thread, NULL, thread_body, &mark) != 0)
		_exit(1);
	if (pthread_join(thread, &got) != 0 || got != &mark)
		_exit(2);
}

static void keep_a_file(void)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd == -1 || ftruncate(fd, 10) == -1 || pwrite(fd, "abc", 3, 0) != 3 || fsync(fd) == -1)
		_exit(1);

	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_SETLK, &lock) == -1)
		_exit(2);
	if (mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED)
		_exit(3);
}

START_TEST(no_role_runs_another_program)
{
	ck_assert(killed(under(MSG_ROLE_WORKER, false, execute)));
	ck_assert(killed(under(MSG_ROLE_CONTROL, false, execute)));
}
END_TEST

START_TEST(a_worker_makes_no_socket)
{
	ck_assert(killed(under(MSG_ROLE_WORKER, false, make_socket)));
}
END_TEST

START_TEST(a_worker_opens_no_file)
{
	ck_assert(killed(under(MSG_ROLE_WORKER, false, open_file)));
	ck_assert(fine(under(MSG_ROLE_CONTROL, false, open_file)));
}
END_TEST

START_TEST(control_makes_no_socket)
{
	ck_assert(killed(under(MSG_ROLE_CONTROL, false, make_socket)));
}
END_TEST

START_TEST(nobody_makes_new_code_or_processes)
{
	ck_assert(killed(under(MSG_ROLE_WORKER, false, make_code)));
	ck_assert(killed(under(MSG_ROLE_CONTROL, false, make_code)));
	ck_assert(killed(under(MSG_ROLE_WORKER, false, make_process)));
	ck_assert(killed(under(MSG_ROLE_CONTROL, false, make_process)));
	ck_assert(killed(under(MSG_ROLE_WORKER, false, raise_limit)));
}
END_TEST

START_TEST(what_the_roles_need_is_allowed)
{
	ck_assert(fine(under(MSG_ROLE_WORKER, false, work_of_both)));
	ck_assert(fine(under(MSG_ROLE_CONTROL, false, work_of_both)));
	ck_assert(fine(under(MSG_ROLE_WORKER, false, splice_bytes)));
	ck_assert(fine(under(MSG_ROLE_CONTROL, false, run_thread)));
	ck_assert(fine(under(MSG_ROLE_CONTROL, false, keep_a_file)));
}
END_TEST

START_TEST(explaining_ends_the_process_as_well)
{
	int status = under(MSG_ROLE_WORKER, true, make_socket);

	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 128 + SIGSYS);
}
END_TEST

void test_sandbox_filter(TCase *tc)
{
	tcase_add_test(tc, no_role_runs_another_program);
	tcase_add_test(tc, a_worker_makes_no_socket);
	/* Under the sanitizers there is no list of what is allowed. */
	if (sandbox_is_relaxed())
		return;
	tcase_add_test(tc, a_worker_opens_no_file);
	tcase_add_test(tc, control_makes_no_socket);
	tcase_add_test(tc, nobody_makes_new_code_or_processes);
	tcase_add_test(tc, what_the_roles_need_is_allowed);
	tcase_add_test(tc, explaining_ends_the_process_as_well);
}
