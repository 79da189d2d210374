#include "cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "cli/args.h"

#define CONNECT_S  10L
#define TOKEN_MOST 4096


struct client {
	CURL              *curl;
	struct curl_slist *headers;	/* of every request */
	char              *base;	/* http://127.0.0.1:8000/api/v1 */
	char              *socket;	/* NULL: TCP */
	char               reason[CURL_ERROR_SIZE];
};

/* One answer on its way. */
struct call {
	struct client        *client;
	struct client_answer *answer;
	client_piece_fn      *each;	/* NULL: all is kept */
	void                 *arg;
	bool                  too_large;
	bool                  stopped;
};

/* The first line of the token file, `TOKEN` or `SCOPE TOKEN`, into `to`. */
static int token_read(const char *path, char to[TOKEN_MOST], struct tg_error *err)
{
	FILE *file = fopen(path, "re");
	char *token;

	if (file == NULL)
		return tg_fail_sys(err, "cannot open %.100s", path);
	token = fgets(to, TOKEN_MOST, file);
	fclose(file);
	if (token == NULL)
		return tg_fail(err, TG_CODE_INVALID, "%.100s is empty", path);
	to[strcspn(to, "\r\n")] = '\0';
	token = strrchr(to, ' ');
	if (token != NULL)
		memmove(to, token + 1, strlen(token + 1) + 1);
	if (*to == '\0')
		return tg_fail(err, TG_CODE_INVALID, "the first line of %.100s holds no token", path);
	return 0;
}

static int add_header(struct client *client, const char *header, struct tg_error *err)
{
	struct curl_slist *longer = curl_slist_append(client->headers, header);

	if (longer == NULL)
		return tg_fail_memory(err);
	client->headers = longer;
	return 0;
}

static int set_token(struct client *client, const struct args *args, struct tg_error *err)
{
	char        token[TOKEN_MOST];
	char        header[TOKEN_MOST + 32];
	const char *value = args->token;

	if (args->token_file != NULL) {
		if (token_read(args->token_file, token, err) == -1)
			return -1;
		value = token;
	}
	if (value == NULL)
		return 0;
	if (strlen(value) >= TOKEN_MOST || strpbrk(value, "\r\n") != NULL)
		return tg_fail(err, TG_CODE_INVALID, "the token is not one");
	snprintf(header, sizeof header, "Authorization: Bearer %s", value);
	return add_header(client, header, err);
}

static int set_api(struct client *client, const struct args *args, struct tg_error *err)
{
	size_t len = strlen(args->api);

	while (len > 0 && args->api[len - 1] == '/')
		len--;

	bool whole = len >= 7 && strncmp(args->api + len - 7, "/api/v1", 7) == 0;

	if (asprintf(&client->base, "%.*s%s", (int)len, args->api, whole ? "" : "/api/v1") == -1) {
		client->base = NULL;
		return tg_fail_memory(err);
	}
	return set_token(client, args, err);
}

static bool is_socket(const struct args *args)
{
	return args->api == NULL || strncmp(args->api, ARGS_UNIX_SCHEME, strlen(ARGS_UNIX_SCHEME)) == 0;
}

static int set_socket(struct client *client, const struct args *args, struct tg_error *err)
{
	client->base = strdup("http://tollgate/api/v1");
	if (args->api != NULL)
		client->socket = strdup(args->api + strlen(ARGS_UNIX_SCHEME));
	else if (args->socket != NULL)
		client->socket = strdup(args->socket);
	else if (asprintf(&client->socket, "%s/api.sock", args->run_dir) == -1)
		client->socket = NULL;
	if (client->base == NULL || client->socket == NULL ||
	    curl_easy_setopt(client->curl, CURLOPT_UNIX_SOCKET_PATH, client->socket) != CURLE_OK)
		return tg_fail_memory(err);
	return 0;
}

struct client *client_new(const struct args *args, struct tg_error *err)
{
	struct client *client = calloc(1, sizeof *client);

