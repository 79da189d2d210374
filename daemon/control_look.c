#include <stdlib.h>
#include <string.h>

#include "base/channel.h"
#include "daemon/control.h"

#define LOOKS_MOST 80	/* one of each network that requests wait for, and two of control's own */

struct control_looks {
	struct control *control;	/* borrowed */
	struct msg_look waiting[LOOKS_MOST];	/* the first is under way */
	size_t          count;
	uint64_t        number;
};

struct control_looks *control_looks_new(struct control *control)
{
	struct control_looks *looks = calloc(1, sizeof *looks);

	if (looks != NULL)
		looks->control = control;
	return looks;
}

void control_looks_free(struct control_looks *looks)
{
	free(looks);
}

static void looks_send(struct control_looks *looks)
{
	if (looks->count > 0 && looks->control->engine != NULL)
		channel_send(looks->control->engine, MSG_LOOK, &looks->waiting[0], NULL, 0);
}

uint64_t control_looks_ask(struct control_looks *looks, enum control_look who, bool ranges, uint16_t port)
{
	if (looks->control->engine == NULL)
		return 0;
	/* The one under way may have been answered from what was true before this was asked. */
	for (size_t i = 1; i < looks->count; i++)
		if (control_look_who(looks->waiting[i].id) == who && looks->waiting[i].port == port)
			return looks->waiting[i].id;
	if (looks->count == LOOKS_MOST)
		return 0;

	struct msg_look *look = &looks->waiting[looks->count++];

	*look = (struct msg_look){ .id = control_look_id(++looks->number, who),
	                           .ranges = ranges, .port = port };

	uint64_t id = look->id;

	if (looks->count == 1)
		looks_send(looks);
	return id;
}

void control_looks_answered(struct control_looks *looks, uint64_t id)
{
	if (looks->count == 0 || looks->waiting[0].id != id)
		return;
	looks->count--;
	memmove(&looks->waiting[0], &looks->waiting[1], looks->count * sizeof looks->waiting[0]);
	looks_send(looks);
}

void control_looks_forget(struct control_looks *looks)
{
	looks->count = 0;
}
