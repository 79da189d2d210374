#include "daemon/options.h"

#include <assert.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "daemon/options_value.h"

#define MINUTE_MS (UINT64_C(60) * 1000)
#define HOUR_MS	  (60 * MINUTE_MS)
#define DAY_MS	  (24 * HOUR_MS)

enum kind {
	KIND_TEXT,
	KIND_LISTEN,
	KIND_FORWARD,
	KIND_COUNT,
	KIND_DURATION,
	KIND_CHOICE,
	KIND_PREFIX,
	KIND_FLAG,
	KIND_ACTION,
	KIND_LATER,	/* part of the interface, but not of this version */
};

struct rule {
	const char        *flag;	/* NULL: the variable alone */
	const char        *variable;	/* NULL: the flag alone */
	const char        *value;	/* what the help calls it; NULL: takes none */
	const char        *initial;	/* the default, read like any value; NULL: none */
	enum kind          kind;
	size_t             at;		/* in struct options */
	uint64_t           least, most;
	const char *const *choices;	/* NULL at the end; the index is the value */
	const char        *help;
};

static const char *const log_levels[] = { "error", "warn", "info", "debug", NULL };
static const char *const wireguards[] = { "auto", "kernel", "userspace", NULL };

_Static_assert(TG_LOG_ERROR == 0 && TG_LOG_DEBUG == 3, "log_levels follows enum tg_log_level");
_Static_assert(MSG_WIREGUARD_AUTO == 0 && MSG_WIREGUARD_USERSPACE == 2, "so does wireguards");

#define AT(member) .at = offsetof(struct options, member)

