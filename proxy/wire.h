/* A connected (or connecting) socket in the loop, registered once and edge-triggered for both ways:
 * whoever owns it at the moment has its callback in it, so a hand-over costs no system call.  An
 * owner reads until EAGAIN, or calls wire_again(). */
#ifndef TOLLGATE_PROXY_WIRE_H
#define TOLLGATE_PROXY_WIRE_H

#include <stdbool.h>

#include <event2/event_struct.h>

struct event_base;
struct wire;

/* `what`: EV_READ, EV_WRITE, and EV_CLOSED (with EV_READ) when the other end sent its FIN; errors show
 * as reading and writing.  The callee may close it. */
typedef void wire_fn(struct wire *wire, short what);

struct wire {
	struct event ev;
	wire_fn     *on_ready;
	void        *owner;	/* for the callback: whose wire it is just now */
	int          fd;	/* -1: none */
	short        ready;	/* what an edge told of; an owner that finds EAGAIN may clear it */
	bool         ended;	/* an edge told that the other end sent its FIN: a short read is not all */
};

/* Takes `fd` and registers it.  -1: out of memory; `fd` is then closed. */
int wire_open(struct wire *wire, struct event_base *base, int fd, wire_fn *on_ready, void *owner);
/* Changes the owner. */
void wire_give(struct wire *wire, wire_fn *on_ready, void *owner);
/* No socket: wire_close() is fine on it. */
void wire_init(struct wire *wire);
/* Has the loop tell once more, after it looked at the others, what the socket is ready for: for an
 * owner that stops before EAGAIN. */
void wire_again(struct wire *wire);
/* Closes, with FIN (or RST when received bytes were left unread).  Nothing when there is none. */
void wire_close(struct wire *wire);
/* Closes with RST, which tells the other end that what it got may be incomplete. */
void wire_reset(struct wire *wire);

#endif
