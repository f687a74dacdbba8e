/* Putting a manifest together, see rebuild.h: which of what is there follows one another, and what it is given in front. */
#include "engine/salvage/rebuild.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/salvage/found.h"
#include "engine/admit/volume.h"
#include <stdlib.h>
#include <string.h>

/* ---- layers: runs that follow one another ---- */

static int by_run(const void *a, const void *b)
{
	const struct manifest_layer *x = &((const struct found_layer *)a)->row,
	                            *y = &((const struct found_layer *)b)->row;
	if (x->rev_from != y->rev_from)
		return x->rev_from < y->rev_from ? -1 : 1;
	if (x->rev_to != y->rev_to)
		return x->rev_to > y->rev_to ? -1 : 1; /* the longest first */
	if (x->level != y->level)
		return x->level > y->level ? -1 : 1;
	if (x->part != y->part)
		return x->part < y->part ? -1 : 1;
	return segment_id_compare(y->id, x->id);
}

static bool same_run(const struct found_layer *a, const struct found_layer *b)
{
	return a->row.rev_from == b->row.rev_from && a->row.rev_to == b->row.rev_to &&
	       a->row.level == b->row.level;
}

/* The run of the same interval that was begun next; its numbers are not of this one. */
static uint64_t next_begun(const struct found *f, size_t i)
{
	const struct segment_id id = f->layer[i].row.id;
	uint64_t n = UINT64_MAX;
	for (size_t k = i; k-- > 0 && same_run(&f->layer[i], &f->layer[k]);) /* newest first */
		if (f->layer[k].row.part == 0 && f->layer[k].row.id.epoch == id.epoch)
			n = f->layer[k].row.id.n < n ? f->layer[k].row.id.n : n;
	return n;
}

/* The parts of the run whose part 0 is i, of one writer in one go: each has the next number that its part has. 0: some are
 * missing. */
static uint32_t whole_run(const struct found *f, size_t i, size_t *part, uint32_t max)
{
	const struct found_layer *first = &f->layer[i];
	uint64_t end = next_begun(f, i), before = first->row.id.n;
	uint32_t n = 1;
	part[0] = i;
	for (bool last = first->last; !last && n < max; n++) {
		size_t at = f->n_layer;
		for (size_t k = i + 1; k < f->n_layer && same_run(first, &f->layer[k]); k++) {
			const struct segment_id id = f->layer[k].row.id;
			if (f->layer[k].row.part == n && id.epoch == first->row.id.epoch &&
			    id.n > before && id.n < end &&
			    (at == f->n_layer || id.n < f->layer[at].row.id.n))
				at = k;
		}
		if (at == f->n_layer)
			return 0;
		part[n] = at;
		before = f->layer[at].row.id.n;
		last = f->layer[at].last;
	}
	return f->layer[part[n - 1]].last ? n : 0;
}

enum { PARTS_MAX = 4096 };

static int take_run(struct found *f, const size_t *part, uint32_t n, struct manifest *m)
{
	uint32_t first = m->n_layer;
	int rc = 0;
	for (uint32_t i = 0; i < n && !rc; i++) {
		struct found_layer *l = &f->layer[part[i]];
		l->used = true;
		rc = manifest_add_layer(m, f->opts->env, &l->row);
		if (l->created_ms > f->report->newest_ms)
			f->report->newest_ms = l->created_ms;
	}
	if (rc)
		return fail(f->err, rc, 0, "rebuild", "no memory");
	return found_names(f, &m->layer[first], n);
}

/* The best that begins there: it reaches furthest, names the fewest segments that are not there (a merge that was never
 * committed may name some that were rewritten since), is the longest, the newest. n_layer: none. */
static size_t best_run(const struct found *f, uint64_t rev)
{
	size_t best = f->n_layer;
	for (size_t i = 0; i < f->n_layer; i++) {
		const struct found_layer *l = &f->layer[i], *b = &f->layer[best];
		if (!l->whole || l->row.rev_from != rev)
			continue;
		if (best == f->n_layer || l->reach > b->reach ||
		    (l->reach == b->reach && l->absent < b->absent))
			best = i;
	}
	return best;
}

