/* Manifests to test with: a small complete one, and seeded random ones. */
#ifndef MANIFEST_SAMPLE_H
#define MANIFEST_SAMPLE_H
#include "engine/manifest/manifest.h"
#include "engine/os/env.h"
#include <stdio.h>
#include <string.h>

static inline uint64_t sample_chance(uint64_t *x)
{
	return *x = *x * 6364136223846793005u + 1442695040888963407u, *x >> 16;
}

static inline void sample_fill(uint8_t *p, size_t n, uint8_t from)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(from + i);
}

/* Every kind of row, twice where order matters. FORMAT.md shows this one. */
static inline void sample_manifest(struct manifest *m)
{
	const struct firn_env *env = env_default();
	struct manifest_log local = { .kind = MANIFEST_LOG_LOCAL };
	struct manifest_log log = { .kind = MANIFEST_LOG_STORE, .position = 4096 };
	struct manifest_layer layer = { .id = { 2, 9 },
		                        .level = 1,
		                        .bytes = 70000,
		                        .footer_pos = 65536,
		                        .footer_sum = 0xfeedfacecafebeefu,
		                        .rev_from = 1,
		                        .rev_to = 501,
		                        .n_segment = 300,
		                        .segment_bytes = 300000000 };
	struct manifest_segment s = { .id = { 2, 11 },
		                      .bytes = 1000000,
		                      .footer_pos = 990000,
		                      .footer_sum = 0x0123456789abcdefu,
		                      .rev_from = 501,
		                      .rev_to = 601,
		                      .min_append_ms = 1700000000000,
		                      .max_append_ms = 1700000060000,
		                      .part = 0,
		                      .n_parts = 2,
		                      .n_block = 40 };
	struct lost_entry lost = { .rev_stored = 400,
		                   .rev_skip = UINT64_C(1) << 36,
		                   .at_ms = 1690000000000 };
	struct manifest_dead dead = { .id = { 1, 3 },
		                      .since_ms = 1700000000123,
		                      .kind = MANIFEST_DEAD_SEGMENT };

	manifest_init(m);
	sample_fill(m->volume_id, 16, 0x10);
	sample_fill(m->nonce, 16, 0xa0);
	m->seq = 42;
	m->epoch = 3;
	m->rev_stored = 700;
	m->rev_durable = 712;
	m->next_stream = 1001;
	m->next_segment = 13;
	m->committed_ms = 1700000061234;
	m->rewrite_seq = 40;
	m->cleaned_ms = 1699990000000;
	m->state = MANIFEST_DIRTY;
	(void)strcpy(m->name, "rooms/eu-1");
	(void)strcpy(m->node, "broker-7");
	sample_fill(local.id, 16, 0x30);
	(void)manifest_add_log(m, env, &local);
	sample_fill(log.id, 16, 0x40);
	(void)strcpy(log.uri, "s3://bucket/wal");
	(void)manifest_add_log(m, env, &log);
	(void)manifest_add_layer(m, env, &layer);
	layer.id.n = 10;
	layer.part = 1;
	(void)manifest_add_layer(m, env, &layer);
	(void)manifest_add_segment(m, env, &s);
	s.id.n = 12;
	s.part = 1;
	(void)manifest_add_segment(m, env, &s);
	sample_fill(lost.nonce, 16, 0x50);
	sample_fill(lost.wal_id, 16, 0x60);
	(void)manifest_add_lost(m, env, &lost);
	(void)manifest_add_dead(m, env, &dead);
}

/* Any manifest that manifest_check() lets through. */
static inline void sample_random(struct manifest *m, uint64_t seed)
{
	const struct firn_env *env = env_default();
	uint64_t x = seed * 2 + 1, n;

	manifest_init(m);
	m->compat = sample_chance(&x) % 2;
	for (int i = 0; i < 16; i++) {
		m->volume_id[i] = (uint8_t)(sample_chance(&x) | 1);
		m->nonce[i] = (uint8_t)sample_chance(&x);
	}
	m->seq = 1 + sample_chance(&x);
	m->epoch = 1 + sample_chance(&x) % ((1 << 24) - 1);
	m->rev_stored = sample_chance(&x) % 1000000;
	m->rev_durable = m->rev_stored + sample_chance(&x) % 1000;
	m->next_stream = sample_chance(&x);
	m->next_segment = 1 + sample_chance(&x) % 100000;
	m->committed_ms = (int64_t)sample_chance(&x) - (INT64_C(1) << 47);
	m->state = 1 + (uint32_t)(sample_chance(&x) % 3);
	(void)snprintf(m->name, sizeof m->name, "v%llu/x", (unsigned long long)sample_chance(&x));
	memset(m->node, 'n', sample_chance(&x) % sizeof m->node);
	n = sample_chance(&x) % 4;
	for (uint64_t i = 0; i < n; i++) {
		struct manifest_log l = { .kind = 1 + (uint32_t)(sample_chance(&x) % 2) };

		sample_fill(l.id, 16, (uint8_t)sample_chance(&x));
		if (l.kind == MANIFEST_LOG_STORE) {
			l.position = sample_chance(&x);
			memset(l.uri, 'u', 1 + sample_chance(&x) % (sizeof l.uri - 1));
		}
		(void)manifest_add_log(m, env, &l);
	}
	n = m->rev_stored ? sample_chance(&x) % 40 : 0;
	for (uint64_t i = 0, rev = 1; i < n && rev <= m->rev_stored; i++) {
		struct manifest_segment s = { .id = { m->epoch,
			                              sample_chance(&x) % m->next_segment } };

		s.footer_pos = sample_chance(&x);
		s.bytes = s.footer_pos + 1 + sample_chance(&x) % 999;
		s.footer_sum = sample_chance(&x);
		s.rev_from = rev;
		s.rev_to = rev + 1 + sample_chance(&x) % (m->rev_stored - rev + 1);
		s.n_parts = 1 + (uint32_t)(sample_chance(&x) % 3);
		s.part = (uint32_t)(sample_chance(&x) % s.n_parts);
		s.min_append_ms = (int64_t)sample_chance(&x);
		s.max_append_ms = s.min_append_ms + (int64_t)(sample_chance(&x) % 99);
		struct manifest_layer l = { .id = s.id,
			                    .level = (uint32_t)sample_chance(&x),
			                    .bytes = s.bytes,
			                    .footer_pos = s.footer_pos,
			                    .rev_from = s.rev_from,
			                    .rev_to = s.rev_to,
			                    .n_segment = (uint32_t)sample_chance(&x),
			                    .segment_bytes = sample_chance(&x) };
		if (m->n_segment || i > 9 || sample_chance(&x) % 3 == 0) {
			rev = sample_chance(&x) % 2 ? rev : s.rev_to;
			(void)manifest_add_segment(m, env, &s);
			continue;
		}
		rev = s.rev_to;
		(void)manifest_add_layer(m, env, &l);
		for (l.part = 1; sample_chance(&x) % 2; l.part++)
			(void)manifest_add_layer(m, env, &l);
	}
	n = sample_chance(&x) % 3;
	for (uint64_t i = 0; i < n; i++) {
		struct lost_entry l = { .rev_stored = sample_chance(&x), .at_ms = 5 };
		struct manifest_dead d = { .id = { m->epoch, 0 },
			                   .since_ms = -1,
			                   .kind = 1 + (uint32_t)(sample_chance(&x) % 2) };

		sample_fill(l.nonce, 16, 1);
		(void)manifest_add_lost(m, env, &l);
		(void)manifest_add_dead(m, env, &d);
	}
}
#endif
