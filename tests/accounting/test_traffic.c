#include <inttypes.h>
#include <malloc.h>
#include <sqlite3.h>

#include "tests/accounting/fixture.h"

void test_traffic(TCase *tc);

#define NETWORKS 5
#define PEERS	 40	/* of each network */
#define SAMPLES	 30

/* Peers that come and go, so that ids of a network are not side by side; and a host each. */
static void fill(struct fixture *f)
{
	struct store_slot  slots[NETWORKS];
	struct store_host  hosts[NETWORKS];
	struct msg_reading readings[NETWORKS * PEERS];

	fixture_init(f);
	fixture_open(f);
	for (uint32_t p = 0; p < PEERS; p++)
		for (uint32_t n = 0; n < NETWORKS; n++)
			commit_one(f, T0, baseline_of(n, p * 7 % PEERS, 1, 0, 0));
	for (uint32_t n = 0; n < NETWORKS; n++) {
		slots[n] = (struct store_slot){ .slot = n, .network = key_of(n) };
		snprintf(slots[n].host, sizeof slots[n].host, "host%u.example", n);
	}
	for (uint32_t i = 1; i <= SAMPLES; i++) {
		struct store_batch batch = { .slots = slots, .slots_count = NETWORKS, .readings = readings,
		                             .hosts = hosts, .hosts_count = NETWORKS };

		for (uint32_t n = 0; n < NETWORKS; n++) {
			hosts[n] = (struct store_host){ "worker", n, { i * 3, i * 5, i } };
			for (uint32_t p = 0; p < PEERS; p++)
				if ((i + p) % 3 != 0)
					readings[batch.readings_count++] =
					        reading_of(n, p, 1, i * (p + 1), i);
		}
		ck_assert_int_eq(store_commit(f->store, (T0 + i * 60) * 1000, &batch, &f->outcome, &f->err),
		                 0);
	}
}

/* What peer `p` had been counted by the sample `i`. */
static uint64_t counted(uint32_t p, int i)
{
	while (i > 0 && ((uint32_t)i + p) % 3 == 0)
		i--;
	return (uint64_t)i * (p + 1);
}

START_TEST(an_answer_holds_all_and_its_sums_are_those_of_its_records)
{
	struct fixture       f;
	struct traffic_query query = query_since(0);
	double               all = 0;

	fill(&f);

	cJSON *json = answer(&f, &query, T0 + 10000);

	ck_assert_str_eq(cJSON_GetObjectItem(json, "ledger")->valuestring, f.store->ledger);
	ck_assert_double_eq(number_of(json, "start_time"), 0);
	ck_assert_double_eq(number_of(json, "stop_time"), (double)(T0 + SAMPLES * 60));
	ck_assert_double_eq(number_of(json, "oldest_time"), 0);
	ck_assert_int_eq(cJSON_GetArraySize(cJSON_GetObjectItem(json, "networks")), NETWORKS);
	for (uint32_t n = 0; n < NETWORKS; n++) {
		double sum = 0;

		for (uint32_t p = 0; p < PEERS; p++) {
			const cJSON *each;
			double       records = 0;

			cJSON_ArrayForEach(each, cJSON_GetObjectItem(device_of(json, n, p), "times"))
				records += number_of(each, "rx");
			ck_assert_double_eq(records, (double)counted(p, SAMPLES));
			ck_assert_double_eq(traffic_of(device_of(json, n, p), "rx"), records);
			sum += records;
		}

		char        name[32];
		const cJSON *network =
		        cJSON_GetObjectItem(cJSON_GetObjectItem(json, "networks"), key_text(n));

		snprintf(name, sizeof name, "host%u.example", n);
		ck_assert_double_eq(traffic_of(host_of(json, n, name), "rx"), SAMPLES * 3);
		ck_assert_double_eq(traffic_of(host_of(json, n, name), "connections"), SAMPLES);
		ck_assert_double_eq(traffic_of(network, "rx"), sum);
		all += sum;
	}
	ck_assert_double_eq(traffic_of(json, "rx"), all);
	cJSON_Delete(json);
	fixture_clear(&f);
}
END_TEST

