#include "base/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/model_build.h"

void *model_alloc(size_t bytes)
{
	return cJSON_malloc(bytes);
}

void model_release(void *memory)
{
	cJSON_free(memory);
}

void model_faults_add(struct model_faults *faults, const char *path, const char *format, ...)
{
	va_list args;

	faults->total++;
	if (faults->count == MODEL_FAULTS_MOST)
		return;

	struct model_fault *fault = &faults->list[faults->count];
	size_t              bytes = strlen(path) + 1;

	fault->path = model_alloc(bytes);
	if (fault->path == NULL)
		return;
	memcpy(fault->path, path, bytes);
	va_start(args, format);
	vsnprintf(fault->text, sizeof fault->text, format, args);
	va_end(args);
	faults->count++;
}

void model_faults_cut(struct model_faults *faults, size_t count, size_t total)
{
	while (faults->count > count) {
		struct model_fault *last = &faults->list[--faults->count];

		model_release(last->path);
		memset(last, 0, sizeof *last);
	}
	faults->total = total;
}

void model_faults_clear(struct model_faults *faults)
{
	model_faults_cut(faults, 0, 0);
}

void model_free(struct model *model)
{
	if (model == NULL)
		return;
	model_release(model->networks);
	model_release(model->cidrs);
	model_release(model->peers);
	model_release(model->hosts);
	model_release(model->upstreams);
	model_release(model->texts);
	model_release(model->sources);
	model_release(model);
}

static int network_order(const void *key, const void *element)
{
	const uint16_t             *port = key;
	const struct model_network *network = element;

	return (*port > network->port) - (*port < network->port);
}

const struct model_network *model_find(const struct model *model, uint16_t port)
{
	if (model->networks_count == 0)
		return NULL;
	return bsearch(&port, model->networks, model->networks_count, sizeof *model->networks, network_order);
}

static int peer_order(const void *key, const void *element)
{
	const struct tg_key     *public_key = key;
	const struct model_peer *peer = element;

	return memcmp(public_key->bytes, peer->public_key.bytes, TG_KEY_BYTES);
}

const struct model_peer *model_find_peer(const struct model *model, const struct model_network *network,
                                         const struct tg_key *public_key)
{
	if (network->peers_count == 0)
		return NULL;
	return bsearch(public_key, model->peers + network->peers_first, network->peers_count,
	               sizeof *model->peers, peer_order);
}

/* The bytes of a label's characters; 0: none, or not of a host name.  It neither begins nor ends with a
 * hyphen (RFC 1123 §2.1): no certificate is issued for one that does.  Underscores are common in practice. */
static size_t label_read(const char *text, size_t len, char *to)
{
	size_t n = 0;

	for (; n < len && text[n] != '.'; n++) {
		char c = text[n];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		else if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return 0;
		to[n] = c;
	}
	return n > 0 && n <= 63 && text[0] != '-' && text[n - 1] != '-' ? n : 0;
}

bool model_host_read(const char *text, size_t len, bool wildcard, char *to)
{
	size_t at = 0;

	if (len > 0 && text[len - 1] == '.')
		len--;
	if (len == 0 || len > 253)
		return false;
	if (wildcard && len > 2 && memcmp(text, "*.", 2) == 0) {
		memcpy(to, text, 2);
		at = 2;
	}
	for (;;) {
		size_t label = label_read(text + at, len - at, to + at);

		if (label == 0)
			return false;
		at += label;
		if (at == len)
			break;
		to[at++] = '.';
	}
	to[len] = '\0';
	return true;
}
