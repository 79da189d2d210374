/* Calls of the daemon's API. */
#ifndef TOLLGATE_CLI_CLIENT_H
#define TOLLGATE_CLI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct args;
struct client;
struct tg_error;

#define CLIENT_BODY_MOST (256U << 20)	/* of an answer that is kept whole */

struct client_answer {
	long    status;
	char   *body;		/* NUL-terminated; the caller's */
	size_t  bytes;
	int64_t stop_time;	/* Tollgate-Stop-Time, -1: none */
};

/* A piece of a streamed answer of status 200.  false: stop. */
typedef bool client_piece_fn(const char *piece, size_t bytes, void *arg);

/* NULL: `err` says why. */
struct client *client_new(const struct args *args, struct tg_error *err);
void client_free(struct client *client);
/* `path` is what follows /api/v1.  `body` NULL: a GET, else a POST.  0 when an answer came, whatever
 * its status. */
int client_call(struct client *client, const char *path, const char *body, size_t body_bytes,
                struct client_answer *to, struct tg_error *err);
/* A GET whose answer goes to `each` as it comes; the body of another status than 200 goes to `to`.
 * -1 also when the answer was cut short.  For one call of a client, its last. */
int client_stream(struct client *client, const char *path, const char *accept, client_piece_fn *each,
                  void *arg, struct client_answer *to, struct tg_error *err);
void client_answer_clear(struct client_answer *answer);
/* As part of a path or a query, percent-encoded; free() it.  NULL: out of memory. */
char *client_escape(const char *text);

#endif
