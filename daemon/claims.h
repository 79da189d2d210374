/* Host names that are the operator's own, by --forward: no document may take them. */
#ifndef TOLLGATE_DAEMON_CLAIMS_H
#define TOLLGATE_DAEMON_CLAIMS_H

#include <stddef.h>

struct model;
struct model_faults;
struct msg_forward;

/* Adds a fault for every host of `model` that is, or as a wildcard covers, that of a --forward. */
void claims_find(const struct msg_forward *forwards, size_t count, const struct model *model,
                 struct model_faults *faults);

#endif
