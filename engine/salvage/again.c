/* What of a tail was sent again since: a producer that got no ack, or whose ack the takeover made void, sends the same
 * sequence to the next writer; so does who uses idempotency keys. That writer may have been given up, too, and his tail be back
 * already, or this be his: headers of the streams concerned are read from the lowest lost range on, and compared with what
 * the tail has.
 *
 *   tail: (stream, producer, epoch, seq), (stream, key) --sorted--> bisected for every batch there */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/salvage/tail.h"
#include <stdlib.h>
#include <string.h>

enum { FETCH_BYTES = 4 << 20 };

static int cmp_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_seq(const void *a, const void *b)
{
	const struct tail_sent *x = a, *y = b;
	int c = cmp_u64(x->stream, y->stream);
	c = c ? c : cmp_u64(x->producer_id, y->producer_id);
	c = c ? c : cmp_u64(x->producer_epoch, y->producer_epoch);
	return c ? c : cmp_u64(x->seq, y->seq);
}

static int by_key(const void *a, const void *b)
{
	const struct tail_key *x = a, *y = b;
	int c = cmp_u64(x->stream, y->stream);
	c = c ? c : (int)x->len - (int)y->len;
	return c ? c : memcmp(x->key, y->key, x->len);
}

/* The first that is not below `key`. */
static size_t first_of(const void *array, size_t n, size_t size, const void *key,
                       int (*compare)(const void *, const void *))
{
	size_t lo = 0;
	while (lo < n) {
		size_t mid = lo + (n - lo) / 2;
		if (compare((const char *)array + mid * size, key) < 0)
			lo = mid + 1;
		else
			n = mid;
	}
	return lo;
}

static bool same_producer(const struct tail_sent *x, const struct tail_sent *y)
{
	return x->stream == y->stream && x->producer_id == y->producer_id &&
	       x->producer_epoch == y->producer_epoch;
}

/* Sequences [seq, seq + n) stand elsewhere: what of the tail has one of them was sent again. */
static void mark_sent(struct tail *t, const struct tail_sent *s)
{
	size_t i = first_of(t->sent, t->n_sent, sizeof *s, s, by_seq);
	for (size_t k = i;
	     k < t->n_sent && same_producer(&t->sent[k], s) && t->sent[k].seq - s->seq < s->n; k++)
		t->sent[k].again = true;
	for (; i > 0 && same_producer(&t->sent[i - 1], s) && s->seq - t->sent[i - 1].seq < t->most;
	     i--)
		if (s->seq - t->sent[i - 1].seq < t->sent[i - 1].n)
			t->sent[i - 1].again = true;
}

/* Outside its window a key is a new one. */
static void mark_key(struct tail *t, const struct tail_stream *ts, const struct firn_batch *b)
{
	struct tail_key k = { .stream = ts->id, .len = b->key_len };
	uint64_t window = ts->limits.key_window_ms;
	memcpy(k.key, b->key, b->key_len);
	for (size_t i = first_of(t->key, t->n_key, sizeof k, &k, by_key);
	     i < t->n_key && by_key(&t->key[i], &k) == 0; i++)
		if (!window || b->append_ms - t->key[i].append_ms <= (int64_t)window)
			t->key[i].again = true;
}

/* A batch of this tail that was put back before is no proof: it has the rev that it had. */
static bool is_tail(const struct tail *t, uint64_t rev)
{
	for (size_t i = 0; i < t->n_span; i++)
		if (rev >= t->span[i].from && rev < t->span[i].to)
			return true;
	return false;
}

static void mark(struct tail *t, const struct tail_stream *ts, const struct firn_part *p)
{
	for (uint32_t i = 0; i < p->n_batch; i++) {
		const struct firn_batch *b = (const void *)((const char *)p->batch +
		                                            (size_t)i * p->batch_size);
		struct tail_sent s = { ts->id,          b->producer_id,
			               b->producer_seq, b->producer_epoch,
			               b->n_offsets,    false };
		if (is_tail(t, b->rev))
			continue;
		if (b->flags & FIRN_BATCH_PRODUCER && !(b->flags & FIRN_BATCH_SEQ_NONE))
			mark_sent(t, &s);
		if (b->key_len && (ts->limits.key_window_ms || ts->limits.key_window_n))
			mark_key(t, ts, b);
	}
}

