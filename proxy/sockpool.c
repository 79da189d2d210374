#include "proxy/sockpool.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define uthash_nonfatal_oom(entry) ((entry)->in_table = false)
#define HASH_NONFATAL_OOM 1
#include "base/uthash.h"

#include "base/channel.h"
#include "base/clock.h"
#include "base/fd.h"

#define ASKS_MOST 8	/* unanswered requests of one network */

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71	/* asm-generic/socket.h, Linux 5.14 */
#endif

/* Without padding, because it is compared as bytes. */
struct key {
	uint64_t netns_cookie;
	uint64_t family;
};

struct wait {
	struct wait      *next, *previous;	/* of the same network, in order */
	struct net       *net;
	sockpool_done_fn *done;
	void             *arg;
	UT_hash_handle    hh;		/* by arg */
	bool              in_table;
};

/* The sockets of one network and family. */
struct net {
	struct key     key;
	struct net    *next, *previous;	/* of the pool: the one used last comes first */
	struct wait   *first, *last;
	size_t         waiting;
	unsigned       asks;
	uint64_t       used_at_ms;
	bool           in_table;
	size_t         kept;
	UT_hash_handle hh;
	int            fds[MSG_FDS_MOST];	/* the newest last */
};

struct sockpool {
	struct channel *broker;		/* borrowed */
	unsigned        batch;
	unsigned        most;
	size_t          kept;		/* in all networks */
	size_t          asked;		/* sockets that may still come */
	size_t          waiting;
	bool            starved;	/* somebody waits for whom there was no room to ask */
	struct net     *table;
	struct net     *first, *last;
	struct wait    *waits;
};

struct sockpool *sockpool_new(unsigned batch, unsigned most)
{
	struct sockpool *pool = calloc(1, sizeof(*pool));

	assert(batch >= 1 && batch <= MSG_FDS_MOST / 2 && most >= batch);
	if (pool == NULL)
		return NULL;
	pool->batch = batch;
	pool->most = most;
	return pool;
}

static void net_unlink(struct sockpool *pool, struct net *net)
{
	*(net->previous != NULL ? &net->previous->next : &pool->first) = net->next;
	*(net->next != NULL ? &net->next->previous : &pool->last) = net->previous;
}

static void net_to_front(struct sockpool *pool, struct net *net)
{
	net->previous = NULL;
	net->next = pool->first;
	*(pool->first != NULL ? &pool->first->previous : &pool->last) = net;
	pool->first = net;
}

static struct net *net_find(struct sockpool *pool, uint64_t netns_cookie, int family)
{
	const struct key given = { .netns_cookie = netns_cookie, .family = (uint64_t)family };
	struct key       key;
	struct net      *net;

	/* By this way clang's analyzer, too, takes the bytes that are hashed for set. */
	memcpy(&key, &given, sizeof(key));
	HASH_FIND(hh, pool->table, &key, sizeof(key), net);
	return net;
}

static struct net *net_new(struct sockpool *pool, uint64_t netns_cookie, int family)
{
	struct net *net = calloc(1, sizeof(*net));

	if (net == NULL)
		return NULL;
	net->key = (struct key){ .netns_cookie = netns_cookie, .family = (uint64_t)family };
	net->in_table = true;
	HASH_ADD(hh, pool->table, key, sizeof(net->key), net);
	if (!net->in_table) {
		free(net);
		return NULL;
	}
	net_to_front(pool, net);
	return net;
}

static void net_close_one(struct sockpool *pool, struct net *net)
{
	/* The oldest: it has lain idle for longest. */
	close(net->fds[0]);
	net->kept--;
	pool->kept--;
	memmove(net->fds, net->fds + 1, net->kept * sizeof(net->fds[0]));
}

/* Takes the wait out; its done() is still to be called, or not. */
static void wait_drop(struct sockpool *pool, struct wait *wait)
{
	struct net *net = wait->net;

	assert(pool->waits != NULL);
	*(wait->previous != NULL ? &wait->previous->next : &net->first) = wait->next;
	*(wait->next != NULL ? &wait->next->previous : &net->last) = wait->previous;
	net->waiting--;
	pool->waiting--;
	HASH_DEL(pool->waits, wait);
	free(wait);
}

