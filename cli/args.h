/* The command line of `tollgate`. */
#ifndef TOLLGATE_CLI_ARGS_H
#define TOLLGATE_CLI_ARGS_H

#include <stdbool.h>
#include <stdint.h>

struct tg_error;

#define ARGS_UNIX_SCHEME "unix:"

enum args_command {
	ARGS_APPLY,
	ARGS_GET,
	ARGS_STATUS,
	ARGS_TRAFFIC,
	ARGS_EVENTS,
	ARGS_GENKEY,
	ARGS_PUBKEY,
	ARGS_HELP,
	ARGS_VERSION,
};

/* Texts are borrowed from argv, the environment or the program itself. */
struct args {
	enum args_command command;
	const char       *operand;	/* apply: the file; status: a port; else NULL */
	const char       *api;		/* NULL: the Unix socket */
	const char       *token_file;
	const char       *token;	/* of the environment */
	const char       *socket;	/* NULL: api.sock in the run directory */
	const char       *run_dir;
	const char       *ca_file;	/* of the environment; NULL: the system's authorities */
	bool              dry_run;
	/* traffic */
	const char       *since;
	const char       *until;
	const char       *network;
	const char       *ledger;
	const char       *resolution;
	const char       *format;	/* "table", "json", "ndjson" or "csv" */
};

/* -1: `err` says what is wrong. */
int args_read(struct args *to, int argc, char **argv, struct tg_error *err);
void args_print_help(void);
/* A time as an option has it, UNIX seconds, or `90s`, `5m`, `24h`, `7d`: so long before `now_s`. */
bool args_time_read(const char *text, int64_t now_s, int64_t *to);

#endif
