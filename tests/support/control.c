#include "tests/support/control.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/key.h"
#include "base/log.h"
#include "daemon/role.h"
#include "tests/support/document.h"

#define PATIENCE_MS 15000
#define MOMENT_MS   150
#define ANSWER_MOST (8U << 20)
#define TIMERS_MOST 256

static char        home[] = "/tmp/tollgate-control-XXXXXX";
static bool        at_home;
static struct role role;
static pthread_t   thread;
static int         supervisor = -1, engine = -1, worker = -1;
static int         clock_ends[2];	/* the test's, control's */

struct timers {
	struct timeval until;
	struct event  *due[TIMERS_MOST];
	size_t         count;
};

static int find_timer(const struct event_base *base, const struct event *event, void *arg)
{
	struct timers *timers = arg;
	struct timeval at;

	(void)base;
	if (event_pending(event, EV_TIMEOUT, &at) == 0 || timercmp(&at, &timers->until, >))
		return 0;
	ck_assert_uint_lt(timers->count, TIMERS_MOST);
	/* Only to be handed back to libevent. */
	memcpy(&timers->due[timers->count++], &event, sizeof event);
	return 0;
}

/* In control's thread. */
static void on_clock(evutil_socket_t fd, short what, void *arg)
{
	struct event_base *base = arg;
	struct timers      timers = { .count = 0 };
	struct timeval     in;
	unsigned           ms;

	(void)what;
	ck_assert_int_eq(read(fd, &ms, sizeof ms), sizeof ms);
	in = (struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	evutil_gettimeofday(&timers.until, NULL);
	timeradd(&timers.until, &in, &timers.until);
	event_base_foreach_event(base, find_timer, &timers);
	for (size_t i = 0; i < timers.count; i++)
		event_active(timers.due[i], EV_TIMEOUT, 0);
	ck_assert_int_eq(write(fd, &ms, sizeof ms), sizeof ms);
}

void control_passes(unsigned ms)
{
	ck_assert_int_eq(write(clock_ends[0], &ms, sizeof ms), sizeof ms);
	ck_assert_int_eq(read(clock_ends[0], &ms, sizeof ms), sizeof ms);
}

static void *run(void *arg)
{
	struct role  *control = arg;
	struct event *passes = event_new(control->base, clock_ends[1], EV_READ | EV_PERSIST, on_clock,
	                                 control->base);

	event_add(passes, NULL);
	role_control(control);
	event_free(passes);
	event_base_free(control->base);
	return NULL;
}

static void pair(int ends[2])
{
	struct tg_error err;

	ck_assert_int_eq(channel_pair(ends, &err), 0);
}

void control_tell(int end, enum msg_type type, const void *body, int fd)
{
	struct msg msg = { .type = type };
	union {
		char           bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr head;
	} with = {
		.head = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd) }
	};
	struct iovec  part = { .iov_base = &msg, .iov_len = msg_bytes(type) };
	struct msghdr head = { .msg_iov = &part, .msg_iovlen = 1 };

	memcpy(&msg.body, body, msg_bytes(type) - offsetof(struct msg, body));
	if (fd != -1) {
		memcpy(CMSG_DATA(&with.head), &fd, sizeof fd);
		head.msg_control = with.bytes;
		head.msg_controllen = sizeof with.bytes;
	}
	ck_assert_int_eq(sendmsg(end, &head, MSG_NOSIGNAL), (ssize_t)msg_bytes(type));
	if (fd != -1)
		close(fd);
}

static void channel_to(enum msg_role other, int *end)
{
	struct msg_channel body = { .role = other };
	int                ends[2];

	pair(ends);
	*end = ends[0];
	control_tell(supervisor, MSG_CHANNEL, &body, ends[1]);
}

static int listener(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(to.sun_path, sizeof to.sun_path, "%s/api.sock", home);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&to, sizeof to), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	return fd;
}

/* Also when control ends the process, as it is told to by a bad file. */
static void home_remove(void)
{
	char command[64];

	snprintf(command, sizeof command, "rm -rf %s", home);
	if (chdir("/") == -1 || system(command) != 0)
		fprintf(stderr, "cannot remove %s\n", home);
}

void control_home(void)
{
	ck_assert_ptr_nonnull(mkdtemp(home));
	ck_assert_int_eq(atexit(home_remove), 0);
	ck_assert_int_eq(chdir(home), 0);
	at_home = true;
}

