/* For clang's analyzer alone, which sees one file at a time: what error.c returns. */
#include "base/error.h"

#define tg_fail(...)	    (tg_fail(__VA_ARGS__), -1)
#define tg_fail_at(...)	    (tg_fail_at(__VA_ARGS__), -1)
#define tg_fail_sys(...)    (tg_fail_sys(__VA_ARGS__), -1)
#define tg_fail_errno(...)  (tg_fail_errno(__VA_ARGS__), -1)
#define tg_fail_memory(err) (tg_fail_memory(err), -1)
