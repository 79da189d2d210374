#include "accounting/traffic_text.h"

#include <assert.h>
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
	tg_key_print(&to->network, to->network_text);
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

/* By hand: an answer is mostly numbers, and printf() would take most of its time. */
static void put_u64(struct traffic_text *text, uint64_t number)
{
	char   digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	put_bytes(text, digits + at, sizeof digits - at);
}

void traffic_text_put(struct traffic_text *text, const char *piece)
{
	put_bytes(text, piece, strlen(piece));
}

void traffic_text_number(struct traffic_text *text, int64_t number)
{
	if (number < 0)
		put_bytes(text, "-", 1);
	put_u64(text, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

/* Host names are plain ASCII.  Should the file say otherwise, the answer is JSON still. */
void traffic_text_json(struct traffic_text *text, const char *value, size_t bytes)
{
	static const char hex[] = "0123456789abcdef";

	put_bytes(text, "\"", 1);
	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)value[i];

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\') {
			put_bytes(text, "\\u00", 4);
			put_bytes(text, &hex[c >> 4], 1);
			put_bytes(text, &hex[c & 15], 1);
		} else {
			put_bytes(text, &value[i], 1);
		}
	}
	put_bytes(text, "\"", 1);
}

void traffic_text_sum(struct traffic_text *text, const struct traffic_sum *sum, enum store_kind kind)
{
	traffic_text_put(text, "{\"rx\":");
	put_u64(text, sum->rx);
	traffic_text_put(text, ",\"tx\":");
	put_u64(text, sum->tx);
	if (kind == STORE_HOST) {
		traffic_text_put(text, ",\"connections\":");
		put_u64(text, sum->connections);
	}
	put_bytes(text, "}", 1);
}

static const char *kind_name(enum store_kind kind)
{
	return kind == STORE_PEER ? "peer" : "host";
}

void traffic_text_ndjson(struct traffic_text *text, int64_t time, const struct traffic_who *who,
                         const struct traffic_sum *sum)
{
	traffic_text_put(text, "{\"time\":");
	traffic_text_number(text, time);
	traffic_text_put(text, ",\"network\":\"");
	put_bytes(text, who->network_text, TG_KEY_TEXT - 1);
	traffic_text_put(text, "\",\"kind\":\"");
	traffic_text_put(text, kind_name(who->kind));
	traffic_text_put(text, "\",\"id\":");
	traffic_text_json(text, who->name, who->name_bytes);
	traffic_text_put(text, ",\"rx\":");
	put_u64(text, sum->rx);
	traffic_text_put(text, ",\"tx\":");
	put_u64(text, sum->tx);
	traffic_text_put(text, ",\"connections\":");
	put_u64(text, sum->connections);
	put_bytes(text, "}\n", 2);
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
	traffic_text_number(text, time);
	put_bytes(text, ",", 1);
	put_bytes(text, who->network_text, TG_KEY_TEXT - 1);
	put_bytes(text, ",", 1);
	traffic_text_put(text, kind_name(who->kind));
	put_bytes(text, ",", 1);
	put_field(text, who->name, who->name_bytes);
	put_bytes(text, ",", 1);
	put_u64(text, sum->rx);
	put_bytes(text, ",", 1);
	put_u64(text, sum->tx);
	put_bytes(text, ",", 1);
	put_u64(text, sum->connections);
	put_bytes(text, "\n", 1);
}
