/* The active document, and how it is kept on disk: state.json holds its canonical text and nothing
 * else; state.meta beside it holds the generation and which --config content was last applied. */
#ifndef TOLLGATE_DAEMON_DOCUMENT_H
#define TOLLGATE_DAEMON_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/model.h"

struct tg_error;

#define DOCUMENT_DIGEST	     32	/* bytes: half of BLAKE2b-512 (RFC 7693) */
#define DOCUMENT_DIGEST_TEXT (2 * DOCUMENT_DIGEST + 1)	/* as hex, with the NUL */

/* One document, immutable once made, counted: held by whoever reads it in the thread. */
struct document {
	unsigned             refs;	/* changed from the loop only */
	struct model        *model;
	struct model_printed printed;
	unsigned char      (*parts)[DOCUMENT_DIGEST];	/* digests of each network's text */
	char                 digest[DOCUMENT_DIGEST_TEXT];	/* of those: one for one text */
	char                 etag[DOCUMENT_DIGEST_TEXT + 2];	/* quoted */
	char                 etag_public[DOCUMENT_DIGEST_TEXT + 2];	/* of its text without secrets */
};

struct document_meta {
	uint64_t generation;
	char     config[DOCUMENT_DIGEST_TEXT];	/* of the --config content last applied, or empty */
};

void document_digest(const char *text, size_t bytes, char to[DOCUMENT_DIGEST_TEXT]);
/* Takes `model`, prints it; refs is 1.  What is as in `before` (NULL: nothing) is copied from its text.
 * NULL: out of memory, `model` is freed. */
struct document *document_new(struct model *model, const struct document *before);
struct document *document_hold(struct document *document);
void document_drop(struct document *document);

/* Stores both files in the directory `dir`, so that after a crash at any point the old or the new
 * document is there whole: write, fsync, rename, fsync of the directory.  On -1 the old one is there.
 * Where it cannot be put back, the process ends, and its next life begins with what is there. */
int document_store(int dir, const struct document *document, const struct document_meta *meta,
                   const struct document_meta *before, struct tg_error *err);
/* Stores the meta alone: the document is the same. */
int document_store_meta(int dir, const struct document *document, const struct document_meta *meta,
                        struct tg_error *err);
/* 1: loaded (*to is the caller's); 0: there is none, *to is NULL and *meta zero; -1: it can't be read
 * or is not valid, which `err` says. */
int document_load(int dir, struct document **to, struct document_meta *meta, struct tg_error *err);

#endif
