/* What lives in segments that are to be rewritten, see pieces.h. No lock is held. */
#include "engine/gc/pieces.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/upload/upload.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what lives ---- */

static bool same_block(const struct block_entry *a, const struct block_entry *b)
{
	return a->stream == b->stream && a->base == b->base && a->next == b->next &&
	       a->frame_pos == b->frame_pos && a->frame_sum == b->frame_sum &&
	       a->block_pos == b->block_pos && a->block_sum == b->block_sum;
}

static int contradict(struct pieces *p, const struct piece *x, const char *what)
{
	const struct segment_id id = p->source[x->source].s.id;
	return fail(p->err, FIRN_ECORRUPT, 0, "gc",
	            "segment %llx-%llx is not rewritten: its block of stream %llu at %llu %s",
	            (unsigned long long)id.epoch, (unsigned long long)id.n,
	            (unsigned long long)x->x.stream, (unsigned long long)x->x.base, what);
}

/* The extent is asked for before the stream: what is trimmed in between has a start that says so. */
int pieces_judge(struct pieces *p, struct piece *x)
{
	struct volume *v = p->v;
	struct index_extent at;
	uint64_t next;
	int rc = index_extent_find(v->engine->index, v->index_no, x->x.stream, x->x.base, &at,
	                           p->err);
	if (rc && rc != FIRN_ENOENT)
		return rc;
	bool there = !rc && at.block.base == x->x.base &&
	             segment_id_equal(at.segment, p->source[x->source].s.id);
	if (there && !same_block(&at.block, &x->x))
		return contradict(p, x, "is another one than the index says");
	rc = index_stream_range(v->engine->index, v->index_no, x->x.stream, &x->start, &next,
	                        p->err);
	if (rc && rc != FIRN_ENOENT)
		return rc;
	x->dead = rc == FIRN_ENOENT || x->start >= x->x.next;
	if (!there && !x->dead)
		return contradict(p, x, "lives, and the index has it not");
	return 0;
}

static int add(struct pieces *p, const struct piece *x)
{
	void *at = p->piece;
	if (mem_grow(p->v->engine->env, &at, &p->cap_piece, p->n_piece, p->n_piece + 1,
	             sizeof *p->piece))
		return fail(p->err, FIRN_ENOMEM, 0, "gc", "no memory to rewrite");
	p->piece = at;
	p->piece[p->n_piece++] = *x;
	return 0;
}

static int add_blocks(struct pieces *p, uint32_t source)
{
	const struct manifest_segment *s = &p->source[source].s;
	struct segment_footer *f = NULL;
	int rc = volume_footer(p->v, s, &f, p->err);
	if (!rc && !segment_id_equal(segment_footer_meta(f)->id, s->id))
		rc = fail(p->err, FIRN_ECORRUPT, 0, "gc", "segment %llx-%llx says it is another",
		          (unsigned long long)s->id.epoch, (unsigned long long)s->id.n);
	for (uint32_t i = 0; !rc && i < segment_n_blocks(f); i++) {
		struct piece x = { .source = source };
		segment_block_at(f, i, &x.x);
		rc = pieces_judge(p, &x);
		rc = rc ? rc : add(p, &x);
	}
	segment_footer_close(f);
	return rc;
}

static int by_place(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;
	if (x->x.stream != y->x.stream)
		return x->x.stream < y->x.stream ? -1 : 1;
	return x->x.base < y->x.base ? -1 : x->x.base > y->x.base;
}

int pieces_sources(struct pieces *p, const struct index_segment *s, uint32_t n)
{
	p->source = mem_zalloc(p->v->engine->env, (n + 1u) * sizeof *p->source);
	if (!p->source)
		return fail(p->err, FIRN_ENOMEM, 0, "gc", "no memory to rewrite");
	for (uint32_t i = 0; i < n; i++)
		p->source[i].s = s[i].s;
	p->n_source = n;
	return 0;
}

