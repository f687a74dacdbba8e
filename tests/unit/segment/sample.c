#include "tests/unit/segment/sample.h"
#include "engine/base/sum.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- an allocator that counts and fails ---- */

static void *env_alloc(void *ctx, size_t len, size_t align)
{
	struct sample_env *e = ctx;
	void *p = NULL;
	if (len > e->largest)
		e->largest = len;
	if (++e->n_alloc == e->fail_at || posix_memalign(&p, align, len))
		return NULL;
	e->n_live++;
	return p;
}

static void env_release(void *ctx, void *p)
{
	struct sample_env *e = ctx;
	if (p)
		e->n_live--;
	free(p);
}

void sample_env_init(struct sample_env *e)
{
	memset(e, 0, sizeof *e);
	e->env.struct_size = sizeof e->env;
	e->env.ctx = e;
	e->env.alloc = env_alloc;
	e->env.release = env_release;
}

uint64_t sample_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t sample_below(uint64_t *state, uint64_t n)
{
	return n ? sample_random(state) % n : 0;
}

/* ---- made from a seed ---- */

static void pool_fill(struct sample *s, uint64_t *r)
{
	static const char text[] = "the quick brown fox says hello to everyone in the room; ";
	s->pool = malloc(SAMPLE_POOL);
	for (size_t i = 0; i < SAMPLE_POOL / 2; i++)
		s->pool[i] = (uint8_t)text[i % (sizeof text - 1)];
	for (size_t i = SAMPLE_POOL / 2; i < SAMPLE_POOL; i++)
		s->pool[i] = (uint8_t)sample_random(r);
}

static const uint8_t *pool_bytes(const struct sample *s, uint64_t *r, size_t len)
{
	return s->pool + sample_below(r, SAMPLE_POOL - len);
}

static struct batch random_batch(const struct sample *s, uint64_t *r, uint32_t payload_max)
{
	struct batch b = {
		.n_offsets = 1 + (uint32_t)sample_below(r, 5),
		.payload_len = (uint32_t)sample_below(r, (uint64_t)payload_max + 1),
		.timestamp_ms = (int64_t)sample_below(r, 1u << 20) - 1000,
		.append_ms = (int64_t)sample_below(r, 1u << 20),
		.rev = sample_random(r),
		.epoch = sample_below(r, 9),
		.producer_id = sample_random(r),
		.producer_seq = sample_random(r),
		.producer_epoch = (uint32_t)sample_random(r),
		.tag = (uint32_t)sample_random(r),
		.flags = (uint16_t)sample_below(r, 16),
		.key_len = (uint8_t)sample_below(r, BATCH_KEY_MAX + 1),
		.attr_len = (uint8_t)sample_below(r, 3) ? 0 : (uint8_t)sample_below(r, 256),
	};
	b.key = pool_bytes(s, r, b.key_len);
	b.attr = pool_bytes(s, r, b.attr_len);
	b.payload = pool_bytes(s, r, b.payload_len);
	b.payload_sum = sum64(b.payload, b.payload_len);
	return b;
}

static void random_batches(struct sample *s, uint64_t *r, uint32_t n, uint32_t payload_max)
{
	uint64_t stream = 1 + sample_below(r, 1000), offset = sample_below(r, 100);
	uint32_t wish = (uint32_t)sample_below(r, 3);
	s->batch = calloc(n ? n : 1, sizeof *s->batch);
	s->compress = calloc(n ? n : 1, sizeof *s->compress);
	for (s->n_batch = 0; s->n_batch < n; s->n_batch++) {
		if (sample_below(r, 8) == 0) {
			stream += 1 + sample_below(r, 3);
			offset = sample_below(r, 100);
			wish = (uint32_t)sample_below(r, 3);
		}
		if (sample_below(r, 50) == 0)
			wish = (uint32_t)sample_below(r, 3);
		if (sample_below(r, 4) == 0)
			offset += sample_below(r, 10);
		struct batch b = random_batch(s, r, payload_max);
		b.stream = stream;
		b.offset = offset;
		offset += b.n_offsets;
		s->batch[s->n_batch] = b;
		s->compress[s->n_batch] = wish;
	}
}