void control_start(uint64_t sample_ms)
{
	struct msg_listening api = { .kind = MSG_LISTENER_API_UNIX };
	int                  ends[2];

	signal(SIGPIPE, SIG_IGN);
	if (!at_home)
		control_home();
	pair(clock_ends);
	pair(ends);
	supervisor = ends[0];
	role = (struct role){ .self = MSG_ROLE_CONTROL, .supervisor_fd = ends[1], .base = event_base_new() };
	role.start = (struct msg_start){ .workers = 1, .sample_interval_ms = sample_ms, .retention_s = 604800,
		                         .rollup_retention_s = 34560000, .netns_prefix = "network-" };
	ck_assert_int_eq(pthread_create(&thread, NULL, run, &role), 0);
	channel_to(MSG_ROLE_ENGINE, &engine);
	channel_to(MSG_ROLE_WORKER, &worker);
	control_tell(supervisor, MSG_LISTENER, &api, listener());
}

void control_go(void)
{
	const struct msg_none none = { 0 };

	control_tell(supervisor, MSG_GO, &none, -1);
}

void control_begin(uint64_t sample_ms)
{
	control_start(sample_ms);
	control_go();
}

int control_supervisor(void)
{
	return supervisor;
}

int control_engine(void)
{
	return engine;
}

int control_worker(void)
{
	return worker;
}

/* Control's end is closed once it has seen ours close: a write then fails. */
void control_engine_dies(void)
{
	struct pollfd gone;

	ck_assert_int_eq(shutdown(engine, SHUT_WR), 0);
	gone = (struct pollfd){ .fd = engine, .events = POLLRDHUP };
	for (int waited = 0; (gone.revents & POLLHUP) == 0; waited++) {
		ck_assert_int_lt(waited, PATIENCE_MS);
		poll(&gone, 1, 1);
		usleep(1000);
	}
	close(engine);
	engine = -1;
}

void control_worker_dies(void)
{
	close(worker);
	worker = -1;
}

void control_engine_again(void)
{
	channel_to(MSG_ROLE_ENGINE, &engine);
}

void control_looks(uint64_t id, const struct snapshot *with)
{
	static const struct snapshot nothing;
	struct msg_snapshot          body = { .id = id };
	struct tg_error              err;
	int                          fd = snapshot_pack(with != NULL ? with : &nothing, &err);

	ck_assert_int_ne(fd, -1);
	control_tell(engine, MSG_SNAPSHOT, &body, fd);
}

static bool comes_within(int end, int ms)
{
	struct pollfd wait = { .fd = end, .events = POLLIN };

	return poll(&wait, 1, ms) == 1;
}

static int next(int end, enum msg_role other, struct msg *msg)
{
	struct tg_error err = { 0 };
	int             fds[MSG_FDS_MOST];
	int             count = channel_wait(end, other, MSG_ROLE_CONTROL, msg, fds, &err);

	ck_assert_msg(count != -1, "%s", err.text);
	ck_assert_int_le(count, 1);
	return count == 1 ? fds[0] : -1;
}

void control_hear(int end, enum msg_role other, enum msg_type type, struct msg *msg, int *to)
{
	for (;;) {
		ck_assert_msg(comes_within(end, PATIENCE_MS), "no %s came", msg_type_name(type));

		int fd = next(end, other, msg);

		if (msg->type == MSG_LOOK && type != MSG_LOOK) {
			control_looks(msg->body.look.id, NULL);
			continue;
		}
		ck_assert_msg(msg->type == type, "%s came for %s", msg_type_name(msg->type),
		              msg_type_name(type));
		if (to != NULL)
			*to = fd;
		else if (fd != -1)
			close(fd);
		return;
	}
}

void control_hears_nothing(int end)
{
	uint64_t   until_ms = tg_clock_ms() + MOMENT_MS;
	struct msg msg;

	while (tg_clock_ms() < until_ms && comes_within(end, MOMENT_MS)) {
		ck_assert_msg(end == engine, "something came");
		next(end, MSG_ROLE_ENGINE, &msg);
		ck_assert_msg(msg.type == MSG_LOOK, "%s came", msg_type_name(msg.type));
		control_looks(msg.body.look.id, NULL);
	}
}

uint64_t control_hears_look(void)
{
	struct msg msg;

	control_hear(engine, MSG_ROLE_ENGINE, MSG_LOOK, &msg, NULL);
	return msg.body.look.id;
}

bool control_comes(int end)
{
	return comes_within(end, MOMENT_MS);
}

int control_segment(const char *name, uint32_t index, bool live, const struct msg_slot *first)
{
	struct msg_segment body = { .index = index, .live = live };
	int                fd = memfd_create(name, MFD_CLOEXEC);

	ck_assert_int_eq(ftruncate(fd, MSG_SEGMENT_BYTES), 0);
	ck_assert_int_eq(pwrite(fd, first, sizeof *first, 0), sizeof *first);
	snprintf(body.name, sizeof body.name, "%s", name);
	control_tell(supervisor, MSG_SEGMENT, &body, dup(fd));
	return fd;
}

