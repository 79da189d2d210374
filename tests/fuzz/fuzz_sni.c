/* A ClientHello from the network: whatever comes, the answer for a part of it must fit the answer for
 * the whole. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/sni.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char            host[SNI_HOST_MOST + 1];
	char            whole[SNI_HOST_MOST + 1];
	enum sni_result result;

	if (size > SNI_BYTES_MOST)
		size = SNI_BYTES_MOST;
	result = sni_read(data, size, whole);
	if (result == SNI_FOUND && (memchr(whole, '\0', sizeof whole) == NULL || whole[0] == '\0'))
		abort();

	/* What a part decides, more bytes must not change; what is undecided must have been before. */
	uint8_t        *part = malloc(size / 2 + 1);
	enum sni_result early;

	memcpy(part, data, size / 2);
	early = sni_read(part, size / 2, host);
	free(part);
	if (early != SNI_MORE && early != result)
		abort();
	if (early == SNI_FOUND && strcmp(host, whole) != 0)
		abort();
	return 0;
}
