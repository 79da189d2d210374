#include "tests/support/random_document.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <check.h>

#include "base/key.h"

static uint32_t chance(uint32_t *seed, uint32_t most)
{
	/* Marsaglia, "Xorshift RNGs". */
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed % most;
}

__attribute__((format(printf, 2, 3)))
static void put(struct random_writer *w, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	w->at += (size_t)vsnprintf(w->text + w->at, sizeof w->text - w->at, format, args);
	va_end(args);
	ck_assert_uint_lt(w->at, sizeof w->text);
}

static void put_space(struct random_writer *w)
{
	static const char *const spaces[] = { "", "", "", " ", "\n\t", "  " };

	put(w, "%s", spaces[chance(&w->seed, 6)]);
}

static void put_key(struct random_writer *w, unsigned number)
{
	struct tg_key key;
	char          text[TG_KEY_TEXT];

	memset(&key, 0, sizeof key);
	key.bytes[0] = (uint8_t)(number * 8);
	key.bytes[1] = 77;
	key.bytes[31] = 64;
	put(w, "\"%s\"", tg_key_print(&key, text));
}

static void put_peers(struct random_writer *w, unsigned port)
{
	unsigned peers = chance(&w->seed, 4);

	put(w, ",\"peers\":{");
	for (unsigned i = 0; i < peers; i++) {
		put(w, "%s", i > 0 ? "," : "");
		put_space(w);
		put_key(w, 100 + (i * 7 + port) % 20);
		put(w, ":{\"allowed_ips\":[");
		for (unsigned j = chance(&w->seed, 3); j > 0; j--)
			put(w, "\"10.0.%u.%u/32\"%s", i, j, j > 1 ? ", " : "");
		put(w, "]%s", chance(&w->seed, 3) == 0 ? ",\"endpoint\":\"192.0.2.1:7\"" : "");
		if (chance(&w->seed, 60) == 0)
			put(w, ",\"endpoint\":null,\"unknown\":1");
		put(w, "}");
	}
	put(w, "}");
}

/* Names with the port between both parts, or without any. */
static const struct {
	const char *begin, *end;
	unsigned    weight;
} hosts[] = {
	{ "https://h", ".example", 6 },   { "http://h", ".example", 4 },   { "https://*.w", ".example", 2 },
	{ "https://a.w", ".example", 1 }, { "https://y", ".example/", 4 }, { "https://*.example", NULL, 1 },
	{ "https://both.example", NULL, 1 }, { "ssh://s", "", 1 },
};

static void put_proxy(struct random_writer *w, unsigned port)
{
	unsigned used = 0;

	put(w, ",\"proxy\":{");
	for (unsigned i = chance(&w->seed, 4); i > 0; i--) {
		unsigned which = 0;

		for (uint32_t left = chance(&w->seed, 20); left >= hosts[which].weight; which++)
			left -= hosts[which].weight;
		if ((used & 1U << which) != 0 && chance(&w->seed, 40) != 0)
			continue;
		put(w, "%s\"%s", used != 0 ? "," : "", hosts[which].begin);
		used |= 1U << which;
		if (hosts[which].end != NULL)
			put(w, "%u%s", port, hosts[which].end);
		put(w, "\":");
		put_space(w);
		if (which == 1 && chance(&w->seed, 2) == 0)
			put(w, "{\"upstreams\":[\"10.0.0.1:80\"],\"host_header\":\"b%u\"}", port);
		else
			put(w, "[\"10.0.%u.1:80\"]", chance(&w->seed, 8) == 0 ? 9 : 0);
	}
	put(w, "}");
}

static void put_network(struct random_writer *w, const struct random_entry *entry)
{
	w->seed = entry->seed | 1;
	put_space(w);
	if (chance(&w->seed, 60) == 0)
		put(w, "\"\\u003%u%u\"", entry->port / 10, entry->port % 10);
	else if (chance(&w->seed, 100) == 0)
		put(w, "\"0%u\"", entry->port);
	else
		put(w, "\"%u\"", entry->port);
	put_space(w);
	put(w, ":");
	put_space(w);
	put(w, "{\"private_key\":");
	put_key(w, chance(&w->seed, 40) == 0 ? 1 : entry->port);
	put(w, ",\"address\":[\"10.0.0.1/16\"%s]", chance(&w->seed, 3) == 0 ? ",\"fd00::1/64\"" : "");
	if (chance(&w->seed, 3) == 0)
		put(w, ",\"name\":\"name \\\" %u\"", entry->seed);
	put_space(w);
	if (chance(&w->seed, 4) == 0)
		put(w, ",\"mtu\":%u", chance(&w->seed, 20) == 0 ? 1 : 1300 + chance(&w->seed, 100));
	if (chance(&w->seed, 50) == 0)
		put(w, ",\"mtu\":1400");
	put_peers(w, entry->port);
	put_proxy(w, entry->port);
	put(w, "}");
	put_space(w);
}

void random_document_put(struct random_writer *w, const struct random_entry *entries, size_t count,
                         uint32_t *seed)
{
	bool array = chance(seed, 200) == 0;

	w->at = 0;
	put(w, array ? " [" : "{");
	for (size_t i = 0; i < count; i++) {
		put(w, "%s", i > 0 ? "," : "");
		put_network(w, &entries[i]);
	}
	put(w, array ? "]" : "}\n");
	if (chance(seed, 50) == 0)
		w->text[chance(seed, (uint32_t)w->at)] = '\0';
}

static size_t edit(struct random_entry *entries, size_t count, uint32_t *seed)
{
	size_t              at = chance(seed, RANDOM_DOCUMENT_NETWORKS);
	struct random_entry entry = { .port = 1 + chance(seed, 30), .seed = chance(seed, UINT32_MAX) };

	switch (chance(seed, 4)) {
	case 0:
		if (at < count)
			entries[at].seed = entry.seed;
		return count;
	case 1:
		if (at < count)
			entries[at] = entries[--count];
		return count;
	case 2:
		if (at < count) {
			entry = entries[at];
			entries[at] = entries[0];
			entries[0] = entry;
		}
		return count;
	}
	for (size_t i = 0; i < count; i++)
		if (entries[i].port == entry.port && chance(seed, 10) != 0)
			return count;
	if (count < RANDOM_DOCUMENT_NETWORKS)
		entries[count++] = entry;
	return count;
}

size_t random_document_edit(struct random_entry *entries, size_t count, uint32_t *seed)
{
	for (unsigned edits = chance(seed, 4); edits > 0; edits--)
		count = edit(entries, count, seed);
	return count;
}
