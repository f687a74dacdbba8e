/* Recovery's reading: every group of every file, in order, verified whole.
 *
 *   file n:   [header][table ...][group][group]...[group] ???      ??? = zeros, an older lap, torn, or rot
 *   file n+1: [header][table: prev_sum = header_sum of file n's last group] ...
 *
 * A group that fails with any valid later group of its run behind it in the file, or that leaves the
 * chain to the next file or the run's seal open, is rot: damage of what was acked, never "torn"
 * (PROTOCOL 11). Damage does not stop the scan: whether a volume is hit is shown by its revs, which
 * must run unbroken across (S15). A group that verifies and breaks the chain all the same is of a copy
 * that went its own way (12): its revs say nothing, so no volume that needs this WAL is attached. */
#include "engine/wal/scan.h"
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include <stdio.h>
#include <string.h>

enum { SCAN_BYTES = 4 << 20, FIND_BYTES = 1 << 20 };

struct window { /* bytes [pos, pos + len) of a file in memory */
	uint8_t *data;
	uint64_t pos;
	size_t len, cap;
};

void wal_scan_fini(struct wal_scan *scan, const struct firn_env *env)
{
	mem_free(env, scan->found);
	memset(scan, 0, sizeof *scan);
}

struct wal_found *wal_scan_find(struct wal_scan *scan, uint32_t volume_no)
{
	for (uint32_t i = 0; i < scan->n_found; i++)
		if (scan->found[i].volume_no == volume_no)
			return &scan->found[i];
	return NULL;
}

static struct wal_found *found_of(struct scan_state *s, uint32_t volume_no)
{
	struct wal_found *f = wal_scan_find(s->scan, volume_no);
	if (f)
		return f;
	size_t cap = s->scan->cap_found;
	void *p = s->scan->found;
	if (mem_grow(s->wal->env, &p, &cap, s->scan->n_found, s->scan->n_found + 1u, sizeof *f))
		return NULL;
	s->scan->found = p;
	s->scan->cap_found = (uint32_t)cap;
	f = &s->scan->found[s->scan->n_found++];
	memset(f, 0, sizeof *f);
	f->volume_no = volume_no;
	return f;
}

/* Revs up to `missing` were not met where they should stand: recycled, or lost. Attach knows which. */
static void gap(struct wal_found *f, uint64_t lsn, uint64_t missing, uint64_t first)
{
	f->missing = missing;
	(void)snprintf(f->why, sizeof f->why,
	               "before %016llx.%s, group at %llu: writes %llu to %llu%s",
	               (unsigned long long)(lsn >> 32), wal_suffix(lsn >> 32),
	               (unsigned long long)(lsn & 0xffffffffu), (unsigned long long)first,
	               (unsigned long long)missing, f->suspect);
}

static int found_write(struct scan_state *s, const struct wal_record *r, uint64_t lsn)
{
	struct wal_found *f = found_of(s, r->volume_no);
	if (!f)
		return FIRN_ENOMEM;
	f->seen = s->scan->n_groups;
	f->aside |= wal_is_aside(lsn >> 32);
	if (f->aside && r->rev <= f->run_last)
		return 0; /* moved aside, and still in its file; or stored before that */
	if (f->rev_last && r->rev != f->rev_last + 1)
		gap(f, lsn, r->rev - 1, f->rev_last + 1);
	if (!f->run_last || r->rev != f->run_last + 1)
		f->run_first = r->rev;
	f->rev_last = f->run_last = r->rev;
	return 0;
}

/* A directory tells of [from, to), which ends where it stands; what is left out before has none. */
static int found_directory(struct scan_state *s, struct scan_file *f, const struct wal_record *r,
                           uint64_t lsn)
{
	struct wal_file *wf = wal_file_find(s->wal, f->file_no);
	struct wal_directory d;
	int rc = wal_directory_get(r->start, r->len, &d);
	if (rc || !wf)
		return rc;
	uint32_t begin = f->range_from > d.from ? f->range_from : d.from;
	if (f->range_from < d.from)
		rc = wal_range_add(s->wal, wf, f->range_from, d.from, 0);
	if (!rc && begin < d.to)
		rc = wal_range_add(s->wal, wf, begin, d.to, (uint32_t)lsn);
	f->range_from = (uint32_t)(lsn + WAL_GROUP_HEADER + r->len);
	return rc;
}

