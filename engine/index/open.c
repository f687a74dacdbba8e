/* Opening: one engine at a time (flock on the directory), the file looked over, then LMDB. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/index/fold.h"
#include "engine/index/verify.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Address space, not memory or disk. Halved while the system refuses. */
#define MAP_BYTES (sizeof(size_t) > 4 ? (size_t)1 << 40 : (size_t)1 << 30)
#define MAP_BYTES_MIN ((size_t)256 << 20)
enum { N_READERS = 1024, LOCK_BYTES = (N_READERS + 64) * 64 };

static int dir_open(struct index *ix, struct firn_error *err)
{
	if (mkdir(ix->path, 0700) && errno != EEXIST)
		return fail(err, code_of_errno(-errno), errno, "index", "make %s", ix->path);
	ix->dir = open(ix->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ix->dir < 0)
		return fail(err, code_of_errno(-errno), errno, "index", "open %s", ix->path);
	if (flock(ix->dir, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return fail(err, FIRN_EBUSY, 0, "index", "%s is in use by another engine",
		            ix->path);
	return fail(err, code_of_errno(-errno), errno, "index", "lock %s", ix->path);
}

/* LMDB writes its lock file through a map, where a full disk has no answer but SIGBUS: so the blocks are had before. They
 * are more than LMDB asks for, it takes a longer file as it is. Nobody has the file open: the directory's lock is held. */
static int lock_blocks(struct index *ix, struct firn_error *err)
{
	int rc = 0, fd = openat(ix->dir, "lock.mdb", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(err, code_of_errno(-errno), errno, "index", "open %s", ix->path);
	do
		rc = posix_fallocate(fd, 0, LOCK_BYTES);
	while (rc == EINTR);
	(void)close(fd);
	if (rc && rc != EOPNOTSUPP && rc != EINVAL) /* where there is no such call */
		return fail(err, code_of_errno(-rc), rc, "index", "make %s/lock.mdb", ix->path);
	return 0;
}

static int env_try(struct index *ix, size_t map_bytes)
{
	int rc = mdb_env_create(&ix->db);
	if (rc) {
		ix->db = NULL;
		return rc;
	}
	rc = mdb_env_set_mapsize(ix->db, map_bytes);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(ix->db, N_READERS);
	if (rc == 0)
		rc = mdb_env_open(ix->db, ix->path, MDB_NOTLS | MDB_NORDAHEAD, 0600);
	if (rc) {
		mdb_env_close(ix->db);
		ix->db = NULL;
	}
	return rc;
}

static int env_open(struct index *ix, size_t map_bytes, struct firn_error *err)
{
	size_t bytes = map_bytes ? map_bytes : MAP_BYTES;
	int rc = lock_blocks(ix, err);
	if (rc)
		return rc;
	rc = env_try(ix, bytes);
	while (rc == ENOMEM && bytes > MAP_BYTES_MIN) {
		bytes /= 2;
		rc = env_try(ix, bytes);
	}
	return rc ? index_db_fail(ix, rc, "open", err) : 0;
}

static int table_open(struct index *ix, struct firn_error *err)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(ix->db, NULL, MDB_RDONLY, &txn);
	if (rc == 0) {
		rc = mdb_dbi_open(txn, NULL, 0, &ix->table);
		mdb_txn_abort(txn);
	}
	return rc ? index_db_fail(ix, rc, "open the table of", err) : 0;
}

/* The first transaction writes the meta row; the directory holds the file from then on. */
static int format(struct index *ix, struct firn_error *err)
{
	struct index_tx tx;
	int rc = index_tx_write(ix, &tx, err);
	if (rc == 0)
		rc = index_tx_commit(&tx);
	if (rc == 0 && fsync(ix->dir))
		rc = fail(err, code_of_errno(-errno), errno, "index", "sync %s", ix->path);
	return rc;
}

static int open_all(struct index *ix, size_t map_bytes, struct firn_error *err)
{
	int fresh;
	struct check_result result = { 0 };
	int rc = dir_open(ix, err);
	if (rc == 0)
		rc = index_verify_file(ix->env, ix->dir, &fresh, NULL, &result, err);
	if (rc == 0)
		rc = env_open(ix, map_bytes, err);
	if (rc == 0)
		rc = table_open(ix, err);
	if (rc)
		return rc;
	if (fresh)
		return format(ix, err);
	MDB_envinfo info;
	rc = mdb_env_info(ix->db, &info);
	if (rc)
		return index_db_fail(ix, rc, "ask", err);
	if (info.me_last_txnid != result.txnid)
		return fail(err, FIRN_ECORRUPT, 0, "index",
		            "LMDB opened another state than was checked");
	return index_fill_recover(ix, err);
}

int index_open_sized(const struct firn_env *env, const char *path, size_t map_bytes,
                     struct index **out, struct firn_error *err)
{
	*out = NULL;
	struct index *ix = mem_zalloc(env, sizeof *ix);
	if (!ix)
		return fail(err, FIRN_ENOMEM, 0, "index", "no memory");
	ix->env = env;
	ix->dir = -1;
	ix->path = mem_dup(env, path, strlen(path) + 1);
	int rc = ix->path ? open_all(ix, map_bytes, err)
	                  : fail(err, FIRN_ENOMEM, 0, "index", "no memory");
	if (rc) {
		index_close(ix);
		return fail_context(err, rc, "open index %s", path);
	}
	*out = ix;
	return 0;
}

int index_open(const struct firn_env *env, const char *path, struct index **out,
               struct firn_error *err)
{
	return index_open_sized(env, path, 0, out, err);
}

void index_close(struct index *ix)
{
	if (!ix)
		return;
	if (ix->db)
		mdb_env_close(ix->db);
	if (ix->dir >= 0)
		close(ix->dir);
	mem_free(ix->env, ix->path);
	mem_free(ix->env, ix);
}
