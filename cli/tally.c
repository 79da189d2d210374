#include "cli/tally.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/uthash.h"
#include "cli/show.h"

#define LINE_MOST 1024
#define FIELDS	  7

struct row {
	UT_hash_handle hh;
	uint64_t       rx;
	uint64_t       tx;
	uint64_t       connections;
	char           name[];	/* `network,kind,id`, and the order of the table */
};

struct tally {
	struct row *rows;
	bool        headed;	/* the line of names is behind us */
	size_t      len;
	char        line[LINE_MOST];
};

struct tally *tally_new(void)
{
	return calloc(1, sizeof(struct tally));
}

void tally_free(struct tally *tally)
{
	struct row *row, *next;

	if (tally == NULL)
		return;
	HASH_ITER(hh, tally->rows, row, next) {
		HASH_DEL(tally->rows, row);
		free(row);
	}
	free(tally);
}

static struct row *row_find(struct tally *tally, const char *name, size_t len)
{
	struct row *row;

	HASH_FIND(hh, tally->rows, name, len, row);
	if (row != NULL)
		return row;
	row = calloc(1, sizeof *row + len + 1);
	if (row == NULL)
		return NULL;
	memcpy(row->name, name, len);
	HASH_ADD_KEYPTR(hh, tally->rows, row->name, len, row);
	return row;
}

static bool number_read(const char *from, char end, uint64_t *to)
{
	char *behind;

	*to = strtoull(from, &behind, 10);
	return behind != from && *behind == end;
}

/* time,network,kind,id,rx,tx,connections: no field of a document's has a comma. */
static bool line_read(struct tally *tally, char *line)
{
	char    *field[FIELDS] = { line };
	uint64_t rx, tx, connections;
	int      count = 1;

	for (char *at = line; *at != '\0'; at++)
		if (*at == ',') {
			if (count == FIELDS)
				return false;
			field[count++] = at + 1;
		}
	if (count != FIELDS || !number_read(field[4], ',', &rx) || !number_read(field[5], ',', &tx) ||
	    !number_read(field[6], '\0', &connections))
		return false;

	struct row *row = row_find(tally, field[1], (size_t)(field[4] - 1 - field[1]));

	if (row == NULL)
		return false;
	row->rx += rx;
	row->tx += tx;
	row->connections += connections;
	return true;
}

bool tally_read(struct tally *tally, const char *piece, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		if (piece[i] != '\n') {
			if (tally->len + 1 == sizeof tally->line)
				return false;
			tally->line[tally->len++] = piece[i];
			continue;
		}
		tally->line[tally->len] = '\0';
		tally->len = 0;
		if (tally->headed && !line_read(tally, tally->line))
			return false;
		tally->headed = true;
	}
	return true;
}

static int compare(const struct row *a, const struct row *b)
{
	/* "host" is before "peer"; peers come first in the table. */
	int network = strncmp(a->name, b->name, strcspn(a->name, ",") + 1);
	const char *kind_a = a->name + strcspn(a->name, ",");
	const char *kind_b = b->name + strcspn(b->name, ",");

	if (network != 0)
		return network;
	if (kind_a[1] != kind_b[1])
		return kind_a[1] == 'p' ? -1 : 1;
	return strcmp(kind_a, kind_b);
}

static void show_row(const struct show *show, const char *kind, const char *id, const struct row *row)
{
	char rx[32];
	char tx[32];

	fprintf(show->to, "  %-5s %-44s %12s %12s", kind, id, show_bytes((double)row->rx, rx),
	        show_bytes((double)row->tx, tx));
	if (strcmp(kind, "host") == 0)
		fprintf(show->to, " %11" PRIu64, row->connections);
	fputc('\n', show->to);
}

void tally_show(struct tally *tally, const struct show *show)
{
	struct row *row, *next;
	struct row  total = { .rx = 0 };
	char        network[64] = "";

	HASH_SRT(hh, tally->rows, compare);
	HASH_ITER(hh, tally->rows, row, next) {
		const char *kind = strchr(row->name, ',') + 1;
		const char *id = strchr(kind, ',') + 1;
		size_t      len = strcspn(row->name, ",");
		char        name[LINE_MOST];
		size_t      at = 0;

		if (strncmp(network, row->name, len) != 0 || network[len] != '\0') {
			snprintf(network, sizeof network, "%.*s", (int)len, row->name);
			show_styled(show, SHOW_NETWORK, "network");
			fprintf(show->to, ": %s\n", network);
			fprintf(show->to, "  %-5s %-44s %12s %12s %11s\n", "", "", "received", "sent",
			        "connections");
		}
		for (; id[at] != '\0' && at + 1 < sizeof name; at++)
			name[at] = (unsigned char)id[at] < 0x20 || id[at] == 0x7f ? '?' : id[at];
		name[at] = '\0';
		show_row(show, *kind == 'p' ? "peer" : "host", name, row);
		if (*kind == 'p') {
			total.rx += row->rx;
			total.tx += row->tx;
		}
	}
	show_row(show, "total", "(peers)", &total);
}