START_TEST(pages_by_since_and_until_hold_every_record_once)
{
	struct fixture f;
	double         seen[NETWORKS][PEERS] = { { 0 } };
	int64_t        since = 0;

	fill(&f);
	for (int page = 0; since < T0 + SAMPLES * 60; page++) {
		struct traffic_query query = query_since(since);

		query.until_unix_s = (since == 0 ? T0 : since) + 100 + page;

		cJSON *json = answer(&f, &query, T0 + 10000);

		for (uint32_t n = 0; n < NETWORKS; n++)
			for (uint32_t p = 0; p < PEERS; p++)
				seen[n][p] += traffic_of(device_of(json, n, p), "rx");
		ck_assert_double_le(number_of(json, "stop_time"), (double)query.until_unix_s);
		since = (int64_t)number_of(json, "stop_time");
		cJSON_Delete(json);
		ck_assert_int_lt(page, 1000);
	}
	for (uint32_t n = 0; n < NETWORKS; n++)
		for (uint32_t p = 0; p < PEERS; p++)
			ck_assert_double_eq(seen[n][p], (double)counted(p, SAMPLES));
	fixture_clear(&f);
}
END_TEST

START_TEST(nothing_is_returned_as_nothing)
{
	struct fixture       f;
	struct traffic_query query = query_since(T0 + 99999);
	char                 expected[256];

	fill(&f);

	char *text = answer_text(&f, &query, T0 + 10000, 4096, NULL);

	snprintf(expected, sizeof expected,
	         "{\"ledger\":\"%s\",\"start_time\":1700099999,\"stop_time\":1700099999,"
	         "\"oldest_time\":0,\"networks\":{},\"traffic\":{\"rx\":0,\"tx\":0}}\n",
	         f.store->ledger);
	ck_assert_str_eq(text + strspn(text, " "), expected);
	free(text);
	query = query_since(-5);
	query.until_unix_s = -7;
	cJSON_Delete(answer(&f, &query, T0 + 10000));
	fixture_clear(&f);
}
END_TEST

START_TEST(one_network_is_asked_for_by_its_key)
{
	struct fixture       f;
	struct traffic_query query = query_since(0);

	fill(&f);
	query.has_network = true;
	query.network = key_of(3);

	cJSON *json = answer(&f, &query, T0 + 10000);

	ck_assert_int_eq(cJSON_GetArraySize(cJSON_GetObjectItem(json, "networks")), 1);
	ck_assert_double_eq(traffic_of(device_of(json, 3, 7), "rx"), (double)counted(7, SAMPLES));
	cJSON_Delete(json);
	query.network = key_of(99);
	json = answer(&f, &query, T0 + 10000);
	ck_assert_int_eq(cJSON_GetArraySize(cJSON_GetObjectItem(json, "networks")), 0);
	cJSON_Delete(json);
	fixture_clear(&f);
}
END_TEST

/* Sums the lines of CSV; they must be in the order of time. */
static uint64_t sum_of_csv(const char *text, const char *network, size_t *lines)
{
	uint64_t sum = 0;
	int64_t  before = 0;

	ck_assert_int_eq(strncmp(text, "time,network,kind,id,rx,tx,connections\n", 39), 0);
	*lines = 0;
	for (text += 39; *text != '\0'; text = strchr(text, '\n') + 1, ++*lines) {
		char     key[64], kind[8], id[64];
		int64_t  time;
		uint64_t rx, tx, connections;

		ck_assert_int_eq(sscanf(text,
		                        "%" SCNd64 ",%63[^,],%7[^,],%63[^,],%" SCNu64 ",%" SCNu64 ",%" SCNu64,
		                        &time, key, kind, id, &rx, &tx, &connections),
		                 7);
		ck_assert_int_ge(time, before);
		before = time;
		if (network != NULL)
			ck_assert_str_eq(key, network);
		if (strcmp(kind, "peer") == 0) {
			ck_assert_uint_eq(connections, 0);
			sum += rx;
		} else {
			ck_assert_str_eq(kind, "host");
			ck_assert_uint_eq(connections, 1);
		}
	}
	return sum;
}

