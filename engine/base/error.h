/* One line of text, a code and what the caller may do: fills the caller's struct firn_error. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H
#include <firn/error.h>
#include <stdint.h>

/* Fills *err (may be NULL) and returns `code`. `sys` is a positive errno or HTTP status, or 0;
 * a positive errno's text is appended. `origin` is a literal naming the stage. */
int fail(struct firn_error *err, int code, int sys, const char *origin, const char *fmt, ...)
        __attribute__((format(printf, 5, 6)));
/* Adds flags (FIRN_ERR_...) to an error, filled with `code` if it was not; returns its code. */
int fail_flags(struct firn_error *err, int code, uint32_t flags);
/* Puts `prefix: ` in front of the text that is there: errors are built from the inside out. An error that
 * does not say `code` yet is filled with it. Returns `code`. */
int fail_context(struct firn_error *err, int code, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));
/* The firn code of a negative errno: ENOSPC -> FIRN_ENOSPC, ENOMEM -> FIRN_ENOMEM, ENOENT -> FIRN_ENOENT,
 * no permission -> FIRN_EREADONLY, else FIRN_EIO. */
int code_of_errno(int neg_errno);
#endif
