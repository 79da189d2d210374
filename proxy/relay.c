#include "proxy/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "proxy/host.h"
#include "proxy/pipes.h"
#include "proxy/wire.h"
#include "proxy/worker.h"

#define BULK_READS   4			/* full reads in a row that make a direction one in bulk */
#define BULK_LEAST   (WORKER_BUFFER_BYTES / 2)	/* a splice that brings less ends it */
#define TURN_BYTES   (1U << 20)		/* then it is another connection's turn */

enum way_result {
	WAY_WAITS,	/* nothing to read or no room to write, or both were told of the end */
	WAY_AGAIN,	/* it has had its turn */
	WAY_READ_FAILED,
	WAY_WRITE_FAILED,
};

static struct relay *relay_of(struct timer *timer)
{
	return (struct relay *)((char *)timer - offsetof(struct relay, timer));
}

static bool way_holds(const struct relay_way *way)
{
	return way->in_pipe != 0 || way->kept != NULL;
}

static void way_give_pipe(struct relay *relay, struct relay_way *way)
{
	if (way->pipe != NULL)
		pipes_give(relay->worker->pipes, way->pipe, way->in_pipe == 0);
	way->pipe = NULL;
	way->in_pipe = 0;
}

static int way_keep(struct relay_way *way, const void *data, size_t bytes)
{
	way->kept = malloc(bytes);
	if (way->kept == NULL)
		return -1;
	memcpy(way->kept, data, bytes);
	way->kept_at = 0;
	way->kept_bytes = (uint32_t)bytes;
	return 0;
}

int relay_put_first(struct relay_way *way, const void *data, size_t bytes)
{
	return bytes == 0 ? 0 : way_keep(way, data, bytes);
}

/* Whether a failed call only means "not now": then the edge that will tell is waited for. */
static bool not_now(struct wire *wire, short what)
{
	if (errno != EAGAIN && errno != EINTR)
		return false;
	if (errno == EAGAIN)
		wire->ready &= (short)~what;
	return true;
}

/* Only what comes from the client and what goes to it is counted, on this side and on that. */
static void way_received(struct relay *relay, const struct relay_way *way, ssize_t n)
{
	if (way == &relay->up && relay->use != NULL)
		host_received(relay->use, (uint64_t)n);
}

static void way_sending(struct relay *relay, const struct relay_way *way, size_t most)
{
	if (way == &relay->down && relay->use != NULL)
		host_sending(relay->use, most);
}

static void way_sent(struct relay *relay, const struct relay_way *way, ssize_t n)
{
	if (way == &relay->down && relay->use != NULL)
		host_sent(relay->use, n > 0 ? (uint64_t)n : 0);
}

