#include "daemon/desire.h"

#include "base/channel.h"
#include "base/error.h"
#include "base/model.h"
#include "base/msg.h"
#include "daemon/document.h"

static void *pack(const struct document *document, const struct model_diff *diff, size_t *bytes)
{
	struct tg_error err;
	void           *packed = model_pack(document->model, diff, bytes, &err);

	if (packed == NULL)
		tg_die("cannot hand the document to the engine: %s", err.text);
	return packed;
}

/* What is new, or NULL: the whole is to be sent. */
static void *pack_news(struct desire *desire, const struct document *document, const struct document *before,
                       const struct model_diff *diff, size_t *bytes)
{
	void *packed;

	if (desire->told == NULL || desire->told != before || diff == NULL || diff->removed_count > 0)
		return NULL;
	packed = pack(document, diff, bytes);
	if (desire->since_bytes + *bytes > desire->whole_bytes) {
		model_packed_free(packed);
		return NULL;
	}
	desire->since_bytes += *bytes;
	return packed;
}

void desire_send(struct desire *desire, struct channel *engine, uint64_t round, struct document *document,
                 const struct document *before, const struct model_diff *diff)
{
	size_t             bytes;
	void              *packed = pack_news(desire, document, before, diff, &bytes);
	struct msg_desired body = { .generation = round, .before = packed != NULL ? desire->round : 0 };

	if (packed == NULL) {
		packed = pack(document, NULL, &bytes);
		desire->whole_bytes = bytes;
		desire->since_bytes = 0;
	}
	desire_forget(desire);
	desire->told = document_hold(document);
	desire->round = round;
	channel_send_value(engine, MSG_DESIRED, &body, packed, bytes);
	model_packed_free(packed);
}

void desire_forget(struct desire *desire)
{
	document_drop(desire->told);
	desire->told = NULL;
}
