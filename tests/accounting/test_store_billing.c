#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/accounting/fixture.h"

void test_store_billing(TCase *tc);

struct truth {
	uint64_t rx;		/* the peer's counter in the kernel */
	uint64_t sent;		/* all bytes there ever were */
	uint32_t epoch;
	double   billed;	/* what the answers said so far */
};

#define PEERS 12

static void bill(struct fixture *f, struct truth *truth, int64_t *since, int64_t now_s, int64_t until)
{
	struct traffic_query query = query_since(*since);

	query.until_unix_s = until;

	cJSON  *json = answer(f, &query, now_s);
	int64_t stop = (int64_t)number_of(json, "stop_time");

	ck_assert_int_ge(stop, *since);
	ck_assert_int_eq((int64_t)number_of(json, "start_time"), *since);
	for (uint32_t p = 0; p < PEERS; p++) {
		const cJSON *device = device_of(json, p % 3, p);
		const cJSON *each;
		double       sum = 0;
		int64_t      before = *since;

		cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(device, "times")) {
			ck_assert_int_gt(atoll(each->string), before);
			before = atoll(each->string);
			sum += number_of(each, "rx");
		}
		ck_assert_int_le(before, stop);
		ck_assert_double_eq(sum, traffic_of(device, "rx"));
		truth[p].billed += sum;
	}
	*since = stop;
	cJSON_Delete(json);
}

static void grow(struct truth *peer)
{
	uint64_t bytes = (uint64_t)(rand() % 5000);

	peer->rx += bytes;
	peer->sent += bytes;
}

/* What happens to a gateway in any order, and a billing job that asks in between with its last
 * stop_time: in the end it has every byte, once. */
static void run_random(unsigned seed)
{
	struct fixture     f;
	struct truth       truth[PEERS] = { { 0 } };
	struct msg_reading readings[2 * PEERS];
	uint32_t           epochs = 1;
	int64_t            now = T0;
	int64_t            since = 0;

	srand(seed);
	fixture_init(&f);
	fixture_open(&f);
	for (uint32_t p = 0; p < PEERS; p++)
		commit_one(&f, now, baseline_of(p % 3, p, 0, 0, 0));
	for (int step = 0; step < 400; step++) {
		size_t count = 0;

		for (uint32_t p = 0; p < PEERS; p++) {
			grow(&truth[p]);
			if (rand() % 3 == 0)
				continue;
			readings[count++] = reading_of(p % 3, p, truth[p].epoch, truth[p].rx, 0);
			if (rand() % 10 != 0)
				continue;
			if (rand() % 2 == 0) {	/* removed and added again to its interface */
				readings[count++] = baseline_of(p % 3, p, truth[p].epoch, 0, 0);
			} else {		/* its interface is made anew */
				truth[p].epoch = epochs++;
			}
			truth[p].rx = 0;
		}
		commit_readings(&f, now, readings, count);
		switch (rand() % 12) {
		case 0:
			now += rand() % 100000;	/* the clock steps */
			break;
		case 1:
			now -= rand() % 100000;
			break;
		case 2:
			fixture_reopen(&f);
			break;
		case 3:
			bill(&f, truth, &since, now, INT64_MAX);
			break;
		case 4:
			bill(&f, truth, &since, now + rand() % 3 - 1, since + rand() % 5000);
			break;
		case 5:
			ck_assert_int_ge(store_sweep(f.store, now * 1000, 50, &f.err), 0);
			break;
		default:
			now += rand() % 3;	/* several samples a second too */
		}
	}
	for (uint32_t p = 0; p < PEERS; p++)
		readings[p] = reading_of(p % 3, p, truth[p].epoch, truth[p].rx, 0);
	commit_readings(&f, now, readings, PEERS);
	bill(&f, truth, &since, now + 200000, INT64_MAX);
	for (uint32_t p = 0; p < PEERS; p++)
		ck_assert_msg(truth[p].billed == (double)truth[p].sent, "seed %u peer %u: %.0f of %" PRIu64,
		              seed, p, truth[p].billed, truth[p].sent);
	fixture_clear(&f);
}

START_TEST(a_billing_job_gets_every_byte_exactly_once)
{
	for (unsigned seed = 1; seed <= 10; seed++)
		run_random(seed);
	run_random((unsigned)time(NULL));	/* which is said when it fails */
}
END_TEST

/* Without assertions: each writes to a file that is the test's too, and would be killed while it does. */
__attribute__((noreturn)) static void commit_until_killed(struct fixture *f, uint64_t counter, int told)
{
	f->store = store_open(f->path, &f->options, &f->err);
	for (int64_t now = T0 + (int64_t)(counter / 10); f->store != NULL; now++) {
		struct msg_reading reading;

		counter += 10;
		reading = reading_of(1, 1, 1, counter, counter);
		if (write(told, &counter, sizeof counter) != sizeof counter ||
		    try_readings(f, now, &reading, 1) != 0)
			break;
	}
	_exit(1);
}

START_TEST(a_killed_process_loses_and_doubles_nothing)
{
	struct fixture f;
	uint64_t       counter = 0;

	fixture_init(&f);
	fixture_open(&f);
	commit_one(&f, T0, baseline_of(1, 1, 1, 0, 0));
	store_close(f.store);
	for (int round = 0; round < 30; round++) {
		int ends[2];

		ck_assert_int_eq(pipe(ends), 0);

		pid_t child = fork();

		if (child == 0) {
			close(ends[0]);
			commit_until_killed(&f, counter, ends[1]);
		}
		close(ends[1]);
		/* What the kernel counts goes on, whether it was committed or not. */
		for (int i = 0; i < 1 + round % 7; i++)
			ck_assert_int_eq(read(ends[0], &counter, sizeof counter), sizeof counter);
		usleep((useconds_t)(round * 150));
		kill(child, SIGKILL);
		ck_assert_int_eq(waitpid(child, NULL, 0), child);
		while (read(ends[0], &counter, sizeof counter) == sizeof counter)
			;
		close(ends[0]);
	}
	fixture_open(&f);
	commit_one(&f, T0 + 1000000, reading_of(1, 1, 1, counter, counter));
	ck_assert_double_eq(total(&f, T0 + 1000001, "rx"), (double)counter);
	ck_assert_double_eq(total(&f, T0 + 1000001, "tx"), (double)counter);
	fixture_clear(&f);
}
END_TEST

void test_store_billing(TCase *tc)
{
	tcase_add_test(tc, a_billing_job_gets_every_byte_exactly_once);
	tcase_add_test(tc, a_killed_process_loses_and_doubles_nothing);
}
