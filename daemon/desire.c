#include "daemon/desire.h"

#include <sys/stat.h>

#include "base/channel.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/model.h"
#include "base/msg.h"
#include "daemon/document.h"

static int pack(const struct document *document, const struct model_diff *diff, size_t *bytes)
{
	struct tg_error err;
	struct stat     st;
	int             fd = model_pack(document->model, diff, &err);

	if (fd == -1)
		tg_die("cannot hand the document to the engine: %s", err.text);
	if (fstat(fd, &st) == -1)
		tg_die("cannot tell the size of a memory file");
	*bytes = (size_t)st.st_size;
	return fd;
}

/* What is new, or -1: the whole is to be sent. */
static int pack_news(struct desire *desire, const struct document *document, const struct document *before,
                     const struct model_diff *diff)
{
	size_t bytes;

	if (desire->told == NULL || desire->told != before || diff == NULL || diff->removed_count > 0)
		return -1;

	TG_AUTO_FD fd = pack(document, diff, &bytes);

	if (desire->since_bytes + bytes > desire->whole_bytes)
		return -1;
	desire->since_bytes += bytes;
	return tg_take_fd(&fd);
}

void desire_send(struct desire *desire, struct channel *engine, uint64_t round, struct document *document,
                 const struct document *before, const struct model_diff *diff)
{
	int                fd = pack_news(desire, document, before, diff);
	struct msg_desired body = { .generation = round, .before = fd != -1 ? desire->round : 0 };

	if (fd == -1) {
		fd = pack(document, NULL, &desire->whole_bytes);
		desire->since_bytes = 0;
	}
	desire_forget(desire);
	desire->told = document_hold(document);
	desire->round = round;
	channel_send_taken(engine, MSG_DESIRED, &body, fd);
}

void desire_forget(struct desire *desire)
{
	document_drop(desire->told);
	desire->told = NULL;
}