/* Whose word a row is: of an attach, of who wrote the records before it, or of a recovery that only knew what it
 * had found; the last takes no doubt away. */
enum row_of { ROW_OF_ATTACH, ROW_OF_WRITER, ROW_OF_RECOVERY };

/* A row says how far its volume had come: what was seen must agree (a gap in between is damage). */
static int found_row(struct scan_state *s, const struct wal_volume_row *row, uint64_t lsn,
                     enum row_of whose)
{
	struct wal_found *f = found_of(s, row->volume_no);
	if (!f)
		return FIRN_ENOMEM;
	if (whose != ROW_OF_ATTACH && f->rev_last && row->rev > f->rev_last)
		gap(f, lsn, row->rev, f->rev_last + 1);
	if (row->rev > f->rev_last)
		f->rev_last = row->rev;
	if (whose != ROW_OF_RECOVERY)
		f->seen = s->scan->n_groups;
	return 0;
}

static int take_gone(struct scan_state *s, struct cur *c, const struct wal_table_head *h)
{
	uint32_t mark = (uint32_t)s->scan->n_groups;
	struct wal_gone *gone = NULL;
	if (h->n_gone) {
		if (cur_left(c) / WAL_GONE_LEN < h->n_gone)
			return FIRN_ECORRUPT;
		gone = mem_alloc(s->wal->env, h->n_gone * sizeof *gone);
		if (!gone)
			return FIRN_ENOMEM;
	}
	for (uint32_t i = 0; i < h->n_gone; i++)
		(void)wal_gone_decode(c, &gone[i]);
	wal_table_take(s->wal, h, mark, gone);
	return 0;
}

static int control_record(struct scan_state *s, const struct scan_file *f,
                          const struct wal_record *r, uint64_t lsn)
{
	enum row_of whose = r->type == WAL_INTENT               ? ROW_OF_ATTACH
	                    : r->type == WAL_TABLE && f->sealed ? ROW_OF_RECOVERY
	                                                        : ROW_OF_WRITER;
	struct cur c = cur_of(r->body, (size_t)(r->body_end - r->body));
	struct wal_table_head h = { .n_row = 1 };
	if (r->type == WAL_TABLE && wal_table_head_decode(&c, &h))
		return FIRN_ECORRUPT;
	for (uint32_t i = 0; i < h.n_row; i++) {
		struct wal_volume_row row;
		if (wal_row_decode(&c, &row))
			return FIRN_ECORRUPT;
		row.mark = (uint32_t)s->scan->n_groups;
		int rc = found_row(s, &row, lsn, whose);
		rc = rc ? rc : wal_row_set(s->wal, &row);
		if (rc)
			return rc;
	}
	return r->type == WAL_TABLE ? take_gone(s, &c, &h) : 0;
}

/* An aside file's table: its volume, and how far that had come before it. */
static int aside_table(struct scan_state *s, struct wal_file *wf, const struct wal_record *r,
                       uint64_t lsn)
{
	struct cur c = cur_of(r->body, (size_t)(r->body_end - r->body));
	struct wal_volume_row row;
	struct wal_table_head head;
	if (wal_table_head_decode(&c, &head) || head.n_row != 1 || wal_row_decode(&c, &row))
		return FIRN_ECORRUPT;
	struct wal_pin pin = { row.volume_no, 0, row.rev + 1, row.rev, 0 };
	int rc = found_row(s, &row, lsn, ROW_OF_WRITER);
	if (!rc && wf && wal_file_pin(s->wal, wf, &pin))
		rc = FIRN_ENOMEM;
	return rc;
}

