/* An engine in the test's own process, whose kernel is a value (tests/support/kernel.h). */
#ifndef TOLLGATE_TESTS_SUPPORT_ENGINE_BENCH_H
#define TOLLGATE_TESTS_SUPPORT_ENGINE_BENCH_H

#include "daemon/engine.h"

/* One that knows of no network, not of the machine's own either, and is in no loop: its tick does nothing.
 * Returns control's end of its channel, the caller's until engine_bench_end(). */
int engine_bench_begin(struct engine *e);
/* Frees its networks, too.  What is under way is the caller's to give up before. */
void engine_bench_end(struct engine *e, int control);
/* A document as it comes to the engine: the caller's hold of it is the only one. */
struct engine_model *engine_bench_document(const char *text);

#endif
