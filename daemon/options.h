/* What the daemon is told: the flag wins, then the environment, then the default. */
#ifndef TOLLGATE_DAEMON_OPTIONS_H
#define TOLLGATE_DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/msg.h"

struct tg_error;

enum options_action {
	OPTIONS_RUN,
	OPTIONS_CHECK,		/* --check */
	OPTIONS_TEARDOWN,
	OPTIONS_HELP,
	OPTIONS_VERSION,
};

struct options_listen {
	struct tg_endpoint at;		/* family 0: not wanted */
	bool               standard;	/* nobody asked for it: without IPv6 it may become 0.0.0.0 */
};

/* Texts are borrowed from argv, the environment or the program itself. */
struct options {
	enum options_action   action;
	const char           *config;		/* NULL: none */
	const char           *state_dir;
	const char           *run_dir;
	struct options_listen api;
	bool                  api_insecure;
	const char           *token_file;	/* NULL: none */
	const char           *token;		/* the admin's token itself; NULL: none */
	const char           *api_cert;		/* NULL: no TLS; else api_key is set too */
	const char           *api_key;
	const char           *api_client_ca;	/* NULL: none */
	struct options_listen http;
	struct options_listen https;
	struct msg_forward    forwards[MSG_FORWARDS_MOST];
	size_t                forwards_count;
	uint32_t              workers;
	uint32_t              wireguard;	/* enum msg_wireguard */
	const char           *netns_prefix;
	uint64_t              sample_interval_ms;
	uint64_t              retention_ms;
	uint64_t              rollup_retention_ms;
	uint64_t              drain_timeout_ms;
	uint32_t              source_connections;	/* 0: no limit */
	const char           *user;		/* NULL: `tollgate`, else a free uid */
	uint32_t              log_level;	/* enum tg_log_level */
};

/* -1: `err` names the option (or variable) in `where` and says what is wrong with it. */
int options_read(struct options *to, int argc, char **argv, struct tg_error *err);
/* To standard output. */
void options_print_help(void);

#endif
