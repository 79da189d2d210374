/* Errors of one request, connection or network: a value that owns no memory, so that reporting
 * cannot fail.  Whoever returns an error does not log it; the outermost caller does, once. */
#ifndef TOLLGATE_BASE_ERROR_H
#define TOLLGATE_BASE_ERROR_H

enum tg_code {
	TG_CODE_NONE,
	TG_CODE_INVALID,	/* bad input: `where` says which part of it */
	TG_CODE_SYSTEM,		/* a system call failed: `sys` is its errno */
	TG_CODE_MEMORY,
	TG_CODE_LIMIT,		/* a table, queue or buffer is full */
	TG_CODE_PROTOCOL,	/* another process said what it may not */
	TG_CODE_NOT_FOUND,
};

struct tg_error {
	enum tg_code code;
	int          sys;	/* errno, 0 when none */
	char         where[96];	/* JSON Pointer, file or option; empty when it does not apply */
	char         text[160];
};

/* All return -1, so that a failing function ends with `return tg_fail(...)`.  `err` may be NULL. */
int tg_fail(struct tg_error *err, enum tg_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int tg_fail_at(struct tg_error *err, enum tg_code code, const char *where, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Appends ": " and the text of errno. */
int tg_fail_sys(struct tg_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As tg_fail_sys() for a call that returns its errno, negated or not, instead of setting it. */
int tg_fail_errno(struct tg_error *err, int sys, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int tg_fail_memory(struct tg_error *err);

/* This process cannot go on: logs one line and exits with status 1; the supervisor restarts it. */
_Noreturn void tg_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
