#include "tests/sim/check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct firn_stream_config config_make(uint32_t number)
{
	return (struct firn_stream_config){ .struct_size = sizeof(struct firn_stream_config),
		                            .key_window_n = 1000,
		                            .retention_ms = UINT64_C(86400000) + number,
		                            .compression = number % 2 ? FIRN_COMPRESSION_ZSTD
		                                                      : FIRN_COMPRESSION_NONE,
		                            .account = number };
}

static void check_config(struct firn_volume *volume, const struct m_stream *s, const char *when)
{
	struct firn_stream_config want = config_make(s->config),
	                          got = { .struct_size = sizeof got };
	int rc = firn_stream_config_get(volume, s->id, &got);
	SIM_CHECK("P1",
	          rc == 0 && got.account == want.account && got.retention_ms == want.retention_ms &&
	                  got.compression == want.compression &&
	                  got.key_window_n == want.key_window_n,
	          "%s: s%u: %s, configuration %llu, expected %u", when, s->name, firn_code_name(rc),
	          (unsigned long long)got.account, s->config);
}

uint32_t kv_key_make(uint32_t key, char out[16])
{
	return (uint32_t)snprintf(out, 16, "key-%02u", key);
}

uint32_t kv_value_make(uint32_t value, uint8_t out[64])
{
	uint32_t len = value % 57;
	payload_make(value, len, out);
	return len;
}

static const struct m_batch *batch_at(const struct m_stream *s, uint64_t offset)
{
	for (uint32_t i = 0; i < s->n_batch; i++)
		if (s->batch[i].base <= offset && offset < s->batch[i].base + s->batch[i].n_offsets)
			return &s->batch[i];
	return NULL;
}

static void check_batch(const struct m_stream *s, const struct firn_batch *b, const char *when)
{
	const struct m_batch *m = batch_at(s, b->offset);
	SIM_CHECK("P3", m && m->base == b->offset,
	          "%s: s%u has a batch at %llu that was never written", when, s->name,
	          (unsigned long long)b->offset);
	SIM_CHECK(
	        "P3", m->n_offsets == b->n_offsets && m->len == b->len && m->rev == b->rev,
	        "%s: s%u: batch at %llu: %u offsets, %llu bytes, write %llu; expected %u, %u, %llu",
	        when, s->name, (unsigned long long)b->offset, b->n_offsets,
	        (unsigned long long)b->len, (unsigned long long)b->rev, m->n_offsets, m->len,
	        (unsigned long long)m->rev);
	uint8_t *bytes = malloc(m->len + 1);
	payload_make(m->payload, m->len, bytes);
	bool same = !m->len || !memcmp(bytes, b->data, m->len);
	free(bytes);
	SIM_CHECK("P3", same, "%s: s%u: batch at %llu has other bytes", when, s->name,
	          (unsigned long long)b->offset);
	SIM_CHECK("P3",
	          m->tag == b->tag && (!m->timestamp_ms || m->timestamp_ms == b->timestamp_ms) &&
	                  b->producer_id == m->producer &&
	                  (!m->producer || b->producer_seq == m->producer_seq) &&
	                  (m->key ? b->key_len == 4 && !memcmp(b->key, &m->key, 4) : !b->key_len),
	          "%s: s%u: batch at %llu has another descriptor", when, s->name,
	          (unsigned long long)b->offset);
}

static void check_gap(const struct m_stream *s, const struct firn_part *p, uint64_t offset,
                      const char *when)
{
	SIM_CHECK("P2",
	          p->gap == (p->code == FIRN_ELOST ? FIRN_GAP_LOST : FIRN_GAP_SKIPPED) &&
	                  p->gap_from <= offset && offset < p->gap_to,
	          "%s: s%u at %llu: a gap of kind %u, [%llu, %llu)", when, s->name,
	          (unsigned long long)offset, p->gap, (unsigned long long)p->gap_from,
	          (unsigned long long)p->gap_to);
	const struct m_range *lost = model_lost(s, offset);
	bool as_lost = p->gap == FIRN_GAP_LOST;
	SIM_CHECK("P3", as_lost ? lost && p->gap_to <= lost->to : !lost,
	          "%s: s%u: offset %llu is in a gap of kind %u, [%llu, %llu); lost is [%llu, %llu)",
	          when, s->name, (unsigned long long)offset, p->gap,
	          (unsigned long long)p->gap_from, (unsigned long long)p->gap_to,
	          (unsigned long long)(lost ? lost->from : 0),
	          (unsigned long long)(lost ? lost->to : 0));
	for (uint64_t o = offset; o < p->gap_to && o < offset + 100; o++)
		SIM_CHECK("P2", !batch_at(s, o) && (as_lost || !model_lost(s, o)),
		          "%s: s%u: offset %llu was written and reads as a gap", when, s->name,
		          (unsigned long long)o);
}

