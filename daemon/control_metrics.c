#include "daemon/control_metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define uthash_nonfatal_oom(entry) ((entry)->in_table = false)
#define HASH_NONFATAL_OOM 1
#include "base/uthash.h"

#include "base/clock.h"
#include "base/model.h"
#include "base/snapshot.h"
#include "daemon/control.h"
#include "daemon/document.h"
#include "daemon/role.h"

struct network {
	UT_hash_handle hh;
	uint16_t       port;
	struct tg_key  key;
	uint64_t       rx, tx;		/* since it was first seen */
	uint64_t       last_rx, last_tx;	/* the kernel's counters then, of all peers */
	uint32_t       connected;	/* peers */
	bool           in_table;
};

struct control_metrics {
	struct network *networks;
	uint64_t        repaired;
	uint64_t        samples, failed;
};

struct control_metrics *control_metrics_new(void)
{
	return calloc(1, sizeof(struct control_metrics));
}

void control_metrics_free(struct control_metrics *metrics)
{
	struct network *network, *next;

	if (metrics == NULL)
		return;
	HASH_ITER (hh, metrics->networks, network, next) {
		HASH_DEL(metrics->networks, network);
		free(network);
	}
	free(metrics);
}

/* A sum that is less than before lost a peer or began anew: what came since is left out, rather than all
 * of it counted again. */
static uint64_t grown(uint64_t now, uint64_t last)
{
	return now > last ? now - last : 0;
}

static void network_look(struct control_metrics *metrics, const struct snapshot_network *from,
                         const struct snapshot_peer *peers)
{
	struct network *network;
	uint64_t        rx = 0, tx = 0;
	int64_t         now_s = tg_clock_unix_ms() / 1000;
	uint32_t        connected = 0;

	for (uint32_t i = 0; i < from->peers_count; i++) {
		rx += peers[i].rx;
		tx += peers[i].tx;
		connected += control_peer_connected(&peers[i], now_s);
	}
	HASH_FIND(hh, metrics->networks, &from->port, sizeof from->port, network);
	if (network == NULL) {
		network = calloc(1, sizeof *network);
		if (network == NULL)
			return;
		network->port = from->port;
		network->key = from->public_key;
		network->last_rx = rx;
		network->last_tx = tx;
		network->in_table = true;
		HASH_ADD(hh, metrics->networks, port, sizeof network->port, network);
		if (!network->in_table) {
			free(network);
			return;
		}
	}
	/* Another network took the port. */
	if (!tg_key_equal(&network->key, &from->public_key)) {
		network->key = from->public_key;
		network->last_rx = rx;
		network->last_tx = tx;
	}
	network->rx += grown(rx, network->last_rx);
	network->tx += grown(tx, network->last_tx);
	network->last_rx = rx;
	network->last_tx = tx;
	network->connected = connected;
}

void control_metrics_snapshot(struct control_metrics *metrics, const struct snapshot *snapshot)
{
	struct network *network, *next;

	for (size_t i = 0; i < snapshot->networks_count; i++)
		network_look(metrics, &snapshot->networks[i],
		             &snapshot->peers[snapshot->networks[i].peers_first]);
	HASH_ITER (hh, metrics->networks, network, next) {
		if (snapshot_find(snapshot, network->port) != NULL)
			continue;
		HASH_DEL(metrics->networks, network);
		free(network);
	}
}

void control_metrics_repaired(struct control_metrics *metrics, uint32_t networks)
{
	metrics->repaired += networks;
}

void control_metrics_sample(struct control_metrics *metrics, bool stored)
{
	metrics->samples++;
	metrics->failed += !stored;
}

static void head(FILE *to, const char *name, const char *type, const char *help)
{
	fprintf(to, "# HELP tollgate_%s %s\n# TYPE tollgate_%s %s\n", name, help, name, type);
}

static void one(FILE *to, const char *name, const char *type, uint64_t value, const char *help)
{
	head(to, name, type, help);
	fprintf(to, "tollgate_%s %" PRIu64 "\n", name, value);
}