START_TEST(lines_are_sorted_by_time_and_hold_the_same)
{
	struct fixture       f;
	struct traffic_query query = query_since(0);
	uint64_t             expected = 0;
	size_t               lines, own_lines;
	int64_t              stop;

	fill(&f);
	for (uint32_t p = 0; p < PEERS; p++)
		expected += counted(p, SAMPLES);
	query.format = TRAFFIC_CSV;

	char *text = answer_text(&f, &query, T0 + 10000, 4096, &stop);

	ck_assert_int_eq(stop, T0 + SAMPLES * 60);
	ck_assert_uint_eq(sum_of_csv(text, NULL, &lines), expected * NETWORKS);
	free(text);
	query.has_network = true;
	query.network = key_of(2);
	text = answer_text(&f, &query, T0 + 10000, 4096, NULL);
	ck_assert_uint_eq(sum_of_csv(text, key_text(2), &own_lines), expected);
	ck_assert_uint_eq(own_lines * NETWORKS, lines);
	free(text);
	query.format = TRAFFIC_NDJSON;
	text = answer_text(&f, &query, T0 + 10000, 5000, NULL);

	size_t count = 0;

	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"), count++) {
		cJSON *json = cJSON_Parse(line);

		ck_assert_int_eq(cJSON_GetArraySize(json), 7);
		ck_assert_str_eq(cJSON_GetObjectItem(json, "network")->valuestring, key_text(2));
		cJSON_Delete(json);
	}
	ck_assert_uint_eq(count, own_lines);
	free(text);
	fixture_clear(&f);
}
END_TEST

START_TEST(an_answer_does_not_change_while_it_is_read)
{
	struct fixture       f;
	struct traffic      *traffic;
	struct traffic_query query = query_since(0);
	char                 piece[4096];
	char                *quiet, *text = calloc(1, 4 << 20);
	size_t               len = 0;
	long                 got;
	uint32_t             round = 0;

	fill(&f);
	quiet = answer_text(&f, &query, T0 + 10000, sizeof piece, NULL);
	ck_assert_int_eq(traffic_open(f.store, &query, (T0 + 10000) * 1000, &traffic, &f.err), TRAFFIC_OK);
	while ((got = traffic_read(traffic, piece, sizeof piece, &f.err)) > 0) {
		memcpy(text + len, piece, (size_t)got);
		len += (size_t)got;
		/* The clock is back at the newest record; new peers and networks come. */
		commit_one(&f, T0 + SAMPLES * 60, reading_of(1, round % PEERS, 1, 100000 + round, 5));
		commit_one(&f, T0 + SAMPLES * 60, baseline_of(round, 1000 + round, 1, 0, 0));
		commit_one(&f, T0 + SAMPLES * 60, reading_of(round, 1000 + round, 1, 77, 5));
		ck_assert_int_ge(store_sweep(f.store, (T0 + 10000) * 1000, 100, &f.err), 0);
		round++;
	}
	ck_assert_int_eq(got, 0);
	ck_assert_uint_gt(round, 3);
	traffic_close(traffic);
	ck_assert_str_eq(text, quiet);
	free(text);
	free(quiet);
	fixture_clear(&f);
}
END_TEST

START_TEST(names_are_escaped)
{
	struct fixture       f;
	struct traffic_query query = query_since(0);
	struct store_slot    slot = { .slot = 0, .network = key_of(1), .host = "a\"b\\c\n,\xff" };
	struct store_host    host = { "worker", 0, { 1, 2, 3 } };
	struct store_batch   batch = { .slots = &slot, .slots_count = 1, .hosts = &host, .hosts_count = 1 };

	fixture_init(&f);
	fixture_open(&f);
	ck_assert_int_eq(store_commit(f.store, T0 * 1000, &batch, &f.outcome, &f.err), 0);

	char *text = answer_text(&f, &query, T0 + 1, 4096, NULL);

	ck_assert_ptr_nonnull(strstr(text, "\"a\\u0022b\\u005cc\\u000a,\\u00ff\":{"));
	cJSON_Delete(cJSON_Parse(text));
	free(text);
	query.format = TRAFFIC_CSV;
	text = answer_text(&f, &query, T0 + 1, 4096, NULL);
	ck_assert_ptr_nonnull(strstr(text, ",host,\"a\"\"b\\c\n,\xff\",1,2,3\n"));
	free(text);
	fixture_clear(&f);
}
END_TEST

