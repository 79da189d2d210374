/* An allocator that fails when told to, under cJSON and whatever takes its memory from there, and another
 * under all that is our own. */
#ifndef TOLLGATE_TESTS_SUPPORT_FAILING_H
#define TOLLGATE_TESTS_SUPPORT_FAILING_H

#include <stdbool.h>
#include <stddef.h>

/* From now on the allocation after `good` ones fails, once. */
void failing_begin(size_t good);
/* Back to malloc().  Returns whether one failed. */
bool failing_end(void);
/* Allocations since failing_begin() that were not freed. */
size_t failing_held(void);

/* The same for malloc(), calloc(), realloc(), reallocarray() and strdup() as called from our files, not from
 * libraries: the linker leads them here. */
void failing_own_begin(size_t good);
bool failing_own_end(void);

#endif
