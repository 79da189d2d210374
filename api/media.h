/* Media types in Accept and Content-Type (RFC 9110 §8.3, §12.5.1). */
#ifndef TOLLGATE_API_MEDIA_H
#define TOLLGATE_API_MEDIA_H

#include <stdbool.h>

#include "api/api.h"

/* Of the three forms that traffic comes in, the one the client likes best; JSON on a tie, when there
 * is no Accept (NULL), and when it wants none of them: better an answer than 406. */
enum api_accept media_best(const char *accept);
/* Whether a body of this type is JSON: application/json, application/merge-patch+json when `patch`,
 * or no type at all (NULL).  Parameters may follow, a charset must be UTF-8. */
bool media_is_json(const char *content_type, bool patch);

#endif
