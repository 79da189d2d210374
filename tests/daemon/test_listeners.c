#include "daemon/listeners.h"

#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/address.h"
#include "base/error.h"
#include "daemon/options.h"

void test_listeners(TCase *tc);

static char            path[] = "/tmp/tollgate-listeners-XXXXXX";
static int             dir;
static struct tg_error err;

static void set_up(void)
{
	ck_assert_ptr_nonnull(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY);
}

static void tear_down(void)
{
	unlinkat(dir, "api.sock", 0);
	close(dir);
	rmdir(path);
}

/* 127.0.0.1 with a port of the kernel's choice. */
static int listen_somewhere(bool shared, struct tg_endpoint *at)
{
	struct tg_endpoint      any = { .family = AF_INET, .bytes = { 127, 0, 0, 1 } };
	struct sockaddr_storage address = { 0 };
	socklen_t               len = sizeof address;
	int                     fd = listeners_tcp(&any, shared, &err);

	ck_assert_msg(fd != -1, "%s", err.text);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	tg_endpoint_from_sockaddr((const struct sockaddr *)&address, at);
	return fd;
}

START_TEST(shared_addresses_have_a_queue_each)
{
	struct tg_endpoint at;
	int                first = listen_somewhere(true, &at);
	int                second = listeners_tcp(&at, true, &err);

	ck_assert(listeners_is_taken(&at));
	ck_assert_int_ne(second, -1);
	ck_assert_int_eq(fcntl(second, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(fcntl(second, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	close(first);
	close(second);
	ck_assert(!listeners_is_taken(&at));
}
END_TEST

START_TEST(a_taken_address_is_named)
{
	struct tg_endpoint at;
	char               text[TG_ENDPOINT_TEXT];
	int                first = listen_somewhere(false, &at);

	ck_assert_int_eq(listeners_tcp(&at, false, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, tg_endpoint_print(&at, text)));
	ck_assert_ptr_nonnull(strstr(err.text, "Address already in use"));
	close(first);
}
END_TEST

static int connect_unix(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int                fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(at.sun_path, sizeof at.sun_path, "%s/api.sock", path);
	if (connect(fd, (const struct sockaddr *)&at, sizeof at) == 0)
		return fd;
	close(fd);
	return -1;
}

START_TEST(a_stale_unix_socket_is_replaced)
{
	struct stat st;
	int         stale = listeners_unix(dir, "api.sock", &err);

	ck_assert_int_ne(stale, -1);
	close(stale);
	ck_assert_int_eq(connect_unix(), -1);

	int fresh = listeners_unix(dir, "api.sock", &err);
	int client = connect_unix();

	ck_assert_int_ne(fresh, -1);
	ck_assert_int_ne(client, -1);
	ck_assert_int_eq(fstatat(dir, "api.sock", &st, 0), 0);
	ck_assert(S_ISSOCK(st.st_mode));
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(fstatat(dir, "api.sock.new", &st, 0), -1);
	close(client);
	close(fresh);
}
END_TEST

START_TEST(an_address_somebody_asked_for_is_taken_as_it_is)
{
	struct options_listen wanted = { .at = { .family = AF_INET6, .port = 80 } };

	ck_assert_int_eq(listeners_address(&wanted).family, AF_INET6);
	wanted.at.family = 0;
	ck_assert_int_eq(listeners_address(&wanted).family, 0);
}
END_TEST

void test_listeners(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, shared_addresses_have_a_queue_each);
	tcase_add_test(tc, a_taken_address_is_named);
	tcase_add_test(tc, a_stale_unix_socket_is_replaced);
	tcase_add_test(tc, an_address_somebody_asked_for_is_taken_as_it_is);
}
