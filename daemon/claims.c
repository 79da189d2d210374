#include "daemon/claims.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/model.h"
#include "base/msg.h"

/* Whether `name` of a document takes the operator's `host`: itself, or as a wildcard over it. */
static bool host_claims(const char *name, const char *host)
{
	const char *rest = strchr(host, '.');

	return strcmp(name, host) == 0 || (name[0] == '*' && rest != NULL && strcmp(name + 1, rest) == 0);
}

static void claim_add(struct model_faults *faults, const struct model_network *network,
                      const struct model_host *host, const char *name, const char *owned)
{
	char path[320];

	snprintf(path, sizeof path, "/%u/proxy/%s:~1~1%s", network->port,
	         host->scheme == MODEL_HTTPS ? "https" : "http", name);
	model_faults_add(faults, path, "%s is the operator's own (--forward)", owned);
}

void claims_find(const struct msg_forward *forwards, size_t count, const struct model *model,
                 struct model_faults *faults)
{
	for (size_t i = 0; i < model->networks_count && count > 0; i++) {
		const struct model_network *network = &model->networks[i];

		for (uint32_t k = 0; k < network->hosts_count; k++) {
			const struct model_host *host = &model->hosts[network->hosts_first + k];
			const char              *name = model_text(model, host->name_at);

			if (host->scheme == MODEL_SSH)
				continue;
			for (size_t f = 0; f < count; f++)
				if (host_claims(name, forwards[f].host)) {
					claim_add(faults, network, host, name, forwards[f].host);
					break;
				}
		}
	}
}
