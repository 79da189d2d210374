/* uthash as all files have it: its own hash has no key, and who may choose names (a tenant its hosts, peers
 * and upstreams, a client its addresses) could choose thousands that meet in one bucket. */
#ifndef TOLLGATE_BASE_UTHASH_H
#define TOLLGATE_BASE_UTHASH_H

#define HASH_FUNCTION(key, bytes, hash) ((hash) = (unsigned)tg_hash_own((key), (bytes)))
#include <uthash.h>

#include "base/hash.h"

#endif
