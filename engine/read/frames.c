/* Frames from the store: which of them one GET brings, and the GET.
 *
 *   frame_begin --> there, or a flight of ours --> frames_plan, frames_own: what follows, adjacent
 *                                                  frames_load: one GET --> verify --> cache
 *
 * A frame that is stored as it is arrives where it will be read; a compressed one is unpacked out of a
 * buffer that lives for the load. Runs on a loader, no lock held. What can fail: store, memory,
 * verification. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/read/load.h"
#include <inttypes.h>
#include <stdio.h>

bool extent_sane(const struct index_extent *x)
{
	return x->block.frame_len && x->block.frame_len <= FRAME_BYTES_MAX &&
	       x->block.frame_raw_len <= FRAME_BYTES_MAX;
}

/* ---- which ---- */

static bool frame_follows(const struct frames *f, const struct index_extent *x)
{
	const struct index_extent *last = &f->x[f->n - 1];
	return segment_id_equal(last->segment, x->segment) &&
	       last->block.frame_pos + last->block.frame_len == x->block.frame_pos;
}

static bool frame_again(const struct frames *f, const struct index_extent *x)
{
	const struct index_extent *last = &f->x[f->n - 1];
	return segment_id_equal(last->segment, x->segment) &&
	       last->block.frame_pos == x->block.frame_pos;
}

void frames_add(struct frames *f, const struct index_extent *x)
{
	if (f->n == 0 || !frame_again(f, x)) {
		f->x[f->n++] = *x;
		f->raw += blob_room(x->block.frame_raw_len);
	}
	f->bytes += x->block.payload_bytes;
	f->end = x->block.next;
}

struct reach frames_reach(const struct frames *f)
{
	return (struct reach){ f->n, f->end, f->bytes, f->raw };
}

void frames_back(struct frames *f, const struct reach *to)
{
	if (to->n < f->n)
		f->next = f->x[to->n];
	f->n = to->n;
	f->end = to->end;
	f->bytes = to->bytes;
	f->raw = to->raw;
}

/* The extent at f->end, as f->next. */
static bool frames_find(struct engine *e, struct frames *f, uint64_t stream)
{
	f->goes_on = index_extent_find(e->index, f->v->index_no, stream, f->end, &f->next, NULL) ==
	                     0 &&
	             extent_sane(&f->next);
	return f->goes_on;
}

/* A quarter more than the limit rather than one more GET for the end of the run. */
void frames_plan(struct engine *e, struct frames *f, uint64_t stream, uint64_t limit)
{
	const struct index_extent *x = &f->next;
	struct reach fit = { 0 };
	uint64_t from = f->end;
	f->shared = f->cut = false;
	while (frames_find(e, f, stream)) {
		bool first = f->n == 0, again = !first && frame_again(f, x);
		uint64_t raw = f->raw + (again ? 0 : blob_room(x->block.frame_raw_len));
		if (!first && !again && (!frame_follows(f, x) || f->n == FRAMES_MAX))
			return;
		if (!first && fit.n == 0 && raw > limit)
			fit = frames_reach(f);
		if (!first && raw > limit + limit / 4) {
			frames_back(f, &fit);
			f->cut = true;
			return;
		}
		f->shared |= again && f->end == from;
		frames_add(f, x);
	}
}

void frames_own(struct engine *e, struct frames *f)
{
	for (; f->own < f->n; f->own++) {
		struct blob *b = NULL;
		struct cache_key key = frame_key(f->v, &f->x[f->own]);
		int rc = cache_begin(e->cache, &key, &b);
		blob_release(b);
		if (rc != CACHE_LOAD)
			break;
	}
	while (f->n > f->own) {
		const struct block_entry *last = &f->x[--f->n].block;
		f->raw -= blob_room(last->frame_raw_len);
		f->bytes -= last->payload_bytes;
		f->end = last->base;
	}
}

/* ---- the GET ---- */

struct arrival { /* of one load */
	struct blob *blob[FRAMES_MAX];
	uint8_t *raw[FRAMES_MAX];
	struct iovec iov[FRAMES_MAX];
	uint8_t *packed; /* what is to be unpacked, back to back */
	size_t len;
};

/* Its bytes are what will be read? They are not believed before they are verified. */
static bool comes_raw(const struct block_entry *b)
{
	return b->codec == SEGMENT_RAW && b->frame_len == b->frame_raw_len;
}

