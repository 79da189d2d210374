#include "netns/uapi.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/key.h"
#include "base/model.h"
#include "netns/differ.h"
#include "netns/state.h"

#define SOCKET_DIR "/var/run/wireguard"
#define LINES	   256	/* read between two looks at the clock */

static struct sockaddr_un address_of(const char *link)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	snprintf(at.sun_path, sizeof at.sun_path, "%s/%s.sock", SOCKET_DIR, link);
	return at;
}

void uapi_clear(const char *link)
{
	struct sockaddr_un at = address_of(link);

	unlink(at.sun_path);
}

int uapi_connect(const char *link, pid_t *pid, struct tg_error *err)
{
	struct sockaddr_un at = address_of(link);
	struct ucred       who = { .pid = 0 };
	socklen_t          size = sizeof who;
	TG_AUTO_FD         fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return tg_fail_sys(err, "cannot open a socket");
	if (connect(fd, (const struct sockaddr *)&at, sizeof at) == -1) {
		/* Refused: what a killed one left, or one that is just about to listen. */
		if (errno != ECONNREFUSED && errno != ENOENT)
			return tg_fail_sys(err, "cannot reach wireguard-go of %s", link);
		return tg_fail(err, TG_CODE_NOT_FOUND, "no wireguard-go serves %s", link);
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == -1)
		return tg_fail_sys(err, "cannot tell which process serves %s", link);
	*pid = who.pid;
	return tg_take_fd(&fd);
}

static int send_request(int fd, const char *request, size_t bytes, struct tg_error *err)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };

	while (bytes > 0) {
		ssize_t n = send(fd, request, bytes, MSG_NOSIGNAL);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN && poll(&room, 1, UAPI_SEND_MS) == 1)
			continue;
		if (n == -1)
			return tg_fail_sys(err, "cannot write to wireguard-go");
		request += n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* The last line of an answer, which ends with an empty one; NULL while there is more to come. */
static const char *final_line(const char *answer, size_t bytes)
{
	if (bytes < 2 || memcmp(answer + bytes - 2, "\n\n", 2) != 0)
		return NULL;
	for (size_t at = bytes - 2; at > 0; at--)
		if (answer[at - 1] == '\n')
			return answer + at;
	return answer;
}

static int make_room(struct uapi_answer *answer, struct tg_error *err)
{
	size_t room = answer->room == 0 ? 4096 : answer->room * 2;
	char  *grown = NULL;

	if (answer->room - answer->bytes >= 2)
		return 0;
	if (room > UAPI_ANSWER_MOST)
		return tg_fail(err, TG_CODE_LIMIT, "wireguard-go's answer is too long");
	grown = realloc(answer->text, room);
	if (grown == NULL)
		return tg_fail_memory(err);
	answer->text = grown;
	answer->room = room;
	return 0;
}

static int receive(struct uapi_answer *answer, struct tg_error *err)
{
	const char *last;
	ssize_t     n;

	if (make_room(answer, err) != 0)
		return -1;
	n = recv(answer->fd, answer->text + answer->bytes, answer->room - answer->bytes - 1, 0);
	if (n == -1 && errno == EINTR)
		return 0;
	if (n == -1)
		return tg_fail_sys(err, "wireguard-go does not answer");
	if (n == 0)
		return tg_fail(err, TG_CODE_SYSTEM, "wireguard-go hung up");
	answer->bytes += (size_t)n;
	answer->text[answer->bytes] = '\0';
	last = final_line(answer->text, answer->bytes);
	if (last == NULL || strncmp(last, "errno=", 6) != 0)
		return 0;
	answer->over = true;

	long sys = strtol(last + 6, NULL, 10);

	if (sys != 0)
		return tg_fail_errno(err, (int)(sys < 0 ? -sys : sys), "wireguard-go refused");
	return 0;
}

int uapi_begin(struct uapi_answer *answer, int fd, const char *request, size_t bytes, struct tg_error *err)
{
	*answer = (struct uapi_answer){ .fd = fd, .heard_at_ms = tg_clock_ms() };
	return send_request(fd, request, bytes, err);
}

int uapi_go_on(struct uapi_answer *answer, uint64_t until_ms, struct tg_error *err)
{
	struct pollfd more = { .fd = answer->fd, .events = POLLIN };

	while (!answer->over) {
		uint64_t now = tg_clock_ms();
		uint64_t left = until_ms > now ? until_ms - now : 0;
		int      wait = left < UAPI_WAIT_MS ? (int)left : UAPI_WAIT_MS;

		if (poll(&more, 1, wait) == 1) {
			if (receive(answer, err) != 0)
				return -1;
			answer->heard_at_ms = now = tg_clock_ms();
		} else if (tg_clock_ms() - answer->heard_at_ms >= UAPI_WAIT_MS) {
			return tg_fail_errno(err, EAGAIN, "wireguard-go does not answer");
		} else if (left < UAPI_WAIT_MS) {
			return 0;
		}
		if (now >= until_ms)
			return 0;
	}
	return 0;
}