static const struct rule rules[] = {
	{ "config", "TOLLGATE_CONFIG", "FILE", NULL, KIND_TEXT, AT(config),
	  .help = "a document applied at start and on SIGHUP" },
	{ "state-dir", "TOLLGATE_STATE_DIR", "DIR", "/var/lib/tollgate", KIND_TEXT, AT(state_dir),
	  .help = "the last applied document and the traffic records" },
	{ "run-dir", "TOLLGATE_RUN_DIR", "DIR", "/run/tollgate", KIND_TEXT, AT(run_dir),
	  .help = "api.sock and the pid file" },
	{ "api", "TOLLGATE_API", "ADDR", NULL, KIND_LISTEN, AT(api),
	  .help = "TCP address of the API; needs a token" },
	{ "api-insecure", NULL, NULL, NULL, KIND_FLAG, AT(api_insecure),
	  .help = "allow --api off loopback without TLS" },
	{ "token-file", "TOLLGATE_TOKEN_FILE", "FILE", NULL, KIND_TEXT, AT(token_file),
	  .help = "a line each: TOKEN, or SCOPE TOKEN (admin, read)" },
	{ NULL, "TOLLGATE_TOKEN", "TOKEN", NULL, KIND_TEXT, AT(token), .help = "the admin's token itself" },
	{ "api-cert", "TOLLGATE_API_CERT", "FILE", NULL, KIND_TEXT, AT(api_cert),
	  .help = "the API over TLS: its certificate, with the chain (PEM)" },
	{ "api-key", "TOLLGATE_API_KEY", "FILE", NULL, KIND_TEXT, AT(api_key), .help = "and its key" },
	{ "api-client-ca", "TOLLGATE_API_CLIENT_CA", "FILE", NULL, KIND_TEXT, AT(api_client_ca),
	  .help = "ask API clients for a certificate of this CA" },
	{ "http", "TOLLGATE_HTTP", "ADDR", "[::]:80", KIND_LISTEN, AT(http),
	  .help = "where HTTP comes in, or none" },
	{ "https", "TOLLGATE_HTTPS", "ADDR", "[::]:443", KIND_LISTEN, AT(https),
	  .help = "where HTTPS comes in, or none" },
	{ "forward", "TOLLGATE_FORWARD", "URL=IP:PORT", NULL, KIND_FORWARD,
	  .help = "a host name of the operator's own (a list)" },
	{ "workers", "TOLLGATE_WORKERS", "N", NULL, KIND_COUNT, AT(workers), .least = 1,
	  .most = MSG_WORKERS_MOST, .help = "proxy processes; default: one for each CPU" },
	{ "wireguard", "TOLLGATE_WIREGUARD", "KIND", "auto", KIND_CHOICE, AT(wireguard),
	  .choices = wireguards, .help = "auto, kernel or userspace" },
	{ "netns-prefix", "TOLLGATE_NETNS_PREFIX", "P", "network-", KIND_PREFIX, AT(netns_prefix),
	  .help = "namespaces are named P and the listen port" },
	{ "sample-interval", "TOLLGATE_SAMPLE_INTERVAL", "T", "60s", KIND_DURATION, AT(sample_interval_ms),
	  .least = 100, .most = HOUR_MS, .help = "how often byte counters are recorded" },
	{ "retention", "TOLLGATE_RETENTION", "T", "7d", KIND_DURATION, AT(retention_ms), .least = 1000,
	  .most = 36500 * DAY_MS, .help = "how long traffic records are kept at least" },
	{ "rollup-retention", "TOLLGATE_ROLLUP_RETENTION", "T", "400d", KIND_DURATION,
	  AT(rollup_retention_ms), .least = 1000, .most = 36500 * DAY_MS,
	  .help = "how long daily sums are kept" },
	{ "trust-proxy", "TOLLGATE_TRUST_PROXY", "CIDR", NULL, KIND_LATER,
	  .help = "clients whose PROXY header is believed (a list)" },
	{ "source-connections", "TOLLGATE_SOURCE_CONNECTIONS", "N", "512", KIND_COUNT, AT(source_connections),
	  .least = 0, .most = UINT32_MAX,
	  .help = "connections of one client address at a time; 0: no limit" },
	{ "drain-timeout", "TOLLGATE_DRAIN_TIMEOUT", "T", "30s", KIND_DURATION, AT(drain_timeout_ms),
	  .least = 0, .most = DAY_MS, .help = "how long old connections may last after SIGTERM" },
	{ "access-log", "TOLLGATE_ACCESS_LOG", "FILE", NULL, KIND_LATER,
	  .help = "one line a connection or request" },
	{ "metrics-per-peer", "TOLLGATE_METRICS_PER_PEER", NULL, NULL, KIND_LATER,
	  .help = "per-peer series in /metrics" },
	{ "user", "TOLLGATE_USER", "NAME", NULL, KIND_TEXT, AT(user),
	  .help = "account of control and of the state directory; default: tollgate" },
	{ "log-level", "TOLLGATE_LOG_LEVEL", "L", "info", KIND_CHOICE, AT(log_level), .choices = log_levels,
	  .help = "error, warn, info or debug" },
	{ "check", NULL, NULL, NULL, KIND_ACTION, .least = OPTIONS_CHECK,
	  .help = "check the options and the document of --config, then exit" },
	{ "teardown", NULL, NULL, NULL, KIND_ACTION, .least = OPTIONS_TEARDOWN,
	  .help = "remove every namespace and interface that is the daemon's by name, then exit" },
	{ "help", NULL, NULL, NULL, KIND_ACTION, .least = OPTIONS_HELP, .help = "print this" },
	{ "version", NULL, NULL, NULL, KIND_ACTION, .least = OPTIONS_VERSION, .help = "print the version" },
};

#define RULES (sizeof rules / sizeof rules[0])

static int set_choice(uint32_t *to, const struct rule *rule, const char *text, struct tg_error *err)
{
	for (uint32_t i = 0; rule->choices[i] != NULL; i++) {
		if (strcmp(rule->choices[i], text) == 0) {
			*to = i;
			return 0;
		}
	}
	return tg_fail(err, TG_CODE_INVALID, "\"%.40s\" is not one of: %s", text, rule->help);
}

