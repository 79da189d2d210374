#include "proxy/pipes.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define BYTES_WANTED (1 << 20)	/* 0.30 s of CPU a GB; default pipes 0.40 */
#define BYTES_MODEST (1 << 18)	/* when too many other pipes are that large */
#define BYTES_LEAST  (1 << 16)	/* smaller ones cost more than the buffer */

struct pipes {
	struct pipe_pair *idle;
	unsigned          made;
	unsigned          most;
};

struct pipes *pipes_new(unsigned most)
{
	struct pipes *pipes = calloc(1, sizeof(*pipes));

	if (pipes != NULL)
		pipes->most = most;
	return pipes;
}

static void pair_close(struct pipes *pipes, struct pipe_pair *pair)
{
	close(pair->in);
	close(pair->out);
	free(pair);
	pipes->made--;
}

void pipes_free(struct pipes *pipes)
{
	if (pipes == NULL)
		return;
	while (pipes->idle != NULL) {
		struct pipe_pair *pair = pipes->idle;

		pipes->idle = pair->next;
		pair_close(pipes, pair);
	}
	assert(pipes->made == 0);
	free(pipes);
}

static struct pipe_pair *pair_make(struct pipes *pipes)
{
	struct pipe_pair *pair = calloc(1, sizeof(*pair));
	int               ends[2];
	int               bytes;

	if (pair == NULL)
		return NULL;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == -1) {
		free(pair);
		return NULL;
	}
	pair->out = ends[0];
	pair->in = ends[1];
	pipes->made++;

	bytes = fcntl(pair->in, F_SETPIPE_SZ, BYTES_WANTED);
	if (bytes == -1)
		bytes = fcntl(pair->in, F_SETPIPE_SZ, BYTES_MODEST);
	if (bytes == -1)
		bytes = fcntl(pair->in, F_GETPIPE_SZ);
	if (bytes < BYTES_LEAST) {
		pair_close(pipes, pair);
		return NULL;
	}
	pair->bytes = (size_t)bytes;
	return pair;
}

struct pipe_pair *pipes_take(struct pipes *pipes)
{
	struct pipe_pair *pair = pipes->idle;

	if (pair == NULL)
		return pipes->made < pipes->most ? pair_make(pipes) : NULL;
	pipes->idle = pair->next;
	pair->next = NULL;
	return pair;
}

void pipes_give(struct pipes *pipes, struct pipe_pair *pair, bool drained)
{
	if (!drained) {
		pair_close(pipes, pair);
		return;
	}
	pair->next = pipes->idle;
	pipes->idle = pair;
}