void uapi_end(struct uapi_answer *answer)
{
	tg_close_at(&answer->fd);
	free(answer->text);
	*answer = (struct uapi_answer){ .fd = -1 };
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_key(const char *hex, struct tg_key *to)
{
	if (strlen(hex) != 2 * sizeof to->bytes)
		return false;
	for (size_t i = 0; i < sizeof to->bytes; i++) {
		int high = digit(hex[2 * i]);
		int low = digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		to->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

void uapi_print_key(char to[65], const unsigned char key[32])
{
	for (size_t i = 0; i < 32; i++)
		snprintf(to + 2 * i, 3, "%02x", key[i]);
}

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 10);
}

/* One line about the peer added last.  -1: out of memory. */
static int take_peer_line(struct state *to, const char *name, const char *value)
{
	struct state_peer *peer = &to->peers[to->peers_count - 1];
	struct tg_cidr     range;

	if (strcmp(name, "preshared_key") == 0)
		read_key(value, &peer->preshared_key);
	else if (strcmp(name, "endpoint") == 0)
		tg_endpoint_read(value, &peer->endpoint);
	else if (strcmp(name, "last_handshake_time_sec") == 0)
		peer->handshake_unix_s = (int64_t)number(value);
	else if (strcmp(name, "rx_bytes") == 0)
		peer->rx = number(value);
	else if (strcmp(name, "tx_bytes") == 0)
		peer->tx = number(value);
	else if (strcmp(name, "persistent_keepalive_interval") == 0)
		peer->keepalive_s = (uint16_t)number(value);
	else if (strcmp(name, "allowed_ip") == 0 && tg_cidr_read(value, &range))
		return state_add_range(to, &range);
	return 0;
}

static int take_line(struct state *to, const char *name, const char *value, struct tg_error *err)
{
	struct tg_key key;

	if (strcmp(name, "errno") == 0) {
		to->device = true;
	} else if (strcmp(name, "public_key") == 0) {
		if (!read_key(value, &key))
			return tg_fail(err, TG_CODE_PROTOCOL, "wireguard-go's answer has a bad key");
		if (state_add_peer(to, &key) == NULL)
			return tg_fail_memory(err);
	} else if (to->peers_count > 0) {
		if (take_peer_line(to, name, value) != 0)
			return tg_fail_memory(err);
	} else if (strcmp(name, "private_key") == 0) {
		read_key(value, &to->private_key);
	} else if (strcmp(name, "listen_port") == 0) {
		to->port = (uint16_t)number(value);
	}
	return 0;
}

/* From *rest on, which is NULL when nothing is left. */
static int take_lines(char **rest, struct state *to, uint64_t until_ms, struct tg_error *err)
{
	unsigned lines = 0;

	for (char *line = strsep(rest, "\n"); line != NULL; line = strsep(rest, "\n")) {
		char       *value = line;
		const char *name = strsep(&value, "=");

		if (value != NULL && take_line(to, name, value, err) != 0)
			return -1;
		if (to->device || (++lines % LINES == 0 && tg_clock_ms() >= until_ms))
			return 0;
	}
	return tg_fail(err, TG_CODE_PROTOCOL, "wireguard-go's answer has no end");
}

int uapi_read_device(char *answer, struct state *to, struct tg_error *err)
{
	return take_lines(&answer, to, UINT64_MAX, err);
}

int uapi_read_some(struct uapi_answer *answer, struct state *to, uint64_t until_ms, struct tg_error *err)
{
	char *rest = answer->text + answer->read;

	if (take_lines(&rest, to, until_ms, err) != 0)
		return -1;
	if (rest != NULL)
		answer->read = (size_t)(rest - answer->text);
	return 0;
}

/* A text that only grows while there is room. */
struct request {
	char  *text;
	size_t room, at;
	bool   full;
};

static void put_line(struct request *to, const char *name, const char *value)
{
	int n = to->full ? 0 : snprintf(to->text + to->at, to->room - to->at, "%s=%s\n", name, value);

	if (n < 0 || (size_t)n >= to->room - to->at)
		to->full = true;
	else
		to->at += (size_t)n;
}

static void put_key(struct request *to, const char *name, const struct tg_key *key)
{
	char hex[65];

	uapi_print_key(hex, key->bytes);
	put_line(to, name, hex);
}

static void put_ranges(struct request *to, const struct plan *plan, const struct step *step)
{
	for (uint32_t i = 0; i < step->ranges_count; i++) {
		char text[TG_CIDR_TEXT];

		put_line(to, "allowed_ip", tg_cidr_print(&plan->ranges[step->ranges_first + i], text));
	}
}

static void put_set(struct request *to, const struct plan *plan, const struct step *step)
{
	char text[TG_ENDPOINT_TEXT];

	put_key(to, "public_key", &step->key);
	if ((step->flags & STEP_PEER_NEW) == 0)
		put_line(to, "update_only", "true");
	if ((step->flags & STEP_PEER_PRESHARED) != 0)
		put_key(to, "preshared_key", &step->peer->preshared_key);
	if ((step->flags & STEP_PEER_ENDPOINT) != 0)
		put_line(to, "endpoint", tg_endpoint_print(&step->peer->endpoint, text));
	if ((step->flags & STEP_PEER_KEEPALIVE) != 0) {
		snprintf(text, sizeof text, "%u", (unsigned)step->peer->keepalive_s);
		put_line(to, "persistent_keepalive_interval", text);
	}
	put_ranges(to, plan, step);
}

/* The ranges move to a peer made for it, which goes at once, in the same request: wireguard-go can't take
 * a range from a peer without replacing all it has. */
static void put_drop(struct request *to, const struct plan *plan, const struct step *step)
{
	struct tg_key secret;
	struct tg_key key;

	tg_key_make(&secret);
	if (tg_key_public(&secret, &key) != 0) {
		to->full = true;
		return;
	}
	put_key(to, "public_key", &key);
	put_ranges(to, plan, step);
	put_key(to, "public_key", &key);
	put_line(to, "remove", "true");
}

size_t uapi_print_step(char *to, size_t room, const struct plan *plan, const struct step *step)
{
	struct request request = { .text = to, .room = room };

	if (step->kind == STEP_PEER_SET) {
		put_set(&request, plan, step);
	} else if (step->kind == STEP_RANGES_DROP) {
		put_drop(&request, plan, step);
	} else {
		put_key(&request, "public_key", &step->key);
		put_line(&request, "remove", "true");
	}
	return request.full ? 0 : request.at;
}
