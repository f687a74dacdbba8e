/* firn/env.h -- what the engine takes from the outside: memory, clocks, chance, files, a log.
 *
 * A host passes one of these in firn_engine_opts.env to replace any of it; NULL, or a NULL member,
 * means the operating system's own. A simulator replaces all. Everything here is called from engine
 * threads and from the threads that call the engine, at once and in any order: implementations are
 * thread-safe. They must not call back into the engine.
 *
 * Results of file operations: zero or more on success, a negative errno value on failure.
 * Since 0.1. */
#ifndef FIRN_ENV_H
#define FIRN_ENV_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/* How a file is opened. */
enum firn_open_flag {
	FIRN_OPEN_CREATE = 1,    /* make it if it is not there */
	FIRN_OPEN_EXCLUSIVE = 2, /* with CREATE: fail with -EEXIST if it is there */
	FIRN_OPEN_READ_ONLY = 4,
	FIRN_OPEN_DIRECT = 8,  /* bypass the page cache where the file system can (O_DIRECT) */
	FIRN_OPEN_DURABLE = 16 /* write_start() will be used: prepare for it */
};

/* Which file system, directory and machine a path lies on: enough to notice a copied WAL. All the
 * same after a reboot: a WAL whose identity changed is refused until takeover=moved is said. */
struct firn_identity {
	uint64_t fs_id; /* follows the file system, not the device; 0 where none is known */
	uint64_t inode;
	uint8_t machine[16]; /* zero where the machine does not say */
};

/* File operations. Paths are absolute or relative to the process, NUL-terminated. `ctx` is
 * firn_env.ctx. A `file` is whatever open() handed out. */
struct firn_files {
	uint32_t struct_size;
	uint32_t flags; /* 0 */
	int (*open)(void *ctx, const char *path, uint32_t flags, void **file);
	int (*close)(void *ctx, void *file);
	/* Bytes read or written; fewer than asked only at the end of the file (read) or when the
	 * device is full (write). With FIRN_OPEN_DIRECT buf, len and pos are multiples of 4096. */
	int64_t (*read)(void *ctx, void *file, void *buf, size_t len, uint64_t pos);
	int64_t (*write)(void *ctx, void *file, const void *buf, size_t len, uint64_t pos);
	/* All written so far is on stable storage, device cache flushed (fdatasync). */
	int (*sync)(void *ctx, void *file);
	/* Durable write: begins to write len bytes at pos and to flush them. 1: done already;
	 * 0: under way, `buf` stays untouched until write_wait(). One at a time per file. */
	int (*write_start)(void *ctx, void *file, const void *buf, size_t len, uint64_t pos);
	/* Waits for the durable write of this file; 0 once it is on stable storage. After a failure
	 * nothing is known of the written range. */
	int (*write_wait)(void *ctx, void *file);
	int (*size)(void *ctx, void *file, uint64_t *bytes);
	/* Exclusive advisory lock that dies with the process (flock). -EWOULDBLOCK: another holds it. */
	int (*lock)(void *ctx, void *file);
	int (*rename)(void *ctx, const char *from, const char *to);
	int (*remove)(void *ctx, const char *path); /* a file */
	int (*mkdir)(void *ctx, const char *path);  /* an existing directory is success */
	int (*sync_dir)(void *ctx, const char *path);
	/* Calls each() with every name in the directory but . and .., in any order; a non-zero
	 * result of each() ends the walk and is returned. */
	int (*list)(void *ctx, const char *path, int (*each)(void *arg, const char *name),
	            void *arg);
	int (*space)(void *ctx, const char *path, uint64_t *free_bytes);
	int (*identity)(void *ctx, const char *path, struct firn_identity *out);
};

enum firn_log_level {
	FIRN_LOG_ERROR = 1,
	FIRN_LOG_WARN = 2,
	FIRN_LOG_INFO = 3,
	FIRN_LOG_DEBUG = 4
};

struct firn_env {
	uint32_t struct_size;
	uint32_t flags; /* 0 */
	void *ctx;      /* first argument of everything below and of files->* */
	/* len > 0; align is a power of two, at least 8. NULL: no memory, the request that needed
	 * it is refused. release(NULL) is allowed. */
	void *(*alloc)(void *ctx, size_t len, size_t align);
	void (*release)(void *ctx, void *p);
	int64_t (*now_ms)(void *ctx);                     /* wall clock, Unix milliseconds */
	uint64_t (*mono_ns)(void *ctx);                   /* never runs backwards */
	void (*random)(void *ctx, void *buf, size_t len); /* unpredictable: nonces, ids */
	/* One line, without a newline. `origin` is the volume it concerns, else the stage. NULL: it
	 * is said to nobody but who asked for FIRN_EV_LOG. Must be quick: locks may be held. */
	void (*log)(void *ctx, uint32_t level, const char *origin, const char *text);
	const struct firn_files *files; /* all of its members, or NULL */
};

#ifdef __cplusplus
}
#endif
#endif
