/* What the tests of accounting share: a database in a directory of its own, peers by number, answers
 * read whole and parsed. */
#ifndef TOLLGATE_TESTS_ACCOUNTING_FIXTURE_H
#define TOLLGATE_TESTS_ACCOUNTING_FIXTURE_H

#include <cjson/cJSON.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accounting/store_db.h"
#include "accounting/traffic.h"
#include "base/clock.h"
#include "base/error.h"

#define T0 ((int64_t)1700000000)	/* a clock to begin with, UNIX s; 800 s after an hour */

struct fixture {
	char                 dir[64];
	char                 path[96];
	struct store        *store;
	struct store_options options;
	struct tg_error      err;
	struct store_outcome outcome;
};

__attribute__((unused)) static void fixture_open(struct fixture *f)
{
	f->store = store_open(f->path, &f->options, &f->err);
	ck_assert_msg(f->store != NULL, "%s", f->err.text);
}

__attribute__((unused)) static void fixture_reopen(struct fixture *f)
{
	store_close(f->store);
	fixture_open(f);
}

__attribute__((unused)) static void fixture_init(struct fixture *f)
{
	memset(f, 0, sizeof *f);
	/* In memory where there is such a place: thousands of commits wait for a disk each. */
	snprintf(f->dir, sizeof f->dir, "%s/tollgate-store-XXXXXX",
	         access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(f->dir));
	snprintf(f->path, sizeof f->path, "%s/traffic.db", f->dir);
	f->options = (struct store_options){ .retention_s = 7 * 86400, .rollup_retention_s = 400 * 86400 };
	tg_clock_fake(1000, T0 * 1000);
}

__attribute__((unused)) static void fixture_clear(struct fixture *f)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-copy", "-copy-wal" };

	store_close(f->store);
	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
		char path[128];

		snprintf(path, sizeof path, "%s%s", f->path, suffixes[i]);
		unlink(path);
	}
	ck_assert_int_eq(rmdir(f->dir), 0);
}

/* Big-endian, so that keys sort as their numbers do. */
__attribute__((unused)) static struct tg_key key_of(uint32_t number)
{
	struct tg_key key = { { 0 } };

	for (int i = 0; i < 4; i++)
		key.bytes[i] = (uint8_t)(number >> (24 - 8 * i));
	return key;
}

__attribute__((unused)) static const char *key_text(uint32_t number)
{
	static char   text[TG_KEY_TEXT];
	struct tg_key key = key_of(number);

	return tg_key_print(&key, text);
}

__attribute__((unused)) static struct msg_epoch epoch_of(uint32_t number)
{
	struct msg_epoch epoch = { .netns_cookie = number, .ifindex = number == 0 ? 0 : 2 };

	return epoch;
}

__attribute__((unused)) static struct msg_reading reading_of(uint32_t network, uint32_t peer, uint32_t epoch,
                                                             uint64_t rx, uint64_t tx)
{
	struct msg_reading reading = { .network = key_of(network), .peer = key_of(peer),
	                               .epoch = epoch_of(epoch), .rx = rx, .tx = tx,
	                               .kind = MSG_READING_COUNT };

	return reading;
}

__attribute__((unused)) static struct msg_reading baseline_of(uint32_t network, uint32_t peer, uint32_t epoch,
                                                              uint64_t rx, uint64_t tx)
{
	struct msg_reading reading = reading_of(network, peer, epoch, rx, tx);

	reading.kind = MSG_READING_BASELINE;
	return reading;
}

__attribute__((unused)) static int try_readings(struct fixture *f, int64_t now_s,
                                                const struct msg_reading *readings, size_t count)
{
	struct store_batch batch = { .readings = readings, .readings_count = count };

	return store_commit(f->store, now_s * 1000, &batch, &f->outcome, &f->err);
}

__attribute__((unused)) static void commit_readings(struct fixture *f, int64_t now_s,
                                                    const struct msg_reading *readings, size_t count)
{
	ck_assert_msg(try_readings(f, now_s, readings, count) == 0, "%s", f->err.text);
}

__attribute__((unused)) static void commit_one(struct fixture *f, int64_t now_s, struct msg_reading reading)
{
	commit_readings(f, now_s, &reading, 1);
}