	if (client == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(client);
		tg_fail_memory(err);
		return NULL;
	}
	client->curl = curl_easy_init();
	if (client->curl == NULL) {
		tg_fail_memory(err);
		client_free(client);
		return NULL;
	}
	if ((is_socket(args) ? set_socket(client, args, err) : set_api(client, args, err)) == -1 ||
	    add_header(client, "Content-Type: application/json", err) == -1 ||
	    add_header(client, "Expect:", err) == -1) {
		client_free(client);
		return NULL;
	}
	if (args->ca_file != NULL &&
	    curl_easy_setopt(client->curl, CURLOPT_CAINFO, args->ca_file) != CURLE_OK) {
		client_free(client);
		tg_fail_memory(err);
		return NULL;
	}
	curl_easy_setopt(client->curl, CURLOPT_ERRORBUFFER, client->reason);
	curl_easy_setopt(client->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(client->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(client->curl, CURLOPT_TCP_KEEPALIVE, 1L);
	if (is_socket(args))
		curl_easy_setopt(client->curl, CURLOPT_NOPROXY, "*");
	return client;
}

void client_free(struct client *client)
{
	if (client == NULL)
		return;
	curl_easy_cleanup(client->curl);
	curl_slist_free_all(client->headers);
	free(client->base);
	free(client->socket);
	free(client);
	curl_global_cleanup();
}

void client_answer_clear(struct client_answer *answer)
{
	free(answer->body);
	memset(answer, 0, sizeof *answer);
}

static size_t on_piece(char *piece, size_t one, size_t count, void *arg)
{
	struct call          *call = arg;
	struct client_answer *answer = call->answer;
	size_t                bytes = one * count;

	curl_easy_getinfo(call->client->curl, CURLINFO_RESPONSE_CODE, &answer->status);
	if (call->each != NULL && answer->status == 200) {
		if (call->each(piece, bytes, call->arg))
			return bytes;
		call->stopped = true;
		return 0;
	}
	if (bytes > CLIENT_BODY_MOST - answer->bytes) {
		call->too_large = true;
		return 0;
	}

	char *longer = realloc(answer->body, answer->bytes + bytes + 1);

	if (longer == NULL)
		return 0;
	memcpy(longer + answer->bytes, piece, bytes);
	answer->body = longer;
	answer->bytes += bytes;
	longer[answer->bytes] = '\0';
	return bytes;
}

static int perform(struct call *call, const char *path, struct tg_error *err)
{
	struct client      *client = call->client;
	TG_AUTO_FREE char  *url = NULL;
	struct curl_header *stop;

	if (asprintf(&url, "%s%s", client->base, path) == -1) {
		url = NULL;
		return tg_fail_memory(err);
	}
	memset(call->answer, 0, sizeof *call->answer);
	call->answer->stop_time = -1;
	client->reason[0] = '\0';
	curl_easy_setopt(client->curl, CURLOPT_URL, url);
	curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, client->headers);
	curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, on_piece);
	curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, call);

	CURLcode code = curl_easy_perform(client->curl);

	if (call->too_large)
		return tg_fail(err, TG_CODE_LIMIT, "the answer is larger than %u bytes", CLIENT_BODY_MOST);
	if (code == CURLE_OUT_OF_MEMORY)
		return tg_fail_memory(err);
	if (call->stopped)
		return tg_fail(err, TG_CODE_PROTOCOL, "the answer is not understood, or cannot be written");
	if (code == CURLE_COULDNT_CONNECT && client->socket != NULL) {
		long sys = 0;

		curl_easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &sys);
		return tg_fail_errno(err, (int)sys, "no daemon answers on %.90s", client->socket);
	}
	if (code != CURLE_OK)
		return tg_fail(err, TG_CODE_SYSTEM, "%.140s",
		               client->reason[0] != '\0' ? client->reason : curl_easy_strerror(code));
	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &call->answer->status);
	if (curl_easy_header(client->curl, "Tollgate-Stop-Time", 0, CURLH_HEADER, -1, &stop) == CURLHE_OK)
		call->answer->stop_time = strtoll(stop->value, NULL, 10);
	return 0;
}

int client_call(struct client *client, const char *path, const char *body, size_t body_bytes,
                struct client_answer *to, struct tg_error *err)
{
	struct call call = { .client = client, .answer = to };

	if (body != NULL) {
		curl_easy_setopt(client->curl, CURLOPT_POST, 1L);
		curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_bytes);
	} else {
		curl_easy_setopt(client->curl, CURLOPT_HTTPGET, 1L);
	}
	if (perform(&call, path, err) == 0)
		return 0;
	client_answer_clear(to);
	return -1;
}

int client_stream(struct client *client, const char *path, const char *accept, client_piece_fn *each,
                  void *arg, struct client_answer *to, struct tg_error *err)
{
	struct call call = { .client = client, .answer = to, .each = each, .arg = arg };
	char        header[128];

	snprintf(header, sizeof header, "Accept: %s", accept);
	if (add_header(client, header, err) == -1)
		return -1;
	curl_easy_setopt(client->curl, CURLOPT_HTTPGET, 1L);
	if (perform(&call, path, err) == 0)
		return 0;
	client_answer_clear(to);
	return -1;
}

char *client_escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0);
	char *copy = escaped == NULL ? NULL : strdup(escaped);

	curl_free(escaped);
	return copy;
}
