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

void *wal_file_reader(struct wal *w, uint64_t file_no)
{
	pthread_mutex_lock(&w->lock);
	struct wal_file *f = wal_file_find(w, file_no);
	if (f && !f->reader) {
		char path[4200];
		wal_file_path(w->dir, file_no, path, sizeof path);
		if (wal_file_open(w, path, FIRN_OPEN_READ_ONLY, &f->reader))
			f->reader = NULL;
	}
	void *reader = f ? f->reader : NULL;
	pthread_mutex_unlock(&w->lock);
	return reader;
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

int wal_view_load(struct wal *w, uint64_t lsn, uint32_t len, struct wal_view *out,
                  struct firn_error *err)
{
	struct wal_chunk *c = wal_chunk_new(w->account, len);
	if (!c)
		return fail(err, FIRN_ENOMEM, 0, "wal", "no memory to read a group of %u bytes",
		            len);
	pthread_rwlock_rdlock(&w->readers);
	void *reader = wal_file_reader(w, lsn >> 32);
	int64_t n = reader ? w->env->files->read(w->env->ctx, reader, c->data, len,
	                                         lsn & 0xffffffffu)
	                   : 0;
	pthread_rwlock_unlock(&w->readers);
	int rc;
	if (!reader)
		rc = fail(err, FIRN_ENOENT, 0, "wal", "%016llx.wal is gone",
		          (unsigned long long)(lsn >> 32));
	else if (n < 0)
		rc = fail(err, FIRN_EIO, (int)-n, "wal", "%016llx.wal: read at %llu",
		          (unsigned long long)(lsn >> 32), (unsigned long long)(lsn & 0xffffffffu));
	else if (n != (int64_t)len)
		rc = fail(err, FIRN_ECORRUPT, 0, "wal", "%016llx.wal: ends before %llu",
		          (unsigned long long)(lsn >> 32),
		          (unsigned long long)(lsn & 0xffffffffu) + len);
	else
		rc = check(w, c, lsn, len, out, err);
	if (rc)
		wal_chunk_release(c);
	return rc;
}