static void put_processes(FILE *to, const struct control *control)
{
	head(to, "processes_down", "gauge", "Processes that are not ready.");
	for (enum msg_role role = MSG_ROLE_ENGINE; role < MSG_ROLES; role++)
		if (role != MSG_ROLE_CONTROL)
			fprintf(to, "tollgate_processes_down{role=\"%s\"} %" PRIu32 "\n", msg_role_name(role),
			        control->down.processes[role]);
}

/* A label's value: the name is a tenant's text. */
static void put_name(FILE *to, const char *name)
{
	for (; *name != '\0'; name++) {
		if (*name == '\\' || *name == '"')
			putc('\\', to);
		putc(*name, to);
	}
}

static void put_networks(FILE *to, const struct control_metrics *metrics, const struct model *model,
                         const char *metric, const char *type, const char *help,
                         uint64_t (*value)(const struct network *network))
{
	head(to, metric, type, help);
	for (size_t i = 0; i < model->networks_count; i++) {
		const struct model_network *want = &model->networks[i];
		const struct network       *network;

		HASH_FIND(hh, metrics->networks, &want->port, sizeof want->port, network);
		if (network == NULL)
			continue;
		fprintf(to, "tollgate_%s{network=\"%u\",name=\"", metric, want->port);
		put_name(to, want->name_at != 0 ? model_text(model, want->name_at) : "");
		fprintf(to, "\"} %" PRIu64 "\n", value(network));
	}
}

static uint64_t rx_of(const struct network *network)
{
	return network->rx;
}

static uint64_t tx_of(const struct network *network)
{
	return network->tx;
}

static uint64_t connected_of(const struct network *network)
{
	return network->connected;
}

char *control_metrics_text(struct control_metrics *metrics, const struct control *control, bool healthy,
                           size_t *bytes)
{
	const struct model    *model = control->active->model;
	const struct snapshot *state = control_routes_state(control->routes);
	size_t                 failed = control_text_failed(state);
	char                  *text = NULL;
	FILE                  *to = open_memstream(&text, bytes);

	if (to == NULL)
		return NULL;
	head(to, "build_info", "gauge", "The version that runs.");
	fprintf(to, "tollgate_build_info{version=\"%s\"} 1\n", TOLLGATE_VERSION);
	one(to, "healthy", "gauge", healthy,
	    "Whether every role runs, a document is in force and traffic is recorded.");
	put_processes(to, control);
	one(to, "config_generation", "gauge", control->generation, "Generation of the active document.");
	head(to, "networks", "gauge", "Networks of the active document by state.");
	fprintf(to, "tollgate_networks{state=\"up\"} %zu\ntollgate_networks{state=\"failed\"} %zu\n",
	        state->networks_count - failed, failed);
	one(to, "peers", "gauge", model->peers_count, "Peers in the active document.");
	one(to, "hosts", "gauge", model->hosts_count,
	    "Proxied hosts in the active document, each scheme by itself.");
	one(to, "workers", "gauge", control->role->start.workers, "Proxy processes that should run.");
	one(to, "repairs_total", "counter", metrics->repaired,
	    "Networks in which what others broke was mended.");
	one(to, "samples_total", "counter", metrics->samples, "Samples of the byte counters.");
	one(to, "samples_failed_total", "counter", metrics->failed, "Samples that could not be stored.");
	put_networks(to, metrics, model, "network_peers_connected", "gauge",
	             "Peers with a handshake in the last 180 s.", connected_of);
	put_networks(to, metrics, model, "network_received_bytes_total", "counter",
	             "Bytes that the gateway received from a network's peers.", rx_of);
	put_networks(to, metrics, model, "network_sent_bytes_total", "counter",
	             "Bytes that the gateway sent to a network's peers.", tx_of);

	bool written = ferror(to) == 0;

	if (fclose(to) == 0 && written)
		return text;
	free(text);
	return NULL;
}
