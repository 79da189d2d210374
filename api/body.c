#include "api/body.h"

#include <stdlib.h>
#include <string.h>

#include "api/limits.h"

#define FIRST_BYTES (64U << 10)

int body_grow(char **buffer, size_t *room, size_t have, size_t more, size_t first)
{
	size_t wanted = *room == 0 ? first : *room;
	char *larger;

	while (wanted < have + more)
		wanted *= 2;
	if (wanted == *room)
		return 0;
	larger = realloc(*buffer, wanted);
	if (larger == NULL)
		return -1;
	*buffer = larger;
	*room = wanted;
	return 0;
}

enum body_result body_reserve(struct body *body, const struct api_limits *limits, unsigned *big_bodies)
{
	if (body->big)
		return BODY_MORE;
	if (*big_bodies >= limits->big_bodies)
		return BODY_CROWDED;
	++*big_bodies;
	body->big = true;
	return BODY_MORE;
}

static enum body_result add(struct body *body, const char *data, size_t bytes,
                            const struct api_limits *limits, unsigned *big_bodies)
{
	if (bytes > limits->body_bytes - body->have)
		return BODY_TOO_LARGE;
	if (body->have + bytes > limits->big_body_bytes &&
	    body_reserve(body, limits, big_bodies) == BODY_CROWDED)
		return BODY_CROWDED;
	if (body_grow(&body->bytes, &body->room, body->have, bytes, FIRST_BYTES) == -1)
		return BODY_NO_MEMORY;
	memcpy(body->bytes + body->have, data, bytes);
	body->have += bytes;
	return BODY_MORE;
}

static enum body_result read_chunked(struct body *body, const char *text, size_t bytes,
                                     const struct api_limits *limits, unsigned *big_bodies, size_t *taken)
{
	size_t at = 0;

	while (at < bytes) {
		const char *data = NULL;
		size_t step = 0, data_bytes = 0;
		enum chunk_result read =
		        chunk_read(&body->chunk, text + at, bytes - at, &step, &data, &data_bytes);
		enum body_result added = BODY_MORE;

		if (read == CHUNK_MALFORMED)
			return BODY_MALFORMED;
		if (data_bytes > 0)
			added = add(body, data, data_bytes, limits, big_bodies);
		if (added != BODY_MORE)
			return added;
		at += step;
		*taken = at;
		if (read == CHUNK_DONE)
			return BODY_DONE;
	}
	return BODY_MORE;
}

enum body_result body_read(struct body *body, bool chunked, uint64_t length, const char *text, size_t bytes,
                           const struct api_limits *limits, unsigned *big_bodies, size_t *taken)
{
	enum body_result result;

	*taken = 0;
	if (chunked)
		return read_chunked(body, text, bytes, limits, big_bodies, taken);
	if (bytes > length - body->have)
		bytes = (size_t)(length - body->have);
	result = bytes == 0 ? BODY_MORE : add(body, text, bytes, limits, big_bodies);
	if (result != BODY_MORE)
		return result;
	*taken = bytes;
	return body->have == length ? BODY_DONE : BODY_MORE;
}

char *body_room(struct body *body, uint64_t length, const struct api_limits *limits, size_t *room)
{
	if (length > limits->body_bytes || (length > limits->big_body_bytes && !body->big))
		return NULL;
	*room = (size_t)length - body->have;
	if (body_grow(&body->bytes, &body->room, body->have, *room, (size_t)length) == -1)
		return NULL;
	return body->bytes + body->have;
}

void body_clear(struct body *body, unsigned *big_bodies)
{
	if (body->big)
		--*big_bodies;
	/* It may hold a tenant's private keys. */
	if (body->bytes != NULL)
		explicit_bzero(body->bytes, body->have);
	free(body->bytes);
	*body = (struct body){ 0 };
}