uint64_t check_part(const struct m_stream *s, const struct firn_part *p, uint64_t offset,
                    const char *when)
{
	int64_t append_ms = 0;
	if (p->gap) {
		check_gap(s, p, offset, when);
		offset = p->gap_to;
	}
	for (uint32_t i = 0; i < p->n_batch; i++) {
		const struct firn_batch *b = (const void *)((const char *)p->batch +
		                                            (size_t)i * p->batch_size);
		SIM_CHECK("P2", b->offset <= offset && offset < b->offset + b->n_offsets,
		          "%s: s%u: asked for %llu, got the batch at %llu", when, s->name,
		          (unsigned long long)offset, (unsigned long long)b->offset);
		check_batch(s, b, when);
		SIM_CHECK("P2", b->append_ms >= append_ms, "%s: s%u: append times run back at %llu",
		          when, s->name, (unsigned long long)b->offset);
		append_ms = b->append_ms;
		offset = b->offset + b->n_offsets;
	}
	SIM_CHECK("P2", p->code || p->next_offset == offset,
	          "%s: s%u: next_offset %llu behind %llu", when, s->name,
	          (unsigned long long)p->next_offset, (unsigned long long)offset);
	return offset;
}

/* False: fenced. */
static bool check_content(struct firn_volume *volume, const struct m_stream *s, const char *when)
{
	uint64_t at = s->start;
	uint32_t tries = 0;
	while (at < s->next) {
		const struct firn_fetched *f = NULL;
		struct firn_error err = FIRN_ERROR_INIT;
		int rc = firn_stream_read(volume, s->id, at, 65536, 0, &f, &err);
		if (rc == FIRN_ESTORE || rc == FIRN_EIO || rc == FIRN_EAGAIN ||
		    rc == FIRN_ETIMEDOUT) { /* a fault: again */
			SIM_CHECK("P8", ++tries < 200, "%s: s%u cannot be read: %s", when, s->name,
			          err.text);
			sched_sleep(50000000);
			continue;
		}
		if (rc == FIRN_EFENCED)
			return false;
		const struct m_range *lost = model_lost(s, at);
		if (rc == FIRN_ELOST && lost) {
			at = lost->to;
			continue;
		}
		SIM_CHECK("P1", rc == 0, "%s: s%u at %llu of [%llu, %llu): %s %s", when, s->name,
		          (unsigned long long)at, (unsigned long long)s->start,
		          (unsigned long long)s->next, firn_code_name(rc), err.text);
		uint64_t next = f->n_part ? check_part(s, f->part, at, when) : at;
		firn_release(f);
		SIM_CHECK("P1", next > at || ++tries < 200,
		          "%s: s%u: nothing at %llu, though it ends at %llu", when, s->name,
		          (unsigned long long)at, (unsigned long long)s->next);
		if (next == at)
			sched_sleep(1000000);
		at = next;
	}
	SIM_CHECK("P2", at == s->next, "%s: s%u ends at %llu, expected %llu", when, s->name,
	          (unsigned long long)at, (unsigned long long)s->next);
	return true;
}

static void check_pairs(struct firn_volume *volume, const struct m_state *st, uint32_t i,
                        uint64_t id, const char *when)
{
	const struct firn_kv_page *page = NULL;
	int rc = firn_kv_scan(volume, id, NULL, 0, NULL, 0, 0, &page);
	SIM_CHECK("P1", rc == 0, "%s: pairs of %u: %s", when, i, firn_code_name(rc));
	uint32_t at = 0;
	for (uint32_t k = 0; k < M_KEYS; k++) {
		const struct m_kv *kv = &st->kv[i][k];
		if (!kv->there)
			continue;
		char key[16];
		uint8_t value[64];
		uint32_t key_len = kv_key_make(k, key), value_len = kv_value_make(kv->value, value);
		SIM_CHECK("P1", at < page->n, "%s: pair %s of stream %u is gone", when, key, i);
		const struct firn_kv *got = (const void *)((const char *)page->kv +
		                                           (size_t)at++ * page->size);
		SIM_CHECK("P1",
		          got->key_len == key_len && !memcmp(got->key, key, key_len) &&
		                  got->value_len == value_len &&
		                  (!value_len || !memcmp(got->value, value, value_len)) &&
		                  got->rev == kv->rev,
		          "%s: pair %s of stream %u: another value or write %llu, expected %llu",
		          when, key, i, (unsigned long long)got->rev, (unsigned long long)kv->rev);
	}
	SIM_CHECK("P3", at == page->n, "%s: stream %u has pairs that were deleted or never put",
	          when, i);
	firn_release(page);
}