static int take_group(struct scan_state *s, struct scan_file *f, const uint8_t *group,
                      const struct wal_group_header *h)
{
	uint32_t pos = WAL_GROUP_HEADER, len = (uint32_t)wal_group_len(h->used);
	struct wal_record r;
	int rc = 0;
	s->scan->n_groups++;
	s->scan->bytes += len;
	struct wal_file *wf = wal_file_find(s->wal, f->file_no);
	while (!rc && (pos = wal_record_next(group, h->used, pos, &r)) != 0) {
		if (r.type == WAL_WRITE) {
			rc = found_write(s, &r, h->lsn);
			struct wal_pin pin = { r.volume_no, 0, r.rev, r.rev, r.len };
			if (!rc && wf && wal_file_pin(s->wal, wf, &pin))
				rc = FIRN_ENOMEM;
		} else if (r.type == WAL_DIRECTORY) {
			rc = found_directory(s, f, &r, h->lsn);
		} else if (wal_is_aside(f->file_no)) {
			rc = aside_table(s, wf, &r, h->lsn);
		} else if (r.type != WAL_SEAL) {
			rc = control_record(s, f, &r, h->lsn);
		}
	}
	s->last_sum = h->header_sum;
	s->end_lsn = h->lsn + len;
	return rc;
}

/* At least `need` bytes at `pos` in the window, if the file has them. */
static int fill(struct wal *w, const struct scan_file *f, struct window *win, uint64_t pos,
                size_t need)
{
	if (pos >= win->pos && pos + need <= win->pos + win->len)
		return 0;
	if (need > win->cap) {
		mem_free(w->env, win->data);
		win->cap = (size_t)align_up(need, SCAN_BYTES);
		win->data = mem_alloc_pages(w->env, win->cap);
		win->len = 0;
		if (!win->data)
			return FIRN_ENOMEM;
	}
	size_t want = win->cap;
	if (pos + want > f->bytes)
		want = pos < f->bytes ? (size_t)(f->bytes - pos) : 0;
	int64_t n = want ? w->env->files->read(w->env->ctx, f->file, win->data, want, pos) : 0;
	if (n < 0)
		return FIRN_EIO;
	win->pos = pos;
	win->len = (size_t)n;
	return 0;
}

static const uint8_t *at(const struct window *win, uint64_t pos, size_t need)
{
	return pos >= win->pos && pos + need <= win->pos + win->len ? win->data + (pos - win->pos)
	                                                            : NULL;
}

/* 0: a good group stands at pos. 1: none does. < 0: trouble that is not the bytes' fault. */
static int group_at(struct wal *w, struct scan_file *f, struct window *win, uint64_t pos,
                    struct wal_group_header *h, struct firn_error *err)
{
	int rc = fill(w, f, win, pos, WAL_PAGE);
	const uint8_t *p = rc ? NULL : at(win, pos, WAL_PAGE);
	if (rc || !p)
		return rc ? rc : 1;
	rc = wal_group_header_get(p, f->bytes - pos, h);
	if (rc == FIRN_EUNSUPPORTED && err)
		return wal_group_foreign(p, err);
	if (rc || h->lsn != (f->file_no << 32 | pos) || h->run != f->run ||
	    memcmp(h->wal_id, w->wal_id, sizeof h->wal_id))
		return 1;
	size_t len = (size_t)wal_group_len(h->used);
	rc = fill(w, f, win, pos, len);
	p = rc ? NULL : at(win, pos, len);
	if (rc || !p)
		return rc ? rc : 1;
	uint32_t bad;
	struct firn_error e = { .struct_size = sizeof e };
	rc = wal_group_verify(p, len, h, &bad, &e);
	if (rc == FIRN_EUNSUPPORTED && err)
		*err = e;
	return rc == FIRN_EUNSUPPORTED ? rc : rc ? 1 : 0;
}

static void damage(struct scan_state *s, uint64_t file_no, uint64_t pos, const char *what)
{
	s->scan->damage_at = s->scan->n_groups + 1;
	(void)snprintf(s->scan->damage, sizeof s->scan->damage, "%016llx.wal: group at %llu: %s",
	               (unsigned long long)file_no, (unsigned long long)pos, what);
	s->wal->env->log(s->wal->env->ctx, FIRN_LOG_ERROR, "wal", s->scan->damage);
}

