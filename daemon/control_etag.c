#include "daemon/control_etag.h"

#include <string.h>

#include "daemon/document.h"

bool control_etag_matches(const char *header, const char *etag, bool exists, enum control_etag how)
{
	size_t bytes = strlen(etag);

	header += strspn(header, " \t");
	if (*header == '*')
		return exists && header[1 + strspn(header + 1, " \t")] == '\0';
	for (;;) {
		header += strspn(header, " \t,");

		bool        weak = strncmp(header, "W/", 2) == 0;
		const char *tag = weak ? header + 2 : header;
		const char *end = *tag == '"' ? strchr(tag + 1, '"') : NULL;

		if (end == NULL)
			return false;
		end++;
		if ((!weak || how == CONTROL_ETAG_WEAK) && (size_t)(end - tag) == bytes &&
		    memcmp(tag, etag, bytes) == 0)
			return true;
		header = end + strspn(end, " \t");
		if (*header != ',')
			return false;
	}
}

bool control_etag_holds(const char *if_match, const struct document *active, bool exists)
{
	return if_match == NULL ||
	       control_etag_matches(if_match, active->etag, exists, CONTROL_ETAG_STRONG) ||
	       control_etag_matches(if_match, active->etag_public, exists, CONTROL_ETAG_STRONG);
}
