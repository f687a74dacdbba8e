/* The operating system's own firn_env: libc memory, kernel clocks and chance, POSIX files.
 *
 * The file operations are in file.c (open, read, write, durable writes), uring.c (durable writes
 * through io_uring), dir.c (names) and identity.c. They keep nothing global: two engines in one
 * process share only constant tables. */
#ifndef OS_ENV_H
#define OS_ENV_H
#include <firn/env.h>

enum env_wal_uring { ENV_URING_AUTO = 0, ENV_URING_NEVER = 1 };

/* Durable writes go through io_uring where the kernel allows it, else pwrite + fdatasync. */
const struct firn_env *env_default(void);
/* The same, durable writes always by pwrite + fdatasync. */
const struct firn_env *env_default_pwrite(void);

/* Fills *out from what the host gave (NULL: nothing) and the defaults for all that is missing.
 * *out keeps the host's ctx and its `files` pointer: both must outlive it. `wal_uring` matters only
 * where files are the default ones. 0, or a negative errno: -EINVAL when half a pair is given
 * (alloc without release, or `files` with a member missing), -EOPNOTSUPP when the host's struct is
 * newer than this library and uses what we do not know. */
int env_complete(const struct firn_env *given, int wal_uring, struct firn_env *out);

/* A directory whose names are made durable again and again, with a descriptor of its own: a process that has none left could not
 * do that by sync_dir(), and must. NULL: not the default implementation, or no descriptor; then sync_dir(). */
struct os_dir;
struct os_dir *os_dir_hold(const struct firn_env *env, const char *path);
int os_dir_sync(struct os_dir *d);     /* 0, or a negative errno */
void os_dir_release(struct os_dir *d); /* NULL is fine */

/* How an open file is really accessed, for the log and for tests; -1 if the file is not one of the
 * default implementation. The answer of os_file_direct() may turn from 1 to 0 at the first read or
 * write, when a file system accepts O_DIRECT at open and refuses it then. */
int os_file_direct(const struct firn_env *env, void *file);
int os_file_uring(const struct firn_env *env, void *file);
#endif
