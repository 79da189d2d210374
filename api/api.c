#include "api/api.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "api/server.h"
#include "api/tls.h"
#include "api/tokens.h"

const struct api_limits api_limits_usual = {
	.tcp_connections = 32,
	.local_connections = 64,
	.big_bodies = 2,
	.big_body_bytes = 1U << 20,
	.body_bytes = 64U << 20,
	.head_ms = 10000,
	.idle_ms = 75000,
	.body_ms = 30000,
	.send_ms = 60000,
	.linger_ms = 2000,
	.crowd_ms = 1000,
};

struct api *api_new(struct event_base *base, const struct api_options *options)
{
	struct api *api = calloc(1, sizeof(*api));
	unsigned long long secret;

	if (api == NULL || RAND_bytes((unsigned char *)&secret, sizeof(secret)) != 1) {
		free(api);
		return NULL;
	}
	snprintf(api->path, sizeof(api->path), "/%016llx", secret);
	api->base = base;
	api->options = *options;
	api->limits = options->limits == NULL ? api_limits_usual : *options->limits;
	LIST_INIT(&api->listeners);
	return api;
}

void api_free(struct api *api)
{
	struct api_listener *listener;

	if (api == NULL)
		return;
	while ((listener = LIST_FIRST(&api->listeners)) != NULL)
		api_listener_free(listener);
	tokens_free(api->tokens);
	SSL_CTX_free(api->tls);
	free(api);
}

int api_listen(struct api *api, int fd, bool local, struct tg_error *err)
{
	return api_listener_new(api, fd, local, err) == NULL ? -1 : 0;
}

int api_tokens(struct api *api, const char *text, size_t bytes, struct tg_error *err)
{
	struct tokens *tokens = tokens_read(text, bytes, err);

	if (tokens == NULL)
		return -1;
	tokens_free(api->tokens);
	api->tokens = tokens;
	return 0;
}

int api_tls(struct api *api, const char *cert, size_t cert_bytes, const char *key, size_t key_bytes,
            const char *ca, size_t ca_bytes, struct tg_error *err)
{
	SSL_CTX *tls = tls_new(cert, cert_bytes, key, key_bytes, ca, ca_bytes, err);
	struct api_listener *listener;

	if (tls == NULL)
		return -1;
	SSL_CTX_free(api->tls);
	api->tls = tls;
	for (listener = LIST_FIRST(&api->listeners); listener != NULL; listener = LIST_NEXT(listener, entry))
		api_listener_refresh(listener);
	return 0;
}
