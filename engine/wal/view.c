/* The WAL as a readable tier: a durable group by its LSN, from memory or from the disk. */
#include "engine/base/error.h"
#include "engine/wal/file.h"

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

int wal_file_reader(struct wal *w, uint64_t file_no, void **reader, struct firn_error *err)
{
	char path[4200];
	wal_file_path(w->dir, file_no, path, sizeof path);
	pthread_mutex_lock(&w->lock);
	struct wal_file *f = wal_file_find(w, file_no);
	int rc = f && !f->reader ? wal_file_open(w, path, FIRN_OPEN_READ_ONLY, &f->reader) : 0;
	if (rc)
		f->reader = NULL;
	*reader = f ? f->reader : NULL;
	pthread_mutex_unlock(&w->lock);
	return rc ? fail(err, code_of_errno(rc) == FIRN_ENOMEM ? FIRN_ENOMEM : FIRN_EIO, -rc, "wal",
	                 "open %s", path)
	       : !f ? FIRN_ENOENT
	            : 0;
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
		return fail_context(err, rc, "%016llx.wal: group at %llu",
		                    (unsigned long long)(lsn >> 32),
		                    (unsigned long long)(lsn & 0xffffffffu));
	*out = (struct wal_view){ c, c->data, h.used };
	return 0;
}

static int read_group(struct wal *w, uint64_t lsn, void *to, uint32_t len, struct firn_error *err)
{
	unsigned long long file_no = lsn >> 32, pos = lsn & 0xffffffffu;
	void *reader;
	int64_t n = 0;
	pthread_rwlock_rdlock(&w->readers);
	int rc = wal_file_reader(w, file_no, &reader, err);
	if (!rc)
		n = w->env->files->read(w->env->ctx, reader, to, len, pos);
	pthread_rwlock_unlock(&w->readers);
	if (rc == FIRN_ENOENT)
		return fail(err, rc, 0, "wal", "%016llx.wal is gone", file_no);
	if (n < 0)
		return fail(err, FIRN_EIO, (int)-n, "wal", "%016llx.wal: read at %llu", file_no,
		            pos);
	if (!rc && n != (int64_t)len)
		return fail(err, FIRN_ECORRUPT, 0, "wal", "%016llx.wal: ends before %llu", file_no,
		            pos + len);
	return rc;
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