/* Sends what lies in the pipe or was kept.  Returns false when sending failed. */
static bool way_flush(struct relay *relay, struct relay_way *way, uint64_t *sent)
{
	ssize_t n;

	way_sending(relay, way, way->kept != NULL ? way->kept_bytes - way->kept_at : way->in_pipe);
	if (way->kept != NULL)
		n = send(way->to->fd, way->kept + way->kept_at, way->kept_bytes - way->kept_at, MSG_NOSIGNAL);
	else
		n = splice(way->pipe->out, NULL, way->to->fd, NULL, way->in_pipe,
		           SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	way_sent(relay, way, n);
	if (n == -1)
		return not_now(way->to, EV_WRITE);

	*sent += (uint64_t)n;
	if (way->kept == NULL) {
		way->in_pipe -= (uint32_t)n;
		return true;
	}
	way->kept_at += (uint32_t)n;
	if (way->kept_at == way->kept_bytes) {
		free(way->kept);
		way->kept = NULL;
	}
	return true;
}

static enum way_result way_read_pipe(struct relay *relay, struct relay_way *way, uint64_t *received)
{
	ssize_t n = splice(way->from->fd, NULL, way->pipe->in, NULL, way->pipe->bytes,
	                   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

	if (n == -1)
		return not_now(way->from, EV_READ) ? WAY_WAITS : WAY_READ_FAILED;
	if (n == 0)
		way->ended = 1;
	if (n < BULK_LEAST)
		way->full = 0;
	way->in_pipe = (uint32_t)n;
	way_received(relay, way, n);
	*received += (uint64_t)n;
	return WAY_WAITS;
}

static enum way_result way_read_buffer(struct relay *relay, struct relay_way *way, uint64_t *received,
                                       uint64_t *sent)
{
	uint8_t *buffer = relay->worker->buffer;
	ssize_t  n = recv(way->from->fd, buffer, WORKER_BUFFER_BYTES, 0);
	ssize_t  taken;

	if (n == -1)
		return not_now(way->from, EV_READ) ? WAY_WAITS : WAY_READ_FAILED;
	if (n == 0) {
		way->ended = 1;
		return WAY_WAITS;
	}
	way_received(relay, way, n);
	*received += (uint64_t)n;
	if (n == WORKER_BUFFER_BYTES) {
		if (way->full < BULK_READS)
			way->full++;
	} else {
		way->full = 0;
		/* That was all, unless its end lies behind it, of which no further edge would tell. */
		if (!way->from->ended)
			way->from->ready &= ~EV_READ;
	}

	way_sending(relay, way, (size_t)n);
	taken = send(way->to->fd, buffer, (size_t)n, MSG_NOSIGNAL);
	way_sent(relay, way, taken);
	if (taken == -1 && !not_now(way->to, EV_WRITE))
		return WAY_WRITE_FAILED;
	if (taken == -1)
		taken = 0;
	*sent += (uint64_t)taken;
	/* A connection that can't keep what it read has lost it: no memory is a failure. */
	if (taken < n && way_keep(way, buffer + taken, (size_t)(n - taken)) == -1)
		return WAY_READ_FAILED;
	return WAY_WAITS;
}

/* Tells the other side of the end.  When it was the last way, closing does that. */
static void way_shut(struct relay *relay, struct relay_way *way)
{
	const struct relay_way *other = way == &relay->up ? &relay->down : &relay->up;

	way->shut = 1;
	if (!other->shut)
		shutdown(way->to->fd, SHUT_WR);
}

/* Moves until one side has enough.  Adds up what came from `from` and what went to `to`. */
static enum way_result way_move(struct relay *relay, struct relay_way *way, uint64_t *received,
                                uint64_t *sent)
{
	uint64_t         stop_at = *received + TURN_BYTES;
	enum way_result  result = WAY_WAITS;

	while (result == WAY_WAITS) {
		if (way_holds(way)) {
			if ((way->to->ready & EV_WRITE) == 0)
				return WAY_WAITS;
			if (!way_flush(relay, way, sent))
				return WAY_WRITE_FAILED;
			continue;
		}
		if (way->full < BULK_READS)
			way_give_pipe(relay, way);
		if (way->ended && !way->shut)
			way_shut(relay, way);
		if (way->ended || (way->from->ready & EV_READ) == 0 || (way->to->ready & EV_WRITE) == 0)
			break;
		if (*received >= stop_at)
			return WAY_AGAIN;

		if (way->full >= BULK_READS && way->pipe == NULL)
			way->pipe = pipes_take(relay->worker->pipes);
		if (way->pipe != NULL)
			result = way_read_pipe(relay, way, received);
		else
			result = way_read_buffer(relay, way, received, sent);
	}
	/* An idle direction holds no pipe, and keeps its pace in mind. */
	if (way->in_pipe == 0)
		way_give_pipe(relay, way);
	return result;
}

static void relay_finish(struct relay *relay, bool reset)
{
	if (!reset) {
		wire_close(relay->up.from);
		wire_close(relay->up.to);
	}
	relay_done_fn *done = relay->done;

	relay_clear(relay);
	done(relay);
}

static bool failed(enum way_result result)
{
	return result == WAY_READ_FAILED || result == WAY_WRITE_FAILED;
}

void relay_run(struct relay *relay)
{
	uint64_t        received = 0;
	uint64_t        sent = 0;
	enum way_result up = way_move(relay, &relay->up, &received, &sent);
	/* Also when the other way failed: what was sent before a reset may still be read. */
	enum way_result down = way_move(relay, &relay->down, &received, &sent);

	if (failed(up) || failed(down)) {
		relay_finish(relay, true);
		return;
	}
	if (relay->up.shut && relay->down.shut) {
		relay_finish(relay, false);
		return;
	}
	if (up == WAY_AGAIN)
		wire_again(relay->up.from);
	if (down == WAY_AGAIN)
		wire_again(relay->down.from);
	if (received + sent != 0)
		timer_put_off(relay->worker->timers, &relay->timer, RELAY_IDLE_MS);
}

static void on_wire(struct wire *wire, short what)
{
	(void)what;	/* it is in wire->ready */
	relay_run(wire->owner);
}

static void on_idle(struct timer *timer)
{
	relay_finish(relay_of(timer), true);
}

void relay_start(struct relay *relay, struct worker *w, struct wire *client, struct wire *upstream,
                 struct host_use *use, relay_done_fn *done)
{
	*relay = (struct relay){
		.worker = w,
		.use = use,
		.done = done,
		.up = { .from = client, .to = upstream },
		.down = { .from = upstream, .to = client },
	};
	/* Whoever had the wires before may have used up an edge that told of room. */
	client->ready |= EV_READ | EV_WRITE;
	upstream->ready |= EV_WRITE;
	wire_give(client, on_wire, relay);
	wire_give(upstream, on_wire, relay);
	timer_start(w->timers, &relay->timer, RELAY_IDLE_MS, on_idle);
}

void relay_clear(struct relay *relay)
{
	if (relay->worker == NULL)
		return;
	timer_stop(&relay->timer);
	way_give_pipe(relay, &relay->up);
	way_give_pipe(relay, &relay->down);
	free(relay->up.kept);
	free(relay->down.kept);
	wire_reset(relay->up.from);
	wire_reset(relay->up.to);
	relay->worker = NULL;
}
