#include "tests/support/web.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy/timer.h"
#include "proxy/worker.h"
#include "tests/support/ingress.h"

#define TURNS_MOST 20000
#define MOMENT_MS  20

void web_send(struct ingress *in, int fd, const void *data, size_t bytes)
{
	ingress_send(in, fd, data, bytes);
}

void web_say(struct ingress *in, int fd, const char *text)
{
	ingress_send(in, fd, text, strlen(text));
}

void web_hear(struct ingress *in, int fd, char *text, size_t size, const char *end)
{
	size_t len = 0;
	size_t end_len = strlen(end);

	for (int turns = 0; len < end_len || memcmp(text + len - end_len, end, end_len) != 0;) {
		ck_assert_msg(len + 1 < size, "too much came: %.200s", text);

		ssize_t n = recv(fd, text + len, 1, 0);

		text[len + (n > 0)] = '\0';
		ck_assert_msg(n > 0 || (n == -1 && errno == EAGAIN), "%s after: %s",
		              n == 0 ? "an end" : strerror(errno), text);
		if (n > 0) {
			len++;
			continue;
		}
		ck_assert_msg(++turns < TURNS_MOST, "nothing more came after: %s", text);
		ingress_run(in, 1);
	}
}

void web_hear_status(struct ingress *in, int fd, char *text, size_t size, unsigned status)
{
	char line[32];

	web_hear(in, fd, text, size, "\r\n\r\n");
	snprintf(line, sizeof line, "HTTP/1.1 %u ", status);
	ck_assert_msg(strncmp(text, line, strlen(line)) == 0, "%s", text);
}

int web_ask(struct ingress *in, uint16_t port, const char *request)
{
	int client = ingress_connect(in, port);

	web_say(in, client, request);
	return client;
}

int web_end(struct ingress *in, int fd)
{
	char byte;

	for (int turns = 0; turns < TURNS_MOST; turns++) {
		ssize_t n = recv(fd, &byte, 1, 0);

		if (n == 0)
			return 0;
		ck_assert_msg(n == -1, "bytes came before the end, first '%c'", byte);
		if (errno != EAGAIN)
			return errno;
		ingress_run(in, 1);
	}
	ck_abort_msg("no end came");
	return -1;
}

void web_silence(struct ingress *in, int fd)
{
	char byte;

	ingress_run(in, MOMENT_MS);

	ssize_t n = recv(fd, &byte, 1, 0);

	ck_assert_msg(n == -1 && errno == EAGAIN, "%s", n == 1 ? "a byte came" : "an end came");
}

void web_nobody_comes(struct ingress *in, int listener)
{
	ingress_run(in, MOMENT_MS);
	ck_assert_int_eq(accept4(listener, NULL, NULL, SOCK_CLOEXEC), -1);
	ck_assert_int_eq(errno, EAGAIN);
}

void web_pass(struct ingress *in, unsigned ms)
{
	ingress_run(in, MOMENT_MS);
	tg_clock_fake(tg_clock_ms() + ms, tg_clock_unix_ms() + ms);
	timers_run(in->worker->timers);
	ingress_run(in, 1);
}