/* All that was read is whole, and is not what was written: one side of this place is of another history. */
static void foreign(struct scan_state *s, uint64_t file_no, uint64_t pos, const char *what)
{
	damage(s, file_no, pos, what);
	memcpy(s->foreign, s->scan->damage, sizeof s->foreign);
}

/* Nothing acked was in it: the group behind says that all between is a directory. */
static void lost_directory(struct scan_state *s, uint64_t file_no, uint64_t pos)
{
	char text[200];
	(void)snprintf(
	        text, sizeof text,
	        "%016llx.wal: directory at %llu does not verify: its groups are read instead",
	        (unsigned long long)file_no, (unsigned long long)pos);
	s->wal->env->log(s->wal->env->ctx, FIRN_LOG_WARN, "wal", text);
}

/* After a bad group: where the next good one of this run begins, or 0. */
static int resync(struct wal *w, struct scan_file *f, struct window *win, uint64_t pos,
                  uint64_t end, uint64_t *next, struct wal_group_header *h)
{
	*next = 0;
	for (pos += WAL_PAGE; pos + WAL_PAGE <= end; pos += WAL_PAGE) {
		int rc = group_at(w, f, win, pos, h, NULL);
		if (rc < 0 && rc != FIRN_EUNSUPPORTED)
			return rc;
		if (rc == 0) {
			*next = pos;
			return 0;
		}
	}
	return 0;
}

int scan_seal_add(struct scan_state *s, const struct wal_seal_body *seal)
{
	void *p = s->seal;
	for (uint32_t i = 0; i < s->n_seal; i++)
		if (s->seal[i].run == seal->run) { /* an older file may have been begun only */
			s->seal[i] = *seal;
			return 0;
		}
	if (mem_grow(s->wal->env, &p, &s->cap_seal, s->n_seal, s->n_seal + 1u, sizeof *seal))
		return FIRN_ENOMEM;
	s->seal = p;
	s->seal[s->n_seal++] = *seal;
	return 0;
}

/* Where the run of this file was sealed: groups from there on do not count. UINT64_MAX: not sealed. */
static uint64_t seal_of(const struct scan_state *s, uint64_t run, uint64_t *sum)
{
	for (uint32_t i = 0; i < s->n_seal; i++)
		if (s->seal[i].run == run) {
			*sum = s->seal[i].last_sum;
			return s->seal[i].end_lsn;
		}
	return UINT64_MAX;
}

