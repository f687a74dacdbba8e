#include "engine/base/error.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
	"FIRN_OK",        "FIRN_EINVAL", "FIRN_ENOMEM",       "FIRN_EAGAIN",    "FIRN_EFULL",
	"FIRN_ETOOBIG",   "FIRN_ENOENT", "FIRN_EEXIST",       "FIRN_ECONFLICT", "FIRN_ESEQ",
	"FIRN_EPRODUCER", "FIRN_ERANGE", "FIRN_ELOST",        "FIRN_ECORRUPT",  "FIRN_EIO",
	"FIRN_ENOSPC",    "FIRN_ESTORE", "FIRN_EFENCED",      "FIRN_EREADONLY", "FIRN_ETIMEDOUT",
	"FIRN_ECANCELED", "FIRN_EBUSY",  "FIRN_EUNSUPPORTED", "FIRN_EUNKNOWN",  "FIRN_ESEALED",
	"FIRN_ESHUTDOWN",
};

const char *firn_code_name(int code)
{
	int n = (int)(sizeof names / sizeof names[0]);
	return code <= 0 && -code < n ? names[-code] : "FIRN_E?";
}

int fail(struct firn_error *err, int code, int sys, const char *origin, const char *fmt, ...)
{
	if (!err)
		return code;
	uint32_t size = err->struct_size;
	memset(err, 0, sizeof *err);
	err->struct_size = size ? size : (uint32_t)sizeof *err;
	err->code = code;
	err->sys = sys;
	err->origin = origin;
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(err->text, sizeof err->text, fmt, args);
	va_end(args);
	if (sys > 0 && sys < 200 && n >= 0 && (size_t)n < sizeof err->text - 3) {
		char text[80];
		const char *s = strerror_r(sys, text, sizeof text);
		(void)snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", s);
	}
	return code;
}

int fail_flags(struct firn_error *err, int code, uint32_t flags)
{
	if (!err)
		return code;
	if (!err->code)
		(void)fail(err, code, 0, NULL, "%s", firn_code_name(code));
	err->flags |= flags;
	return err->code;
}

int fail_context(struct firn_error *err, int code, const char *fmt, ...)
{
	if (!err)
		return code;
	/* Whoever found the trouble had no words for it, and what stands there is nothing or an older story:
	 * an error must not become a success. */
	if (err->code != code)
		(void)fail(err, code, 0, NULL, "%s", firn_code_name(code));
	char inner[sizeof err->text];
	memcpy(inner, err->text, sizeof inner);
	inner[sizeof inner - 1] = 0;
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(err->text, sizeof err->text, fmt, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof err->text - 3) {
		size_t at = (size_t)n, len = strlen(inner), room = sizeof err->text - at - 3;
		memcpy(err->text + at, ": ", 2);
		len = len < room ? len : room;
		memcpy(err->text + at + 2, inner, len);
		err->text[at + 2 + len] = 0;
	}
	return err->code;
}

int code_of_errno(int neg_errno)
{
	switch (-neg_errno) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG: /* a limit on the size of files */
		return FIRN_ENOSPC;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return FIRN_ENOMEM;
	case ENOENT:
	case ENOTDIR:
		return FIRN_ENOENT;
	case EROFS:
	case EACCES:
	case EPERM:
		return FIRN_EREADONLY;
	default:
		return FIRN_EIO;
	}
}
