/* Verification of a whole WAL directory, read only.
 *
 *   list names -> survey (header and first group of each file: run, seal) -> walk each file ->
 *   judge its end
 *
 * A file of a run ends where no valid group follows. Whether that end is right says, in this order:
 * a seal of a later run that names it; the next file of the same run, whose prev_sum continues it;
 * else it is the tail, and a bad group there is torn. A valid group behind a bad one is damage
 * wherever it is. */
#include "engine/wal/inspect.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/wal/codec.h"
#include "engine/wal/directory.h"
#include "engine/wal/seen.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { WINDOW = 256 << 10 };

struct live {
	uint64_t no, run, bytes, prev_sum;
	bool has_group;
};

struct walk {
	const struct firn_env *env;
	const char *dir;
	struct wal_report *out;
	struct firn_error *err;
	void (*problem)(void *arg, const char *text);
	void *arg;
	wal_write_fn write;
	void *write_arg;
	uint64_t *no; /* of *.wal, ascending */
	size_t n_no, cap_no;
	uint64_t *aside; /* of *.aside, ascending */
	size_t n_aside, cap_aside;
	struct live *live;
	size_t n_live, cap_live;
	struct wal_seal_body *seal; /* of each run the newest */
	size_t n_seal, cap_seal;
	uint8_t *group, *window;
	size_t cap_group;
	struct wal_seen seen;
	struct wal_places places; /* of the file's groups that no directory has told of yet */
	bool places_miss;         /* some are not known: damage */
	/* where the walk stands */
	void *file;
	uint64_t file_no, pos, last_sum;
	bool chained; /* last_sum is that of the group right before */
	uint32_t last_flags;
};

__attribute__((format(printf, 2, 3))) static void problem(struct walk *w, const char *fmt, ...)
{
	char what[500], text[600];
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(what, sizeof what, fmt, args);
	va_end(args);
	(void)snprintf(text, sizeof text, "%016llx.%s: at %llu: %s", (unsigned long long)w->file_no,
	               wal_suffix(w->file_no), (unsigned long long)w->pos, what);
	if (w->out->n_problems++ == 0)
		(void)fail(w->err, FIRN_ECORRUPT, 0, "wal", "%s", text);
	if (w->problem)
		w->problem(w->arg, text);
}

static void seen_problem(void *arg, const char *text)
{
	problem(arg, "%s", text);
}

/* ---- bytes ---- */

static int open_file(struct walk *w, uint64_t no, uint64_t *bytes)
{
	char path[4200];
	wal_file_path(w->dir, no, path, sizeof path);
	w->file_no = no;
	int rc = w->env->files->open(w->env->ctx, path, FIRN_OPEN_READ_ONLY, &w->file);
	if (rc < 0) {
		w->file = NULL;
		return fail(w->err, code_of_errno(rc), -rc, "wal", "open %s", path);
	}
	rc = w->env->files->size(w->env->ctx, w->file, bytes);
	*bytes &= ~(uint64_t)(WAL_PAGE - 1);
	return rc < 0 ? fail(w->err, FIRN_EIO, -rc, "wal", "size of %s", path) : 0;
}

static void close_file(struct walk *w)
{
	if (w->file)
		(void)w->env->files->close(w->env->ctx, w->file);
	w->file = NULL;
}

static int read_at(struct walk *w, void *buf, size_t len, uint64_t pos)
{
	for (size_t done = 0; done < len;) {
		int64_t n = w->env->files->read(w->env->ctx, w->file, (uint8_t *)buf + done,
		                                len - done, pos + done);
		if (n <= 0)
			return fail(w->err, FIRN_EIO, (int)-n, "wal", "%016llx.wal: read at %llu",
			            (unsigned long long)w->file_no, (unsigned long long)pos + done);
		done += (size_t)n;
	}
	return 0;
}

static int group_room(struct walk *w, size_t len)
{
	if (len <= w->cap_group)
		return 0;
	len = (len + WINDOW - 1) & ~(size_t)(WINDOW - 1);
	uint8_t *p = mem_alloc_pages(w->env, len);
	if (!p)
		return fail(w->err, FIRN_ENOMEM, 0, "wal", "verify: no memory for a group");
	if (w->cap_group)
		memcpy(p, w->group, WAL_PAGE);
	mem_free(w->env, w->group);
	w->group = p;
	w->cap_group = len;
	return 0;
}

