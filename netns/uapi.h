/* wireguard-go's control socket: one question and one answer in text, as "Cross-platform Userspace
 * Implementation" at wireguard.com/xplatform says. */
#ifndef TOLLGATE_NETNS_UAPI_H
#define TOLLGATE_NETNS_UAPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct plan;
struct state;
struct step;
struct tg_error;

#define UAPI_ANSWER_MOST (16U << 20)	/* of a device with some 20,000 peers */
#define UAPI_WAIT_MS	 250	/* from one part of an answer to the next */
#define UAPI_SEND_MS	 10	/* for room for the rest of a request */

/* An answer as it comes.  All zero but for the descriptor before the first byte. */
struct uapi_answer {
	int      fd;	/* of uapi_connect(), -1: none */
	char    *text;
	size_t   room, bytes;	/* without the NUL */
	size_t   read;	/* what uapi_read_some() is through with */
	uint64_t heard_at_ms;	/* when the last of it came */
	bool     over;
};

/* Connects to the socket of the link of that name and tells who listens there; the caller closes it.  Nothing
 * that is done with it waits.  NOT_FOUND: nobody does, or not yet. */
int uapi_connect(const char *link, pid_t *pid, struct tg_error *err);
/* Removes what a killed one left of its socket.  A process that listens there cannot be reached
 * afterwards. */
void uapi_clear(const char *link);
/* Sends a whole request.  `fd` is the answer's from here on, whatever comes. */
int uapi_begin(struct uapi_answer *answer, int fd, const char *request, size_t bytes, struct tg_error *err);
/* Reads until it is over or the monotonic clock reaches until_ms; what is there is read whatever the clock
 * shows.  EAGAIN in err->sys: nothing came for UAPI_WAIT_MS.  An errno in the answer becomes err->sys. */
int uapi_go_on(struct uapi_answer *answer, uint64_t until_ms, struct tg_error *err);
void uapi_end(struct uapi_answer *answer);
/* Reads an answer to "get=1": device, keys, port and peers of `to`.  The answer is changed.  Lines that
 * are not known are skipped.  -1: out of memory, or no such answer. */
int uapi_read_device(char *answer, struct state *to, struct tg_error *err);
/* The same until the clock reaches until_ms, some lines at least.  to->device: all has been read. */
int uapi_read_some(struct uapi_answer *answer, struct state *to, uint64_t until_ms, struct tg_error *err);
/* The request that carries out the step, added to `to` (of `room` bytes).  The number of bytes, 0 when
 * there is no room. */
size_t uapi_print_step(char *to, size_t room, const struct plan *plan, const struct step *step);
/* A key as the socket has it. */
void uapi_print_key(char to[65], const unsigned char key[32]);

#endif