static void random_states(struct sample *s, uint64_t *r)
{
	s->n_stream = (uint32_t)sample_below(r, SAMPLE_ROWS);
	for (uint32_t i = 0; i < s->n_stream; i++) {
		uint32_t name_len = (uint32_t)sample_below(r, 40);
		uint32_t config_len = (uint32_t)sample_below(r, 2) * (uint32_t)sample_below(r, 99);
		s->stream[i] = (struct stream_state){
			.stream = i * 3 + 1,
			.flags = (uint32_t)sample_below(r, 4),
			.name_len = name_len,
			.name = (const char *)pool_bytes(s, r, name_len),
			.start = sample_below(r, 1000),
			.next = 1000 + sample_below(r, 1000),
			.rev_created = sample_random(r),
			.rev_last = sample_random(r),
			.first_append_ms = (int64_t)sample_random(r),
			.last_append_ms = (int64_t)sample_random(r),
			.max_timestamp_ms = (int64_t)sample_random(r),
			.bytes = sample_random(r),
			.config = config_len ? pool_bytes(s, r, config_len) : NULL,
			.config_len = config_len,
		};
	}
	s->n_gap = (uint32_t)sample_below(r, SAMPLE_ROWS);
	for (uint32_t i = 0; i < s->n_gap; i++)
		s->gap[i] = (struct gap_entry){ .stream = i,
			                        .from = sample_below(r, 50),
			                        .to = 50 + sample_below(r, 50),
			                        .kind = (uint32_t)sample_random(r) };
}

static void random_kvs(struct sample *s, uint64_t *r)
{
	s->n_kv = (uint32_t)sample_below(r, SAMPLE_ROWS);
	for (uint32_t i = 0; i < s->n_kv; i++) {
		struct kv_change *kv = &s->kv[i];
		*kv = (struct kv_change){ .stream = sample_below(r, 3), .rev = sample_random(r) };
		kv->key_len = (uint32_t)sample_below(r, 30);
		kv->key = pool_bytes(s, r, kv->key_len);
		kv->deleted = (uint32_t)sample_below(r, 2);
		if (!kv->deleted) {
			kv->value_len = (uint32_t)sample_below(r, 300);
			kv->value = pool_bytes(s, r, kv->value_len);
		}
	}
}

static void random_producers(struct sample *s, uint64_t *r)
{
	s->n_producer = (uint32_t)sample_below(r, SAMPLE_ROWS);
	for (uint32_t i = 0; i < s->n_producer; i++) {
		struct producer_change *p = &s->producer[i];
		*p = (struct producer_change){ .stream = sample_random(r),
			                       .producer_id = sample_random(r),
			                       .producer_epoch = (uint32_t)sample_random(r),
			                       .seq_next = sample_random(r),
			                       .last_ms = (int64_t)sample_random(r),
			                       .window_reset = (uint32_t)sample_below(r, 2),
			                       .batch = s->producer_batch[i] };
		p->n_batch = (uint32_t)sample_below(r, SAMPLE_PRODUCER_BATCHES + 1);
		for (uint32_t k = 0; k < p->n_batch; k++)
			s->producer_batch[i][k] = (struct producer_batch){
				sample_random(r), sample_random(r), sample_random(r),
				(uint32_t)sample_random(r), (uint32_t)sample_random(r)
			};
	}
}

