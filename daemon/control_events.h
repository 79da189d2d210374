/* GET /events: what happens, as server-sent events.  The last CONTROL_EVENTS_KEPT are kept, so that a
 * reader who lost its connection goes on where it was.  One that falls further behind is dropped. */
#ifndef TOLLGATE_DAEMON_CONTROL_EVENTS_H
#define TOLLGATE_DAEMON_CONTROL_EVENTS_H

#include "base/snapshot.h"

struct api_call;
struct api_request;
struct control;
struct control_events;

#define CONTROL_EVENTS_KEPT	     10000
#define CONTROL_EVENTS_READERS	     32
#define CONTROL_EVENTS_WAITING_BYTES (64U << 10)	/* more is given to a reader once it took these */

/* NULL when out of memory. */
struct control_events *control_events_new(struct control *control);
void control_events_free(struct control_events *events);
void control_events_call(struct control_events *events, struct api_request *request,
                         const struct api_call *call);
/* Compares peers with those of the snapshot before; the first says nothing.  Many of them take a few turns
 * of the loop: it may take what is in `snapshot`, and leave it empty. */
void control_events_snapshot(struct control_events *events, struct snapshot *snapshot);
/* Compares the networks' states. */
void control_events_networks(struct control_events *events, const struct snapshot *before,
                             const struct snapshot *after);
void control_events_applied(struct control_events *events);
/* Ends all readers' streams. */
void control_events_stop(struct control_events *events);

#endif
