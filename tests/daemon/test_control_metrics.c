#include "daemon/control_metrics.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/support/control.h"
#include "tests/support/document.h"
#include "tests/support/failing.h"

void test_control_metrics(TCase *tc);

#define OFTEN_MS 20

static struct snapshot_network network;
static struct snapshot_peer    peer;

static void metrics_have(const char *part)
{
	char *text = control_answer(control_ask("GET", "/metrics", "", ""));

	ck_assert_msg(strstr(text, part) != NULL, "not in it: %s\n%s", part, text);
	free(text);
}

static void sample(uint64_t rx, uint64_t tx)
{
	const struct snapshot snapshot = { .networks = &network, .networks_count = 1,
		                           .peers = &peer, .peers_count = 1 };

	network.peers_count = 1;
	peer.rx = rx;
	peer.tx = tx;
	control_looks(control_hears_look(), &snapshot);
	/* Until control has asked again it may not have read the answer. */
	control_looks(control_hears_look(), &snapshot);
}

START_TEST(a_networks_bytes_only_grow)
{
	struct msg none;

	control_begin(OFTEN_MS);
	control_worker_dies();
	control_hear(control_supervisor(), MSG_ROLE_SUPERVISOR, MSG_READY, &none, NULL);
	control_network_up(&network, 51820, PUBLIC_1);
	ck_assert(tg_key_read(PUBLIC_2, strlen(PUBLIC_2), &peer.public_key));
	peer.handshake_unix_s = tg_clock_unix_ms() / 1000;
	free(control_applies(DOCUMENT(",'name':'a \\\\ \\'b'"), &network, 1, NULL));
	sample(1000, 100);
	metrics_have("tollgate_network_received_bytes_total{network=\"51820\",name=\"a \\\\ \\\"b\"} 0\n");
	sample(1500, 107);
	metrics_have("\"a \\\\ \\\"b\"} 500\n");
	metrics_have("tollgate_network_sent_bytes_total{network=\"51820\",name=\"a \\\\ \\\"b\"} 7\n");
	metrics_have("tollgate_network_peers_connected{network=\"51820\",name=\"a \\\\ \\\"b\"} 1\n");
	sample(3, 1);
	metrics_have("\"a \\\\ \\\"b\"} 500\n");
	sample(4, 1);
	metrics_have("\"a \\\\ \\\"b\"} 501\n");
	metrics_have("tollgate_networks{state=\"up\"} 1\n");
	metrics_have("tollgate_processes_down{role=\"broker\"} 0\n");
	metrics_have("tollgate_samples_failed_total 0\n");
	control_end(NULL);
}
END_TEST

START_TEST(without_memory_a_network_is_left_out_until_the_next_look)
{
	const struct snapshot snapshot = { .networks = &network, .networks_count = 1 };
	bool                  failed = true;

	control_network_up(&network, 51820, PUBLIC_1);
	for (size_t good = 0; failed; good++) {
		struct control_metrics *metrics = control_metrics_new();

		failing_own_begin(good);
		control_metrics_snapshot(metrics, &snapshot);
		failed = failing_own_end();
		control_metrics_snapshot(metrics, &snapshot);
		control_metrics_free(metrics);
		ck_assert_uint_lt(good, 10);
	}
}
END_TEST

void test_control_metrics(TCase *tc)
{
	tcase_add_test(tc, a_networks_bytes_only_grow);
	tcase_add_test(tc, without_memory_a_network_is_left_out_until_the_next_look);
}
