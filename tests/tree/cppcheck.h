/* For cppcheck alone, which does not look into the system's headers: the macros of uthash and cJSON that
 * begin a statement. */
#define HASH_ITER(hh, head, one, after) \
	for ((one) = (head), (after) = (head); (one) != NULL; (one) = (after))
#define cJSON_ArrayForEach(one, array) \
	for ((one) = (array) != NULL ? (array)->child : NULL; (one) != NULL; (one) = (one)->next)
