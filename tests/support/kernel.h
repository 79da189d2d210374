/* A kernel for the interpreter that is only a value: it carries steps out on a struct state, counts the
 * calls and fails the one that it is told to. */
#ifndef TOLLGATE_TESTS_SUPPORT_KERNEL_H
#define TOLLGATE_TESTS_SUPPORT_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "netns/apply.h"
#include "netns/namespace.h"
#include "netns/state.h"

struct model;

struct fake_kernel {
	struct state   state;
	unsigned       calls;	/* that would change a kernel */
	unsigned       fail_at;	/* the call that fails, counted from 1; 0: none */
	unsigned       waits;	/* how often the link is still under way */
	unsigned       parts;	/* how often a reading is not through yet */
	bool           removed_all;	/* a peer lost a range that it was to keep */
	struct tg_cidr keep[64];	/* ranges that always must have a peer */
	size_t         keep_count;
	unsigned       orphaned;	/* moments in which one of these had none */
};

/* The one that the table of fake_kernel_of() works on. */
extern struct fake_kernel fake;

void fake_reset(void);
struct apply_kernel fake_kernel_of(void);
/* Brings the fake kernel in line with the model's network `port`, in rounds as the engine does.  Returns how
 * many rounds that took, 0 when a call failed. */
unsigned fake_apply(const struct model *model, uint16_t port, const struct model *before);

#endif