static int look_at_run(struct found *f, size_t i)
{
	struct manifest_layer *row;
	size_t part[PARTS_MAX];
	struct found_layer *l = &f->layer[i];
	uint32_t n = whole_run(f, i, part, PARTS_MAX);
	if (!n)
		return 0;
	row = mem_alloc(f->opts->env, n * sizeof *row);
	if (!row)
		return fail(f->err, FIRN_ENOMEM, 0, "rebuild", "no memory");
	for (uint32_t k = 0; k < n; k++)
		row[k] = f->layer[part[k]].row;
	int rc = found_absent(f, row, n, &l->absent);
	mem_free(f->opts->env, row);
	size_t next = best_run(f, found_next(f, l->row.rev_to));
	bool more = next < f->n_layer;
	l->whole = !rc;
	l->reach = more ? f->layer[next].reach : l->row.rev_to;
	l->absent += more ? f->layer[next].absent : 0;
	return rc;
}

/* *rev: the first write that no run has. */
static int take_runs(struct found *f, struct manifest *m, uint64_t *rev)
{
	size_t part[PARTS_MAX], i;
	int rc = 0;
	if (f->n_layer)
		qsort(f->layer, f->n_layer, sizeof *f->layer, by_run);
	for (i = f->n_layer; i-- > 0 && !rc;)
		if (f->layer[i].row.part == 0)
			rc = look_at_run(f, i);
	while (!rc && (i = best_run(f, found_next(f, *rev))) < f->n_layer) {
		*rev = f->layer[i].row.rev_to;
		rc = take_run(f, part, whole_run(f, i, part, PARTS_MAX), m);
	}
	return rc;
}

/* ---- rounds: those that reach furthest ---- */

static int by_round(const void *a, const void *b)
{
	const struct manifest_segment *x = &((const struct found_segment *)a)->row,
	                              *y = &((const struct found_segment *)b)->row;
	if (x->rev_from != y->rev_from)
		return x->rev_from < y->rev_from ? -1 : 1;
	if (x->id.epoch != y->id.epoch)
		return x->id.epoch > y->id.epoch ? -1 : 1; /* the newest writer first */
	if (x->rev_to != y->rev_to)
		return x->rev_to > y->rev_to ? -1 : 1;
	if (x->part != y->part)
		return x->part < y->part ? -1 : 1;
	return segment_id_compare(y->id, x->id);
}

static bool same_round(const struct found_segment *a, const struct found_segment *b)
{
	return a->row.rev_from == b->row.rev_from && a->row.rev_to == b->row.rev_to &&
	       a->row.id.epoch == b->row.id.epoch && a->row.n_parts == b->row.n_parts;
}

/* Parts have numbers that follow one another: a round that was built twice is not mixed with itself. */
static bool whole_round(const struct found *f, size_t i)
{
	const struct manifest_segment *s = &f->segment[i].row;
	uint32_t n = 1;
	for (size_t k = i + 1; s->part == 0 && n < s->n_parts && k < f->n_segment &&
	                       same_round(&f->segment[i], &f->segment[k]);
	     k++)
		n += f->segment[k].row.part == n && f->segment[k].row.id.n == s->id.n + n;
	return s->part == 0 && n == s->n_parts;
}

/* The best that begins there; n_segment: none. */
static size_t best_at(const struct found *f, uint64_t rev)
{
	size_t lo = 0, hi = f->n_segment, best = f->n_segment;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (f->segment[mid].row.rev_from < rev)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < f->n_segment && f->segment[lo].row.rev_from == rev; lo++)
		if (f->segment[lo].whole &&
		    (best == f->n_segment || f->segment[lo].reach > f->segment[best].reach))
			best = lo;
	return best;
}