/* The whole text of an answer, read in pieces of `size` bytes; free() it. */
__attribute__((unused)) static char *answer_text(struct fixture *f, const struct traffic_query *query,
                                                 int64_t now_s, size_t size, int64_t *stop)
{
	struct traffic *traffic;
	char           *text = NULL;
	char           *piece = malloc(size);
	size_t          len = 0;
	long            got;

	ck_assert_msg(traffic_open(f->store, query, now_s * 1000, &traffic, &f->err) == TRAFFIC_OK, "%s",
	              f->err.text);
	if (stop != NULL)
		*stop = traffic_stop_time(traffic);
	while ((got = traffic_read(traffic, piece, size, &f->err)) > 0) {
		ck_assert_uint_le((size_t)got, size);
		text = realloc(text, len + (size_t)got + 1);
		memcpy(text + len, piece, (size_t)got);
		len += (size_t)got;
		text[len] = '\0';
	}
	ck_assert_msg(got == 0, "%s", f->err.text);
	traffic_close(traffic);
	free(piece);
	return text == NULL ? calloc(1, 1) : text;
}

__attribute__((unused)) static struct traffic_query query_since(int64_t since)
{
	struct traffic_query query = { .since_unix_s = since, .until_unix_s = INT64_MAX };

	return query;
}

__attribute__((unused)) static cJSON *answer(struct fixture *f, const struct traffic_query *query,
                                             int64_t now_s)
{
	char  *text = answer_text(f, query, now_s, 4096, NULL);
	cJSON *json = cJSON_Parse(text);

	ck_assert_msg(json != NULL, "not JSON: %s", text);
	free(text);
	return json;
}

__attribute__((unused)) static double number_of(const cJSON *object, const char *name)
{
	const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);

	ck_assert_msg(cJSON_IsNumber(member), "no number %s", name);
	return member->valuedouble;
}

/* networks.N.devices.P, or NULL. */
__attribute__((unused)) static const cJSON *device_of(const cJSON *json, uint32_t network, uint32_t peer)
{
	const cJSON *networks = cJSON_GetObjectItemCaseSensitive(json, "networks");
	const cJSON *found = cJSON_GetObjectItemCaseSensitive(networks, key_text(network));
	const cJSON *devices = cJSON_GetObjectItemCaseSensitive(found, "devices");

	return cJSON_GetObjectItemCaseSensitive(devices, key_text(peer));
}

__attribute__((unused)) static const cJSON *host_of(const cJSON *json, uint32_t network, const char *host)
{
	const cJSON *networks = cJSON_GetObjectItemCaseSensitive(json, "networks");
	const cJSON *found = cJSON_GetObjectItemCaseSensitive(networks, key_text(network));

	return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(found, "hosts"), host);
}

__attribute__((unused)) static double traffic_of(const cJSON *object, const char *name)
{
	return object == NULL ? 0 : number_of(cJSON_GetObjectItemCaseSensitive(object, "traffic"), name);
}

/* Times of a device's or a host's records, joined by spaces. */
__attribute__((unused)) static const char *times_of(const cJSON *object)
{
	static char  text[512];
	const cJSON *each;
	size_t       len = 0;

	text[0] = '\0';
	cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(object, "times"))
		len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", len == 0 ? "" : " ",
		                        each->string);
	return text;
}

/* Of the sum over all networks. */
__attribute__((unused)) static double total(struct fixture *f, int64_t now_s, const char *name)
{
	struct traffic_query query = query_since(0);
	cJSON               *json = answer(f, &query, now_s);
	double               value = traffic_of(json, name);

	cJSON_Delete(json);
	return value;
}

__attribute__((unused)) static void expect_device(struct fixture *f, int64_t now_s, uint32_t network,
                                                  uint32_t peer, double rx, const char *times)
{
	struct traffic_query query = query_since(0);
	cJSON               *json = answer(f, &query, now_s);
	const cJSON         *device = device_of(json, network, peer);

	ck_assert_double_eq(traffic_of(device, "rx"), rx);
	if (times != NULL)
		ck_assert_str_eq(times_of(device), times);
	cJSON_Delete(json);
}

#endif
