/* Answers of GET /traffic: records of the database as JSON, NDJSON or CSV, piece by piece in constant
 * memory, over many short read transactions. */
#ifndef TOLLGATE_ACCOUNTING_TRAFFIC_H
#define TOLLGATE_ACCOUNTING_TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/key.h"

struct store;
struct traffic;
struct tg_error;

enum traffic_format { TRAFFIC_JSON, TRAFFIC_NDJSON, TRAFFIC_CSV };
enum traffic_resolution { TRAFFIC_RECORDS, TRAFFIC_HOURS, TRAFFIC_DAYS };

struct traffic_query {
	int64_t                 since_unix_s;
	int64_t                 until_unix_s;	/* INT64_MAX: as new as there is */
	bool                    has_network;
	struct tg_key           network;
	char                    ledger[64];	/* empty: any */
	enum traffic_format     format;
	enum traffic_resolution resolution;
};

enum traffic_result {
	TRAFFIC_OK,
	TRAFFIC_CONFLICT,	/* the database is another */
	TRAFFIC_GONE,		/* records after `since` may have been deleted; only with `ledger` */
	TRAFFIC_FAILED,
};

/* Begins an answer.  TRAFFIC_OK: *to is the caller's (traffic_close).  Else `err` says why. */
enum traffic_result traffic_open(struct store *store, const struct traffic_query *query, int64_t now_unix_ms,
                                 struct traffic **to, struct tg_error *err);
/* The answer's stop_time: fixed when it was opened. */
int64_t traffic_stop_time(const struct traffic *traffic);
/* The next piece, at most `size` (4096 or more) bytes: its length, 0 at the end, -1 on error.  Does a
 * bounded amount of work, holds no transaction between calls. */
long traffic_read(struct traffic *traffic, char *to, size_t size, struct tg_error *err);
void traffic_close(struct traffic *traffic);

#endif
