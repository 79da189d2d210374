#include "daemon/notify.h"

#include <check.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void test_notify(TCase *tc);

static int listener_at(const char *name, size_t len)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int                fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	memcpy(at.sun_path, name, len);

	socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);

	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&at, bytes), 0);
	return fd;
}

static void expect(int fd, const char *wanted)
{
	char    text[600] = "";
	ssize_t got = recv(fd, text, sizeof text - 1, 0);

	ck_assert_int_eq(got, (ssize_t)strlen(wanted));
	ck_assert_str_eq(text, wanted);
}

START_TEST(lines_come_to_a_path)
{
	char path[] = "/tmp/tollgate-notify-XXXXXX";

	close(mkstemp(path));
	unlink(path);

	int fd = listener_at(path, strlen(path));

	setenv("NOTIFY_SOCKET", path, 1);
	notify_send("READY=1\nMAINPID=%d", 7);
	expect(fd, "READY=1\nMAINPID=7");
	close(fd);
	unlink(path);
}
END_TEST

START_TEST(lines_come_to_an_abstract_name)
{
	char name[64];

	snprintf(name, sizeof name, "@tollgate-notify-%d", (int)getpid());
	setenv("NOTIFY_SOCKET", name, 1);
	name[0] = '\0';

	int fd = listener_at(name, 1 + strlen(name + 1));

	notify_send("STOPPING=1");
	expect(fd, "STOPPING=1");
	close(fd);
}
END_TEST

START_TEST(nobody_listening_is_no_fault)
{
	char too_long[300];

	unsetenv("NOTIFY_SOCKET");
	notify_send("READY=1");
	setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	notify_send("READY=1");
	setenv("NOTIFY_SOCKET", "relative", 1);
	notify_send("READY=1");
	memset(too_long, '/', sizeof too_long - 1);
	too_long[sizeof too_long - 1] = '\0';
	setenv("NOTIFY_SOCKET", too_long, 1);
	notify_send("READY=1");
}
END_TEST

void test_notify(TCase *tc)
{
	tcase_add_test(tc, lines_come_to_a_path);
	tcase_add_test(tc, lines_come_to_an_abstract_name);
	tcase_add_test(tc, nobody_listening_is_no_fault);
}
