/* What of a volume is built and not yet stored: rounds that follow one another, up in any order, committed
 * in theirs (PROTOCOL 8). One builder at a time adds at the end, one commit at a time takes from the front,
 * workers put segments up between them.
 *
 *   unbuilt groups --rounds_build--> [round][round][round] --commit--> stored
 *                                      up    half    0
 *
 * Lock: volume.lock. What a round points to does not change from here to its end, but for the memory of
 * segments that are up. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/upload/upload.h"
#include <stdio.h>
#include <string.h>

uint64_t rounds_next_rev(const struct volume *v)
{
	return v->n_round ? v->round[v->n_round - 1]->rev_to : v->rev_stored + 1;
}

bool rounds_unbuilt(const struct volume *v, struct unbuilt *out)
{
	struct volume_group g;
	uint64_t next = rounds_next_rev(v);
	out->bytes = v->unstored_bytes - v->built_bytes;
	if (next > v->rev_durable)
		return false;
	if (volume_group_with(v, next, &g)) {
		out->lsn = g.lsn;
		out->append_ms = g.append_ms;
		return g.rev_last <= v->rev_durable;
	}
	/* It has left the list: behind what the newest round took. */
	const struct built_round *b = v->n_round ? v->round[v->n_round - 1] : NULL;
	out->lsn = b ? b->last.lsn : v->old_lsn;
	out->append_ms = b ? b->last.append_ms : v->old_ms;
	return v->group_old;
}

static const struct round_stream *find_stream(const struct built_round *b, uint64_t id)
{
	uint32_t lo = 0, hi = b->n_stream;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (b->stream[mid].state.stream < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < b->n_stream && b->stream[lo].state.stream == id ? &b->stream[lo] : NULL;
}

const struct round_stream *rounds_stream(const struct volume *v, uint64_t id)
{
	const struct round_stream *rs = NULL;
	for (uint32_t i = v->n_round; i-- > 0 && !rs;)
		rs = find_stream(v->round[i], id);
	return rs;
}

uint32_t rounds_ready(const struct volume *v, uint64_t *bytes)
{
	uint32_t n = 0;
	*bytes = 0;
	while (n < v->n_round && v->round[n]->n_up == v->round[n]->n_part)
		*bytes += v->round[n++]->bytes;
	return n;
}

void rounds_charge(struct volume *v, int64_t bytes)
{
	unsigned long long n = (unsigned long long)bytes;
	atomic_fetch_add_explicit(&v->engine->account->upload_bytes, n, memory_order_relaxed);
	atomic_fetch_add_explicit(&v->lane->held, n, memory_order_relaxed);
}

void built_free(struct volume *v, struct built_round *b)
{
	const struct firn_env *env = v->engine->env;
	if (!b)
		return;
	for (uint32_t i = 0; i < b->n_part; i++) {
		segment_footer_close(b->part[i].footer);
		segment_writer_close(b->part[i].writer);
	}
	rounds_charge(v, -(int64_t)b->held);
	mem_free(env, b->part);
	mem_free(env, b->stream);
	mem_free(env, b);
}

void rounds_drop(struct volume *v, uint32_t first)
{
	while (v->n_round > first) {
		struct built_round *b = v->round[--v->n_round];
		v->built_bytes -= b->bytes;
		v->n_small -= b->small;
		built_free(v, b);
	}
}

/* The memory that the builder was granted becomes what the round really takes. */
static void settle_charge(struct volume *v, struct built_round *b)
{
	uint64_t held = b ? b->n_stream * sizeof *b->stream : 0;
	for (uint32_t i = 0; b && i < b->n_part; i++)
		held += b->part[i].len + (b->part[i].len - b->part[i].segment.footer_pos);
	if (b)
		b->held = held;
	rounds_charge(v, (int64_t)held - (int64_t)v->build_charge);
	v->build_charge = 0;
}

static int build(struct volume *v, struct built_round **out, struct firn_error *err)
{
	struct round r;
	int rc = round_open(&r, v, v->build_max, err);
	if (rc)
		return rc;
	struct built_round *b = mem_zalloc(v->engine->env, sizeof *b);
	if (!b)
		rc = fail(err, FIRN_ENOMEM, 0, "upload", "no memory");
	if (b) {
		b->rev_from = r.rev_from;
		b->rev_to = r.rev_to;
		b->bytes = r.bytes;
		b->append_ms = r.append_ms;
		b->last = r.last;
		b->small = r.bytes < v->segment_bytes / 2;
		rc = round_build(&r, v->engine->options.zstd_level, b, err);
	}
	round_close(&r);
	if (rc) {
		built_free(v, b);
		b = NULL;
	}
	*out = b;
	return rc;
}

int rounds_build(struct volume *v)
{
	struct firn_error err = { .struct_size = sizeof err };
	struct built_round *b = NULL;
	int rc = build(v, &b, &err);
	settle_charge(v, b);
	if (rc && rc != FIRN_ENOENT)
		volume_retry(v, &err);
	pthread_mutex_lock(&v->lock);
	/* Rounds before it were given up meanwhile: it begins too late. */
	if (b && b->rev_from == rounds_next_rev(v)) {
		v->round[v->n_round++] = b;
		v->built_bytes += b->bytes;
		v->n_small += b->small;
		b = NULL;
	}
	built_free(v, b);
	v->building = false; /* from here on a detach may free the volume */
	pthread_mutex_unlock(&v->lock);
	return !rc;
}

/* It is up: the footer is a copy, the bytes are in the store. */
static void is_up(struct volume *v, struct built *p)
{
	for (uint32_t i = 0; i < v->n_round; i++) {
		struct built_round *b = v->round[i];
		if (p < b->part || p >= b->part + b->n_part)
			continue;
		b->n_up++;
		b->held -= p->len;
		rounds_charge(v, -(int64_t)p->len);
	}
	segment_writer_close(p->writer);
	p->writer = NULL;
	p->data = NULL;
}

int volume_put_segment(struct volume *v, struct segment_id id, const uint8_t *data, size_t len,
                       struct firn_error *err)
{
	struct uploader *u = &v->engine->uploads;
	struct iovec iov = { (void *)(uintptr_t)data, len };
	char key[OBJECT_KEY_MAX];
	segment_object_key(v->name, id, key);
	atomic_fetch_add(&u->n_segment_put, 1);
	int rc = store_put(v->store, key, &iov, 1, STORE_ALWAYS, NULL, NULL, err);
	if (rc)
		return fail_context(err, rc, "upload of %s", key);
	atomic_fetch_add(&u->put_bytes, len);
	return 0;
}

int rounds_put(struct built *p)
{
	struct volume *v = p->task.v;
	struct firn_error err = { .struct_size = sizeof err };
	int rc = volume_put_segment(v, p->segment.id, p->data, p->len, &err);
	if (rc)
		volume_away(v, &err);
	pthread_mutex_lock(&v->lock);
	if (!rc)
		is_up(v, p);
	else
		v->put_failed = true;
	p->putting = false;
	v->n_putting--; /* from here on a detach may free the volume */
	pthread_mutex_unlock(&v->lock);
	return 1;
}
