/* The interface's error codes and their form. */
#ifndef TOLLGATE_API_ERRORS_H
#define TOLLGATE_API_ERRORS_H

#include "api/api.h"

int errors_status(enum api_error error);
const char *errors_code(enum api_error error);
/* The whole answer, {"error":{…}}, with one detail when `path` is not NULL.  free() it; NULL when out
 * of memory. */
char *errors_print(const char *code, const char *message, const char *path, const char *text);
/* The same of model_faults (NULL: none). */
char *errors_print_faults(const char *code, const char *message, const struct model_faults *details);
/* The reason phrase behind a status (RFC 9110 §15). */
const char *errors_phrase(int status);

#endif
