/* file:///path -- a store in a directory of a local (or cluster) file system. An object is a file;
 * its key is its path below the root.
 *
 *	file_store.c   open, close, what it can do
 *	path.c         from a key to a directory, without leaving the root; which errno means what
 *	put.c          temporary file, fsync, link or rename, fsync of the directory
 *	get.c          GET, STAT, DELETE
 *	list.c         keys in byte order
 *	version.c      the version token; the lock that orders replacements
 *
 * Names beginning with ".firn~" are ours and no keys: ".firn~lock" in a directory orders
 * replacing and deleting there (flock: it dies with its holder), ".firn~tmp-..." are objects
 * that are being written. */
#ifndef FILE_STORE_H
#define FILE_STORE_H
#include "backends/pool.h"
#include <firn/store.h>
#include <pthread.h>
#include <sys/stat.h>

#define FILE_LOCK_NAME ".firn~lock"
#define FILE_TEMP_NAME ".firn~tmp-"
enum { FILE_NAME_ROOM = 256, FILE_DIRS_KNOWN = 4096, FILE_THREADS_MAX = 16 };

enum file_dir_flag {
	FILE_DIR_DURABLE = 1, /* its own entry in its parent has been flushed */
	FILE_DIR_SWEPT = 2    /* dead writers' temporary files have been removed */
};

/* What this handle knows of a directory. They are never removed by us, so it stays true. */
struct file_dir {
	uint64_t dev, inode; /* inode 0 = free place */
	uint32_t flags, _pad;
};

struct file_store {
	const struct firn_store_host *host;
	int root; /* of the URI */

	pthread_mutex_t lock; /* guards the known directories */
	uint32_t n_dirs;
	struct file_dir dirs[FILE_DIRS_KNOWN * 2]; /* hashed, open addressing */

	struct pool pool; /* file systems block */
};

/* path.c */
/* Opens the directory that holds the key: *dir (to be closed) and the last component, `leaf`. With
 * `create` missing directories are made and flushed into their parents. 0, or a negative errno:
 * -ELOOP a component is a symbolic link, -ENOTDIR it is an object. */
int path_open_parent(struct file_store *s, const char *key, int create, int *dir,
                     const char **leaf);
/* Opens a directory by its path below the root, "" or ending in '/'. The same errors. */
int path_open_dir(struct file_store *s, const char *path, size_t len, int *dir);
/* Flags of a directory; with `add` they are set. */
uint32_t path_dir_flags(struct file_store *s, const struct stat *st, uint32_t add);
int path_make_root(const char *path, int *root); /* mkdir -p, durable; 0 or negative errno */
/* Answers with what an errno means; `doing` is the sentence's first half. */
void path_fail(struct firn_store_request *req, int error, const char *doing);

/* version.c */
void version_of_iov(const struct iovec *iov, uint32_t n_iov, const struct stat *st,
                    struct firn_store_version *out);
/* Reads the file. 0 or a negative errno. */
int version_of_file(struct file_store *s, int fd, const struct stat *st,
                    struct firn_store_version *out);
/* Locks a directory against other replacements; *lock is to be closed. -EBUSY: held for too long.
 */
int version_lock(struct file_store *s, const struct firn_store_request *req, int dir, int *lock);

/* put.c, get.c, list.c: perform one request each */
void file_put(struct file_store *s, struct firn_store_request *req);
void file_get(struct file_store *s, struct firn_store_request *req); /* and STAT */
void file_delete(struct file_store *s, struct firn_store_request *req);
void file_list(struct file_store *s, struct firn_store_request *req);
#endif