static void random_keys(struct sample *s, uint64_t *r)
{
	s->n_key = (uint32_t)sample_below(r, SAMPLE_ROWS);
	for (uint32_t i = 0; i < s->n_key; i++) {
		struct key_entry *k = &s->key[i];
		*k = (struct key_entry){ .stream = sample_random(r),
			                 .offset = sample_random(r),
			                 .rev = sample_random(r),
			                 .n_offsets = (uint32_t)sample_random(r),
			                 .key_len = (uint32_t)sample_below(r, 33),
			                 .append_ms = (int64_t)sample_random(r) };
		k->key = pool_bytes(s, r, k->key_len);
	}
	s->n_lost = (uint32_t)sample_below(r, 4);
	for (uint32_t i = 0; i < s->n_lost; i++) {
		memset(s->lost[i].nonce, (int)i + 1, 16);
		memset(s->lost[i].wal_id, (int)i + 17, 16);
		s->lost[i].rev_stored = sample_random(r);
		s->lost[i].rev_skip = sample_random(r);
		s->lost[i].at_ms = (int64_t)sample_random(r);
	}
}

void sample_random_init(struct sample *s, uint64_t seed, uint32_t n_batch, uint32_t payload_max)
{
	uint64_t r = seed;
	memset(s, 0, sizeof *s);
	pool_fill(s, &r);
	for (int i = 0; i < 16; i++)
		s->meta.volume_id[i] = (uint8_t)sample_random(&r);
	s->meta.id = (struct segment_id){ sample_random(&r), sample_random(&r) };
	s->meta.rev_from = sample_below(&r, 1000);
	s->meta.rev_to = 1000 + sample_below(&r, 1000);
	s->meta.n_parts = 1 + (uint32_t)sample_below(&r, 4);
	s->meta.part = (uint32_t)sample_below(&r, s->meta.n_parts);
	s->meta.created_ms = (int64_t)sample_random(&r);
	random_batches(s, &r, n_batch, payload_max);
	random_states(s, &r);
	random_kvs(s, &r);
	random_producers(s, &r);
	random_keys(s, &r);
}

/* ---- the one in FORMAT.md ---- */

static struct batch tiny_batch(uint64_t stream, uint64_t offset, uint64_t rev, const char *text)
{
	size_t len = strlen(text);
	return (struct batch){ .stream = stream,
		               .offset = offset,
		               .n_offsets = 1,
		               .payload_len = (uint32_t)len,
		               .payload_sum = sum64(text, len),
		               .timestamp_ms = 1700000000000 + (int64_t)rev,
		               .append_ms = 1700000000500 + (int64_t)rev,
		               .rev = rev,
		               .epoch = 3,
		               .payload = (const uint8_t *)text };
}

static void tiny_batches(struct sample *s)
{
	s->n_batch = 3;
	s->batch = calloc(3, sizeof *s->batch);
	s->compress = calloc(3, sizeof *s->compress);
	s->batch[0] = tiny_batch(0x30000000001, 10, 41, "snow");
	s->batch[0].flags = BATCH_PRODUCER;
	s->batch[0].producer_id = 77;
	s->batch[0].producer_seq = 5;
	s->batch[0].producer_epoch = 1;
	s->batch[1] = tiny_batch(0x30000000001, 11, 42, "firn");
	s->batch[1].key = (const uint8_t *)"order-9";
	s->batch[1].key_len = 7;
	s->batch[2] = tiny_batch(0x30000000002, 0, 43, "ice");
}

static void tiny_streams(struct sample *s)
{
	s->n_stream = 2;
	s->stream[0] = (struct stream_state){ .stream = 0x30000000001,
		                              .name = "rooms/1",
		                              .name_len = 7,
		                              .start = 10,
		                              .next = 12,
		                              .rev_created = 2,
		                              .rev_last = 42,
		                              .first_append_ms = 1700000000541,
		                              .last_append_ms = 1700000000542,
		                              .max_timestamp_ms = 1700000000042,
		                              .bytes = 8 };
	s->stream[1] = (struct stream_state){ .stream = 0x30000000002,
		                              .flags = STREAM_CREATED,
		                              .name = "rooms/2",
		                              .name_len = 7,
		                              .next = 1,
		                              .rev_created = 40,
		                              .rev_last = 43,
		                              .first_append_ms = 1700000000543,
		                              .last_append_ms = 1700000000543,
		                              .max_timestamp_ms = 1700000000043,
		                              .bytes = 3,
		                              .config = (const uint8_t *)"\1\0\0\0",
		                              .config_len = 4 };
}

