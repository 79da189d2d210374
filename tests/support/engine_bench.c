#include "tests/support/engine_bench.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>
#include <event2/event.h>

#include "base/channel.h"
#include "tests/support/document.h"
#include "tests/support/kernel.h"

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

int engine_bench_begin(struct engine *e)
{
	int ends[2];

	fake_reset();
	memset(e, 0, sizeof *e);
	e->kernel = fake_kernel_of();
	strcpy(e->host.prefix, "no-namespace-has-this-");
	e->host.wireguard = MSG_WIREGUARD_KERNEL;
	e->base = event_base_new();
	e->tick = event_new(e->base, -1, 0, on_tick, NULL);
	ck_assert_int_eq(channel_pair(ends, NULL), 0);
	e->control = channel_new(e->base, ends[0], MSG_ROLE_ENGINE, MSG_ROLE_CONTROL, NULL, NULL, NULL);
	e->networks = calloc(PORTS_END, sizeof(struct engine_network *));
	ck_assert_ptr_nonnull(e->networks);
	return ends[1];
}

void engine_bench_end(struct engine *e, int control)
{
	for (struct engine_network *n = engine_next(e, 1); n != NULL; n = engine_next(e, 1))
		engine_network_free(e, n->tenant.port);
	snapshot_clear(&e->looking.snapshot);
	free(e->readings);
	channel_free(e->control);
	close(control);
	event_free(e->tick);
	event_base_free(e->base);
	free(e->networks);
	fake_reset();
}

struct engine_model *engine_bench_document(const char *text)
{
	struct engine_model *held = calloc(1, sizeof *held);

	ck_assert_ptr_nonnull(held);
	held->refs = 1;
	held->model = document_read(text, NULL);
	return held;
}
