/* Which time a record is labelled with.  Labels are whole seconds that only grow, whatever the clock
 * does, and what an answer has returned is never added to. */
#ifndef TOLLGATE_ACCOUNTING_STORE_LABEL_H
#define TOLLGATE_ACCOUNTING_STORE_LABEL_H

#include <stdbool.h>
#include <stdint.h>

struct store;
struct store_meta;

/* The second that the clock shows, also before 1970. */
int64_t store_label_clock(int64_t now_unix_ms);
/* The label of what is committed while the clock shows `clock_s`: that second, or, while the clock is
 * not ahead of the newest label, one second more than that.  Samples of one second share a label as
 * long as it is not sealed. */
int64_t store_label_next(const struct store *store, int64_t clock_s);
/* Notes that `label` was committed. */
void store_label_used(struct store *store, int64_t clock_s, int64_t label);
/* The newest label whose record can change no more.  It is sealed by this: returned is returned. */
int64_t store_label_visible(struct store *store, int64_t clock_s);
/* A clock that jumps far ahead makes all records old at once, though nobody had the time to fetch
 * them: from then on they are kept for another retention. */
void store_label_hold(const struct store *store, int64_t clock_s, struct store_meta *meta);

#endif