void sample_tiny_init(struct sample *s)
{
	static const struct producer_batch last = { 5, 10, 41, 1, 1 };
	memset(s, 0, sizeof *s);
	for (int i = 0; i < 16; i++)
		s->meta.volume_id[i] = (uint8_t)(0xa0 + i);
	s->meta.id = (struct segment_id){ 3, 9 };
	s->meta.rev_from = 40;
	s->meta.rev_to = 46;
	s->meta.n_parts = 1;
	s->meta.created_ms = 1700000001000;
	tiny_batches(s);
	tiny_streams(s);
	s->n_gap = s->n_kv = s->n_producer = s->n_key = s->n_lost = 1;
	s->gap[0] = (struct gap_entry){ 0x30000000001, 4, 10, 1, 0 };
	s->kv[0] = (struct kv_change){ .rev = 44,
		                       .key = (const uint8_t *)"group/a",
		                       .key_len = 7,
		                       .value = (const uint8_t *)"12",
		                       .value_len = 2 };
	s->producer[0] = (struct producer_change){ .stream = 0x30000000001,
		                                   .producer_id = 77,
		                                   .producer_epoch = 1,
		                                   .n_batch = 1,
		                                   .seq_next = 6,
		                                   .last_ms = 1700000000541,
		                                   .batch = &last };
	s->key[0] = (struct key_entry){ .stream = 0x30000000001,
		                        .offset = 11,
		                        .rev = 42,
		                        .n_offsets = 1,
		                        .key_len = 7,
		                        .append_ms = 1700000000542,
		                        .key = (const uint8_t *)"order-9" };
	memset(s->lost[0].nonce, 0x11, 16);
	memset(s->lost[0].wal_id, 0x22, 16);
	s->lost[0].rev_stored = 30;
	s->lost[0].rev_skip = UINT64_C(1) << 36;
	s->lost[0].at_ms = 1690000000000;
}

void sample_fini(struct sample *s)
{
	free(s->batch);
	free(s->compress);
	free(s->pool);
}

/* ---- written ---- */

static int write_rows(const struct sample *s, struct segment_writer *w)
{
	int rc = 0;
	for (uint32_t i = 0; i < s->n_stream && !rc; i++)
		rc = segment_writer_stream(w, &s->stream[i]);
	for (uint32_t i = 0; i < s->n_gap && !rc; i++)
		rc = segment_writer_gap(w, &s->gap[i]);
	for (uint32_t i = 0; i < s->n_kv && !rc; i++)
		rc = segment_writer_kv(w, &s->kv[i]);
	for (uint32_t i = 0; i < s->n_producer && !rc; i++)
		rc = segment_writer_producer(w, &s->producer[i]);
	for (uint32_t i = 0; i < s->n_key && !rc; i++)
		rc = segment_writer_key(w, &s->key[i]);
	for (uint32_t i = 0; i < s->n_lost && !rc; i++)
		rc = segment_writer_lost(w, &s->lost[i]);
	return rc;
}

int sample_try_write(const struct sample *s, const struct firn_env *env, int zstd_level,
                     struct sample_object *out)
{
	struct segment_writer *w;
	const uint8_t *data;
	int rc = segment_writer_open(env, &s->meta, zstd_level, &w);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < s->n_batch && !rc; i++)
		rc = segment_writer_batch(w, &s->batch[i], s->compress[i]);
	if (!rc)
		rc = write_rows(s, w);
	if (!rc)
		rc = segment_writer_finish(w, &data, &out->len, &out->footer_pos, &out->footer_sum);
	if (!rc) {
		out->data = malloc(out->len);
		memcpy(out->data, data, out->len);
	}
	segment_writer_close(w);
	return rc;
}

