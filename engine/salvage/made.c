/* Streams that the tail made and that were never stored: the volume does not know them, and no range was given up for them.
 * They come back as new streams (a number is not given twice), by their names:
 *
 *   "x" is not there              -> made, with its first batch, in one write
 *   it is, and begins with ours   -> what an earlier run put back: what is missing behind it follows
 *   it is, and does not           -> somebody else's: the same with "x.salvaged-<old number>", which is only ever ours
 *
 * A batch is known again by its offsets, both times, its tag and its bytes: the append time is the old writer's clock, which
 * what was sent again does not have. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/sum.h"
#include "engine/salvage/tail.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int tail_made_note(struct tail *t, const struct batch *b)
{
	void *p = t->made;
	if (mem_grow(t->env, &p, &t->cap_made, t->n_made, t->n_made + 1, sizeof *t->made))
		return FIRN_ENOMEM;
	t->made = p;
	t->made[t->n_made++] = (struct tail_made){ .stream = b->stream,
		                                   .offset = b->offset,
		                                   .sum = b->payload_sum,
		                                   .append_ms = b->append_ms,
		                                   .timestamp_ms = b->timestamp_ms,
		                                   .n = b->n_offsets,
		                                   .len = b->payload_len,
		                                   .tag = b->tag };
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct tail_made *x = a, *y = b;
	if (x->stream != y->stream)
		return x->stream < y->stream ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

struct tail_made *tail_made_turn(const struct tail *t, const struct tail_stream *ts,
                                 const struct batch *b)
{
	struct tail_made *m = ts->turn < ts->turn_end ? &t->made[ts->turn] : NULL;
	return m && m->offset == b->offset ? m : NULL;
}

bool tail_made_waits(const struct tail *t, const struct tail_stream *ts, const struct batch *b)
{
	return ts->turn < ts->turn_end && b->offset > t->made[ts->turn].offset;
}

static uint64_t start_of(const struct tail_stream *ts)
{
	return ts->trim > ts->at ? ts->trim : ts->at;
}

/* ---- what is there ---- */

struct compare {
	struct tail *t;
	struct tail_stream *ts;
	bool any_name, looked, ours; /* any_name: the first batch need not be ours */
};

static bool same(const struct tail_made *m, const struct firn_batch *b)
{
	return m->n == b->n_offsets && m->len == b->len && m->tag == b->tag &&
	       m->append_ms == b->append_ms && m->timestamp_ms == b->timestamp_ms &&
	       m->sum == sum64(b->len ? (const void *)b->data : "", b->len);
}

static int compare_part(void *arg, const struct firn_part *p)
{
	struct compare *c = arg;
	const struct tail_made *first = c->t->made + c->ts->turn;
	for (uint32_t i = 0; i < p->n_batch; i++) {
		const struct firn_batch *b = (const void *)((const char *)p->batch +
		                                            (size_t)i * p->batch_size);
		struct tail_made key = { .stream = c->ts->id, .offset = b->offset };
		struct tail_made *m = bsearch(&key, first, c->ts->turn_end - c->ts->turn,
		                              sizeof key, by_place);
		bool is = m && same(m, b);
		if (is)
			m->there = c->ours = true;
		else if (!c->looked && !c->any_name)
			return 1;
		c->looked = true;
	}
	return 0;
}

/* 1: the stream of this number is what this one came back as; 0: it is another. */
static int is_ours(struct tail *t, struct tail_stream *ts, uint64_t id, bool any_name)
{
	struct compare c = { .t = t, .ts = ts, .any_name = any_name };
	uint64_t start = 0, next = 0, stored = 0;
	struct volume *v = volume_enter(t->volume);
	if (!v)
		return fail(t->err, FIRN_ESHUTDOWN, 0, "salvage", "the volume is detached");
	pthread_mutex_lock(&v->lock);
	const struct stream *s = volume_stream_live(v, id);
	if (s) {
		start = s->start;
		next = s->assigned;
		stored = s->stored;
	}
	pthread_mutex_unlock(&v->lock);
	volume_leave(t->volume);
	int rc = s && ts->turn < ts->turn_end ? tail_read(t, id, start, stored, 0, compare_part, &c)
	                                      : 0;
	if (rc < 0)
		return rc;
	if (!s || (!c.ours && !any_name))
		return 0;
	ts->row.back = id;
	ts->back_start = start;
	ts->back_next = next;
	return 1;
}