/* A verdict about bytes; anything else that is not 0 ends the walk. */
static bool verdict(int rc)
{
	return rc == FIRN_ECORRUPT || rc == FIRN_EUNSUPPORTED;
}

/* The group at pos, valid and in its place, comes into w->group: 0. Else a verdict with its reason
 * in *why, or FIRN_EIO, FIRN_ENOMEM in w->err. */
static int load(struct walk *w, const struct live *l, uint64_t pos, struct wal_group_header *h,
                struct firn_error *why)
{
	uint32_t bad;
	if (l->bytes < pos + WAL_PAGE)
		return fail(why, FIRN_ECORRUPT, 0, "wal", "the file ends");
	int rc = group_room(w, WAL_PAGE);
	rc = rc ? rc : read_at(w, w->group, WAL_PAGE, pos);
	if (rc)
		return rc;
	rc = wal_group_header_get(w->group, l->bytes - pos, h);
	if (rc)
		return rc == FIRN_EUNSUPPORTED ? wal_group_foreign(w->group, why)
		                               : fail(why, rc, 0, "wal", "no valid group header");
	if (memcmp(h->wal_id, w->out->wal_id, 16) != 0 || h->run != l->run ||
	    h->lsn != (l->no << 32 | pos))
		return fail(why, FIRN_ECORRUPT, 0, "wal",
		            "group of another place or lap (run %llu, lsn"
		            " %016llx)",
		            (unsigned long long)h->run, (unsigned long long)h->lsn);
	size_t len = (size_t)wal_group_len(h->used);
	rc = group_room(w, len);
	rc = rc ? rc : read_at(w, w->group + WAL_PAGE, len - WAL_PAGE, pos + WAL_PAGE);
	return rc ? rc : wal_group_verify(w->group, len, h, &bad, why);
}

/* *found: the next valid group behind pos in 4 KiB steps, 0 if there is none; *directory_len: of the
 * directory that it says it follows. */
static int find_later(struct walk *w, const struct live *l, uint64_t pos, uint64_t *found,
                      uint32_t *directory_len)
{
	struct wal_group_header h;
	uint64_t begin = 0, end = 0;
	*found = *directory_len = 0;
	if (!w->window && !(w->window = mem_alloc_pages(w->env, WINDOW)))
		return fail(w->err, FIRN_ENOMEM, 0, "wal", "verify: no memory");
	for (pos += WAL_PAGE; pos + WAL_PAGE <= l->bytes; pos += WAL_PAGE) {
		if (pos >= end) {
			begin = pos;
			end = l->bytes - pos < WINDOW ? l->bytes : pos + WINDOW;
			int rc = read_at(w, w->window, (size_t)(end - begin), begin);
			if (rc)
				return rc;
		}
		if (le64_get(w->window + (pos - begin)) != WAL_GROUP_MAGIC)
			continue;
		int rc = load(w, l, pos, &h, NULL);
		if (rc == 0) {
			*found = pos;
			*directory_len = h.directory_len;
		}
		if (!verdict(rc))
			return rc;
	}
	return 0;
}

/* ---- survey ---- */

static int each_name(void *arg, const char *name)
{
	struct walk *w = arg;
	uint64_t no;
	size_t n = strlen(name);
	if (n > 6 && strcmp(name + n - 6, ".spare") == 0)
		w->out->n_spare++;
	void *p = w->aside;
	if (!wal_aside_name_parse(name, &no)) {
		if (mem_grow(w->env, &p, &w->cap_aside, w->n_aside, w->n_aside + 1, sizeof no))
			return 1;
		w->aside = p;
		w->aside[w->n_aside++] = no;
		return 0;
	}
	if (wal_file_name_parse(name, &no))
		return 0;
	p = w->no;
	if (mem_grow(w->env, &p, &w->cap_no, w->n_no, w->n_no + 1, sizeof *w->no))
		return 1; /* of our own: list() hands it on */
	w->no = p;
	w->no[w->n_no++] = no;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x, y;
	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x < y ? -1 : x > y;
}

/* A file that does not carry its own number is spare, unless groups of its own stand behind that
 * header. The first group of the newest file may: header and group are one write, which can
 * tear. */
