/* The OpenAPI 3.1 description of the routes. */
#ifndef TOLLGATE_API_OPENAPI_H
#define TOLLGATE_API_OPENAPI_H

/* free() it; NULL when out of memory. */
char *openapi_print(void);

#endif