/* One fetch; *at moves on. */
static int look(struct tail *t, struct firn_reader *r, uint64_t stream, uint16_t flags,
                uint64_t *at, tail_part_fn each, void *arg)
{
	struct firn_fetch f = FIRN_FETCH_INIT;
	struct firn_event ev = { 0 };
	struct firn_item item = {
		.volume = t->volume, .stream = stream, .offset = *at, .up_to = FIRN_MARK_STORED
	};
	int rc = firn_reader_set(r, &item, sizeof item, 1);
	if (rc)
		return fail(t->err, rc, 0, "salvage", "a stream cannot be read");
	f.reader = r;
	f.max_bytes = FETCH_BYTES;
	f.max_wait_ms = 1000;
	f.req.flags = flags;
	f.req.cls = FIRN_CLASS_BULK;
	f.req.timeout_ms = FIRN_FOREVER;
	rc = firn_engine_call(t->engine, &f.req, &ev, t->err);
	const struct firn_fetched *got = rc ? NULL : ev.result;
	const struct firn_part *p = got && got->n_part ? got->part : NULL;
	if (p && p->code == FIRN_ELOST)
		*at = p->gap_to;
	else if (p && p->code)
		rc = fail(t->err, p->code, 0, "salvage", "stream %llu cannot be read from %llu on",
		          (unsigned long long)stream, (unsigned long long)*at);
	else if (p) {
		rc = each(arg, p);
		*at = p->next_offset;
	}
	firn_release(ev.result);
	return rc;
}

int tail_read(struct tail *t, uint64_t stream, uint64_t from, uint64_t to, uint16_t flags,
              tail_part_fn each, void *arg)
{
	struct firn_reader_opts opts = { .struct_size = sizeof opts, .cls = FIRN_CLASS_BULK };
	struct firn_reader *r;
	int rc = firn_reader_open(t->engine, &opts, &r, t->err);
	if (rc)
		return rc;
	while (!rc && from < to)
		rc = look(t, r, stream, flags, &from, each, arg);
	firn_reader_close(r);
	return rc;
}

struct looking {
	struct tail *t;
	const struct tail_stream *ts;
};

static int mark_part(void *arg, const struct firn_part *p)
{
	const struct looking *l = arg;
	mark(l->t, l->ts, p);
	return 0;
}

static int look_through(struct tail *t, const struct tail_stream *ts)
{
	struct looking l = { t, ts };
	return tail_read(t, ts->id, ts->lowest > ts->start ? ts->lowest : ts->start, ts->stored,
	                 FIRN_FETCH_HEADERS, mark_part, &l);
}

static int note_range(void *arg, const struct gap_entry *g)
{
	struct tail_stream *ts = tail_stream_find(arg, g->stream);
	if (ts && g->kind == GAP_LOST && g->from < ts->lowest)
		ts->lowest = g->from;
	return 0;
}

static int find_ranges(struct tail *t)
{
	struct volume *v = volume_enter(t->volume);
	if (!v)
		return fail(t->err, FIRN_ESHUTDOWN, 0, "salvage", "the volume is detached");
	int rc = index_gaps(v->engine->index, v->index_no, note_range, t, t->err);
	volume_leave(t->volume);
	return rc;
}

int tail_again(struct tail *t)
{
	struct tail_stream *ts;
	int rc = find_ranges(t);
	if (t->n_sent)
		qsort(t->sent, t->n_sent, sizeof *t->sent, by_seq);
	if (t->n_key)
		qsort(t->key, t->n_key, sizeof *t->key, by_key);
	for (uint32_t at = 0; !rc && (ts = map_next(&t->streams, &at)) != NULL;)
		if (ts->live && ts->asks)
			rc = look_through(t, ts);
	return rc;
}

bool tail_was_sent_again(const struct tail *t, const struct tail_stream *ts, const struct batch *b)
{
	struct tail_sent s = { ts->id, b->producer_id, b->producer_seq, b->producer_epoch, 0, 0 };
	struct tail_key k = { .stream = ts->id, .len = b->key_len };
	if (b->flags & BATCH_PRODUCER && !(b->flags & BATCH_SEQ_NONE)) {
		size_t i = first_of(t->sent, t->n_sent, sizeof s, &s, by_seq);
		if (i < t->n_sent && t->sent[i].again && by_seq(&t->sent[i], &s) == 0)
			return true;
	}
	if (!b->key_len)
		return false;
	memcpy(k.key, b->key, b->key_len);
	size_t i = first_of(t->key, t->n_key, sizeof k, &k, by_key);
	return i < t->n_key && t->key[i].again && by_key(&t->key[i], &k) == 0;
}