static int take_round(struct found *f, size_t i, struct manifest *m)
{
	const struct manifest_segment *s = &f->segment[i].row;
	int rc = 0;
	uint32_t n = 0;
	for (size_t k = i; n < s->n_parts && !rc; k++) {
		struct found_segment *p = &f->segment[k];
		if (p->row.part != n || p->row.id.n != s->id.n + n)
			continue;
		p->used = true;
		n++;
		rc = manifest_add_segment(m, f->opts->env, &p->row);
		if (p->created_ms > f->report->newest_ms)
			f->report->newest_ms = p->created_ms;
	}
	return rc ? fail(f->err, rc, 0, "rebuild", "no memory") : 0;
}

static int take_rounds(struct found *f, struct manifest *m, uint64_t *rev)
{
	if (f->n_segment)
		qsort(f->segment, f->n_segment, sizeof *f->segment, by_round);
	for (size_t i = f->n_segment; i-- > 0;) {
		struct found_segment *s = &f->segment[i];
		s->whole = whole_round(f, i);
		size_t next = best_at(f, found_next(f, s->row.rev_to));
		s->reach = next < f->n_segment ? f->segment[next].reach : s->row.rev_to;
	}
	size_t i;
	int rc = 0;
	while (!rc && (i = best_at(f, found_next(f, *rev))) < f->n_segment) {
		*rev = f->segment[i].row.rev_to;
		rc = take_round(f, i, m);
	}
	return rc;
}

/* ---- what is in front ---- */

static void count(struct found *f, const struct manifest *m, uint64_t rev)
{
	struct rebuild_report *r = f->report;
	r->n_layer = m->n_layer;
	r->n_segment = m->n_segment + f->n_named_there;
	r->n_absent = f->n_named - f->n_named_there;
	for (size_t i = 0; i < f->n_layer; i++)
		r->n_unused += !f->layer[i].used;
	for (size_t i = 0; i < f->n_segment; i++) {
		const struct found_segment *s = &f->segment[i];
		bool beyond = !s->used && s->row.rev_from >= rev && found_next(f, rev) == rev;
		r->n_unused += !s->used && !beyond;
		if (beyond && (!r->n_beyond || s->row.rev_from < r->beyond_rev))
			r->beyond_rev = s->row.rev_from;
		r->n_beyond += beyond;
	}
}

static const struct wal_volume_row *row_of(const struct found *f)
{
	for (uint32_t i = 0; i < f->opts->n_wal; i++)
		if (!memcmp(f->opts->wal[i].id, f->report->volume_id, 16))
			return &f->opts->wal[i];
	return NULL;
}

/* As after a crash of its last writer: the WAL at hand is the one that the manifest means. */
static int meant(struct found *f, struct manifest *m)
{
	const struct wal_volume_row *row = row_of(f);
	struct manifest_log log = { .kind = MANIFEST_LOG_LOCAL };
	static const uint8_t never[16];
	const uint8_t *nonce = row && row->n_intent ? row->intent[row->n_intent - 1]
	                       : row                ? row->nonce
	                                            : never;
	const char *wrong = !memcmp(nonce, never, 16)        ? "does not know the volume"
	                    : row->flags & WAL_VOLUME_FENCED ? "was replaced by another engine's"
	                    : row->epoch < f->epoch
	                            ? "is of an earlier writer: others have stored since"
	                    : row->rev < m->rev_stored ? "ends before what is stored"
	                    : row->flags & WAL_VOLUME_CLEAN
	                            ? "left the volume clean: others may have had it since"
	                            : NULL;
	if (wrong)
		return fail(f->err, FIRN_ECONFLICT, 0, "rebuild", "this WAL %s", wrong);
	if (row->rev_stored > m->rev_stored)
		return fail(
		        f->err, FIRN_ECONFLICT, 0, "rebuild",
		        "this WAL knows that writes up to %llu were stored, but what is there ends "
		        "at %llu",
		        (unsigned long long)row->rev_stored, (unsigned long long)m->rev_stored);
	m->state = MANIFEST_DIRTY;
	m->epoch = row->epoch;
	m->rev_durable = row->rev;
	m->next_segment = f->epoch == m->epoch ? f->epoch_n + 1 : 1;
	memcpy(m->nonce, nonce, 16);
	memcpy(log.id, f->opts->wal_id, 16);
	return manifest_add_log(m, f->opts->env, &log);
}

