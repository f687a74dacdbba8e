#include "tools/firn/offline.h"
#include "engine/base/error.h"
#include "engine/os/env.h"
#include "engine/store/uri.h"
#include "engine/wal/inspect.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a directory ---- */

static bool is_directory(const char *path)
{
	struct stat st;
	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* What the holder's lock file and /proc say: "process 123 (firn)". */
static void holder_name(int lock_fd, char *out, size_t cap)
{
	char text[32] = "", path[64], comm[32] = "";
	ssize_t n = pread(lock_fd, text, sizeof text - 1, 0);
	long pid = n > 0 ? strtol(text, NULL, 10) : 0;
	if (pid <= 0) {
		snprintf(out, cap, "another process");
		return;
	}
	snprintf(path, sizeof path, "/proc/%ld/comm", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, comm, sizeof comm - 1);
		comm[n > 0 ? n - 1 : 0] = 0;
		close(fd);
	}
	snprintf(out, cap, "process %ld%s%s%s", pid, *comm ? " (" : "", comm, *comm ? ")" : "");
}

int dir_hold(struct held_dir *h, const struct common *c)
{
	char path[4096], holder[96];
	memset(h, 0, sizeof *h);
	snprintf(h->wal, sizeof h->wal, "%s/wal", c->dir);
	snprintf(h->index, sizeof h->index, "%s/index", c->dir);
	h->has_wal = is_directory(h->wal);
	h->has_index = is_directory(h->index);
	snprintf(path, sizeof path, "%s/wal-copy", c->dir);
	h->has_copy = is_directory(path);
	snprintf(path, sizeof path, "%s/lock", c->dir);
	h->lock_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (h->lock_fd < 0 && !h->has_wal)
		return complain(c, TROUBLE, "%s is not the directory of an engine: %s", c->dir,
		                strerror(errno));
	if (h->lock_fd < 0 && errno != ENOENT) /* an engine may have it */
		return complain(c, TROUBLE, "%s: %s", path, strerror(errno));
	if (h->lock_fd < 0 || !flock(h->lock_fd, LOCK_EX | LOCK_NB))
		return DONE;
	holder_name(h->lock_fd, holder, sizeof holder);
	dir_release(h);
	return complain(
	        c, TROUBLE,
	        "%s is in use by %s: nothing was looked at (FIRN_EBUSY)\n"
	        "  next: stop it; or look at what is stored: --store and --volume, without --dir",
	        c->dir, holder);
}

bool dir_in_use(const char *dir)
{
	char path[4096];
	(void)snprintf(path, sizeof path, "%s/lock", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool busy = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
	if (fd >= 0)
		close(fd);
	return busy;
}

void dir_release(struct held_dir *h)
{
	if (h->lock_fd >= 0)
		close(h->lock_fd);
	h->lock_fd = -1;
}

bool row_is_intent(const struct wal_volume_row *row)
{
	static const uint8_t none[16];
	return !row->rev && !memcmp(row->nonce, none, 16);
}

/* ---- a volume in its store ---- */

void stored_volume_key(const char *name, const char *key, char *out, size_t cap)
{
	snprintf(out, cap, "%s/%s", name, key);
}

int store_look(const char *uri, struct store **out, struct firn_error *err)
{
	struct uri parsed;
	*out = NULL;
	if (!uri_parse(uri, &parsed, NULL) && !strcmp(parsed.scheme, "file") &&
	    !is_directory(parsed.path))
		return fail(err, FIRN_ENOENT, 0, "firn", "there is no store at %s", parsed.shown);
	return store_open(env_default(), uri, out, err);
}

int stored_volume_read(struct stored_volume *v, struct firn_error *err)
{
	char key[512];
	struct buf bytes;
	manifest_init(&v->manifest);
	buf_init(&bytes, env_default());
	int rc = manifest_key(v->name, key, sizeof key);
	rc = rc ? rc : store_get_all(v->store, key, MANIFEST_MAX_BYTES, &bytes, &v->version, err);
	v->manifest_bytes = bytes.len;
	if (rc == FIRN_ENOENT)
		fail(err, rc, 0, "firn", "there is no volume `%s' in %s", v->name,
		     store_uri_shown(v->store));
	else if (!rc) {
		rc = manifest_decode(env_default(), bytes.data, bytes.len, &v->manifest, err);
		if (rc)
			fail_context(err, rc, "%s", key);
	}
	buf_fini(&bytes);
	return rc;
}

int stored_volume_open(struct stored_volume *v, const char *uri, const char *name,
                       struct firn_error *err)
{
	memset(v, 0, sizeof *v);
	v->name = name;
	manifest_init(&v->manifest);
	int rc = manifest_name_check(name, err);
	if (!rc)
		rc = store_look(uri, &v->store, err);
	if (rc)
		return rc;
	rc = stored_volume_read(v, err);
	if (rc)
		stored_volume_close(v);
	return rc;
}

void stored_volume_close(struct stored_volume *v)
{
	manifest_fini(&v->manifest, env_default());
	store_close(v->store);
	v->store = NULL;
}

const char *stored_volume_state(const struct stored_volume *v)
{
	static const char *const name[] = { "unknown", "clean", "dirty", "destroyed" };
	return name[v->manifest.state < 4 ? v->manifest.state : 0];
}

void tell_of_copy(const struct held_dir *h)
{
	if (h->has_copy)
		printf("An engine ran here with its log in a store: what lies there and is not stored, any engine "
		       "takes over with -o wal=store:URI\n");
}