static int scan_file(struct scan_state *s, uint32_t i, struct window *win, struct firn_error *err)
{
	struct wal *w = s->wal;
	struct scan_file *f = &s->file[i];
	uint64_t seal_sum = 0, seal = seal_of(s, f->run, &seal_sum), pos = WAL_PAGE;
	uint64_t end = seal >> 32 == f->file_no ? seal & 0xffffffffu : f->bytes;
	bool chained = i && s->file[i - 1].live && s->file[i - 1].run == f->run &&
	               s->file[i - 1].file_no + 1 == f->file_no;
	uint64_t file_end_sum = s->last_sum;
	uint64_t n_before = s->scan->n_groups;
	bool follows = true; /* nothing was passed over between the group before and pos */
	f->range_from = WAL_PAGE;
	win->len = 0;
	if (seal != UINT64_MAX && seal >> 32 < f->file_no)
		return 0; /* begun, but its run was sealed before it: whatever lands here does not count */
	while (pos < end) {
		struct wal_group_header h;
		int rc = group_at(w, f, win, pos, &h, err);
		if (rc < 0)
			return fail_context(err, rc, "%016llx.wal: group at %llu",
			                    (unsigned long long)f->file_no,
			                    (unsigned long long)pos);
		if (rc == 0 && pos == WAL_PAGE && chained && h.prev_sum != file_end_sum) {
			if (h.durable_lsn > s->end_lsn)
				damage(s, f->file_no - 1, s->end_lsn & 0xffffffffu,
				       "what was written last does not verify");
			else
				foreign(s, f->file_no, pos, "does not follow the file before");
		} else if (rc == 0 && pos > WAL_PAGE && follows && h.prev_sum != s->last_sum) {
			foreign(s, f->file_no, pos, "does not follow the group before");
		}
		if (rc == 0) {
			rc = take_group(s, f, at(win, pos, (size_t)wal_group_len(h.used)), &h);
			if (rc)
				return fail(err, rc, 0, "wal",
				            "%016llx.wal: group at %llu cannot be taken",
				            (unsigned long long)f->file_no,
				            (unsigned long long)pos);
			pos += wal_group_len(h.used);
			follows = true;
			continue;
		}
		uint64_t next = 0;
		rc = resync(w, f, win, pos, end, &next, &h);
		if (rc)
			return fail(err, rc, 0, "wal", "%016llx.wal: cannot be read",
			            (unsigned long long)f->file_no);
		if (!next && seal >> 32 != f->file_no)
			break;
		follows = false;
		if (next && h.directory_len == next - pos)
			lost_directory(s, f->file_no, pos);
		else
			damage(s, f->file_no, pos, "does not verify, but later ones do");
		if (!next)
			break;
		pos = next;
	}
	struct wal_file *wf = wal_file_find(w, f->file_no);
	if (wf && f->range_from < pos && wal_range_add(w, wf, f->range_from, (uint32_t)pos, 0))
		return fail(err, FIRN_ENOMEM, 0, "wal", "no memory");
	if (seal >> 32 == f->file_no && pos >= end && s->last_sum != seal_sum)
		foreign(s, f->file_no, end, "what stands before it is not what was sealed");
	/* Header and first group are one write: alone, in the newest file, they may be torn. */
	bool newest = i + 1 == s->n_file || !s->file[i + 1].live;
	if (f->header_bad && !(newest && s->scan->n_groups - n_before <= 1))
		damage(s, f->file_no, 0, "file header does not verify");
	if (s->scan->n_groups >
	    n_before) /* else nothing of it was ever whole: the run before ends as it did */
		s->last_run = f->run;
	return 0;
}

/* A group that says it stands where it stands: of this life of the file, not of an older lap. */
static bool own_group(const struct scan_file *f, const uint8_t *page, uint64_t pos,
                      struct wal_group_header *h)
{
	return !wal_group_header_get(page, UINT32_MAX, h) && h->lsn == (f->file_no << 32 | pos);
}

/* Both first pages are none of ours: never begun, or rotten? Any group of its own behind tells. 1: found. */
static int find_own_group(struct wal *w, const struct scan_file *f, struct wal_group_header *h)
{
	uint8_t *some = mem_alloc_pages(w->env, FIND_BYTES);
	int rc = some ? 0 : FIRN_ENOMEM;
	for (uint64_t pos = 0; !rc && pos < f->bytes; pos += FIND_BYTES) {
		int64_t n = w->env->files->read(w->env->ctx, f->file, some, FIND_BYTES, pos);
		if (n < 0)
			rc = FIRN_EIO;
		for (int64_t at = 0; !rc && at + WAL_PAGE <= n; at += WAL_PAGE)
			rc = own_group(f, some + at, pos + (uint64_t)at, h);
	}
	mem_free(w->env, some);
	return rc;
}