struct sample_object sample_write(const struct sample *s, int zstd_level)
{
	struct sample_env e;
	struct sample_object o = { 0 };
	sample_env_init(&e);
	cr_assert_eq(sample_try_write(s, &e.env, zstd_level, &o), 0);
	cr_assert_eq(e.n_live, 0, "the writer leaks");
	return o;
}

struct segment_footer *sample_footer(const struct firn_env *env, const struct sample_object *o)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct segment_footer *f;
	size_t need;
	int rc = segment_footer_open(env, o->data, o->len, o->len, &f, &need, &err);
	cr_assert_eq(rc, 0, "%s", err.text);
	return f;
}

/* ---- compared ---- */

static void expect_bytes(const void *got, const void *want, size_t len)
{
	cr_assert(len == 0 || memcmp(got, want, len) == 0);
}

static void expect_batch(const struct batch *got, const struct batch *want)
{
	cr_assert_eq(got->stream, want->stream);
	cr_assert_eq(got->offset, want->offset);
	cr_assert_eq(got->n_offsets, want->n_offsets);
	cr_assert_eq(got->payload_len, want->payload_len);
	cr_assert_eq(got->payload_sum, want->payload_sum);
	cr_assert_eq(got->timestamp_ms, want->timestamp_ms);
	cr_assert_eq(got->append_ms, want->append_ms);
	cr_assert_eq(got->rev, want->rev);
	cr_assert_eq(got->epoch, want->epoch);
	cr_assert_eq(got->producer_id, want->producer_id);
	cr_assert_eq(got->producer_seq, want->producer_seq);
	cr_assert_eq(got->producer_epoch, want->producer_epoch);
	cr_assert_eq(got->tag, want->tag);
	cr_assert_eq(got->flags, want->flags);
	cr_assert_eq(got->key_len, want->key_len);
	cr_assert_eq(got->attr_len, want->attr_len);
	expect_bytes(got->key, want->key, want->key_len);
	expect_bytes(got->attr, want->attr, want->attr_len);
	expect_bytes(got->payload, want->payload, want->payload_len);
}

static uint32_t expect_block(const struct sample *s, const struct block *b, uint32_t next)
{
	struct batch batch;
	uint32_t n = 0;
	for (uint64_t at = 0; (at = block_next(b, at, &batch)) != 0; n++) {
		cr_assert_lt(next + n, s->n_batch);
		expect_batch(&batch, &s->batch[next + n]);
	}
	cr_assert_eq(n, b->n_batch);
	return next + n;
}

void sample_expect_batches(const struct sample *s, const struct sample_object *o,
                           const struct segment_footer *f)
{
	uint32_t next = 0;
	for (uint32_t i = 0; i < segment_n_blocks(f); i++) {
		struct firn_error err = FIRN_ERROR_INIT;
		struct block_entry e;
		struct block b;
		segment_block_at(f, i, &e);
		uint8_t *raw = malloc(e.frame_raw_len);
		int rc = segment_frame_decode(&e, o->data + e.frame_pos, e.frame_len, raw, &err);
		cr_assert_eq(rc, 0, "%s", err.text);
		rc = block_open(s->meta.volume_id, &e, raw, e.frame_raw_len, &b, &err);
		cr_assert_eq(rc, 0, "%s", err.text);
		cr_assert_eq(b.base, s->batch[next].offset);
		next = expect_block(s, &b, next);
		free(raw);
	}
	cr_assert_eq(next, s->n_batch);
}

