/* Sums of the lines of a traffic answer (CSV) by peer and host, exact to the byte. */
#ifndef TOLLGATE_CLI_TALLY_H
#define TOLLGATE_CLI_TALLY_H

#include <stdbool.h>
#include <stddef.h>

struct show;
struct tally;

/* NULL: out of memory. */
struct tally *tally_new(void);
void tally_free(struct tally *tally);
/* The next bytes of the answer, cut anywhere.  false: out of memory, or not such an answer. */
bool tally_read(struct tally *tally, const char *piece, size_t bytes);
/* After the last: a table, sorted by network, kind and name. */
void tally_show(struct tally *tally, const struct show *show);

#endif