int scan_first_pages(struct wal *w, struct scan_file *f, struct firn_error *err)
{
	uint8_t *page = mem_alloc_pages(w->env, WAL_PAGE);
	if (!page)
		return fail(err, FIRN_ENOMEM, 0, "wal", "no memory");
	int64_t n = w->env->files->read(w->env->ctx, f->file, page, WAL_PAGE, 0);
	struct firn_error e = { .struct_size = sizeof e };
	int rc = n < 0 ? (int)n : 0,
	    head = n == WAL_PAGE ? wal_file_header_get(page, &f->header, &e) : FIRN_ECORRUPT;
	struct wal_group_header h;
	n = rc ? rc : w->env->files->read(w->env->ctx, f->file, page, WAL_PAGE, WAL_PAGE);
	bool group = n == WAL_PAGE && own_group(f, page, WAL_PAGE, &h);
	mem_free(w->env, page);
	if (rc || n < 0)
		return fail(err, FIRN_EIO, (int)-(rc ? rc : n), "wal", "%016llx.wal",
		            (unsigned long long)f->file_no);
	if (head == FIRN_EUNSUPPORTED) {
		if (err)
			*err = e;
		return fail_context(err, head, "%016llx.wal", (unsigned long long)f->file_no);
	}
	bool own = !head && f->header.file_no == f->file_no;
	if (!own && !group) {
		rc = find_own_group(w, f, &h);
		if (rc < 0)
			return fail(err, rc, 0, "wal", "%016llx.wal: cannot be read",
			            (unsigned long long)f->file_no);
		group = rc;
	}
	f->header_bad = !own && group;
	f->misnamed = !head && !own;
	f->live = own || group;
	f->run = own ? f->header.run : group ? h.run : 0;
	if (f->header_bad)
		memcpy(f->header.wal_id, h.wal_id, sizeof h.wal_id);
	return 0;
}

static int read_seals(struct scan_state *s, struct scan_file *f, struct window *win)
{
	struct wal_group_header h;
	win->len = 0;
	int rc = group_at(s->wal, f, win, WAL_PAGE, &h, NULL);
	if (rc)
		return rc < 0 && rc != FIRN_EUNSUPPORTED ? rc : 0;
	const uint8_t *group = at(win, WAL_PAGE, (size_t)wal_group_len(h.used));
	struct wal_record r;
	for (uint32_t pos = WAL_GROUP_HEADER;
	     (pos = wal_record_next(group, h.used, pos, &r)) != 0;) {
		struct cur c = cur_of(r.body, (size_t)(r.body_end - r.body));
		struct wal_seal_body seal;
		if (r.type != WAL_SEAL || wal_seal_decode(&c, &seal))
			continue;
		f->sealed = true;
		if (scan_seal_add(s, &seal))
			return FIRN_ENOMEM;
	}
	return 0;
}

static struct wal_found *owner_of(struct scan_state *s, const struct scan_file *f)
{
	struct wal_file *wf = wal_file_find(s->wal, f->file_no);
	return wf && wf->n_pin ? wal_scan_find(s->scan, wf->pin[0].volume_no) : NULL;
}

/* A place that does not verify. Whose the file is, the table at its beginning has said; else it is nobody's. */
static void suspect(struct scan_state *s, struct scan_file *f, uint64_t pos)
{
	struct wal_found *found = owner_of(s, f);
	f->suspect = true;
	if (found)
		(void)snprintf(found->suspect, sizeof found->suspect,
		               " (%016llx.aside: group at %llu does not verify)",
		               (unsigned long long)f->file_no, (unsigned long long)pos);
}

static int aside_groups(struct scan_state *s, struct scan_file *f, struct window *win,
                        struct firn_error *err)
{
	struct wal_group_header h;
	uint64_t pos = WAL_PAGE, next = 0;
	int rc = 0;
	while (!rc && pos < f->bytes) {
		rc = group_at(s->wal, f, win, pos, &h, err);
		if (rc == 0) {
			rc = take_group(s, f, at(win, pos, (size_t)wal_group_len(h.used)), &h);
			pos += wal_group_len(h.used);
		} else if (rc == 1) {
			rc = resync(s->wal, f, win, pos, f->bytes, &next, &h);
			bool directory = next && h.directory_len == next - pos;
			if (!rc && !directory)
				suspect(s, f, pos);
			pos = next ? next : f->bytes;
		}
	}
	return rc;
}

/* All groups of an aside file that verify. What does not was torn by a crash, and is still in its WAL file,
 * or it is rot, and the volume's revs have a gap: they tell, and no other volume is hit. */
