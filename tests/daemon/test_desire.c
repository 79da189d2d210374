#include "daemon/desire.h"

#include <stdlib.h>
#include <unistd.h>

#include <check.h>
#include <event2/event.h>

#include "base/channel.h"
#include "base/error.h"
#include "base/model.h"
#include "daemon/document.h"
#include "tests/support/document.h"

void test_desire(TCase *tc);

#define PEER(key, of) ",'peers':{'" key "':{'allowed_ips':['10.0.0." of "']}}"
#define REST "'7':" NETWORK(PRIVATE_2, PEER(PUBLIC_3, "7")) ",'9':" NETWORK(PRIVATE_3, PEER(PUBLIC_1, "9"))
#define ALL(of) "{'5':" NETWORK(PRIVATE_1, PEER(PUBLIC_2, of)) "," REST "}"
#define WITHOUT "{" REST "}"

/* Control's and the engine's end. */
static struct event_base *base;
static struct channel    *channel;
static int                engine;
static struct desire      desire;
static struct document   *active;
static uint64_t           rounds;

static void begin(void)
{
	int ends[2];

	base = event_base_new();
	ck_assert_int_eq(channel_pair(ends, NULL), 0);
	channel = channel_new(base, ends[0], MSG_ROLE_CONTROL, MSG_ROLE_ENGINE, NULL, NULL, NULL);
	ck_assert_ptr_nonnull(channel);
	engine = ends[1];
	desire = (struct desire){ .told = NULL };
	active = NULL;
}

static void end(void)
{
	desire_forget(&desire);
	document_drop(active);
	channel_free(channel);
	event_base_free(base);
	close(engine);
}

/* What the engine gets of it: so many networks, and whether they are all. */
static size_t sends(const char *text, bool *whole)
{
	struct document  *before = active;
	struct model_diff diff;
	struct msg        msg;
	struct model     *model;
	struct channel_value value;
	uint64_t          round = desire.round;
	int               fds[MSG_FDS_MOST];
	size_t            count;

	active = document_new(document_read(text, NULL), before);
	ck_assert_int_eq(model_diff(before != NULL ? before->model : NULL, active->model, &diff), 0);
	desire_send(&desire, channel, ++rounds, active, before, &diff);
	model_diff_clear(&diff);
	document_drop(before);

	ck_assert_int_eq(channel_wait(engine, MSG_ROLE_ENGINE, MSG_ROLE_CONTROL, &msg, fds, NULL), 0);
	ck_assert_uint_eq(msg.type, MSG_DESIRED);
	ck_assert_uint_eq(msg.body.desired.generation, rounds);
	*whole = msg.body.desired.before == 0;
	if (!*whole)
		ck_assert_uint_eq(msg.body.desired.before, round);
	ck_assert_int_eq(channel_value_open(&msg, fds, 1, MODEL_PACKED_MOST, &value, NULL), 0);
	model = model_unpack(value.data, value.bytes, NULL);
	ck_assert_ptr_nonnull(model);
	count = model->networks_count;
	model_free(model);
	channel_value_close(&value);
	return count;
}

START_TEST(the_first_is_whole_and_the_next_only_what_is_new)
{
	bool whole;

	ck_assert_uint_eq(sends(ALL("1"), &whole), 3);
	ck_assert(whole);
	ck_assert_uint_eq(sends(ALL("2"), &whole), 1);
	ck_assert(!whole);
	ck_assert_uint_eq(sends(ALL("2"), &whole), 0);
	ck_assert(!whole);
}
END_TEST

START_TEST(what_is_removed_makes_it_whole)
{
	bool whole;

	sends(ALL("1"), &whole);
	ck_assert_uint_eq(sends(WITHOUT, &whole), 2);
	ck_assert(whole);
	ck_assert_uint_eq(sends(ALL("1"), &whole), 1);
	ck_assert(!whole);
}
END_TEST

START_TEST(an_engine_that_was_told_nothing_or_another_is_told_all)
{
	bool             whole;
	struct document *other;

	sends(ALL("1"), &whole);
	desire_forget(&desire);
	ck_assert_uint_eq(sends(ALL("2"), &whole), 3);
	ck_assert(whole);
	/* One came between, of which the engine was not told. */
	other = active;
	active = document_new(document_read(ALL("3"), NULL), NULL);
	document_drop(other);
	ck_assert_uint_eq(sends(ALL("4"), &whole), 3);
	ck_assert(whole);
}
END_TEST

/* It keeps every part of which one network is in use: parts alone would fill its memory. */
START_TEST(as_much_in_parts_as_the_whole_is_followed_by_the_whole)
{
	bool     whole = false;
	unsigned parts = 0;

	sends(ALL("1"), &whole);
	for (whole = false; parts < 100 && !whole; parts++)
		sends(parts % 2 == 0 ? ALL("2") : ALL("1"), &whole);
	ck_assert(whole);
	ck_assert_uint_le(parts, 4);
	ck_assert_uint_gt(parts, 1);
	sends(ALL("3"), &whole);
	ck_assert(!whole);
}
END_TEST

void test_desire(TCase *tc)
{
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, the_first_is_whole_and_the_next_only_what_is_new);
	tcase_add_test(tc, what_is_removed_makes_it_whole);
	tcase_add_test(tc, an_engine_that_was_told_nothing_or_another_is_told_all);
	tcase_add_test(tc, as_much_in_parts_as_the_whole_is_followed_by_the_whole);
}
