#include "cli/args.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define BIT(command) (1U << (command))
#define CALLS \
	(BIT(ARGS_APPLY) | BIT(ARGS_GET) | BIT(ARGS_STATUS) | BIT(ARGS_TRAFFIC) | BIT(ARGS_EVENTS))

static const struct {
	const char *name;
	const char *operand;
	int         least, most;	/* operands */
	const char *help;
} commands[] = {
	[ARGS_APPLY] = { "apply", " FILE", 1, 1, "make the gateway obey a document; - is standard input" },
	[ARGS_GET] = { "get", "", 0, 0, "print the active document" },
	[ARGS_STATUS] = { "status", " [PORT]", 0, 1, "print networks and their peers" },
	[ARGS_TRAFFIC] = { "traffic", "", 0, 0, "print the bytes of peers and hosts" },
	[ARGS_EVENTS] = { "events", "", 0, 0, "print what happens, until interrupted" },
	[ARGS_GENKEY] = { "genkey", "", 0, 0, "make a private key" },
	[ARGS_PUBKEY] = { "pubkey", "", 0, 0, "read a private key, print its public key" },
	[ARGS_HELP] = { "help", "", 0, 0, "print this" },
	[ARGS_VERSION] = { "version", "", 0, 0, "print the version" },
};

static const struct {
	const char *name;
	const char *value;	/* NULL: takes none */
	unsigned    commands;	/* that have it */
	size_t      at;		/* in struct args */
	const char *help;
} flags[] = {
	{ "api", "URL", CALLS, offsetof(struct args, api),
	  "the API's address: http://127.0.0.1:8000, https://…, unix:PATH" },
	{ "token-file", "FILE", CALLS, offsetof(struct args, token_file),
	  "whose first line is used with --api" },
	{ "socket", "PATH", CALLS, offsetof(struct args, socket), "the API's Unix socket" },
	{ "run-dir", "DIR", CALLS, offsetof(struct args, run_dir),
	  "where api.sock is [TOLLGATE_RUN_DIR, /run/tollgate]" },
	{ "dry-run", NULL, BIT(ARGS_APPLY), offsetof(struct args, dry_run), "only print what would change" },
	{ "since", "T", BIT(ARGS_TRAFFIC), offsetof(struct args, since),
	  "later than this: UNIX seconds, or 90s, 5m, 24h, 7d ago" },
	{ "until", "T", BIT(ARGS_TRAFFIC), offsetof(struct args, until), "up to this" },
	{ "network", "N", BIT(ARGS_TRAFFIC), offsetof(struct args, network),
	  "of one: its public key or port" },
	{ "ledger", "ID", BIT(ARGS_TRAFFIC), offsetof(struct args, ledger),
	  "refuse when the database is another, or records are gone" },
	{ "resolution", "R", BIT(ARGS_TRAFFIC), offsetof(struct args, resolution),
	  "hour or day: sums of these" },
	{ "format", "F", BIT(ARGS_TRAFFIC), offsetof(struct args, format),
	  "table, json, ndjson or csv [table]" },
	{ "help", NULL, 0, 0, "print this" },
	{ "version", NULL, 0, 0, "print the version" },
};

#define FLAGS	 (sizeof flags / sizeof *flags)
#define COMMANDS (sizeof commands / sizeof *commands)

void args_print_help(void)
{
	puts("Usage: tollgate COMMAND [OPTION]...\n\nCommands:");
	for (size_t i = 0; i < ARGS_HELP; i++) {
		char left[32];

		snprintf(left, sizeof left, "%s%s", commands[i].name, commands[i].operand);
		printf("  %-22s %s\n", left, commands[i].help);
	}
	puts("\nOptions:");
	for (size_t i = 0; i < FLAGS; i++) {
		char left[32];

		snprintf(left, sizeof left, "--%s%s%s", flags[i].name, flags[i].value == NULL ? "" : " ",
		         flags[i].value == NULL ? "" : flags[i].value);
		printf("  %-22s %s\n", left, flags[i].help);
	}
	puts("\nWithout --api the daemon's Unix socket is used.\n"
	     "Exit status: 0, 1 (refused or failed), 2 (usage).");
}

bool args_time_read(const char *text, int64_t now_s, int64_t *to)
{
	static const struct {
		const char *unit;
		int64_t     seconds;
	} units[] = { { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 } };
	char     *end;
	long long value;

	if (*text < '0' || *text > '9' || strspn(text, "0123456789") > 15)
		return false;
	value = strtoll(text, &end, 10);
	*to = value;
	if (*end == '\0')
		return true;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (strcmp(end, units[i].unit) == 0 && value <= now_s / units[i].seconds) {
			*to = now_s - value * units[i].seconds;
			return true;
		}
	return false;
}