static int set(struct options *to, const struct rule *rule, const char *text, struct tg_error *err)
{
	void    *at = (char *)to + rule->at;
	uint64_t number;

	switch (rule->kind) {
	case KIND_TEXT:
		if (*text == '\0')
			return tg_fail(err, TG_CODE_INVALID, "is empty");
		*(const char **)at = text;
		return 0;
	case KIND_LISTEN:
		return options_value_listen(at, text, err);
	case KIND_FORWARD:
		return options_value_forward(to, text, err);
	case KIND_COUNT:
		if (options_value_count(&number, text, rule->least, rule->most, err) == -1)
			return -1;
		*(uint32_t *)at = (uint32_t)number;
		return 0;
	case KIND_DURATION:
		return options_value_duration(at, text, rule->least, rule->most, err);
	case KIND_CHOICE:
		return set_choice(at, rule, text, err);
	case KIND_PREFIX:
		return options_value_prefix(at, text, err);
	case KIND_FLAG:
		*(bool *)at = true;
		return 0;
	case KIND_ACTION:
		to->action = (enum options_action)rule->least;
		return 0;
	case KIND_LATER:
		return tg_fail(err, TG_CODE_INVALID, "is not supported by this version");
	}
	return -1;
}

/* As set(), with the name of the flag or variable in `err`. */
static int set_named(struct options *to, const struct rule *rule, const char *dashes, const char *name,
                     const char *text, struct tg_error *err)
{
	if (set(to, rule, text, err) == 0)
		return 0;
	snprintf(err->where, sizeof err->where, "%s%s", dashes, name);
	return -1;
}

/* A variable of a list holds its values with commas between; an empty one counts as not set. */
static int set_from_environment(struct options *to, const struct rule *rule, const char *text,
                                struct tg_error *err)
{
	char one[MSG_HOST_MOST + 80];

	if (rule->kind != KIND_FORWARD)
		return set_named(to, rule, "", rule->variable, text, err);
	while (*text != '\0') {
		size_t len = strcspn(text, ",");

		if (len >= sizeof one)
			return tg_fail_at(err, TG_CODE_INVALID, rule->variable, "\"%.40s…\" is too long",
			                  text);
		memcpy(one, text, len);
		one[len] = '\0';
		if (set_named(to, rule, "", rule->variable, one, err) == -1)
			return -1;
		text += len + (text[len] == ',');
	}
	return 0;
}

static uint32_t cpus(void)
{
	cpu_set_t set_of_cpus;

	if (sched_getaffinity(0, sizeof set_of_cpus, &set_of_cpus) == -1)
		return 1;

	int count = CPU_COUNT(&set_of_cpus);

	return count < 1 ? 1 : count > MSG_WORKERS_MOST ? MSG_WORKERS_MOST : (uint32_t)count;
}

static int read_flags(struct options *to, bool given[RULES], int argc, char **argv, struct tg_error *err)
{
	struct option table[RULES + 1] = { 0 };
	int           indexes[RULES];
	int           at = -1;

	for (size_t i = 0, n = 0; i < RULES; i++) {
		if (rules[i].flag == NULL)
			continue;
		indexes[n] = (int)i;
		table[n].name = rules[i].flag;
		table[n++].has_arg = rules[i].value != NULL ? required_argument : no_argument;
	}
	opterr = 0;
	optind = 0; /* glibc: begin anew */
	for (;;) {
		int         now = optind < 1 ? 1 : optind;
		int         got = getopt_long(argc, argv, "+:", table, &at);
		const char *text = now < argc ? argv[now] : "";

		if (got == -1)
			break;
		if (got == ':')
			return tg_fail_at(err, TG_CODE_INVALID, text, "needs a value");
		/* getopt_long takes abbreviations: what a later version adds would change their meaning. */
		if (got != 0 || strcspn(text + 2, "=") != strlen(table[at].name))
			return tg_fail_at(err, TG_CODE_INVALID, text, "is no option, or takes no value");

		const struct rule *rule = &rules[indexes[at]];

		given[indexes[at]] = true;
		if (set_named(to, rule, "--", rule->flag, optarg != NULL ? optarg : "", err) == -1)
			return -1;
	}
	if (optind < argc)
		return tg_fail_at(err, TG_CODE_INVALID, argv[optind], "is no option");
	return 0;
}

static bool is_loopback(const struct tg_endpoint *at)
{
	static const uint8_t loopback6[16] = { [15] = 1 };

	return at->family == AF_INET ? at->bytes[0] == 127 : memcmp(at->bytes, loopback6, 16) == 0;
}

