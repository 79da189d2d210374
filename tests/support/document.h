/* Documents for tests, written with ' where JSON has ", and what is expected of them. */
#ifndef TOLLGATE_TESTS_SUPPORT_DOCUMENT_H
#define TOLLGATE_TESTS_SUPPORT_DOCUMENT_H

#include "base/model.h"

/* Three pairs of keys. */
#define PRIVATE_1 "OKZGQyal6EJcttis+2YVoAkmY3leRhDDjAymKdMUIng="
#define PUBLIC_1  "bn4VRgm7Rplh0LBjV05YzKnFE6vRoqNt47jG94u3qWY="
#define PRIVATE_2 "aNlQlsdHU5SL9g4bJELH38F5lV8pkM1sAI0ajyoBSEI="
#define PUBLIC_2  "GGoxoXXQ3P5IXpb33/uSwdl8Zqx2WoU8I0M9WogY1Hw="
#define PRIVATE_3 "UDT0bor6U0XRriqWUukBuGxroPLR71ZZk4u0ngA38XQ="
#define PUBLIC_3  "3ix68B2Fj0zbVx2LOC0Va1RhsIfIQjWSsEuLhNzHQXw="

/* A network with an address and what else is given. */
#define NETWORK(private_key, more) "{'private_key':'" private_key "','address':['10.0.0.1/16']" more "}"
/* A document of one network, 51820, with what else is given. */
#define DOCUMENT(more) "{'51820':" NETWORK(PRIVATE_1, more) "}"

/* `text` with " for '.  free() it. */
char *document_text(const char *text);
/* Parses it and fails the test when it is refused.  `warnings` may be NULL. */
struct model *document_read(const char *text, struct model_faults *warnings);
/* Fails the test unless the document is refused with just this fault. */
void document_refused(const char *text, const char *path, const char *fault);
/* Fails the test unless the document is taken and its text holds `part` (with ' for "), NULL: any. */
void document_taken(const char *text, const char *part);

#endif