static int command_find(struct args *to, const char *name, struct tg_error *err)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0) {
			to->command = (enum args_command)i;
			return 0;
		}
	return tg_fail(err, TG_CODE_INVALID, "there is no command \"%.40s\"", name);
}

static int set(struct args *to, size_t flag, const char *value)
{
	char *at = (char *)to + flags[flag].at;

	if (strcmp(flags[flag].name, "help") == 0 || strcmp(flags[flag].name, "version") == 0) {
		to->command = strcmp(flags[flag].name, "help") == 0 ? ARGS_HELP : ARGS_VERSION;
		return 1;
	}
	if (flags[flag].value == NULL)
		*(bool *)(void *)at = true;
	else
		*(const char **)(void *)at = value;
	return 0;
}

static bool begins_with(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static int check(const struct args *args, unsigned given, int operands, struct tg_error *err)
{
	static const char *const formats[] = { "table", "json", "ndjson", "csv" };
	bool                     known = false;

	for (size_t i = 0; i < FLAGS; i++)
		if ((given & BIT(i)) != 0 && (flags[i].commands & BIT(args->command)) == 0)
			return tg_fail(err, TG_CODE_INVALID, "%s has no option --%s",
			               commands[args->command].name, flags[i].name);
	if (operands < commands[args->command].least || operands > commands[args->command].most)
		return tg_fail(err, TG_CODE_INVALID, "usage: tollgate %s%s [OPTION]...",
		               commands[args->command].name, commands[args->command].operand);
	if (args->api != NULL && args->socket != NULL)
		return tg_fail(err, TG_CODE_INVALID, "--api and --socket exclude each other");
	if (args->api != NULL && !begins_with(args->api, "http://") && !begins_with(args->api, "https://") &&
	    !begins_with(args->api, ARGS_UNIX_SCHEME))
		return tg_fail(err, TG_CODE_INVALID,
		               "--api \"%.80s\" is none of http://…, https://…, unix:PATH", args->api);
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		known = known || strcmp(args->format, formats[i]) == 0;
	if (!known)
		return tg_fail(err, TG_CODE_INVALID, "--format \"%.40s\" is none of table, json, ndjson, csv",
		               args->format);
	if (args->resolution != NULL && strcmp(args->resolution, "hour") != 0 &&
	    strcmp(args->resolution, "day") != 0)
		return tg_fail(err, TG_CODE_INVALID, "--resolution \"%.40s\" is neither hour nor day",
		               args->resolution);
	return 0;
}

static const char *environment(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value == NULL || *value == '\0' ? otherwise : value;
}

int args_read(struct args *to, int argc, char **argv, struct tg_error *err)
{
	struct option options[FLAGS + 1] = { { NULL, 0, NULL, 0 } };
	unsigned      given = 0;
	int           index = 0;
	int           got;

	*to = (struct args){ .format = "table", .run_dir = environment("TOLLGATE_RUN_DIR", "/run/tollgate"),
	                     .token_file = environment("TOLLGATE_TOKEN_FILE", NULL),
	                     .token = environment("TOLLGATE_TOKEN", NULL),
	                     .ca_file = environment("SSL_CERT_FILE", NULL) };
	for (size_t i = 0; i < FLAGS; i++)
		options[i] = (struct option){ flags[i].name,
			                      flags[i].value == NULL ? no_argument : required_argument, NULL,
			                      'f' };
	optind = 0;	/* from the beginning, also in tests */
	opterr = 0;
	while ((got = getopt_long(argc, argv, ":", options, &index)) != -1) {
		if (got == ':')
			return tg_fail(err, TG_CODE_INVALID, "%.60s needs a value", argv[optind - 1]);
		if (got != 'f')
			return tg_fail(err, TG_CODE_INVALID, "there is no option %.60s", argv[optind - 1]);
		given |= BIT(index);
		if (set(to, (size_t)index, optarg) == 1)
			return 0;
	}
	if (optind == argc)
		return tg_fail(err, TG_CODE_INVALID, "no command; see tollgate --help");
	if (command_find(to, argv[optind], err) == -1)
		return -1;
	to->operand = optind + 1 < argc ? argv[optind + 1] : NULL;
	if (to->command == ARGS_HELP || to->command == ARGS_VERSION)
		return 0;
	return check(to, given, argc - optind - 1, err);
}
