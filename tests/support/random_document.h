/* Documents that are edited at random.  What a network is comes from its seed, how it is written too. */
#ifndef TOLLGATE_TESTS_SUPPORT_RANDOM_DOCUMENT_H
#define TOLLGATE_TESTS_SUPPORT_RANDOM_DOCUMENT_H

#include <stddef.h>
#include <stdint.h>

#define RANDOM_DOCUMENT_NETWORKS 12

struct random_entry {
	unsigned port;
	uint32_t seed;
};

struct random_writer {
	char     text[65536];
	size_t   at;
	uint32_t seed;
};

/* Writes a document, seldom one that is none, of these networks into w->text. */
void random_document_put(struct random_writer *w, const struct random_entry *entries, size_t count,
                         uint32_t *seed);
/* Some come, go, change, change places or come a second time: returns how many there are then.  *seed is
 * never 0. */
size_t random_document_edit(struct random_entry *entries, size_t count, uint32_t *seed);

#endif