/* May re-enter the pool: through done(). */
static void net_serve_first(struct sockpool *pool, struct net *net, int fd)
{
	sockpool_done_fn *done = net->first->done;
	void             *arg = net->first->arg;

	wait_drop(pool, net->first);
	done(fd, arg);
}

/* Closes all and frees it.  Who waits is told -1; whoever asks anew from there gets a net of its own. */
static void net_free(struct sockpool *pool, struct net *net)
{
	HASH_DEL(pool->table, net);
	net_unlink(pool, net);
	pool->asked -= net->asks * pool->batch;
	while (net->kept > 0)
		net_close_one(pool, net);
	while (net->first != NULL)
		net_serve_first(pool, net, -1);
	free(net);
}

void sockpool_free(struct sockpool *pool)
{
	if (pool == NULL)
		return;
	while (pool->first != NULL)
		net_free(pool, pool->first);
	free(pool);
}

/* Makes room for one more batch at the expense of the others; least recently used first. */
static bool net_make_room(struct sockpool *pool, const struct net *asker)
{
	for (struct net *net = pool->last; net != NULL; net = net->previous) {
		while (net != asker && net->kept > 0 && pool->kept + pool->asked + pool->batch > pool->most)
			net_close_one(pool, net);
	}
	return pool->kept + pool->asked + pool->batch <= pool->most;
}

static void net_ask(struct sockpool *pool, struct net *net)
{
	const struct msg_sockets_wanted wanted = {
		.netns_cookie = net->key.netns_cookie,
		.family = (uint32_t)net->key.family,
		.count = pool->batch,
	};

	/* A failing channel tells of its end from the loop; then sockpool_set_broker() comes. */
	if (channel_send(pool->broker, MSG_SOCKETS_WANTED, &wanted, NULL, 0) == -1)
		return;
	net->asks++;
	pool->asked += pool->batch;
}

/* Asks for as many as wait, and ahead of need while the network is in use. */
static void net_ask_enough(struct sockpool *pool, struct net *net)
{
	while (pool->broker != NULL && net->asks < ASKS_MOST) {
		size_t coming = net->asks * pool->batch + net->kept;
		size_t asks = net->asks;

		if (coming > net->waiting + pool->batch / 4)
			return;
		if (!net_make_room(pool, net)) {
			pool->starved = pool->starved || coming < net->waiting;
			return;
		}
		net_ask(pool, net);
		if (net->asks == asks)
			return;
	}
}

void sockpool_set_broker(struct sockpool *pool, struct channel *broker)
{
	pool->broker = broker;
	pool->asked = 0;
	for (struct net *net = pool->first; net != NULL; net = net->next)
		net->asks = 0;		/* the old broker will not answer */
	for (struct net *net = pool->first; net != NULL && broker != NULL; net = net->next) {
		if (net->waiting > 0)
			net_ask_enough(pool, net);
	}
}

static enum sockpool_result net_wait(struct sockpool *pool, struct net *net, sockpool_done_fn *done,
                                     void *arg)
{
	struct wait *wait;

	if (pool->waiting >= SOCKPOOL_WAITING_MOST)
		return SOCKPOOL_REFUSED;
	wait = calloc(1, sizeof(*wait));
	if (wait == NULL)
		return SOCKPOOL_REFUSED;
	*wait = (struct wait){
		.net = net, .done = done, .arg = arg, .previous = net->last, .in_table = true
	};
	HASH_ADD_PTR(pool->waits, arg, wait);
	if (!wait->in_table) {
		free(wait);
		return SOCKPOOL_REFUSED;
	}
	*(net->last != NULL ? &net->last->next : &net->first) = wait;
	net->last = wait;
	net->waiting++;
	pool->waiting++;
	return SOCKPOOL_WAIT;
}

