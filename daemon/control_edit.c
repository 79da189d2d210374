#include "daemon/control_edit.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "daemon/document.h"

void control_edit_init(struct control_edit *edit, const struct api_call *call)
{
	edit->action = (int)call->action;
	edit->dry_run = call->dry_run;
	edit->port = call->port;
	edit->peer = call->peer;
	edit->body = call->body != NULL ? call->body : "";
	edit->body_bytes = call->body_bytes;
}

int control_edit_own(struct control_edit *edit)
{
	edit->own_body = malloc(edit->body_bytes + 1);
	if (edit->own_body == NULL)
		return -1;
	if (edit->body_bytes > 0)
		memcpy(edit->own_body, edit->body, edit->body_bytes);
	edit->body = edit->own_body;
	return 0;
}

void control_edit_clear(struct control_edit *edit)
{
	if (edit->own_body != NULL)
		explicit_bzero(edit->own_body, edit->body_bytes);
	free(edit->own_body);
	document_drop(edit->before);
	document_drop(edit->after);
	model_diff_clear(&edit->diff);
	model_faults_clear(&edit->faults);
	model_faults_clear(&edit->warnings);
}

enum api_error control_edit_error(const struct control_edit *edit, const char **message)
{
	switch (edit->result) {
	case CONTROL_EDIT_OK:
		*message = NULL;
		break;
	case CONTROL_EDIT_NOT_JSON:
		*message = edit->faults.count > 0 ? edit->faults.list[0].text : "the body is not JSON";
		return API_BAD_REQUEST;
	case CONTROL_EDIT_INVALID:
		*message = "the document is not valid; nothing was changed";
		return API_CONFIG_INVALID;
	case CONTROL_EDIT_TOO_LARGE:
		*message = "the document is larger than 64 MiB";
		return API_TOO_LARGE;
	case CONTROL_EDIT_NOT_FOUND:
		*message = "there is no such network or peer";
		return API_NOT_FOUND;
	case CONTROL_EDIT_NO_MEMORY:
		*message = "out of memory";
		return API_NOT_READY;
	}
	return API_INTERNAL;
}

static enum control_edit_result result_of(enum model_result result)
{
	switch (result) {
	case MODEL_OK:
		return CONTROL_EDIT_OK;
	case MODEL_NOT_JSON:
		return CONTROL_EDIT_NOT_JSON;
	case MODEL_INVALID:
		return CONTROL_EDIT_INVALID;
	case MODEL_TOO_LARGE:
		return CONTROL_EDIT_TOO_LARGE;
	case MODEL_NO_MEMORY:
		return CONTROL_EDIT_NO_MEMORY;
	}
	return CONTROL_EDIT_NO_MEMORY;
}

/* PUT and DELETE of one peer, on the text of the active document: the whole is then read again, so
 * that a peer obeys the same rules however it came. */
static enum control_edit_result edit_peer(struct control_edit *edit, struct model **to)
{
	const struct model_network *network = model_find(edit->before->model, edit->port);
	char                        port[8];
	char                        key[TG_KEY_TEXT];
	struct tg_error             err;
	cJSON                      *document = NULL;
	cJSON                      *body = NULL;
	cJSON                      *peers;
	TG_AUTO_FREE char          *text = NULL;
	bool                        remove = edit->action == API_PEER_DELETE;

	if (network == NULL)
		return CONTROL_EDIT_NOT_FOUND;
	edit->created = model_find_peer(edit->before->model, network, &edit->peer) == NULL;
	if (remove && edit->created)
		return CONTROL_EDIT_NOT_FOUND;
	if (!remove) {
		body = json_parse(edit->body, edit->body_bytes, &err);
		if (body == NULL) {
			model_faults_add(&edit->faults, "", "%s", err.text);
			return err.code == TG_CODE_MEMORY ? CONTROL_EDIT_NO_MEMORY : CONTROL_EDIT_NOT_JSON;
		}
	}
	snprintf(port, sizeof port, "%u", edit->port);
	tg_key_print(&edit->peer, key);
	document = cJSON_ParseWithLength(edit->before->printed.text, edit->before->printed.bytes);
	peers = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(document, port), "peers");
	if (peers != NULL) {
		cJSON_DeleteItemFromObjectCaseSensitive(peers, key);
		if (body != NULL && cJSON_AddItemToObject(peers, key, body))
			body = NULL;
		text = cJSON_PrintUnformatted(document);
	}
	cJSON_Delete(document);
	if (body != NULL) {
		cJSON_Delete(body);
		return CONTROL_EDIT_NO_MEMORY;
	}
	if (text == NULL)
		return CONTROL_EDIT_NO_MEMORY;
	return result_of(model_parse_next(edit->before->model, text, strlen(text), to, &edit->faults,
	                                  &edit->warnings));
}

void control_edit_run(struct control_edit *edit)
{
	struct model       *model = NULL;
	const struct model *before = edit->before->model;

	if (edit->action == API_CONFIG_PATCH)
		edit->result = result_of(model_patch(before, edit->body, edit->body_bytes, &model,
		                                     &edit->faults, &edit->warnings));
	else if (edit->action == API_CONFIG_APPLY)
		edit->result = result_of(model_parse_next(before, edit->body, edit->body_bytes, &model,
		                                          &edit->faults, &edit->warnings));
	else
		edit->result = edit_peer(edit, &model);
	if (edit->result != CONTROL_EDIT_OK)
		return;
	if (model_diff(before, model, &edit->diff) == -1) {
		model_free(model);
		edit->result = CONTROL_EDIT_NO_MEMORY;
		return;
	}
	edit->after = document_new(model, edit->before);
	if (edit->after == NULL)
		edit->result = CONTROL_EDIT_NO_MEMORY;
}