/* Memory in use by this process. */
static size_t memory_used(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static void insert_records(struct fixture *f, const char *sql)
{
	sqlite3 *db;
	char    *said = NULL;

	ck_assert_int_eq(sqlite3_open(f->path, &db), SQLITE_OK);
	ck_assert_msg(sqlite3_exec(db, sql, 0, 0, &said) == SQLITE_OK, "%s", said);
	sqlite3_close(db);
	fixture_reopen(f);
}

/* Reads the whole answer, checks its end; returns its length.  *peak: memory it took meanwhile. */
static size_t read_large(struct fixture *f, const struct traffic_query *query, size_t *peak, char tail[4096])
{
	struct traffic *traffic;
	static char     piece[65536];
	size_t          before = memory_used();
	size_t          len = 0;
	long            got;

	*peak = 0;
	ck_assert_int_eq(traffic_open(f->store, query, (T0 + 9999999) * 1000, &traffic, &f->err), TRAFFIC_OK);
	while ((got = traffic_read(traffic, piece, sizeof piece, &f->err)) > 0) {
		size_t used = memory_used();

		len += (size_t)got;
		if (used > before && used - before > *peak)
			*peak = used - before;
		snprintf(tail, 4096, "%.*s", (int)(got < 200 ? got : 200),
		         piece + (got < 200 ? 0 : got - 200));
	}
	ck_assert_int_eq(got, 0);
	traffic_close(traffic);
	return len;
}

START_TEST(a_large_answer_takes_constant_memory)
{
	struct fixture       f;
	struct traffic_query query = query_since(0);
	char                 tail[4096];
	size_t               peak;

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 1, 0, 0));
	/* 500 peers in 5 networks, 1,000 samples: half a million records. */
	insert_records(&f,
	               "DELETE FROM series; WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n"
	               " WHERE i < 499) INSERT INTO series (id, network, kind, name)"
	               " SELECT i, CAST(printf('%032d', i % 5) AS BLOB), 0, CAST(printf('%032d', i) AS BLOB)"
	               " FROM n;"
	               "WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t WHERE i < 1000)"
	               " INSERT INTO times SELECT 1700000000 + i * 60 FROM t;"
	               "INSERT INTO records SELECT time << 20 | id, 3, 4, 0 FROM times, series ORDER BY 1;"
	               "UPDATE meta SET newest = 1700060000");
	ck_assert_uint_gt(read_large(&f, &query, &peak, tail), 10 << 20);
	ck_assert_ptr_nonnull(strstr(tail, "},\"traffic\":{\"rx\":1500000,\"tx\":2000000}}\n"));
	ck_assert_msg(peak < 14 << 20, "%zu bytes", peak);	/* SQLite's cache of 8 MB is in it */
	query.format = TRAFFIC_CSV;
	ck_assert_uint_gt(read_large(&f, &query, &peak, tail), 10 << 20);
	ck_assert_msg(peak < 8 << 20, "%zu bytes", peak);
	fixture_clear(&f);
}
END_TEST

START_TEST(more_samples_than_are_kept_at_a_time_come_in_parts)
{
	struct fixture       f;
	struct traffic_query query = query_since(0);
	char                 tail[4096];
	size_t               peak;

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 1, 0, 0));
	commit_one(&f, T0, baseline_of(1, 2, 1, 0, 0));
	insert_records(&f, "WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t WHERE i < 150000)"
	                   " INSERT INTO times SELECT 1700000000 + i FROM t;"
	                   "INSERT INTO records SELECT time << 20 | id, 1, 0, 0 FROM times, series"
	                   " WHERE id IS NOT NULL ORDER BY 1; UPDATE meta SET newest = 1700150000");
	read_large(&f, &query, &peak, tail);
	ck_assert_ptr_nonnull(strstr(tail, "}},\"traffic\":{\"rx\":150000,\"tx\":0}}},\"hosts\":{},"
	                                   "\"traffic\":{\"rx\":300000,\"tx\":0}}},"
	                                   "\"traffic\":{\"rx\":300000,\"tx\":0}}\n"));
	ck_assert_msg(peak < 14 << 20, "%zu bytes", peak);
	fixture_clear(&f);
}
END_TEST

void test_traffic(TCase *tc)
{
	tcase_add_test(tc, an_answer_holds_all_and_its_sums_are_those_of_its_records);
	tcase_add_test(tc, pages_by_since_and_until_hold_every_record_once);
	tcase_add_test(tc, nothing_is_returned_as_nothing);
	tcase_add_test(tc, one_network_is_asked_for_by_its_key);
	tcase_add_test(tc, lines_are_sorted_by_time_and_hold_the_same);
	tcase_add_test(tc, an_answer_does_not_change_while_it_is_read);
	tcase_add_test(tc, names_are_escaped);
	tcase_add_test(tc, a_large_answer_takes_constant_memory);
	tcase_add_test(tc, more_samples_than_are_kept_at_a_time_come_in_parts);
}