/* What no option can know alone. */
static int check_together(const struct options *o, struct tg_error *err)
{
	if (o->token_file != NULL && o->token != NULL)
		return tg_fail_at(err, TG_CODE_INVALID, "TOLLGATE_TOKEN", "is set, and so is --token-file");
	if (o->api.at.family != 0 && o->token_file == NULL && o->token == NULL)
		return tg_fail_at(err, TG_CODE_INVALID, "--api", "needs --token-file or TOLLGATE_TOKEN");
	if ((o->api_cert == NULL) != (o->api_key == NULL))
		return tg_fail_at(err, TG_CODE_INVALID, o->api_cert == NULL ? "--api-key" : "--api-cert",
		                  "is of no use without %s",
		                  o->api_cert == NULL ? "--api-cert" : "--api-key");
	if (o->api_client_ca != NULL && o->api_cert == NULL)
		return tg_fail_at(err, TG_CODE_INVALID, "--api-client-ca", "is of no use without --api-cert");
	if (o->api.at.family != 0 && !is_loopback(&o->api.at) && o->api_cert == NULL && !o->api_insecure)
		return tg_fail_at(err, TG_CODE_INVALID, "--api",
		                  "is not a loopback address: needs --api-cert, or --api-insecure");
	if (o->http.at.family != 0 && tg_endpoint_equal(&o->http.at, &o->https.at))
		return tg_fail_at(err, TG_CODE_INVALID, "--https", "is the same address as --http");
	if (o->api.at.family != 0 &&
	    (tg_endpoint_equal(&o->api.at, &o->http.at) || tg_endpoint_equal(&o->api.at, &o->https.at)))
		return tg_fail_at(err, TG_CODE_INVALID, "--api", "is the same address as --http or --https");
	return 0;
}

int options_read(struct options *to, int argc, char **argv, struct tg_error *err)
{
	bool given[RULES] = { false };

	memset(to, 0, sizeof *to);
	to->workers = cpus();
	for (size_t i = 0; i < RULES; i++) {
		if (rules[i].initial == NULL)
			continue;

		int read = set(to, &rules[i], rules[i].initial, err);

		assert(read == 0);
	}
	to->http.standard = to->https.standard = true;
	if (read_flags(to, given, argc, argv, err) == -1)
		return -1;
	if (to->action == OPTIONS_HELP || to->action == OPTIONS_VERSION)
		return 0;

	/* A token file named by its flag makes the variable that holds a token void. */
	bool token_settled = to->token_file != NULL;

	for (size_t i = 0; i < RULES; i++) {
		const char *text = rules[i].variable == NULL || given[i] ? NULL : getenv(rules[i].variable);
		bool        wanted = text != NULL && *text != '\0' &&
		                     !(rules[i].flag == NULL && token_settled);

		if (wanted && set_from_environment(to, &rules[i], text, err) == -1)
			return -1;
	}
	return check_together(to, err);
}

void options_print_help(void)
{
	puts("Usage: tollgated [OPTION]...\n"
	     "A flag wins over its environment variable, which wins over the default.\n");
	for (size_t i = 0; i < RULES; i++) {
		const struct rule *rule = &rules[i];
		char               left[64] = "";

		if (rule->flag != NULL)
			snprintf(left, sizeof left, "--%s%s%s", rule->flag, rule->value != NULL ? " " : "",
			         rule->value != NULL ? rule->value : "");
		else
			snprintf(left, sizeof left, "(%s)", rule->variable);
		printf("  %-26s %s%s%s%s%s\n", left, rule->help, rule->initial != NULL ? "; default: " : "",
		       rule->initial != NULL ? rule->initial : "",
		       rule->kind == KIND_LATER ? " (not in this version)" : "",
		       rule->flag == NULL ? " (variable only)" : "");
	}
	puts("\nVariables: the flag in capitals, TOLLGATE_ before it, _ for -.  "
	     "Times: 100ms, 60s, 5m, 24h, 7d.\n"
	     "See tollgated(8).");
}