int pieces_open(struct pieces *p, const struct index_segment *s, uint32_t n)
{
	int rc = pieces_sources(p, s, n);
	for (uint32_t i = 0; i < n && !rc; i++)
		rc = volume_ends_now(p->v) ? FIRN_ECANCELED : add_blocks(p, i);
	if (!rc && p->n_piece)
		qsort(p->piece, p->n_piece, sizeof *p->piece, by_place);
	return rc;
}

void pieces_close(struct pieces *p)
{
	const struct firn_env *env = p->v->engine->env;
	for (uint32_t i = 0; i < p->n_source; i++) {
		mem_free(env, p->source[i].window);
		mem_free(env, p->source[i].raw);
	}
	mem_free(env, p->source);
	mem_free(env, p->piece);
	p->source = NULL;
	p->piece = NULL;
	p->n_piece = p->cap_piece = 0;
	p->n_source = 0;
}

/* ---- its bytes ---- */

static int fetch(struct pieces *p, struct source *s, const struct block_entry *e)
{
	struct volume *v = p->v;
	char key[OBJECT_KEY_MAX];
	size_t got = 0;
	uint64_t end = s->s.footer_pos, len = e->frame_len > p->window ? e->frame_len : p->window;
	void *at = s->window;
	if (e->frame_pos >= end || e->frame_len > end - e->frame_pos)
		return fail(p->err, FIRN_ECORRUPT, 0, "gc", "a frame lies beyond its segment");
	len = len > end - e->frame_pos ? end - e->frame_pos : len;
	if (volume_ends_now(v))
		return fail(p->err, FIRN_ECANCELED, 0, "gc", "the volume is detached");
	if (mem_grow(v->engine->env, &at, &s->window_cap, 0, (size_t)len, 1))
		return fail(p->err, FIRN_ENOMEM, 0, "gc", "no memory to rewrite");
	s->window = at;
	s->window_len = 0;
	segment_object_key(v->name, s->s.id, key);
	int rc = store_get(v->store, key, e->frame_pos, s->window, (size_t)len, &got, p->err);
	if (rc == FIRN_ENOENT || (!rc && got != len))
		return fail(p->err, FIRN_ECORRUPT, 0, "gc",
		            "%s: it is shorter than the manifest says, or not there", key);
	s->window_pos = e->frame_pos;
	s->window_len = rc ? 0 : (size_t)len;
	return rc;
}

static int frame(struct pieces *p, struct source *s, const struct block_entry *e)
{
	void *at = s->raw;
	if (s->raw_frame == e->frame_pos)
		return 0;
	s->raw_frame = 0;
	bool has = s->window_len && e->frame_pos >= s->window_pos &&
	           e->frame_pos + e->frame_len <= s->window_pos + s->window_len;
	int rc = has ? 0 : fetch(p, s, e);
	if (rc)
		return rc;
	if (e->frame_raw_len > SEGMENT_FRAME_RAW_MAX ||
	    mem_grow(p->v->engine->env, &at, &s->raw_cap, 0, e->frame_raw_len, 1))
		return fail(p->err, FIRN_ENOMEM, 0, "gc", "no memory for a frame");
	s->raw = at;
	rc = segment_frame_decode(e, s->window + (e->frame_pos - s->window_pos), e->frame_len,
	                          s->raw, p->err);
	s->raw_frame = rc ? 0 : e->frame_pos;
	return rc;
}

int pieces_block(struct pieces *p, const struct piece *piece, struct block *out)
{
	struct source *s = &p->source[piece->source];
	int rc = frame(p, s, &piece->x);
	rc = rc ? rc : block_open(p->v->id, &piece->x, s->raw, piece->x.frame_raw_len, out, p->err);
	if (rc == FIRN_ECORRUPT) {
		char key[OBJECT_KEY_MAX];
		segment_object_key(p->v->name, s->s.id, key);
		return fail_context(p->err, rc, "%s", key);
	}
	return rc;
}
