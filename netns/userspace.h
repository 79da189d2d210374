/* wireguard-go: the program, the process of a network (wg_userspace.c), and what is said to it
 * (userspace_talk.c). */
#ifndef TOLLGATE_NETNS_USERSPACE_H
#define TOLLGATE_NETNS_USERSPACE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "netns/reading.h"

struct netns_host;
struct plan;
struct step;
struct tenant;
struct tg_error;

/* Its path, NULL when it is not installed. */
const char *userspace_program(void);

/* Follows the process that answers. */
void userspace_watch(struct tenant *tenant, pid_t pid);

/* As in struct wireguard.  None of them waits for one that does not answer at once: what it was asked stays
 * with the tenant, and its answer is looked for again in some milliseconds (READING_WAIT, WIREGUARD_SLOW).
 * When it does not come for some seconds the call fails, and at once from then on. */
enum reading_result userspace_read(struct reading *reading, uint64_t until_ms, struct tg_error *err);
int userspace_device(const struct netns_host *host, struct tenant *tenant, const struct plan *plan,
                     const struct step *step, struct tg_error *err);
int userspace_peers(const struct netns_host *host, struct tenant *tenant, const struct plan *plan,
                    const struct step *steps, size_t count, struct tg_error *err);

#endif
