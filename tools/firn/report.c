/* How errors are told: what failed, then what to do about it. */
#include "tools/firn/command.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What to do next, and whether the thing asked about is wrong (1) or the environment is (2). */
static const struct advice {
	int code, exit_code;
	const char *text;
} advices[] = {
	{ FIRN_EINVAL, TROUBLE, "`--help' shows what the command takes" },
	{ FIRN_ENOMEM, TROUBLE, "give it less to do at once (--window), or more memory" },
	{ FIRN_EFULL, TROUBLE,
	  "the WAL is full of what is not stored yet: `firn doctor' says what holds it; or give a "
	  "larger --wal-size" },
	{ FIRN_ETOOBIG, WRONG, "split it: one batch holds at most 64 MiB, and less than the WAL" },
	{ FIRN_ENOENT, WRONG,
	  "`firn volume list' and `firn stream list' show what there is; `create' makes it" },
	{ FIRN_EEXIST, WRONG, "use it as it is, or choose another name" },
	{ FIRN_ECONFLICT, WRONG, "something else wrote first: look again, then decide" },
	{ FIRN_ESEQ, WRONG,
	  "the producer's sequence does not follow: look at what was acked last" },
	{ FIRN_ERANGE, WRONG, "`firn stream info' shows the offsets that are there" },
	{ FIRN_ELOST, WRONG,
	  "use the engine directory that holds the missing writes (--dir, and --takeover moved if "
	  "it was moved), or run `firn volume drain' there first; if it is gone for good, "
	  "--takeover abandon gives them up" },
	{ FIRN_ECORRUPT, WRONG,
	  "keep a copy of the directory, then let `firn verify' name all that is damaged" },
	{ FIRN_EIO, TROUBLE, "look at the disk (dmesg, smartctl) before anything else" },
	{ FIRN_ENOSPC, TROUBLE,
	  "make room on the disk (of --dir, or of a file: store), or give a smaller --wal-size" },
	{ FIRN_ESTORE, TROUBLE,
	  "check --store, and that the store answers; what was acked waits in the WAL" },
	{ FIRN_EFENCED, TROUBLE,
	  "another engine is the writer now: use that one, or drain there before you attach here" },
	{ FIRN_EREADONLY, TROUBLE, "make the directory writable for this user" },
	{ FIRN_ETIMEDOUT, TROUBLE, "nothing happened: run it again" },
	{ FIRN_EBUSY, TROUBLE, "stop the process that has it, or give another --dir" },
	{ FIRN_EUNSUPPORTED, TROUBLE, "use the release that wrote it, or a store that can do it" },
	{ FIRN_EUNKNOWN, TROUBLE,
	  "it may appear after recovery: read before you send it again (`firn import' does)" },
};

static const struct advice *find_advice(int code)
{
	for (unsigned i = 0; i < sizeof advices / sizeof advices[0]; i++)
		if (advices[i].code == code)
			return &advices[i];
	return NULL;
}

/* What the system said can be better known than what it was taken for. */
static const struct advice *of_errno(int sys_errno)
{
	static const struct advice files = {
		FIRN_ENOMEM, TROUBLE,
		"allow it more open files (ulimit -n, or LimitNOFILE= of its unit)"
	};
	static const struct advice size = {
		FIRN_ENOSPC, TROUBLE,
		"allow it larger files (ulimit -f), or give a smaller --wal-size"
	};
	return sys_errno == EMFILE || sys_errno == ENFILE ? &files
	       : sys_errno == EFBIG                       ? &size
	                                                  : NULL;
}

static int tell(const struct common *c, int code, int sys_errno, const char *text, bool retry)
{
	const struct advice *a = of_errno(sys_errno);
	a = a ? a : find_advice(code);
	fflush(stdout);
	fprintf(stderr, "%s: %s (%s)\n", c->name, text, firn_code_name(code));
	if (retry && code != FIRN_EBUSY)
		fprintf(stderr, "  next: it may pass: run it again; else %s\n",
		        a ? a->text : "see `firn doctor'");
	else if (a)
		fprintf(stderr, "  next: %s\n", a->text);
	return a ? a->exit_code : TROUBLE;
}

int report(const struct common *c, const struct firn_error *err)
{
	return tell(c, err->code, err->sys, err->text[0] ? err->text : "failed",
	            err->flags & FIRN_ERR_RETRY);
}

int report_code(const struct common *c, int code, const char *what)
{
	return tell(c, code, 0, what, false);
}

int complain(const struct common *c, int exit_code, const char *fmt, ...)
{
	va_list ap;
	fflush(stdout);
	fprintf(stderr, "%s: ", c->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return exit_code;
}
