#include "accounting/traffic_text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int traffic_who_read(sqlite3_stmt *row, int column, struct traffic_who *to)
{
	int           kind = sqlite3_column_int(row, column + 1);
	const void   *name = sqlite3_column_blob(row, column + 2);
	int           bytes = sqlite3_column_bytes(row, column + 2);
	struct tg_key peer;

	if (sqlite3_column_bytes(row, column) != TG_KEY_BYTES || name == NULL || bytes >= MSG_HOST_MOST ||
	    (kind != STORE_HOST && (kind != STORE_PEER || bytes != TG_KEY_BYTES)))
		return -1;
	memcpy(to->network.bytes, sqlite3_column_blob(row, column), TG_KEY_BYTES);
	to->kind = (enum store_kind)kind;
	if (to->kind == STORE_PEER) {
		memcpy(peer.bytes, name, TG_KEY_BYTES);
		tg_key_print(&peer, to->name);
		to->name_bytes = TG_KEY_TEXT - 1;
		return 0;
	}
	memcpy(to->name, name, (size_t)bytes);
	to->name[bytes] = '\0';
	to->name_bytes = (size_t)bytes;
	return 0;
}

static uint64_t saturated_sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void traffic_sum_add(struct traffic_sum *sum, uint64_t rx, uint64_t tx, uint64_t connections)
{
	sum->rx = saturated_sum(sum->rx, rx);
	sum->tx = saturated_sum(sum->tx, tx);
	sum->connections = saturated_sum(sum->connections, connections);
}

static void put_bytes(struct traffic_text *text, const char *bytes, size_t count)
{
	assert(count <= text->size - text->len);
	memcpy(text->to + text->len, bytes, count);
	text->len += count;
}

static void put_format(struct traffic_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put_format(struct traffic_text *text, const char *format, ...)
{
	char    piece[160];
	va_list args;

	va_start(args, format);

	int count = vsnprintf(piece, sizeof piece, format, args);

	va_end(args);
	assert(count >= 0 && (size_t)count < sizeof piece);
	put_bytes(text, piece, (size_t)count);
}

void traffic_text_put(struct traffic_text *text, const char *piece)
{
	put_bytes(text, piece, strlen(piece));
}

void traffic_text_number(struct traffic_text *text, int64_t number)
{
	put_format(text, "%" PRId64, number);
}

/* Host names are plain ASCII.  Should the file say otherwise, the answer is JSON still. */
void traffic_text_json(struct traffic_text *text, const char *value, size_t bytes)
{
	put_bytes(text, "\"", 1);
	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)value[i];

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			put_format(text, "\\u%04x", c);
		else
			put_bytes(text, &value[i], 1);
	}
	put_bytes(text, "\"", 1);
}

void traffic_text_sum(struct traffic_text *text, const struct traffic_sum *sum, enum store_kind kind)
{
	put_format(text, "{\"rx\":%" PRIu64 ",\"tx\":%" PRIu64, sum->rx, sum->tx);
	if (kind == STORE_HOST)
		put_format(text, ",\"connections\":%" PRIu64, sum->connections);
	put_bytes(text, "}", 1);
}

static const char *kind_name(enum store_kind kind)
{
	return kind == STORE_PEER ? "peer" : "host";
}

void traffic_text_ndjson(struct traffic_text *text, int64_t time, const struct traffic_who *who,
                         const struct traffic_sum *sum)
{
	char network[TG_KEY_TEXT];

	put_format(text, "{\"time\":%" PRId64 ",\"network\":\"%s\",\"kind\":\"%s\",\"id\":", time,
	           tg_key_print(&who->network, network), kind_name(who->kind));
	traffic_text_json(text, who->name, who->name_bytes);
	put_format(text, ",\"rx\":%" PRIu64 ",\"tx\":%" PRIu64 ",\"connections\":%" PRIu64 "}\n", sum->rx,
	           sum->tx, sum->connections);
}

/* RFC 4180: a field that holds a comma, a quote or a line's end is quoted, its quotes doubled. */
static void put_field(struct traffic_text *text, const char *value, size_t bytes)
{
	if (memchr(value, ',', bytes) == NULL && memchr(value, '"', bytes) == NULL &&
	    memchr(value, '\n', bytes) == NULL && memchr(value, '\r', bytes) == NULL) {
		put_bytes(text, value, bytes);
		return;
	}
	put_bytes(text, "\"", 1);
	for (size_t i = 0; i < bytes; i++) {
		if (value[i] == '"')
			put_bytes(text, "\"", 1);
		put_bytes(text, &value[i], 1);
	}
	put_bytes(text, "\"", 1);
}

void traffic_text_csv(struct traffic_text *text, int64_t time, const struct traffic_who *who,
                      const struct traffic_sum *sum)
{
	char network[TG_KEY_TEXT];

	put_format(text, "%" PRId64 ",%s,%s,", time, tg_key_print(&who->network, network), kind_name(who->kind));
	put_field(text, who->name, who->name_bytes);
	put_format(text, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n", sum->rx, sum->tx, sum->connections);
}
