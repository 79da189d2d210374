#include "tests/support/api_server.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/error.h"

#define WAIT_MS    15000
#define CHUNK_SIZE (64U << 10)

static void on_more(struct api_request *request, void *arg)
{
	static char chunk[CHUNK_SIZE];
	struct api_server *server = arg;

	if (server->given == server->chunks) {
		if (!server->hold_open) {
			server->held = NULL;
			api_stream_end(request, true);
		}
		return;
	}
	memset(chunk, 'x', sizeof(chunk));
	server->given++;
	api_stream_chunk(request, chunk, sizeof(chunk));
	if (api_stream_waiting(request) > server->waiting_most)
		server->waiting_most = api_stream_waiting(request);
}

static void on_gone(struct api_request *request, void *arg)
{
	struct api_server *server = arg;

	server->gone++;
	server->held = NULL;
	api_stream_end(request, false);
}

static void on_call(struct api_request *request, const struct api_call *call, void *arg)
{
	struct api_server *server = arg;
	char text[96];
	int len;

	server->calls++;
	server->call = *call;
	server->body_bytes = call->body_bytes;
	server->body_sum = 0;
	for (size_t i = 0; i < call->body_bytes; i++)
		server->body_sum += (unsigned char)call->body[i];
	if (server->hold || server->stream)
		server->held = request;
	if (server->stream) {
		api_stream_begin(request, "text/csv", 1234, on_more, on_gone, server);
		return;
	}
	if (server->hold)
		return;
	len = snprintf(text, sizeof(text), "{\"call\":%u,\"action\":%d}", server->calls, (int)call->action);
	api_reply(request, 200, NULL, "\"tag\"", text, (size_t)len);
}

void api_server_init(struct api_server *server)
{
	memset(server, 0, sizeof(*server));
	server->limits = api_limits_usual;
}

static int listen_at(const struct sockaddr *address, socklen_t len)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(bind(fd, address, len), 0);
	ck_assert_int_eq(listen(fd, 512), 0);
	return fd;
}

void api_server_start(struct api_server *server)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct api_options options = { .on_call = on_call, .arg = server, .limits = &server->limits };
	socklen_t len = sizeof(in);
	struct tg_error err;
	int tcp, local;

	signal(SIGPIPE, SIG_IGN);
	snprintf(server->path, sizeof(server->path), "/tmp/test-api-%ld.sock", (long)getpid());
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", server->path);
	unlink(server->path);
	tcp = listen_at((struct sockaddr *)&in, sizeof(in));
	local = listen_at((struct sockaddr *)&un, sizeof(un));
	ck_assert_int_eq(getsockname(tcp, (struct sockaddr *)&in, &len), 0);
	server->port = ntohs(in.sin_port);

	server->base = event_base_new();
	server->api = api_new(server->base, &options);
	ck_assert_ptr_nonnull(server->api);
	ck_assert_int_eq(api_tokens(server->api, API_SERVER_TOKENS, strlen(API_SERVER_TOKENS), &err), 0);
	ck_assert_int_eq(api_listen(server->api, tcp, false, &err), 0);
	ck_assert_int_eq(api_listen(server->api, local, true, &err), 0);
}

void api_server_stop(struct api_server *server)
{
	api_free(server->api);
	event_base_free(server->base);
	unlink(server->path);
}

void api_server_turn(struct api_server *server)
{
	event_base_loop(server->base, EVLOOP_NONBLOCK);
}

void api_server_run(struct api_server *server, unsigned ms)
{
	uint64_t end = tg_clock_ms() + ms;

	for (unsigned turns = 0; turns < ms || tg_clock_ms() < end; turns++) {
		api_server_turn(server);
		usleep(500);
	}
}

void api_server_connect(struct api_server *server, struct api_server_client *client, bool local)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		                  .sin_port = htons(server->port),
		                  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int result;

	*client = (struct api_server_client){ .server = server };
	client->got = calloc(1, 1);
	client->fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_ne(client->fd, -1);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", server->path);
	result = local ? connect(client->fd, (struct sockaddr *)&un, sizeof(un))
	               : connect(client->fd, (struct sockaddr *)&in, sizeof(in));
	ck_assert(result == 0 || errno == EINPROGRESS);
}

void api_server_leave(struct api_server_client *client)
{
	close(client->fd);
	free(client->got);
	client->got = NULL;
}

bool api_server_read(struct api_server_client *client)
{
	char piece[64U << 10];
	ssize_t bytes = 0;

	while (!client->closed && (bytes = recv(client->fd, piece, sizeof(piece), 0)) > 0) {
		while (client->room < client->have + (size_t)bytes + 1) {
			client->room = 2 * client->room + 4096;
			client->got = realloc(client->got, client->room);
			ck_assert_ptr_nonnull(client->got);
		}
		memcpy(client->got + client->have, piece, (size_t)bytes);
		client->have += (size_t)bytes;
		client->got[client->have] = '\0';
	}
	if (bytes == -1 && errno != EAGAIN && errno != ENOTCONN)
		client->closed = client->reset = true;
	else if (bytes == 0)
		client->closed = true;
	return !client->closed;
}

size_t api_server_write(struct api_server_client *client, const char *data, size_t bytes)
{
	uint64_t end = tg_clock_ms() + WAIT_MS;
	size_t done = 0;

	while (done < bytes && !client->closed && tg_clock_ms() < end) {
		ssize_t sent = send(client->fd, data + done, bytes - done, MSG_NOSIGNAL);

		if (sent > 0)
			done += (size_t)sent;
		else if (errno != EAGAIN && errno != ENOTCONN)
			break;
		api_server_turn(client->server);
		api_server_read(client);
	}
	return done;
}

void api_server_say(struct api_server_client *client, const char *text)
{
	api_server_write(client, text, strlen(text));
}

static unsigned count_of(const char *text, const char *part)
{
	unsigned count = 0;

	for (; (text = strstr(text, part)) != NULL; text += strlen(part))
		count++;
	return count;
}

bool api_server_until(struct api_server_client *client, const char *text, unsigned times)
{
	uint64_t end = tg_clock_ms() + WAIT_MS;

	while (count_of(client->got, text) < times) {
		if (client->closed || tg_clock_ms() > end)
			return false;
		api_server_turn(client->server);
		if (api_server_read(client))
			usleep(200);
	}
	return true;
}

bool api_server_until_closed(struct api_server_client *client)
{
	uint64_t end = tg_clock_ms() + WAIT_MS;

	while (!client->closed && tg_clock_ms() < end) {
		api_server_turn(client->server);
		if (api_server_read(client))
			usleep(200);
	}
	return client->closed;
}

void api_server_ask(struct api_server *server, struct api_server_client *client, const char *text)
{
	api_server_connect(server, client, false);
	api_server_say(client, text);
	ck_assert_msg(api_server_until_closed(client), "still open after: %s", client->got);
}
