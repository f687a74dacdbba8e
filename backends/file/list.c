/* LIST: a walk in the byte order of whole keys.
 *
 * Within a directory a sub-directory sorts as its name with a slash, because that is how its keys
 * go on: `a.b` comes before `a/b` comes before `ab`. Of a directory only the next BATCH names are
 * held in memory at a time; a larger one is read again from the last name on. */
#include "backends/file/file_store.h"
#include "engine/store/key.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { BATCH = 512 };

/* With the slash of a directory, and a NUL. */
struct name {
	char text[FILE_NAME_ROOM + 1];
	uint8_t is_dir;
};

/* The smallest names beyond a marker, sorted. */
struct batch {
	uint32_t n, _pad;
	struct name *sorted[BATCH];
	struct name room[BATCH];
};

struct walk {
	struct file_store *s;
	struct firn_store_request *req;
	int full;                                           /* the page is */
	char path[FIRN_STORE_KEY_MAX + FILE_NAME_ROOM + 2]; /* of the directory we are in */
};

/* Can `full`, a key or the beginning of keys, contribute to the answer? */
static int wanted(const struct walk *w, const char *full, int is_dir)
{
	const char *prefix = w->req->prefix, *after = w->req->start_after;
	size_t len = strlen(full), prefix_len = strlen(prefix);

	if (strncmp(full, prefix, is_dir && len < prefix_len ? len : prefix_len))
		return 0;
	if (strcmp(full, after) > 0)
		return 1;
	return is_dir && !strncmp(after, full, len);
}

/* Keeps the BATCH smallest: insertion, the greatest falls out. */
static void batch_add(struct batch *b, const char *text, int is_dir)
{
	uint32_t low = 0, high = b->n;
	struct name *place;

	if (b->n == BATCH && strcmp(text, b->sorted[BATCH - 1]->text) >= 0)
		return;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (strcmp(b->sorted[mid]->text, text) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (b->n < BATCH) {
		place = &b->room[b->n++];
	} else {
		place = b->sorted[BATCH - 1];
	}
	memmove(&b->sorted[low + 1], &b->sorted[low], (b->n - 1 - low) * sizeof b->sorted[0]);
	b->sorted[low] = place;
	place->is_dir = (uint8_t)is_dir;
	memcpy(place->text, text, strlen(text) + 1);
}

/* 1 directory, 0 file, -1 neither: links, devices, names that are no part of a key. */
static int kind_of(int dir, const struct dirent *e)
{
	struct stat st;

	if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
	    !strncmp(e->d_name, KEY_RESERVED, sizeof KEY_RESERVED - 1) ||
	    !key_is_text(e->d_name, strlen(e->d_name)))
		return -1;
	if (e->d_type == DT_DIR)
		return 1;
	if (e->d_type == DT_REG)
		return 0;
	if (e->d_type != DT_UNKNOWN || fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
		return -1;
	return S_ISDIR(st.st_mode) ? 1 : S_ISREG(st.st_mode) ? 0 : -1;
}

/* Fills the batch with what follows `marker`. path: w->path up to path_len. */
static int batch_fill(struct walk *w, DIR *d, size_t path_len, const char *marker, struct batch *b)
{
	struct dirent *e;

	b->n = 0;
	rewinddir(d);
	for (errno = 0; (e = readdir(d)); errno = 0) {
		int is_dir = kind_of(dirfd(d), e);
		size_t len = strlen(e->d_name);
		char text[FILE_NAME_ROOM + 1];

		if (is_dir < 0 || path_len + len + (size_t)is_dir > FIRN_STORE_KEY_MAX)
			continue;
		memcpy(text, e->d_name, len);
		if (is_dir)
			text[len++] = '/';
		text[len] = 0;
		memcpy(w->path + path_len, text, len + 1);
		if (strcmp(text, marker) > 0 && wanted(w, w->path, is_dir))
			batch_add(b, text, is_dir);
	}
	w->path[path_len] = 0;
	return -errno;
}

static int walk_dir(struct walk *w, int fd, size_t path_len);

/* One name of the batch: a key, or a directory to go into. */
static int visit(struct walk *w, int dir, size_t path_len, const struct name *name)
{
	size_t len = path_len + strlen(name->text);
	struct stat st;
	int rc = 0;

	memcpy(w->path + path_len, name->text, len - path_len + 1);
	if (name->is_dir) {
		/* Without the slash: with it openat() would follow a link in spite of NOFOLLOW. */
		char plain[FILE_NAME_ROOM + 1];

		memcpy(plain, name->text, len - path_len);
		plain[len - path_len - 1] = 0;
		int fd = openat(dir, plain, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (fd >= 0)
			rc = walk_dir(w, fd, len);
		else if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
			rc = -errno;
	} else if (fstatat(dir, name->text, &st, AT_SYMLINK_NOFOLLOW)) {
		rc = errno == ENOENT ? 0 : -errno; /* deleted meanwhile */
	} else if (S_ISREG(st.st_mode)) {
		w->full = firn_store_page_add(w->req->page, w->path, len, (uint64_t)st.st_size,
		                              st.st_mtim.tv_sec * 1000 +
		                                      st.st_mtim.tv_nsec / 1000000);
	}
	w->path[path_len] = 0;
	return rc;
}

/* Takes fd. */
static int walk_dir(struct walk *w, int fd, size_t path_len)
{
	const struct firn_env *env = w->s->host->env;
	struct batch *b = env->alloc(env->ctx, sizeof *b, 16);
	char marker[FILE_NAME_ROOM + 1] = "";
	DIR *d = b ? fdopendir(fd) : NULL;
	int rc = b ? 0 : -ENOMEM;

	if (b && !d)
		rc = -errno;
	for (int more = 1; rc == 0 && more && !w->full;) {
		rc = batch_fill(w, d, path_len, marker, b);
		more = b->n == BATCH;
		for (uint32_t i = 0; rc == 0 && i < b->n && !w->full; i++)
			rc = visit(w, dirfd(d), path_len, b->sorted[i]);
		if (more)
			memcpy(marker, b->sorted[BATCH - 1]->text, sizeof marker);
	}
	if (d)
		(void)closedir(d);
	else
		(void)close(fd);
	if (b)
		env->release(env->ctx, b);
	return rc;
}

void file_list(struct file_store *s, struct firn_store_request *req)
{
	struct walk w = { .s = s, .req = req };
	const char *slash = strrchr(req->prefix, '/');
	size_t len = slash ? (size_t)(slash - req->prefix) + 1 : 0;
	int dir = -1;
	int rc = path_open_dir(s, req->prefix, len, &dir);

	if (rc == -ENOENT || rc == -ENOTDIR)
		return; /* no directory, no keys */
	memcpy(w.path, req->prefix, len);
	if (rc == 0 && len == 0) { /* the root's own position must not be shared by two walks */
		int own = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		rc = own < 0 ? -errno : 0;
		(void)close(dir);
		dir = own;
	}
	if (rc == 0)
		rc = walk_dir(&w, dir, len);
	if (rc)
		path_fail(req, -rc, "listing keys");
}
