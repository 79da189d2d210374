/* GET /metrics: what goes on, for Prometheus.  Counters begin at 0 with each life of this process, as
 * Prometheus expects; bills are made of GET /traffic. */
#ifndef TOLLGATE_DAEMON_CONTROL_METRICS_H
#define TOLLGATE_DAEMON_CONTROL_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct control;
struct control_metrics;
struct snapshot;

/* NULL when out of memory. */
struct control_metrics *control_metrics_new(void);
void control_metrics_free(struct control_metrics *metrics);
/* Adds what the networks' peers sent and received since the snapshot before. */
void control_metrics_snapshot(struct control_metrics *metrics, const struct snapshot *snapshot);
void control_metrics_repaired(struct control_metrics *metrics, uint32_t networks);
void control_metrics_sample(struct control_metrics *metrics, bool stored);
/* The text, to be freed; NULL when out of memory.  `healthy`: as GET /health says. */
char *control_metrics_text(struct control_metrics *metrics, const struct control *control, bool healthy,
                           size_t *bytes);

#endif