/* ---- names ---- */

/* 1: the name is free, or its stream is ours; 0: taken. */
static int try_name(struct tail *t, struct tail_stream *ts, const char *name, bool any_name)
{
	uint64_t id;
	int rc = firn_stream_find(t->volume, name, strlen(name), &id);
	if (rc && rc != FIRN_ENOENT)
		return fail(t->err, rc, 0, "salvage", "stream %s cannot be looked for", name);
	rc = rc ? 1 : is_ours(t, ts, id, any_name);
	if (rc == 1)
		(void)snprintf(ts->row.back_name, sizeof ts->row.back_name, "%s", name);
	return rc;
}

/* The same for ever: the old number is in it. A long name is cut, not within a character. */
static void second_name(const struct tail_stream *ts, char out[256])
{
	char suffix[32];
	size_t len = strlen(ts->row.name);
	size_t more = (size_t)snprintf(suffix, sizeof suffix, ".salvaged-%llx",
	                               (unsigned long long)ts->id);
	if (len + more > 255) {
		len = 255 - more;
		while (len && ((uint8_t)ts->row.name[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(out, ts->row.name, len);
	memcpy(out + len, suffix, more + 1);
}

static int place(struct tail *t, struct tail_stream *ts)
{
	char second[256];
	uint64_t start = start_of(ts);
	struct tail_made key = { .stream = ts->id };
	size_t lo = 0, hi = t->n_made;
	while (lo < hi) { /* the first that is not below */
		size_t mid = lo + (hi - lo) / 2;
		if (by_place(&t->made[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	ts->turn = ts->turn_end = lo;
	bool wanted = false;
	for (; ts->turn_end < t->n_made && t->made[ts->turn_end].stream == ts->id; ts->turn_end++) {
		const struct tail_made *m = &t->made[ts->turn_end];
		wanted |= m->offset + m->n > start;
	}
	int rc = try_name(t, ts, ts->row.name, false);
	if (rc || !wanted) /* an empty one is not missed where its name is in use */
		return rc < 0 ? rc : 0;
	second_name(ts, second);
	rc = try_name(t, ts, second, true);
	return rc < 0 ? rc : 0;
}

int tail_made_place(struct tail *t)
{
	struct tail_stream *ts;
	int rc = 0;
	if (t->n_made)
		qsort(t->made, t->n_made, sizeof *t->made, by_place);
	for (uint32_t at = 0; !rc && (ts = map_next(&t->streams, &at)) != NULL;)
		if (ts->back)
			rc = place(t, ts);
	return rc;
}

/* ---- putting ---- */

/* Somebody makes it meanwhile; or the tail made the name twice, and what deleted the first is missing. */
static int name_taken(struct tail *t, struct tail_stream *ts, const struct batch *b, int rc)
{
	if (rc != FIRN_EEXIST || strcmp(ts->row.back_name, ts->row.name) != 0)
		return rc;
	t->err->code = 0;
	if (b) {
		second_name(ts, ts->row.back_name);
		return tail_made_put(t, ts, b);
	}
	ts->row.back_name[0] = 0;
	return 0;
}

int tail_made_put(struct tail *t, struct tail_stream *ts, const struct batch *b)
{
	struct admit_made m = { .name = ts->row.back_name,
		                .name_len = (uint32_t)strlen(ts->row.back_name),
		                .config = ts->config,
		                .config_len = ts->config_len,
		                .at = start_of(ts),
		                .start = start_of(ts) };
	if (b && b->offset < m.at)
		m.at = b->offset;
	struct volume *v = volume_enter(t->volume);
	if (!v)
		return fail(t->err, FIRN_ESHUTDOWN, 0, "salvage", "the volume is detached");
	int rc = admit_back(v, ts->row.back ? NULL : &m, b, &ts->row.back, t->err);
	volume_leave(t->volume);
	return name_taken(t, ts, b, rc);
}
