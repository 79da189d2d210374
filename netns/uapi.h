/* wireguard-go's control socket: one question and one answer in text, as "Cross-platform Userspace
 * Implementation" at wireguard.com/xplatform says. */
#ifndef TOLLGATE_NETNS_UAPI_H
#define TOLLGATE_NETNS_UAPI_H

#include <stddef.h>
#include <sys/types.h>

struct plan;
struct state;
struct step;
struct tg_error;

#define UAPI_ANSWER_MOST (16U << 20)	/* of a device with some 20,000 peers */

/* Connects to the socket of the link of that name and tells who listens there; the caller closes it.
 * NOT_FOUND: nobody does, or not yet. */
int uapi_connect(const char *link, pid_t *pid, struct tg_error *err);
/* Removes what a killed one left of its socket.  A process that listens there cannot be reached
 * afterwards. */
void uapi_clear(const char *link);
/* Sends a whole request and reads its answer into *answer (free it; `bytes` without the NUL).  An errno in
 * the answer becomes err->sys. */
int uapi_ask(int fd, const char *request, size_t bytes, char **answer, size_t *answered,
             struct tg_error *err);
/* Reads an answer to "get=1": device, keys, port and peers of `to`.  The answer is changed.  Lines that
 * are not known are skipped.  -1: out of memory, or no such answer. */
int uapi_read_device(char *answer, struct state *to, struct tg_error *err);
/* The request that carries out the step, added to `to` (of `room` bytes).  The number of bytes, 0 when
 * there is no room. */
size_t uapi_print_step(char *to, size_t room, const struct plan *plan, const struct step *step);
/* A key as the socket has it. */
void uapi_print_key(char to[65], const unsigned char key[32]);

#endif
