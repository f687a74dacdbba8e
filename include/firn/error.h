/* firn/error.h -- what can go wrong, and what the caller may do about it.
 *
 * A function that returns int gives zero or more on success and one of enum firn_code otherwise.
 * Most also take a struct firn_error, owned by the caller, that says more; NULL is allowed
 * everywhere. Nothing is kept per thread. Since 0.1. */
#ifndef FIRN_ERROR_H
#define FIRN_ERROR_H
#include <firn/version.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/* Results. Numbers are never re-used; later releases append. A write that fails with any code
 * but FIRN_EUNKNOWN was refused: nothing was written, no offset was used. Since 0.1. */
enum firn_code {
	FIRN_OK = 0,
	FIRN_EINVAL = -1,     /* an argument is out of its limits, or a handle of another */
	                      /* engine */
	FIRN_ENOMEM = -2,     /* no memory, or no more open files allowed: nothing was done */
	FIRN_EAGAIN = -3,     /* no free slot in the queue, or the reader pins too much: */
	                      /* reap or release first */
	FIRN_EFULL = -4,      /* memory or WAL budget used up; one FIRN_EV_WRITABLE follows */
	FIRN_ETOOBIG = -5,    /* more than a limit or than the buffer given */
	FIRN_ENOENT = -6,     /* no such volume, stream, key or request */
	FIRN_EEXIST = -7,     /* create: event.stream is the one that exists */
	FIRN_ECONFLICT = -8,  /* a precondition failed: event.end = number of the operation, */
	                      /* event.offset = the real end or revision */
	FIRN_ESEQ = -9,       /* producer sequence does not follow; event.offset = the expected */
	                      /* one */
	FIRN_EPRODUCER = -10, /* producer epoch is older than the newest seen, event.offset */
	FIRN_ERANGE = -11,    /* offset below `start` or above the mark; marks are in the */
	                      /* answer */
	FIRN_ELOST = -12,     /* offsets given up by an explicit takeover, or that an attach */
	                      /* would have to give up; the range is in the answer */
	FIRN_ECORRUPT = -13,  /* bytes failed verification; they were not served */
	FIRN_EIO = -14,       /* the local disk failed */
	FIRN_ENOSPC = -15,    /* the local disk, or a quota on it, is full */
	FIRN_ESTORE = -16,    /* the store refused or is away; the flags say whether to retry */
	FIRN_EFENCED = -17,   /* another engine has attached the volume since */
	FIRN_EREADONLY = -18, /* the volume is attached read-only, or the file system is */
	FIRN_ETIMEDOUT = -19, /* time is up, and it is known that the thing was not done */
	FIRN_ECANCELED = -20, /* ended by firn_engine_cancel(), a close or a detach */
	FIRN_EBUSY = -21,     /* still in use, or in use by another process */
	FIRN_EUNSUPPORTED = -22, /* this release, the store or the format does not have it */
	FIRN_EUNKNOWN = -23,     /* a write that may or may not appear after recovery */
	FIRN_ESEALED = -24,      /* reserved: the stream takes no more appends */
	FIRN_ESHUTDOWN = -25     /* the volume is being detached, or the engine closed */
};

/* firn_error.flags: what the caller may conclude. Several can be set. Since 0.1. */
enum firn_error_flag {
	FIRN_ERR_RETRY = 1,     /* the same call may succeed later */
	FIRN_ERR_THROTTLED = 2, /* the store asked for fewer requests; see retry_after_ms */
	FIRN_ERR_AMBIGUOUS = 4, /* it may have happened */
	FIRN_ERR_DATA_LOSS = 8, /* data that was stored cannot be read, or would be given up */
	FIRN_ERR_FATAL = 16     /* no call on this volume or engine will succeed until it is */
	                        /* reopened */
};

/* The story behind a code. Set struct_size (FIRN_ERROR_INIT does; 0 counts as the size of release
 * 0.1). Filled on failure only, never on success. Nothing in it is to be freed. Since 0.1. */
struct firn_error {
	uint32_t struct_size;
	int32_t code;            /* enum firn_code */
	int32_t sys;             /* errno (< 200) or HTTP status, 0 = neither */
	uint32_t flags;          /* enum firn_error_flag */
	uint32_t retry_after_ms; /* when the store named a time to wait, else 0 */
	uint32_t _pad;
	const char *origin; /* stage it arose in, "wal", "store" ...; static, may be NULL */
	char text[216];     /* one line of UTF-8, always NUL-terminated, cut if too long */
};

#define FIRN_ERROR_INIT                                                   \
	{                                                                 \
		(uint32_t)sizeof(struct firn_error), 0, 0, 0, 0, 0, NULL, \
		{                                                         \
			0                                                 \
		}                                                         \
	}

/* Name of a code, "FIRN_EFULL"; "FIRN_E?" for a number this library does not know. Static text,
 * never NULL. Does not block; any thread. Since 0.1. */
FIRN_API const char *firn_code_name(int code);

#ifdef __cplusplus
}
#endif
#endif