static int judge_spare(struct walk *w, uint64_t bytes, bool newest)
{
	struct wal_group_header h;
	uint64_t pos = WAL_PAGE;
	w->out->n_spare++;
	int n = 0;
	for (; n < 2 && pos + WAL_PAGE <= bytes; n++) {
		int rc = group_room(w, WAL_PAGE);
		rc = rc ? rc : read_at(w, w->group, WAL_PAGE, pos);
		if (rc)
			return rc;
		if (wal_group_header_get(w->group, bytes - pos, &h) ||
		    h.lsn != (w->file_no << 32 | pos))
			break;
		pos += wal_group_len(h.used);
	}
	w->pos = 0;
	if (n == 2 || (n && !newest))
		problem(w, "file header is damaged: groups of this file stand behind it");
	return 0;
}

static int seal_add(struct walk *w, const struct wal_seal_body *seal)
{
	void *p = w->seal;
	for (size_t i = 0; i < w->n_seal; i++)
		if (w->seal[i].run == seal->run) {
			w->seal[i] = *seal;
			return 0;
		}
	if (mem_grow(w->env, &p, &w->cap_seal, w->n_seal, w->n_seal + 1, sizeof *seal))
		return FIRN_ENOMEM;
	w->seal = p;
	w->seal[w->n_seal++] = *seal;
	return 0;
}

static int survey_seal(struct walk *w, struct live *l)
{
	struct wal_group_header h;
	struct wal_record r;
	uint32_t pos = WAL_GROUP_HEADER;
	int rc = load(w, l, WAL_PAGE, &h, NULL);
	l->has_group = rc == 0;
	if (rc)
		return verdict(rc) ? 0 : rc;
	while ((pos = wal_record_next(w->group, h.used, pos, &r)))
		if (r.type == WAL_SEAL) {
			struct cur c = cur_of(r.body, (size_t)(r.body_end - r.body));
			struct wal_seal_body seal;
			if (wal_seal_decode(&c, &seal) == 0 && seal_add(w, &seal))
				return fail(w->err, FIRN_ENOMEM, 0, "wal", "verify: no memory");
		}
	return 0;
}

static int survey_file(struct walk *w, uint64_t no, bool newest)
{
	uint8_t page[WAL_PAGE];
	struct wal_file_header h;
	struct live l = { .no = no };
	int rc = open_file(w, no, &l.bytes);
	if (rc)
		return rc;
	if (l.bytes < WAL_PAGE) {
		w->out->n_spare++;
		return 0;
	}
	struct firn_error why = FIRN_ERROR_INIT;
	rc = read_at(w, page, sizeof page, 0);
	if (rc)
		return rc;
	rc = wal_file_header_get(page, &h, &why);
	w->pos = 0;
	if (rc == FIRN_EUNSUPPORTED)
		problem(w, "%s", why.text);
	if (rc == FIRN_EUNSUPPORTED)
		return 0;
	if (!rc && h.file_no != no && w->n_live && memcmp(w->out->wal_id, h.wal_id, 16) != 0)
		problem(w, "file of another WAL");
	if (rc || h.file_no != no)
		return judge_spare(w, l.bytes, newest);
	if (w->n_live && h.run < w->live[w->n_live - 1].run) {
		w->out->n_spare++;
		return 0;
	}
	if (w->n_live == 0)
		memcpy(w->out->wal_id, h.wal_id, 16);
	if (memcmp(w->out->wal_id, h.wal_id, 16) != 0)
		problem(w, "file of another WAL");
	if (l.bytes < h.file_bytes)
		problem(w, "file is shorter (%llu) than its header says (%llu)",
		        (unsigned long long)l.bytes, (unsigned long long)h.file_bytes);
	l.run = h.run;
	l.prev_sum = h.prev_sum;
	rc = survey_seal(w, &l);
	void *p = w->live;
	if (!rc && mem_grow(w->env, &p, &w->cap_live, w->n_live, w->n_live + 1, sizeof *w->live))
		rc = fail(w->err, FIRN_ENOMEM, 0, "wal", "verify: no memory");
	w->live = p;
	if (!rc)
		w->live[w->n_live++] = l;
	return rc;
}

