/* Looks on as our tables ask for hashes, and gives names to trouble them with. */
#ifndef TOLLGATE_TESTS_SUPPORT_HASHES_H
#define TOLLGATE_TESTS_SUPPORT_HASHES_H

#include <stdbool.h>
#include <stddef.h>

/* From now on hashes are counted. */
void hashes_begin(void);
/* Those asked for since.  *crowd: the most of them that meet in one of 1024 buckets. */
size_t hashes_end(size_t *crowd);
/* From now on all keys have one hash, or no more. */
void hashes_alike(bool alike);

/* `prefix` and the next number after *last, which it becomes, that meets the others of that prefix in one
 * bucket of 1024 by uthash's own hash, which everybody can work out. */
void hashes_name(char *name, size_t size, const char *prefix, unsigned *last);

#endif
