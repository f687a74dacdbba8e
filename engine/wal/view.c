/* The WAL as a readable tier: a durable group by its LSN, from memory or from the disk. */
#include "engine/base/error.h"
#include "engine/wal/file.h"
#include <errno.h>

int wal_view_tail(struct wal *w, uint64_t lsn, struct wal_view *out)
{
	int rc = FIRN_ENOENT;
	pthread_mutex_lock(&w->lock);
	uint32_t lo = 0, hi = w->tail_n;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (w->tail[(w->tail_head + mid) % w->tail_cap]->lsn < lsn)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < w->tail_n) {
		struct wal_group *g = w->tail[(w->tail_head + lo) % w->tail_cap];
		if (g->lsn == lsn) {
			wal_chunk_retain(g->chunk);
			*out = (struct wal_view){ g->chunk, g->data, g->used };
			rc = 0;
		}
	}
	pthread_mutex_unlock(&w->lock);
	return rc;
}

bool wal_has_file(struct wal *w, uint64_t lsn)
{
	pthread_mutex_lock(&w->lock);
	bool has = wal_file_find(w, lsn >> 32) != NULL;
	pthread_mutex_unlock(&w->lock);
	return has;
}

static int open_reader(struct wal *w, uint64_t file_no, void **file)
{
	char path[4200];
	wal_file_path(w->dir, file_no, path, sizeof path);
	int rc = wal_file_open(w, path, FIRN_OPEN_READ_ONLY, file);
	if (rc)
		*file = NULL;
	return rc;
}

int wal_reader_get(struct wal *w, uint64_t file_no, struct wal_reader *out, int *sys)
{
	int rc = 0;
	*out = (struct wal_reader){ NULL, wal_is_aside(file_no) };
	pthread_mutex_lock(&w->lock);
	struct wal_file *f = wal_file_find(w, file_no);
	bool gone = !f;
	if (f && !out->once) {
		rc = f->reader ? 0 : open_reader(w, file_no, &f->reader);
		out->file = f->reader;
	}
	pthread_mutex_unlock(&w->lock);
	if (!gone && out->once)
		rc = open_reader(w, file_no, &out->file);
	*sys = -rc;
	if (gone || rc == -ENOENT)
		return FIRN_ENOENT;
	return !rc ? 0 : code_of_errno(rc) == FIRN_ENOMEM ? FIRN_ENOMEM : FIRN_EIO;
}

void wal_reader_put(struct wal *w, struct wal_reader *r)
{
	if (r->once && r->file)
		(void)w->env->files->close(w->env->ctx, r->file);
}

static int check(struct wal *w, struct wal_chunk *c, uint64_t lsn, uint32_t len,
                 struct wal_view *out, struct firn_error *err)
{
	struct wal_group_header h;
	uint32_t bad = 0;
	int rc = wal_group_header_get(c->data, len, &h) || h.lsn != lsn ||
	         wal_group_len(h.used) != len || memcmp(h.wal_id, w->wal_id, sizeof h.wal_id);
	if (rc)
		rc = fail(err, FIRN_ECORRUPT, 0, "wal", "group header does not verify");
	else
		rc = wal_group_verify(c->data, len, &h, &bad, err);
	if (rc)
		return fail_context(err, rc, "%016llx.%s: group at %llu",
		                    (unsigned long long)(lsn >> 32), wal_suffix(lsn >> 32),
		                    (unsigned long long)(lsn & 0xffffffffu));
	*out = (struct wal_view){ c, c->data, h.used };
	return 0;
}

static int read_group(struct wal *w, uint64_t lsn, void *to, uint32_t len, struct firn_error *err)
{
	unsigned long long file_no = lsn >> 32, pos = lsn & 0xffffffffu;
	const char *suffix = wal_suffix(lsn >> 32);
	struct wal_reader r;
	int64_t n = 0;
	int sys;
	pthread_rwlock_rdlock(&w->readers);
	int rc = wal_reader_get(w, file_no, &r, &sys);
	if (!rc)
		n = w->env->files->read(w->env->ctx, r.file, to, len, pos);
	wal_reader_put(w, &r);
	pthread_rwlock_unlock(&w->readers);
	if (rc)
		return fail(err, rc, sys, "wal", "%016llx.%s %s", file_no, suffix,
		            rc == FIRN_ENOENT ? "is gone" : "cannot be opened");
	if (n < 0)
		return fail(err, FIRN_EIO, (int)-n, "wal", "%016llx.%s: read at %llu", file_no,
		            suffix, pos);
	if (n != (int64_t)len)
		return fail(err, FIRN_ECORRUPT, 0, "wal", "%016llx.%s: ends before %llu", file_no,
		            suffix, pos + len);
	return 0;
}

int wal_view_load(struct wal *w, uint64_t lsn, uint32_t len, struct wal_view *out,
                  struct firn_error *err)
{
	struct wal_chunk *c = wal_chunk_new(w->account, len);
	if (!c)
		return fail(err, FIRN_ENOMEM, 0, "wal", "no memory to read a group of %u bytes",
		            len);
	int rc = read_group(w, lsn, c->data, len, err);
	rc = rc ? rc : check(w, c, lsn, len, out, err);
	if (rc)
		wal_chunk_release(c);
	return rc;
}
