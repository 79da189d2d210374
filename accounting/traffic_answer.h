/* Inside of an answer: what its three forms share.  For accounting/ alone. */
#ifndef TOLLGATE_ACCOUNTING_TRAFFIC_ANSWER_H
#define TOLLGATE_ACCOUNTING_TRAFFIC_ANSWER_H

#include <stdbool.h>

#include "accounting/traffic_scan.h"
#include "accounting/traffic_text.h"

#define TRAFFIC_BLOCK	   100		/* peers and hosts that are read together */
#define TRAFFIC_ROWS	   65536	/* rows that are kept at a time */
#define TRAFFIC_SLICE	   512		/* rows of one read */
#define TRAFFIC_NAMES	   16384	/* cached; a power of two */

/* A row that waits for its turn. */
struct traffic_kept {
	struct traffic_row row;
	uint32_t           next;	/* of the same peer or host; UINT32_MAX: none */
};

struct traffic_entity {
	struct traffic_who who;
	uint32_t           first;	/* row kept; UINT32_MAX: none */
	uint32_t           last;
};

enum traffic_state {
	TRAFFIC_HEAD,
	TRAFFIC_LOAD,		/* JSON: the names of the next block */
	TRAFFIC_SCAN,		/* JSON: its rows, in the order of time */
	TRAFFIC_EMIT,		/* JSON: printed in the order of names */
	TRAFFIC_LINES,		/* NDJSON, CSV: rows as they come */
	TRAFFIC_END,
};

struct traffic {
	struct store               *store;	/* borrowed */
	struct traffic_query        query;
	const struct traffic_table *table;
	struct traffic_scan         scan;
	enum traffic_state          state;
	int64_t                     floor;	/* what is later is in the answer, and must stay */
	int64_t                     oldest;
	int64_t                     stop;
	/* JSON */
	struct traffic_who          after;	/* the last name that was loaded */
	bool                        after_any;
	int                         block_most;
	int                         entities_count;
	bool                        scan_ends;
	struct traffic_entity       entities[TRAFFIC_BLOCK];	/* sorted by name */
	int                         by_id[TRAFFIC_BLOCK];	/* indexes, sorted by id */
	struct traffic_kept        *kept;	/* TRAFFIC_ROWS of them */
	uint32_t                    kept_count;
	int                         at_entity;
	bool                        entity_open;
	bool                        entity_has_rows;	/* a time is printed: a comma comes first */
	bool                        network_open;
	bool                        networks_any;
	bool                        section_any;
	enum store_kind             section;
	struct tg_key               network;
	struct traffic_sum          entity_sum;
	struct traffic_sum          network_sum;
	struct traffic_sum          sum;
	/* NDJSON, CSV */
	struct traffic_row          rows[TRAFFIC_SLICE];
	size_t                      rows_count;
	size_t                      rows_at;
	struct traffic_who         *names;	/* TRAFFIC_NAMES, by the id's low bits; no name: empty */
};

/* One step of JSON or of lines: at most TRAFFIC_PIECE_MOST bytes and a bounded amount of work. */
int traffic_json_step(struct traffic *traffic, struct traffic_text *text, struct tg_error *err);
int traffic_lines_step(struct traffic *traffic, struct traffic_text *text, struct tg_error *err);

#endif