/* Nobody knows what was acked above: no offset of it is given again. */
static int declare(struct found *f, struct manifest *m)
{
	const struct firn_env *env = f->opts->env;
	struct lost_entry l = { .rev_stored = m->rev_stored,
		                .rev_skip = REBUILD_SKIPS * LOST_SKIP,
		                .at_ms = env->now_ms(env->ctx) };
	env->random(env->ctx, l.nonce, sizeof l.nonce);
	env->random(env->ctx, m->nonce, sizeof m->nonce);
	m->state = MANIFEST_CLEAN;
	m->epoch = f->epoch + REBUILD_EPOCHS;
	m->next_segment = 1;
	m->rev_stored = m->rev_durable = l.rev_stored + l.rev_skip;
	f->report->lost_to = m->rev_stored;
	return manifest_add_lost(m, env, &l);
}

static int put_in_front(struct found *f, struct manifest *m, uint64_t rev)
{
	const struct firn_env *env = f->opts->env;
	int rc = 0;
	uint32_t row = 0;
	m->rev_stored = m->rev_durable = found_next(f, rev) - 1;
	f->report->rev_stored = m->rev_stored;
	memcpy(m->volume_id, f->report->volume_id, 16);
	(void)strncpy(m->name, f->opts->name, sizeof m->name - 1);
	m->committed_ms = env->now_ms(env->ctx);
	m->next_stream = 1;
	for (size_t i = 0; i < f->n_lost && !rc; i++)
		if (f->lost[i].rev_stored < m->rev_stored)
			rc = manifest_add_lost(m, env, &f->lost[i]);
	rc = rc ? rc : f->opts->wal ? meant(f, m) : declare(f, m);
	/* Above every number that any index has seen, also of a rebuild before. */
	m->seq = m->epoch << 32;
	if (m->seq <= f->opts->seq_min)
		m->seq = f->opts->seq_min + 1;
	/* And no index is caught up from footers: segments may have been rewritten. */
	m->rewrite_seq = m->n_layer ? m->seq : 0;
	const char *wrong = rc ? NULL : manifest_check(m, &row);
	if (wrong)
		return fail(f->err, FIRN_ECORRUPT, 0, "rebuild",
		            "what is there makes no volume: %s", wrong);
	return rc == FIRN_ENOMEM ? fail(f->err, rc, 0, "rebuild", "no memory") : rc;
}

static int look_at_logs(struct found *f)
{
	const struct rebuild_opts *o = f->opts;
	struct rebuild_report *r = f->report;
	int rc = logs_look(o->env, o->store, r->volume_id, r->rev_stored, &r->logs, f->err);
	for (uint32_t i = 0; i < o->n_log_store && !rc; i++)
		rc = logs_look(o->env, o->log_store[i], r->volume_id, r->rev_stored, &r->logs,
		               f->err);
	return rc ? fail_context(f->err, rc, "logs in stores") : 0;
}

int rebuild_run(const struct rebuild_opts *opts, struct manifest *out,
                struct rebuild_report *report, struct firn_error *err)
{
	struct firn_error ignored = FIRN_ERROR_INIT;
	struct found f = { .opts = opts, .report = report, .err = err ? err : &ignored };
	uint64_t rev = 1;
	memset(report, 0, sizeof *report);
	manifest_init(out);
	int rc = found_layers(&f);
	rc = rc ? rc : found_keys(&f);
	rc = rc ? rc : take_runs(&f, out, &rev);
	rc = rc ? rc : found_segments(&f);
	rc = rc ? rc : take_rounds(&f, out, &rev);
	if (!rc)
		count(&f, out, rev);
	if (!rc && rev == 1)
		rc = fail(f.err, FIRN_ENOENT, 0, "rebuild",
		          "there is nothing of a volume %s that begins with its first write",
		          opts->name);
	rc = rc ? rc : put_in_front(&f, out, rev);
	rc = rc ? rc : look_at_logs(&f);
	found_fini(&f);
	if (rc)
		manifest_fini(out, opts->env);
	return rc;
}
