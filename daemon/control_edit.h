/* From a request's body and the active document to the document that is asked for: pure work, done in
 * the thread. */
#ifndef TOLLGATE_DAEMON_CONTROL_EDIT_H
#define TOLLGATE_DAEMON_CONTROL_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/api.h"
#include "base/key.h"
#include "base/model.h"

struct document;

enum control_edit_result {
	CONTROL_EDIT_OK,
	CONTROL_EDIT_NOT_JSON,
	CONTROL_EDIT_INVALID,
	CONTROL_EDIT_TOO_LARGE,
	CONTROL_EDIT_NOT_FOUND,
	CONTROL_EDIT_NO_MEMORY,
};

struct control_edit {
	int             action;		/* enum api_action */
	bool            dry_run;
	uint16_t        port;
	struct tg_key   peer;
	const char     *body;		/* borrowed from the request, or `own_body` */
	size_t          body_bytes;
	char           *own_body;
	struct document *before;	/* held: set before control_edit_run() */
	/* the outcome */
	enum control_edit_result result;
	bool                     created;	/* a peer that was not there before */
	struct document         *after;		/* CONTROL_EDIT_OK */
	struct model_diff        diff;
	struct model_faults      faults;
	struct model_faults      warnings;
};

/* Takes what it needs of `call`; its body is borrowed until the request is answered. */
void control_edit_init(struct control_edit *edit, const struct api_call *call);
/* Goes on with a copy of the body.  -1: out of memory. */
int control_edit_own(struct control_edit *edit);
void control_edit_run(struct control_edit *edit);
/* What a client is told when there is no document for it; *message is borrowed, NULL with CONTROL_EDIT_OK. */
enum api_error control_edit_error(const struct control_edit *edit, const char **message);
/* From the loop, when the thread is through. */
void control_edit_clear(struct control_edit *edit);

#endif
