/* A head from a client (or, by its first byte, from upstream), in two pieces and whole: the result is
 * the same.  What is accepted is forwarded, and what is forwarded reads back with the same meaning. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/http_field.h"
#include "proxy/http_forward.h"
#include "proxy/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(claim)             \
	do {                     \
		if (!(claim))    \
			abort(); \
	} while (0)

static enum http_head_result read_exact(struct http_head *head, const uint8_t *data, size_t size)
{
	char                 *copy = malloc(size > 0 ? size : 1);
	enum http_head_result result;

	memcpy(copy, data, size);
	result = http_head_read(head, copy, size);
	free(copy);
	return result;
}

static void check_spans(const struct http_head *head)
{
	CHECK(head->bytes <= HTTP_HEAD_MOST && head->fields_count <= HTTP_FIELDS_MOST);
	for (unsigned i = 0; i < head->fields_count; i++) {
		CHECK(head->fields[i].name.len > 0);
		CHECK(head->fields[i].value.at + head->fields[i].value.len < head->bytes);
	}
}

/* How many fields of that name there are. */
static unsigned count(const struct http_head *head, enum http_name name)
{
	unsigned found = 0;

	for (unsigned i = 0; i < head->fields_count; i++)
		found += head->fields[i].known == name;
	return found;
}

static void check_forwarded(const struct http_head *head, const char *bytes)
{
	static struct http_head again;
	struct http_forward     how = { .client = "192.0.2.1" };
	char                    name[MSG_HOST_MOST];
	char                   *out = malloc(head->bytes + (size_t)HTTP_FORWARD_GROWTH);
	size_t                  len;

	if (head->kind == HTTP_KIND_REQUEST) {
		if (head->method == HTTP_METHOD_CONNECT ||
		    http_forward_host(head, bytes, name) != HTTP_HOST_NAME) {
			free(out);
			return;
		}
		how.upgrade = http_forward_upgrades(head, bytes);
		len = http_forward_request(out, head, bytes, &how);
	} else {
		len = http_forward_response(out, head, bytes, HTTP_CONNECTION_CLOSE, false);
	}
	CHECK(len <= head->bytes + (size_t)HTTP_FORWARD_GROWTH);
	http_head_init(&again, head->kind);

	enum http_head_result result = http_head_read(&again, out, len);

	/* It may have grown over a limit, which is no harm. */
	if (result == HTTP_HEAD_DONE) {
		CHECK(again.bytes == len && again.minor == 1 && again.method == head->method);
		CHECK(again.status == head->status);
		if (head->kind == HTTP_KIND_REQUEST) {
			CHECK(again.chunked == head->chunked && again.has_length == head->has_length);
			CHECK(again.length == head->length && again.upgrade == how.upgrade);
			CHECK(count(&again, HTTP_NAME_HOST) == 1 && count(&again, HTTP_NAME_X_REAL_IP) == 1);
			CHECK(count(&again, HTTP_NAME_X_FORWARDED) == 3 &&
			      count(&again, HTTP_NAME_FORWARDED) == 0);
		} else {
			CHECK(again.close && again.options_count == 0);
		}
	} else {
		CHECK(result == HTTP_HEAD_LARGE || result == HTTP_HEAD_LONG_LINE);
	}
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head whole, split;
	enum http_kind          kind;
	enum http_head_result   result, first;
	size_t                  cut;

	if (size < 3)
		return 0;
	kind = data[0] & 1 ? HTTP_KIND_RESPONSE : HTTP_KIND_REQUEST;
	cut = ((size_t)data[1] << 8 | data[2]) % (size - 2);
	data += 3;
	size -= 3;

	http_head_init(&whole, kind);
	result = read_exact(&whole, data, size);
	http_head_init(&split, kind);
	first = read_exact(&split, data, cut);
	if (first == HTTP_HEAD_MORE)
		first = read_exact(&split, data, size);
	CHECK(first == result);
	if (result != HTTP_HEAD_DONE)
		return 0;
	CHECK(split.bytes == whole.bytes && whole.bytes <= size);
	CHECK(split.fields_count == whole.fields_count && split.length == whole.length);
	check_spans(&whole);
	check_forwarded(&whole, (const char *)data);
	return 0;
}
