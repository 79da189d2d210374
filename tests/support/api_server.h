/* An API on a loopback port and a Unix socket, and clients that write bytes at it, all in one process
 * and one loop, which runs while a client waits. */
#ifndef TOLLGATE_TESTS_SUPPORT_API_SERVER_H
#define TOLLGATE_TESTS_SUPPORT_API_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "api/api.h"
#include "api/limits.h"

#define API_SERVER_TOKENS "secret\nread looker\n"
#define API_SERVER_HOST   "Host: server\r\n"
#define API_SERVER_ADMIN  API_SERVER_HOST "Token: secret\r\n"

struct event_base;

struct api_server {
	struct event_base *base;
	struct api        *api;
	struct api_limits  limits;	/* taken by api_server_start(), later ones are in `api` */
	unsigned short     port;
	char               path[64];	/* of the Unix socket */
	/* The last call; its texts are gone. */
	unsigned           calls;
	struct api_call    call;
	size_t             body_bytes;
	unsigned           body_sum;	/* of its bytes */
	bool               hold;	/* calls are not answered */
	struct api_request *held;
	bool               stream;	/* calls are answered by streams of `chunks` times 64 KiB */
	unsigned           chunks;
	bool               hold_open;	/* and not ended */
	unsigned           given, gone;
	size_t             waiting_most;
};

/* With the usual limits. */
void api_server_init(struct api_server *server);
void api_server_start(struct api_server *server);
void api_server_stop(struct api_server *server);
/* One turn of the loop, or what there is to do for `ms`: as many turns at least, however slow the machine. */
void api_server_turn(struct api_server *server);
void api_server_run(struct api_server *server, unsigned ms);

struct api_server_client {
	struct api_server *server;
	int             fd;
	bool            closed;		/* by the other side */
	bool            reset;
	char           *got;		/* all that came, NUL-terminated */
	size_t             have, room;
};

void api_server_connect(struct api_server *server, struct api_server_client *client, bool local);
void api_server_leave(struct api_server_client *client);
/* All of it, running the loop as needed; less when the other side has closed. */
void api_server_say(struct api_server_client *client, const char *text);
size_t api_server_write(struct api_server_client *client, const char *data, size_t bytes);
/* Reads what there is.  false: nothing more will come. */
bool api_server_read(struct api_server_client *client);
/* Runs until `text` has come (for the n-th time), or the connection has ended; false after 15 s. */
bool api_server_until(struct api_server_client *client, const char *text, unsigned times);
bool api_server_until_closed(struct api_server_client *client);
/* Connects, says `text`, and reads until the connection ends. */
void api_server_ask(struct api_server *server, struct api_server_client *client, const char *text);

#endif
