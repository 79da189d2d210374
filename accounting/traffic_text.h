/* Pieces of text of an answer, written into a buffer that has room for them.  For accounting/ alone. */
#ifndef TOLLGATE_ACCOUNTING_TRAFFIC_TEXT_H
#define TOLLGATE_ACCOUNTING_TRAFFIC_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "accounting/store_db.h"

/* No single piece (below) is longer: a host name of 255 bytes that must all be escaped, and numbers. */
#define TRAFFIC_PIECE_MOST 2048

struct traffic_text {
	char  *to;
	size_t len;
	size_t size;
};

struct traffic_sum {
	uint64_t rx;
	uint64_t tx;
	uint64_t connections;
};

/* Whose traffic it is. */
struct traffic_who {
	int64_t         id;
	struct tg_key   network;
	char            network_text[TG_KEY_TEXT];
	enum store_kind kind;
	size_t          name_bytes;
	char            name[MSG_HOST_MOST];	/* a peer's key as text, or a host; NUL-terminated */
};

/* Reads it from a row of (network, kind, name) that begins at `column`.  -1: the row is damaged. */
int traffic_who_read(sqlite3_stmt *row, int column, struct traffic_who *to);
void traffic_sum_add(struct traffic_sum *sum, uint64_t rx, uint64_t tx, uint64_t connections);

void traffic_text_put(struct traffic_text *text, const char *piece);
void traffic_text_number(struct traffic_text *text, int64_t number);
/* With its quotes. */
void traffic_text_json(struct traffic_text *text, const char *value, size_t bytes);
/* {"rx":1,"tx":2}, with connections for a host. */
void traffic_text_sum(struct traffic_text *text, const struct traffic_sum *sum, enum store_kind kind);
void traffic_text_ndjson(struct traffic_text *text, int64_t time, const struct traffic_who *who,
                         const struct traffic_sum *sum);
void traffic_text_csv(struct traffic_text *text, int64_t time, const struct traffic_who *who,
                      const struct traffic_sum *sum);

#endif
