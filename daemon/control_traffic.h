/* GET /traffic: an answer that is read from the database piece by piece in the thread and streamed as
 * fast as its client takes it. */
#ifndef TOLLGATE_DAEMON_CONTROL_TRAFFIC_H
#define TOLLGATE_DAEMON_CONTROL_TRAFFIC_H

struct api_call;
struct api_request;
struct control;

#define CONTROL_TRAFFIC_MOST 32	/* answers at a time: each holds a piece */

void control_traffic_call(struct control *control, struct api_request *request, const struct api_call *call);

#endif