static int arrival_make(struct engine *e, const struct frames *f, struct arrival *a)
{
	size_t packed = 0;
	for (uint32_t i = 0; i < f->own; i++)
		packed += comes_raw(&f->x[i].block) ? 0 : f->x[i].block.frame_len;
	a->packed = packed ? mem_alloc(&e->account->env, packed) : NULL;
	if (packed && !a->packed)
		return FIRN_ENOMEM;
	packed = 0;
	for (uint32_t i = 0; i < f->own; i++) {
		const struct block_entry *b = &f->x[i].block;
		a->blob[i] = blob_new(e->account, b->frame_raw_len, &a->raw[i]);
		if (!a->blob[i])
			return FIRN_ENOMEM;
		a->blob[i]->notes_free = stored_notes_free;
		a->iov[i] = (struct iovec){ a->raw[i], b->frame_len };
		if (!comes_raw(b)) {
			a->iov[i].iov_base = a->packed + packed;
			packed += b->frame_len;
		}
		a->len += b->frame_len;
	}
	return 0;
}

static void arrival_free(struct engine *e, const struct frames *f, struct arrival *a)
{
	for (uint32_t i = 0; i < f->own; i++)
		blob_release(a->blob[i]);
	mem_free(&e->account->env, a->packed);
}

static int segment_gone(const struct volume *v, const char *key, struct firn_error *err)
{
	fail(err, FIRN_ECORRUPT, 0, "read", "volume %s: segment %s is not in the store", v->name,
	     key);
	return fail_flags(err, FIRN_ECORRUPT, FIRN_ERR_DATA_LOSS);
}

/* The stored bytes of all frames that are ours, in one request. */
static int frames_get(const struct frames *f, const struct arrival *a, struct firn_error *err)
{
	char key[64], path[256 + sizeof key + 1];
	size_t got = 0;
	segment_key(f->x[0].segment, key, sizeof key);
	(void)snprintf(path, sizeof path, "%s/%s", f->v->name, key);
	int rc = store_get_iov(f->v->store, path, f->x[0].block.frame_pos, a->iov, f->own, a->len,
	                       &got, err);
	if (rc == FIRN_ENOENT)
		return segment_gone(f->v, key, err);
	if (rc == 0 && got != a->len)
		return fail(err, FIRN_ECORRUPT, 0, "read",
		            "volume %s: segment %s ends at %" PRIu64 ", a frame lies beyond",
		            f->v->name, key, f->x[0].block.frame_pos + got);
	return rc;
}

static int frame_decode(const struct frames *f, const struct arrival *a, uint32_t i,
                        struct firn_error *err)
{
	const struct index_extent *x = &f->x[i];
	struct block block;
	int rc = segment_frame_decode(&x->block, a->iov[i].iov_base, x->block.frame_len, a->raw[i],
	                              err);
	if (rc == 0)
		rc = stored_block(f->v, x, a->blob[i], &block, err);
	if (rc == 0)
		return 0;
	char key[64];
	segment_key(x->segment, key, sizeof key);
	return fail_context(err, rc, "volume %s: segment %s", f->v->name, key);
}

int frames_load(struct engine *e, struct frames *f, struct blob **blob, struct firn_error *err)
{
	struct arrival a = { .len = 0 };
	struct firn_error all = FIRN_ERROR_INIT;
	int rc = arrival_make(e, f, &a), code = 0;
	rc = rc ? fail(&all, rc, 0, "read", "no memory for a frame") : frames_get(f, &a, &all);
	for (uint32_t i = 0; i < f->own; i++) {
		struct cache_key key = frame_key(f->v, &f->x[i]);
		struct firn_error why = all;
		int one = rc ? rc : frame_decode(f, &a, i, &why);
		if (one)
			cache_fail(e->cache, &key, &why);
		else
			cache_fill(e->cache, &key, a.blob[i]);
		if (blob) {
			blob[i] = one ? NULL : a.blob[i];
			a.blob[i] = one ? a.blob[i] : NULL; /* the reference goes over */
		}
		code = i ? code : one ? why.code : 0;
		if (i == 0 && one && err)
			*err = why;
	}
	arrival_free(e, f, &a);
	return code;
}

/* ---- one ---- */

int frame_begin(struct engine *e, const struct volume *v, const struct index_extent *x,
                struct blob **out, struct firn_error *err)
{
	struct cache_key key = frame_key(v, x);
	int rc;
	if (!extent_sane(x))
		return fail(err, FIRN_ECORRUPT, 0, "read",
		            "volume %s: stream %" PRIu64 ", offset %" PRIu64
		            ": the index gives a frame of no sense",
		            v->name, x->block.stream, x->block.base);
	do {
		rc = cache_begin(e->cache, &key, out);
		if (rc == CACHE_BUSY)
			rc = cache_wait(e->cache, &key, out, err);
	} while (rc == FIRN_EAGAIN);
	return rc == FIRN_ENOMEM ? fail(err, rc, 0, "read", "no memory") : rc;
}

int load_frame(struct engine *e, const struct volume *v, const struct index_extent *x,
               struct blob **out, struct firn_error *err)
{
	int rc = frame_begin(e, v, x, out, err);
	if (rc != CACHE_LOAD)
		return rc;
	struct frames f = { .v = v, .n = 1, .own = 1, .x = { *x } };
	return frames_load(e, &f, out, err);
}