enum sockpool_result sockpool_take(struct sockpool *pool, uint64_t netns_cookie, int family,
                                   int *fd, sockpool_done_fn *done, void *arg)
{
	enum sockpool_result result = SOCKPOOL_READY;
	struct net          *net = net_find(pool, netns_cookie, family);

	if (net == NULL)
		net = net_new(pool, netns_cookie, family);
	if (net == NULL)
		return SOCKPOOL_REFUSED;
	net->used_at_ms = tg_clock_ms();
	if (pool->first != net) {
		net_unlink(pool, net);
		net_to_front(pool, net);
	}

	if (net->kept > 0) {
		*fd = net->fds[--net->kept];
		pool->kept--;
	} else {
		result = net_wait(pool, net, done, arg);
	}
	net_ask_enough(pool, net);
	return result;
}

void sockpool_cancel(struct sockpool *pool, void *arg)
{
	struct wait *wait;

	HASH_FIND_PTR(pool->waits, &arg, wait);
	if (wait != NULL)
		wait_drop(pool, wait);
}

/* The broker said so already: that a tenant's connection enters another tenant's namespace shall need
 * two faults. */
static bool is_of(int fd, uint64_t netns_cookie)
{
	uint64_t  cookie = 0;
	socklen_t bytes = sizeof(cookie);

	if (netns_cookie == 0)
		return true;
	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &bytes) == 0 && cookie == netns_cookie;
}

/* How many of them are good, and kept now. */
static size_t net_keep(struct sockpool *pool, struct net *net, int *fds, size_t count)
{
	size_t good = 0;

	for (size_t i = 0; i < count; i++) {
		if (!is_of(fds[i], net->key.netns_cookie) || net->kept == MSG_FDS_MOST ||
		    pool->kept >= pool->most)
			continue;
		net->fds[net->kept++] = tg_take_fd(&fds[i]);
		pool->kept++;
		good++;
	}
	return good;
}

/* Room came free: asks for those who were turned away. */
static void pool_feed_starved(struct sockpool *pool)
{
	if (!pool->starved)
		return;
	pool->starved = false;
	for (struct net *net = pool->first; net != NULL; net = net->next) {
		if (net->waiting > net->asks * pool->batch)
			net_ask_enough(pool, net);
	}
}

void sockpool_answer(struct sockpool *pool, const struct msg_sockets *msg, int *fds, size_t count)
{
	struct net *net = net_find(pool, msg->netns_cookie, (int)msg->family);
	size_t      good;
	size_t      hopeless;

	if (net == NULL || net->asks == 0)
		return;		/* forgotten meanwhile */
	net->asks--;
	pool->asked -= pool->batch;
	good = net_keep(pool, net, fds, count);
	/* None now: those who waited for this answer need not wait for their time-out. */
	hopeless = good > 0 ? 0 : net->asks == 0 ? net->waiting : pool->batch;

	/* Each time anew, because done() may lead back here. */
	while (net != NULL && net->first != NULL && (net->kept > 0 || hopeless > 0)) {
		int fd = -1;

		if (net->kept > 0) {
			fd = net->fds[--net->kept];
			pool->kept--;
		} else {
			hopeless--;
		}
		net_serve_first(pool, net, fd);
		net = net_find(pool, msg->netns_cookie, (int)msg->family);
	}
	if (net != NULL && net->waiting > 0 && good > 0)
		net_ask_enough(pool, net);
	pool_feed_starved(pool);
}

void sockpool_forget_others(struct sockpool *pool, sockpool_keep_fn *keep, void *arg)
{
	for (struct net *net = pool->first, *next; net != NULL; net = next) {
		next = net->next;
		/* Who waits belongs to a connection that is reset with its host: nobody does any more. */
		if (!keep(net->key.netns_cookie, arg))
			net_free(pool, net);
	}
}

void sockpool_tidy(struct sockpool *pool)
{
	uint64_t now_ms = tg_clock_ms();

	for (struct net *net = pool->first, *next; net != NULL; net = next) {
		next = net->next;
		if (net->waiting == 0 && net->asks == 0 && now_ms >= net->used_at_ms + SOCKPOOL_IDLE_MS)
			net_free(pool, net);
	}
}

size_t sockpool_count(const struct sockpool *pool)
{
	return pool->kept;
}