static void check_producers(struct firn_volume *volume, const struct m_stream *s, const char *when)
{
	struct firn_producer p[M_PRODUCERS + 1];
	int n = firn_producer_list(volume, s->id, UINT64_MAX, p, sizeof p[0], M_PRODUCERS + 1);
	int at = 0;
	SIM_CHECK("P1", n >= 0, "%s: producers of s%u: %s", when, s->name, firn_code_name(n));
	for (uint32_t k = 1; k <= M_PRODUCERS; k++) {
		if (!s->seq_next[k])
			continue;
		SIM_CHECK("P1",
		          at < n && p[at].producer_id == k && p[at].seq_next == s->seq_next[k],
		          "%s: s%u: producer %u expects sequence %llu, it should be %llu", when,
		          s->name, k, at < n ? (unsigned long long)p[at].seq_next : 0,
		          (unsigned long long)s->seq_next[k]);
		at++;
	}
	SIM_CHECK("P1", at == n, "%s: s%u knows producers that never wrote", when, s->name);
}

static void check_stream(struct firn_volume *volume, struct m_stream *s, const char *when)
{
	char name[16];
	(void)snprintf(name, sizeof name, "s%u", s->name);
	uint64_t id = 0;
	int rc = firn_stream_find(volume, name, strlen(name), &id);
	SIM_CHECK("P1", rc == 0, "%s: stream %s is gone: %s", when, name, firn_code_name(rc));
	SIM_CHECK("P3", !s->id || s->id == id, "%s: stream %s has another number", when, name);
	s->id = id;
	struct firn_stream_info info = { .struct_size = sizeof info };
	rc = firn_stream_info(volume, id, &info);
	SIM_CHECK("P1", rc == 0, "%s: info of %s: %s", when, name, firn_code_name(rc));
	SIM_CHECK("P1",
	          info.mark[FIRN_MARK_START] == s->start && info.mark[FIRN_MARK_DURABLE] == s->next,
	          "%s: %s spans [%llu, %llu), expected [%llu, %llu)", when, name,
	          (unsigned long long)info.mark[FIRN_MARK_START],
	          (unsigned long long)info.mark[FIRN_MARK_DURABLE], (unsigned long long)s->start,
	          (unsigned long long)s->next);
	SIM_CHECK("P2",
	          info.mark[FIRN_MARK_STORED] <= info.mark[FIRN_MARK_DURABLE] &&
	                  info.mark[FIRN_MARK_DURABLE] <= info.mark[FIRN_MARK_ASSIGNED],
	          "%s: marks of %s are out of order", when, name);
}

bool check_volume(struct firn_volume *volume, const struct m_volume *m, uint64_t k,
                  uint64_t id[M_STREAMS], const char *when)
{
	struct m_state *st = malloc(sizeof *st);
	model_sum(m, k, st);
	uint32_t n = 0;
	bool whole = true;
	for (uint32_t i = 0; i < st->n_stream && whole; i++) {
		struct m_stream *s = &st->stream[i];
		if (!s->there)
			continue;
		n++;
		check_stream(volume, s, when);
		whole = check_content(volume, s, when);
		check_pairs(volume, st, i, s->id, when);
		check_producers(volume, s, when);
		check_config(volume, s, when);
	}
	check_pairs(volume, st, M_STREAMS, FIRN_STREAM_VOLUME, when);
	struct firn_volume_info info = { .struct_size = sizeof info };
	(void)firn_volume_info(volume, &info);
	SIM_CHECK("P3", !whole || info.n_streams == n, "%s: %llu streams, expected %u", when,
	          (unsigned long long)info.n_streams, n);
	for (uint32_t i = 0; i < st->n_stream && id; i++)
		id[i] = st->stream[i].there ? st->stream[i].id : 0;
	state_fini(st);
	free(st);
	return whole;
}