static int survey(struct walk *w)
{
	int rc = w->env->files->list(w->env->ctx, w->dir, each_name, w);
	if (rc > 0)
		return fail(w->err, FIRN_ENOMEM, 0, "wal", "verify: no memory");
	if (rc < 0)
		return fail(w->err, rc == -ENOENT ? FIRN_ENOENT : code_of_errno(rc), -rc, "wal",
		            "list %s", w->dir);
	if (w->n_no)
		qsort(w->no, w->n_no, sizeof *w->no, by_number);
	if (w->n_aside)
		qsort(w->aside, w->n_aside, sizeof *w->aside, by_number);
	rc = 0;
	for (size_t i = 0; i < w->n_no && !rc; i++) {
		rc = survey_file(w, w->no[i], i + 1 == w->n_no);
		close_file(w);
	}
	return rc;
}

/* ---- the walk ---- */

/* The seal of a later run that fixed where this file's run ended; NULL: none is known. */
static const struct wal_seal_body *seal_of(const struct walk *w, size_t i)
{
	for (size_t k = 0; k < w->n_seal; k++)
		if (w->seal[k].run == w->live[i].run)
			return &w->seal[k];
	return NULL;
}

/* Places of groups before `from` have no directory. */
static void drop_places(struct wal_places *p, uint32_t from)
{
	size_t n = 0;
	for (size_t i = 0; i < p->n; i++)
		if ((uint32_t)p->place[i].lsn >= from)
			p->place[n++] = p->place[i];
	p->n = n;
}

/* A directory says what its groups say: made again from them, it is the same. */
static int check_directory(struct walk *w, const struct wal_record *r)
{
	struct wal_directory d;
	uint32_t used = 0;
	int rc = wal_directory_get(r->start, r->len, &d);
	if (!rc)
		drop_places(&w->places, d.from);
	if (rc || w->places_miss)
		return 0;
	if (w->places.n != d.n_place) {
		problem(w, "directory names %u places, its groups have %zu", d.n_place,
		        w->places.n);
		return 0;
	}
	size_t len = WAL_GROUP_HEADER + (size_t)r->len;
	uint8_t *again = mem_alloc_pages(w->env, len);
	if (!again)
		return FIRN_ENOMEM;
	memset(again, 0, len);
	rc = wal_directory_put(w->env, again, w->places.place, d.n_place, d.from, d.to, &used);
	if (!rc && memcmp(again + WAL_GROUP_HEADER + WAL_RECORD_HEADER,
	                  r->start + WAL_RECORD_HEADER, r->len - WAL_RECORD_HEADER) != 0)
		problem(w, "directory names other places than its groups have");
	mem_free(w->env, again);
	return rc;
}

static int take_places(struct walk *w, const struct wal_group_header *h)
{
	struct wal_record r;
	if (!h->n_records)
		return 0;
	if (!wal_record_next(w->group, h->used, WAL_GROUP_HEADER, &r) || r.type != WAL_DIRECTORY)
		return w->places_miss ? 0 : wal_places_of_group(&w->places, w->group, h);
	int rc = check_directory(w, &r);
	w->places.n = 0;
	w->places_miss = false;
	w->out->n_directories++;
	return rc;
}

static int take_record(struct walk *w, const struct wal_record *r, bool follows)
{
	if (wal_seen_record(&w->seen, r, follows))
		return fail(w->err, FIRN_ENOMEM, 0, "wal", "verify: no memory");
	if (!w->write || r->type != WAL_WRITE)
		return 0;
	const struct wal_seen_volume *v = wal_seen_find(&w->seen, r->volume_no);
	return v ? w->write(w->write_arg, w->out, &v->row, r) : 0;
}

static int take_group(struct walk *w, const struct wal_group_header *h, bool follows)
{
	struct wal_record r;
	uint32_t at = WAL_GROUP_HEADER;
	int rc = 0;
	if (w->pos == WAL_PAGE &&
	    (!wal_record_next(w->group, h->used, at, &r) || r.type != WAL_TABLE))
		problem(w, "the file does not begin with the table of volumes");
	while (!rc && (at = wal_record_next(w->group, h->used, at, &r)))
		rc = take_record(w, &r, follows);
	if (rc)
		return rc;
	if (take_places(w, h))
		return fail(w->err, FIRN_ENOMEM, 0, "wal", "verify: no memory");
	uint64_t len = wal_group_len(h->used);
	w->out->n_groups++;
	w->out->n_records += h->n_records;
	w->out->bytes += len;
	w->out->first_lsn = w->out->first_lsn ? w->out->first_lsn : h->lsn;
	w->out->end_lsn = h->lsn + len;
	w->pos += len;
	w->last_sum = h->header_sum;
	w->last_flags = h->flags;
	w->chained = true;
	return 0;
}

