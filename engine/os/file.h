/* What the parts of the default file implementation know of each other. */
#ifndef OS_FILE_H
#define OS_FILE_H
#include <firn/env.h>
#include <stdatomic.h>

#define OS_ALIGN 4096u /* of buffers, lengths and positions of O_DIRECT */

struct os_ring;

struct os_file {
	int fd;
	atomic_int direct; /* O_DIRECT is on; falls to 0 once, if the file system refuses it */
	/* The rest belongs to the one thread that writes durably. */
	struct os_ring *ring; /* NULL: pwrite + fdatasync */
	const uint8_t *buf;   /* the durable write under way, NULL: none */
	size_t len;
	uint64_t pos;
};

extern const struct firn_files os_files_uring, os_files_pwrite;

/* file.c: all of it or an error; blocking; O_DIRECT falls back to the page cache. */
int64_t os_file_write(void *ctx, void *file, const void *buf, size_t len, uint64_t pos);
int os_file_sync(void *ctx, void *file);

/* uring.c. One ring per durably written file; one write at a time. */
int os_ring_open(int fd, struct os_ring **out); /* negative errno: no io_uring here */
void os_ring_close(struct os_ring *ring);
/* 0: under way. Negative errno: nothing was started and the ring is of no use any more. */
int os_ring_start(struct os_ring *ring, int fd, const void *buf, size_t len, uint64_t pos);
/* Waits. Bytes written, or a negative errno; *durable says whether these are also flushed. */
int64_t os_ring_wait(struct os_ring *ring, int *durable);

/* dir.c */
int os_rename(void *ctx, const char *from, const char *to);
int os_remove(void *ctx, const char *path);
int os_mkdir(void *ctx, const char *path);
int os_sync_dir(void *ctx, const char *path);
int os_is_default(const struct firn_env *env); /* its files are those of here */
int os_list(void *ctx, const char *path, int (*each)(void *arg, const char *name), void *arg);
int os_space(void *ctx, const char *path, uint64_t *free_bytes);

/* identity.c */
int os_identity(void *ctx, const char *path, struct firn_identity *out);
#endif