void control_network_up(struct snapshot_network *network, uint16_t port, const char *public_key)
{
	*network = (struct snapshot_network){ .port = port, .state = SNAPSHOT_UP,
		                              .wireguard = MSG_WIREGUARD_USERSPACE, .mtu = 1420 };
	network->epoch = (struct msg_epoch){ .boot_id = { 1 }, .netns_cookie = 4096u + port, .ifindex = 2 };
	ck_assert(tg_key_read(public_key, strlen(public_key), &network->public_key));
}

void control_engine_reports(uint64_t seq, uint64_t generation, struct snapshot_network *networks,
                            size_t count)
{
	const struct snapshot snapshot = { .networks = networks, .networks_count = count };
	struct msg_networks   body = { .seq = seq, .generation = generation, .complete = 1 };
	struct tg_error       err;
	int                   fd = snapshot_pack(&snapshot, &err);

	ck_assert_int_ne(fd, -1);
	control_tell(engine, MSG_NETWORKS, &body, fd);
}

int control_worker_obeys(void)
{
	struct msg msg;
	int        table = -1;

	control_hear(worker, MSG_ROLE_WORKER, MSG_ROUTES, &msg, &table);
	control_tell(worker, MSG_ROUTES_DONE, &msg.body.routes, -1);
	return table;
}

void control_end(const struct snapshot *last)
{
	const struct msg_none none = { 0 };
	struct msg            msg;

	control_tell(supervisor, MSG_STOP, &none, -1);
	while (engine != -1 && comes_within(engine, PATIENCE_MS)) {
		char probe;

		if (recv(engine, &probe, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
			break;

		int fd = next(engine, MSG_ROLE_ENGINE, &msg);

		if (fd != -1)
			close(fd);
		if (msg.type == MSG_LOOK)
			control_looks(msg.body.look.id, last);
	}
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	close(supervisor);
	close(clock_ends[0]);
	close(clock_ends[1]);
	if (worker != -1)
		close(worker);
	if (engine != -1)
		close(engine);
}

/* Each ledger waits 2 s for the database: together longer than a test takes. */
sqlite3 *control_thread_held(void)
{
	static const struct msg_reading none;
	struct tg_part                  part = { &none, sizeof none };
	struct msg_ledger               ledger = { .count = 1 };
	struct tg_error                 err;
	sqlite3                        *held = NULL;

	ck_assert_int_eq(sqlite3_open("traffic.db", &held), SQLITE_OK);
	sqlite3_busy_timeout(held, PATIENCE_MS);
	ck_assert_int_eq(sqlite3_exec(held, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	for (ledger.id = 1; ledger.id <= CONTROL_HELD_LEDGERS; ledger.id++)
		control_tell(engine, MSG_LEDGER, &ledger, tg_memfd_make("ledger", &part, 1, &err));
	return held;
}

int control_ask(const char *method, const char *path, const char *fields, const char *body)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof to.sun_path, "%s/api.sock", home);
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
	ck_assert_int_gt(dprintf(fd, "%s /api/v1%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s"
	                         "Content-Length: %zu\r\n\r\n%s",
	                         method, path, fields, strlen(body), body), 0);
	return fd;
}

char *control_applies(const char *document, struct snapshot_network *networks, size_t count, int *table)
{
	static uint64_t seq;
	struct msg      msg;
	char           *body = document_text(document);
	int             client = control_ask("POST", "/apply", "", body);

	free(body);
	control_hear(engine, MSG_ROLE_ENGINE, MSG_DESIRED, &msg, NULL);
	control_engine_reports(++seq, msg.body.desired.generation, networks, count);
	if (table != NULL)
		*table = control_worker_obeys();
	control_hear(engine, MSG_ROLE_ENGINE, MSG_ROUTED, &msg, NULL);
	ck_assert_uint_eq(msg.body.routed.seq, seq);
	return control_answer(client);
}

char *control_answer_until(int client, const char *text)
{
	char  *answer = calloc(1, ANSWER_MOST);
	size_t len = 0;

	ck_assert_ptr_nonnull(answer);
	while (text == NULL || strstr(answer, text) == NULL) {
		ck_assert_msg(comes_within(client, PATIENCE_MS), "no more came after: %.400s", answer);

		ssize_t n = read(client, answer + len, ANSWER_MOST - 1 - len);

		if (n <= 0 && text == NULL)
			break;
		ck_assert_msg(n > 0, "it ended after: %.400s", answer);
		len += (size_t)n;
	}
	return answer;
}

char *control_answer(int client)
{
	char *answer = control_answer_until(client, NULL);

	close(client);
	return answer;
}