/* The tail of the newest run: torn when it looks like the group that should be here, else nothing
 * was being written. */
static int note_tail(struct walk *w, const struct live *l, const char *why)
{
	bool torn = false;
	if (l->bytes >= w->pos + WAL_PAGE) {
		int rc = read_at(w, w->group, WAL_PAGE, w->pos);
		if (rc)
			return rc;
		torn = le64_get(w->group) == WAL_GROUP_MAGIC &&
		       le64_get(w->group + 40) == (l->no << 32 | w->pos);
	}
	w->out->closed = !torn && (w->last_flags & WAL_GROUP_END);
	if (torn)
		(void)snprintf(w->out->note, sizeof w->out->note,
		               "%016llx.wal: at %llu: torn tail, cut"
		               " here: %s",
		               (unsigned long long)l->no, (unsigned long long)w->pos, why);
	else if (!w->out->closed)
		(void)snprintf(w->out->note, sizeof w->out->note,
		               "%016llx.wal: at %llu: no end mark:"
		               " in use, or not closed cleanly",
		               (unsigned long long)l->no, (unsigned long long)w->pos);
	return 0;
}

static int judge_end(struct walk *w, size_t i, const struct wal_seal_body *seal, const char *why)
{
	const struct live *l = &w->live[i], *next = i + 1 < w->n_live ? l + 1 : NULL;
	bool adjoins = next && next->no == l->no + 1;
	if (seal && seal->end_lsn >> 32 == l->no) {
		if (w->pos < (uint32_t)seal->end_lsn)
			problem(w, "%s; but the run was sealed at %llu", why,
			        (unsigned long long)(uint32_t)seal->end_lsn);
		else if (w->chained && w->last_sum != seal->last_sum)
			problem(w, "the seal of this run names another last group");
	} else if (adjoins && next->run == l->run) {
		if (w->chained && next->prev_sum != w->last_sum)
			problem(w, "%s; but the next file continues a group that is missing here",
			        why);
	} else if (adjoins && !seal && next->has_group && l->has_group) {
		problem(w, "the next file begins another run without a seal for this one");
	} else if (!next) {
		return note_tail(w, l, why);
	}
	return 0;
}

/* One stretch of valid groups from w->pos; ends with the verdict on what follows in *why. */
static int walk_stretch(struct walk *w, size_t i, uint64_t limit, bool *follows,
                        struct firn_error *why)
{
	const struct live *l = &w->live[i];
	struct wal_group_header h;
	int rc = 0;
	while (w->pos < limit && !(rc = load(w, l, w->pos, &h, why))) {
		if (w->chained && h.prev_sum != w->last_sum)
			problem(w, "group does not continue the one before it");
		rc = take_group(w, &h, *follows);
		if (rc)
			return rc;
		*follows = true;
	}
	return rc;
}

static int walk_file(struct walk *w, size_t i, const struct wal_seal_body *seal)
{
	const struct live *l = &w->live[i], *prev = i ? l - 1 : NULL;
	uint64_t bytes, later, limit = UINT64_MAX;
	uint32_t directory_len;
	bool follows = prev && prev->no + 1 == l->no;
	if (seal && seal->end_lsn >> 32 == l->no)
		limit = (uint32_t)seal->end_lsn;
	int rc = open_file(w, l->no, &bytes);
	if (rc)
		return rc;
	/* The file's header carries the chain over from the file before, which was judged by it. */
	w->last_sum = l->prev_sum;
	w->chained = true;
	w->last_flags = 0;
	w->pos = WAL_PAGE;
	w->places.n = 0;
	w->places_miss = false;
	for (;;) {
		struct firn_error why = FIRN_ERROR_INIT;
		rc = walk_stretch(w, i, limit, &follows, &why);
		if (rc == 0)
			return judge_end(w, i, seal, "");
		if (!verdict(rc))
			return rc;
		if (rc == FIRN_EUNSUPPORTED)
			problem(w, "%s", why.text);
		rc = find_later(w, l, w->pos, &later, &directory_len);
		if (rc)
			return rc;
		if (!later || later >= limit)
			return judge_end(w, i, seal, why.text);
		if (directory_len == later - w->pos)
			problem(w, "directory is damaged: %s; what it says is in its groups, too",
			        why.text);
		else
			problem(w, "damage, not a torn tail: %s; a valid group follows at %llu",
			        why.text, (unsigned long long)later);
		w->places_miss = directory_len != later - w->pos;
		w->places.n = 0;
		w->pos = later;
		w->chained = false;
	}
}

