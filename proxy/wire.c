#include "proxy/wire.h"

#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct wire *wire = arg;

	(void)fd;
	what &= EV_READ | EV_WRITE | EV_CLOSED;
	if ((what & EV_CLOSED) != 0) {
		wire->ended = true;
		what |= EV_READ;
	}
	wire->ready |= what & (EV_READ | EV_WRITE);
	wire->on_ready(wire, what);
}

void wire_init(struct wire *wire)
{
	*wire = (struct wire){ .fd = -1 };
}

int wire_open(struct wire *wire, struct event_base *base, int fd, wire_fn *on_ready, void *owner)
{
	static const short all = EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST;

	wire->fd = fd;
	wire->ready = 0;
	wire->ended = false;
	wire_give(wire, on_ready, owner);
	if (event_assign(&wire->ev, base, fd, all, on_event, wire) == 0 && event_add(&wire->ev, NULL) == 0)
		return 0;

	close(fd);
	wire->fd = -1;
	return -1;
}

void wire_give(struct wire *wire, wire_fn *on_ready, void *owner)
{
	wire->on_ready = on_ready;
	wire->owner = owner;
}

void wire_again(struct wire *wire)
{
	/* Registering anew makes epoll report what is ready although it did not change; event_active()
	 * would come back before the loop looked at any other socket. */
	event_del(&wire->ev);
	event_add(&wire->ev, NULL);
}

void wire_close(struct wire *wire)
{
	if (wire->fd == -1)
		return;
	event_del(&wire->ev);
	close(wire->fd);
	wire->fd = -1;
}

void wire_reset(struct wire *wire)
{
	static const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	if (wire->fd != -1)
		setsockopt(wire->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	wire_close(wire);
}
