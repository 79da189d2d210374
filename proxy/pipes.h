/* Pipes for splicing: few and large, because a user without rights may have 64 MiB of pipe buffers in
 * all, and beyond some number of pipes gets tiny ones. */
#ifndef TOLLGATE_PROXY_PIPES_H
#define TOLLGATE_PROXY_PIPES_H

#include <stdbool.h>
#include <stddef.h>

struct pipes;

#define PIPES_MOST 32	/* of one worker; beyond, bulk goes through its buffer, which costs little more */

struct pipe_pair {
	struct pipe_pair *next;
	int               out, in;	/* the end to read, the end to write */
	size_t            bytes;	/* what it holds at most */
};

struct pipes *pipes_new(unsigned most);
/* All must have been given back. */
void pipes_free(struct pipes *pipes);
/* An empty pipe, to be given back; NULL when none is to be had. */
struct pipe_pair *pipes_take(struct pipes *pipes);
/* One that is not empty (`drained` false) is closed. */
void pipes_give(struct pipes *pipes, struct pipe_pair *pair, bool drained);

#endif