static int walk_all(struct walk *w)
{
	int rc = 0;
	for (size_t i = 0; i < w->n_live && !rc; i++) {
		const struct live *l = &w->live[i];
		const struct wal_seal_body *seal = seal_of(w, i);
		if (seal && seal->end_lsn >> 32 < l->no) {
			/* Above the sealed end of its run: never part of the log. */
			w->out->n_spare++;
			continue;
		}
		w->out->n_files++;
		w->out->run = l->run;
		w->out->n_holes += i && w->live[i - 1].no + 1 != l->no;
		rc = walk_file(w, i, seal);
		close_file(w);
	}
	return rc;
}

/* ---- aside files ---- */

/* What an aside file has of its volume: revs (before, last], and perhaps a place at its end that does not
 * verify. */
struct aside_end {
	uint64_t no, pos, before, last; /* pos 0: ends well */
	uint32_t volume_no;
	char why[160];
};

/* Groups of a file that is read alone: it is no part of the log's chain. */
static int walk_aside_groups(struct walk *w, const struct live *l, struct aside_end *end)
{
	struct wal_group_header h;
	uint64_t later;
	uint32_t directory_len;
	int rc = 0;
	while (!rc && w->pos + WAL_PAGE <= l->bytes) {
		struct firn_error why = FIRN_ERROR_INIT;
		rc = load(w, l, w->pos, &h, &why);
		if (!rc && w->chained && h.prev_sum != w->last_sum)
			problem(w, "group does not continue the one before it");
		if (!rc)
			rc = take_group(w, &h, w->pos != WAL_PAGE);
		else if (verdict(rc)) {
			rc = find_later(w, l, w->pos, &later, &directory_len);
			if (why.code == FIRN_EUNSUPPORTED) {
				problem(w, "%s", why.text);
			} else if (!rc && !later) {
				end->pos = w->pos;
				(void)snprintf(end->why, sizeof end->why, "%s", why.text);
			} else if (!rc && directory_len == later - w->pos) {
				problem(w, "directory is damaged: %s", why.text);
			} else if (!rc) {
				problem(w, "damage: %s; a valid group follows at %llu", why.text,
				        (unsigned long long)later);
			}
			w->places_miss = true;
			w->chained = false;
			w->pos = later ? later : l->bytes;
		}
		if (!rc && w->seen.n && !end->volume_no) {
			end->volume_no = w->seen.volume[0].row.volume_no;
			end->before = w->seen.volume[0].row.rev;
		}
	}
	if (w->seen.n)
		end->last = w->seen.volume[0].row.rev;
	return rc;
}

static int walk_aside(struct walk *w, struct aside_end *end)
{
	uint8_t page[WAL_PAGE];
	struct wal_file_header fh;
	struct live l = { .no = end->no };
	struct firn_error why = FIRN_ERROR_INIT;
	int rc = open_file(w, end->no, &l.bytes);
	w->pos = 0;
	if (!rc && l.bytes < WAL_PAGE)
		return 0; /* begun, and nothing in it yet */
	rc = rc ? rc : read_at(w, page, sizeof page, 0);
	if (rc)
		return rc;
	rc = wal_file_header_get(page, &fh, &why);
	if (rc || fh.file_no != end->no || memcmp(w->out->wal_id, fh.wal_id, 16) != 0) {
		problem(w, "%s", rc ? why.text : "file header: of another file or WAL");
		return 0;
	}
	l.run = fh.run;
	w->out->n_aside++;
	w->out->aside_bytes += l.bytes;
	w->pos = WAL_PAGE;
	w->last_sum = 0;
	w->chained = true;
	w->places.n = 0;
	w->places_miss = false;
	return walk_aside_groups(w, &l, end);
}

/* A crash tore the group, or it rotted? Its writes may go from the log only when they are flushed: torn, the next
 * one of the volume stands in a later aside file, or in the log still; or nothing was ever written behind. */