static void expect_stream(const struct stream_state *got, const struct stream_state *want)
{
	cr_assert_eq(got->stream, want->stream);
	cr_assert_eq(got->flags, want->flags);
	cr_assert_eq(got->name_len, want->name_len);
	expect_bytes(got->name, want->name, want->name_len);
	cr_assert_eq(got->start, want->start);
	cr_assert_eq(got->next, want->next);
	cr_assert_eq(got->rev_created, want->rev_created);
	cr_assert_eq(got->rev_last, want->rev_last);
	cr_assert_eq(got->first_append_ms, want->first_append_ms);
	cr_assert_eq(got->last_append_ms, want->last_append_ms);
	cr_assert_eq(got->max_timestamp_ms, want->max_timestamp_ms);
	cr_assert_eq(got->bytes, want->bytes);
	cr_assert_eq(got->config_len, want->config_len);
	expect_bytes(got->config, want->config, want->config_len);
}

static void expect_kv(const struct kv_change *got, const struct kv_change *want)
{
	cr_assert_eq(got->stream, want->stream);
	cr_assert_eq(got->rev, want->rev);
	cr_assert_eq(got->key_len, want->key_len);
	cr_assert_eq(got->value_len, want->value_len);
	cr_assert_eq(got->deleted, want->deleted);
	cr_assert_eq(got->value == NULL, want->deleted == 1);
	expect_bytes(got->key, want->key, want->key_len);
	expect_bytes(got->value, want->value, want->value_len);
}

static void expect_producer(const struct producer_change *got, const struct producer_change *want)
{
	cr_assert_eq(got->stream, want->stream);
	cr_assert_eq(got->producer_id, want->producer_id);
	cr_assert_eq(got->producer_epoch, want->producer_epoch);
	cr_assert_eq(got->n_batch, want->n_batch);
	cr_assert_eq(got->seq_next, want->seq_next);
	cr_assert_eq(got->last_ms, want->last_ms);
	cr_assert_eq(got->window_reset, want->window_reset);
	cr_assert_eq((uintptr_t)got->batch % _Alignof(struct producer_batch), 0);
	expect_bytes(got->batch, want->batch, want->n_batch * sizeof *want->batch);
}

static void expect_key(const struct key_entry *got, const struct key_entry *want)
{
	cr_assert_eq(got->stream, want->stream);
	cr_assert_eq(got->offset, want->offset);
	cr_assert_eq(got->rev, want->rev);
	cr_assert_eq(got->n_offsets, want->n_offsets);
	cr_assert_eq(got->append_ms, want->append_ms);
	cr_assert_eq(got->key_len, want->key_len);
	expect_bytes(got->key, want->key, want->key_len);
}

void sample_expect_rows(const struct sample *s, const struct segment_footer *f)
{
	struct stream_state stream;
	struct gap_entry gap;
	struct kv_change kv;
	struct producer_change producer;
	struct key_entry key;
	struct lost_entry lost;
	cr_assert_eq(segment_n_streams(f), s->n_stream);
	cr_assert_eq(segment_n_gaps(f), s->n_gap);
	cr_assert_eq(segment_n_kv(f), s->n_kv);
	cr_assert_eq(segment_n_producers(f), s->n_producer);
	cr_assert_eq(segment_n_keys(f), s->n_key);
	cr_assert_eq(segment_n_lost(f), s->n_lost);
	for (uint32_t i = s->n_stream; i-- > 0; expect_stream(&stream, &s->stream[i]))
		segment_stream_at(f, i, &stream);
	for (uint32_t i = s->n_gap; i-- > 0; expect_bytes(&gap, &s->gap[i], sizeof gap))
		segment_gap_at(f, i, &gap);
	for (uint32_t i = s->n_kv; i-- > 0; expect_kv(&kv, &s->kv[i]))
		segment_kv_at(f, i, &kv);
	for (uint32_t i = s->n_producer; i-- > 0; expect_producer(&producer, &s->producer[i]))
		segment_producer_at(f, i, &producer);
	for (uint32_t i = s->n_key; i-- > 0; expect_key(&key, &s->key[i]))
		segment_key_at(f, i, &key);
	for (uint32_t i = s->n_lost; i-- > 0; expect_bytes(&lost, &s->lost[i], sizeof lost))
		segment_lost_at(f, i, &lost);
}