static int scan_aside(struct scan_state *s, struct scan_file *f, struct window *win,
                      struct firn_error *err)
{
	char path[4200];
	struct wal *w = s->wal;
	wal_file_path(w->dir, f->file_no, path, sizeof path);
	int rc = w->env->files->open(w->env->ctx, path, FIRN_OPEN_READ_ONLY, &f->file);
	if (rc < 0)
		return fail(err, code_of_errno(rc), -rc, "wal", "%s", path);
	f->range_from = WAL_PAGE;
	win->len = 0;
	rc = aside_groups(s, f, win, err);
	(void)w->env->files->close(w->env->ctx, f->file);
	f->file = NULL;
	struct wal_file *wf = wal_file_find(w, f->file_no);
	/* A torn write may end within a page. */
	uint32_t end = (uint32_t)f->bytes / WAL_PAGE * WAL_PAGE;
	if (!rc && wf && f->range_from < end && wal_range_add(w, wf, f->range_from, end, 0))
		rc = FIRN_ENOMEM;
	return rc ? fail_context(err, rc, "%016llx.aside", (unsigned long long)f->file_no) : 0;
}

static int scan_asides(struct scan_state *s, struct window *win, struct firn_error *err)
{
	int rc = 0;
	for (uint32_t i = 0; i < s->n_aside && !rc; i++)
		if (s->aside[i].live)
			rc = scan_aside(s, &s->aside[i], win, err);
	s->last_sum = s->end_lsn = 0; /* they are no part of the log's chain */
	return rc;
}

/* A file with a suspect place stays, if writes of its volume are missing, until that is stored as far as is known
 * now. Without a gap the place was torn by a crash: what stood there is in the log. */
static int keep_suspects(struct scan_state *s)
{
	for (uint32_t i = 0; i < s->n_aside; i++) {
		struct wal_file *f = wal_file_find(s->wal, s->aside[i].file_no);
		struct wal_found *v = s->aside[i].suspect ? owner_of(s, &s->aside[i]) : NULL;
		if (!v || !v->missing)
			continue;
		s->wal->env->log(s->wal->env->ctx, FIRN_LOG_ERROR, "wal", v->why);
		size_t cap = f->cap_pin;
		void *pin = f->pin;
		if (mem_grow(s->wal->env, &pin, &cap, f->n_pin, f->n_pin + 1u, sizeof *f->pin))
			return FIRN_ENOMEM;
		f->pin = pin;
		f->cap_pin = (uint32_t)cap;
		f->pin[f->n_pin++] = (struct wal_pin){ v->volume_no, 0, 0, v->rev_last, 0 };
	}
	return 0;
}

int scan_all(struct scan_state *s, struct firn_error *err)
{
	struct window win = { .cap = SCAN_BYTES };
	win.data = mem_alloc_pages(s->wal->env, win.cap);
	int rc = win.data ? 0 : fail(err, FIRN_ENOMEM, 0, "wal", "no memory");
	for (uint32_t i = 0; i < s->n_file && !rc; i++) {
		bool first = !i || s->file[i - 1].run != s->file[i].run;
		if (s->file[i].live && first && read_seals(s, &s->file[i], &win))
			rc = fail(err, FIRN_EIO, 0, "wal", "%016llx.wal: cannot be read",
			          (unsigned long long)s->file[i].file_no);
	}
	rc = rc ? rc : scan_asides(s, &win, err);
	for (uint32_t i = 0; i < s->n_file && !rc; i++)
		if (s->file[i].live)
			rc = scan_file(s, i, &win, err);
	mem_free(s->wal->env, win.data);
	if (!rc && keep_suspects(s))
		rc = fail(err, FIRN_ENOMEM, 0, "wal", "no memory");
	for (uint32_t i = 0; i < s->scan->n_found && !rc; i++) {
		struct wal_found *f = &s->scan->found[i];
		if (s->scan->damage_at && f->seen < s->scan->damage_at) {
			f->missing = UINT64_MAX;
			memcpy(f->why, s->scan->damage, sizeof s->scan->damage);
		} else if (s->foreign[0] && f->run_last > f->missing) {
			f->missing = f->run_last;
			memcpy(f->why, s->foreign, sizeof s->foreign);
		}
	}
	return rc;
}