static void judge_aside_end(struct walk *w, const struct aside_end *all, size_t i)
{
	const struct aside_end *end = &all[i];
	const struct wal_seen_volume *v = wal_seen_find(&w->seen, end->volume_no);
	bool whole = !end->pos || !end->volume_no || !v || v->row.rev <= end->last ||
	             v->row.rev_stored > end->last || (v->first && v->first <= end->last + 1);
	for (size_t k = i + 1; k < w->n_aside && !whole; k++)
		whole = all[k].volume_no == end->volume_no && all[k].before <= end->last;
	w->file_no = end->no;
	w->pos = end->pos;
	if (!whole)
		problem(w, "damage: %s; writes from %llu on are missing", end->why,
		        (unsigned long long)end->last + 1);
	size_t n = strlen(w->out->note);
	if (whole && end->pos)
		(void)snprintf(w->out->note + n, sizeof w->out->note - n,
		               "%s%016llx.aside: at %llu: torn, and not needed", n ? "; " : "",
		               (unsigned long long)end->no, (unsigned long long)end->pos);
}

static int walk_asides(struct walk *w)
{
	struct wal_seen log = w->seen;
	uint64_t first = w->out->first_lsn, last = w->out->end_lsn;
	struct aside_end *end = mem_zalloc(w->env, (w->n_aside + 1) * sizeof *end);
	int rc = end ? 0 : fail(w->err, FIRN_ENOMEM, 0, "wal", "verify: no memory");
	for (size_t i = 0; i < w->n_aside && !rc; i++) {
		end[i].no = w->aside[i];
		wal_seen_init(&w->seen, w->env, seen_problem, w);
		rc = walk_aside(w, &end[i]);
		wal_seen_fini(&w->seen);
		close_file(w);
	}
	w->seen = log;
	for (size_t i = 0; i < w->n_aside && !rc; i++)
		judge_aside_end(w, end, i);
	w->out->first_lsn = first;
	w->out->end_lsn = last;
	mem_free(w->env, end);
	return rc;
}

static int copy_rows(struct walk *w)
{
	w->out->n_gone = w->seen.n_gone;
	if (w->seen.n == 0)
		return 0;
	w->out->row = mem_alloc(w->env, w->seen.n * sizeof *w->out->row);
	if (!w->out->row)
		return fail(w->err, FIRN_ENOMEM, 0, "wal", "verify: no memory");
	for (uint32_t i = 0; i < w->seen.n; i++)
		w->out->row[w->out->n_row++] = w->seen.volume[i].row;
	return 0;
}

static int look(struct walk *w, const struct firn_env *env)
{
	memset(w->out, 0, sizeof *w->out);
	w->out->env = w->env = w->places.env = env;
	wal_seen_init(&w->seen, env, seen_problem, w);
	int rc = survey(w);
	rc = rc ? rc : walk_all(w);
	rc = rc ? rc : walk_asides(w);
	close_file(w);
	rc = rc ? rc : copy_rows(w);
	wal_seen_fini(&w->seen);
	mem_free(env, w->no);
	mem_free(env, w->aside);
	mem_free(env, w->places.place);
	mem_free(env, w->live);
	mem_free(env, w->seal);
	mem_free(env, w->group);
	mem_free(env, w->window);
	return rc;
}

int wal_verify(const struct firn_env *env, const char *wal_dir, struct wal_report *out,
               void (*tell)(void *arg, const char *text), void *arg, struct firn_error *err)
{
	struct firn_error ignored = FIRN_ERROR_INIT;
	struct walk w = {
		.dir = wal_dir, .out = out, .problem = tell, .arg = arg, .err = err ? err : &ignored
	};
	int rc = look(&w, env);
	return !rc && out->n_problems ? FIRN_ECORRUPT : rc;
}

int wal_read(const struct firn_env *env, const char *wal_dir, struct wal_report *out,
             wal_write_fn write, void *arg, struct firn_error *err)
{
	struct firn_error ignored = FIRN_ERROR_INIT;
	struct walk w = { .dir = wal_dir,
		          .out = out,
		          .write = write,
		          .write_arg = arg,
		          .err = err ? err : &ignored };
	return look(&w, env);
}

void wal_report_fini(struct wal_report *r)
{
	if (r->env)
		mem_free(r->env, r->row);
	r->row = NULL;
	r->n_row = 0;
}
