/* All that can be read of a volume, as text. What may differ between two healthy moments (the stored
 * mark, the volume's epoch, `bytes` and `first_ms` behind a trim, which are estimates) is not in it. */
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
	FILE *to;
	struct host *h;
	struct firn_volume *v;
};

static uint64_t sum_of(const void *data, size_t len)
{
	uint64_t sum = 1469598103934665603u;
	const uint8_t *p = data;
	for (size_t i = 0; i < len; i++)
		sum = (sum ^ p[i]) * 1099511628211u;
	return sum;
}

static void bytes_text(FILE *to, const char *what, const void *data, size_t len)
{
	const uint8_t *p = data;
	fprintf(to, " %s=", what);
	for (size_t i = 0; i < len && i < 24; i++)
		fprintf(to, p[i] > 32 && p[i] < 127 ? "%c" : "\\%02x", p[i]);
	fprintf(to, "(%zu,%016" PRIx64 ")", len, sum_of(data, len));
}

static void batch_text(FILE *to, const struct firn_batch *b)
{
	fprintf(to,
	        "  %" PRIu64 "+%u tag=%u ts=%" PRId64 " append=%" PRId64 " rev=%" PRIu64
	        " epoch=%" PRIu64 " producer=%" PRIu64 "/%u/%" PRIu64,
	        b->offset, b->n_offsets, b->tag, b->timestamp_ms, b->append_ms, b->rev, b->epoch,
	        b->producer_id, b->producer_epoch, b->producer_seq);
	bytes_text(to, "data", b->data, b->len);
	bytes_text(to, "key", b->key, b->key_len);
	bytes_text(to, "attr", b->attr, b->attr_len);
	fputc('\n', to);
}

/* One part; true while there is more to come. */
static bool part_text(FILE *to, const struct firn_part *p, uint64_t *at)
{
	if (p->gap)
		fprintf(to, "  gap %u [%" PRIu64 ", %" PRIu64 ")\n", p->gap, p->gap_from,
		        p->gap_to);
	if (p->code)
		fprintf(to, "  at %" PRIu64 ": %s\n", *at, firn_code_name(p->code));
	for (uint32_t i = 0; i < p->n_batch; i++)
		batch_text(to,
		           (const struct firn_batch *)(const void *)((const uint8_t *)p->batch +
		                                                     (size_t)i * p->batch_size));
	bool moved = p->next_offset > *at;
	*at = p->next_offset;
	return moved && !p->code;
}

static void batches_text(const struct text *t, uint64_t stream, uint64_t from, uint64_t to)
{
	struct firn_reader *r;
	struct firn_item it = {
		.volume = t->v, .stream = stream, .offset = from, .up_to = FIRN_MARK_DURABLE
	};
	cr_assert_eq(firn_reader_open(t->h->engine, NULL, &r, NULL), 0);
	cr_assert_eq(firn_reader_set(r, &it, sizeof it, 1), 0);
	bool more = from < to;
	while (more && from < to) {
		struct firn_fetch f = FIRN_FETCH_INIT;
		struct firn_event ev = { 0 };
		struct firn_error err = FIRN_ERROR_INIT;
		f.reader = r;
		f.max_wait_ms = 5000;
		f.req.timeout_ms = FIRN_FOREVER;
		int rc = firn_engine_call(t->h->engine, &f.req, &ev, &err);
		cr_assert_eq(rc, 0, "fetch: %s: %s", firn_code_name(rc), err.text);
		const struct firn_fetched *got = ev.result;
		more = got->n_part == 1 && part_text(t->to, &got->part[0], &from);
		firn_release(got);
	}
	if (from != to)
		fprintf(t->to, "  reading stopped at %" PRIu64 "\n", from);
	firn_reader_close(r);
}

static void producers_text(const struct text *t, uint64_t stream)
{
	struct firn_producer p[64];
	int n = firn_producer_list(t->v, stream, UINT64_MAX, p, sizeof p[0], 64);
	cr_assert(n >= 0, "producers: %s", firn_code_name(n));
	for (int i = 0; i < n; i++)
		fprintf(t->to,
		        "  producer %" PRIu64 "/%u next=%" PRIu64 " last=%" PRIu64 " at %" PRId64
		        "\n",
		        p[i].producer_id, p[i].producer_epoch, p[i].seq_next, p[i].last_offset,
		        p[i].last_ms);
}

static void stream_text(const struct text *t, const struct firn_stream_info *s)
{
	struct firn_stream_config c = { .struct_size = sizeof c };
	cr_assert_eq(firn_stream_config_get(t->v, s->stream, &c), 0);
	fprintf(t->to,
	        "stream %s id=%" PRIx64 " flags=%u start=%" PRIu64 " durable=%" PRIu64
	        " assigned=%" PRIu64 " producers=%" PRIu64 " last=%" PRId64 "\n",
	        s->name, s->stream, s->flags, s->mark[FIRN_MARK_START], s->mark[FIRN_MARK_DURABLE],
	        s->mark[FIRN_MARK_ASSIGNED], s->n_producers, s->last_ms);
	fprintf(t->to,
	        "  config flags=%u retain=%" PRIu64 "/%" PRIu64 " window=%u bits=%u expire=%" PRIu64
	        " keys=%" PRIu64 "/%u z=%u class=%u account=%" PRIu64 "\n",
	        c.flags, c.retention_ms, c.retention_bytes, c.producer_window, c.producer_seq_bits,
	        c.producer_expire_ms, c.key_window_ms, c.key_window_n, c.compression, c.cls,
	        c.account);
	producers_text(t, s->stream);
	batches_text(t, s->stream, s->mark[FIRN_MARK_START], s->mark[FIRN_MARK_DURABLE]);
}

static void pairs_text(const struct text *t)
{
	const struct firn_kv_page *page;
	int rc = firn_kv_scan(t->v, FIRN_STREAM_ALL, NULL, 0, NULL, 0, 100000, &page);
	cr_assert_eq(rc, 0, "scan: %s", firn_code_name(rc));
	cr_assert_eq(page->more, 0);
	for (uint32_t i = 0; i < page->n; i++) {
		const struct firn_kv *kv =
		        (const struct firn_kv *)(const void *)((const uint8_t *)page->kv +
		                                               (size_t)i * page->size);
		fprintf(t->to, "pair %" PRIx64 " rev=%" PRIu64, kv->stream, kv->rev);
		bytes_text(t->to, "key", kv->key, kv->key_len);
		bytes_text(t->to, "value", kv->value, kv->value_len);
		fputc('\n', t->to);
	}
	firn_release(page);
}

char *volume_text(struct host *h, struct firn_volume *v)
{
	char *out = NULL;
	size_t len = 0;
	struct text t = { open_memstream(&out, &len), h, v };
	struct firn_stream_info s[256];
	struct firn_volume_info info = { .struct_size = sizeof info };
	cr_assert_eq(firn_volume_info(v, &info), 0);
	int n = firn_stream_list(v, NULL, NULL, s, sizeof s[0], 256);
	cr_assert(n >= 0 && n < 256, "streams: %d", n);
	fprintf(t.to, "volume rev=%" PRIu64 " streams=%" PRIu64 "\n", info.rev_durable,
	        info.n_streams);
	for (int i = 0; i < n; i++)
		stream_text(&t, &s[i]);
	pairs_text(&t);
	(void)fclose(t.to);
	return out;
}

void expect_text(const char *was, const char *now, const char *when)
{
	size_t i = 0, line = 0;
	while (was[i] && was[i] == now[i]) {
		line = was[i] == '\n' ? i + 1 : line;
		i++;
	}
	cr_assert(was[i] == now[i], "%s: was\n%.*s\nnow\n%.*s", when,
	          (int)strcspn(was + line, "\n"), was + line, (int)strcspn(now + line, "\n"),
	          now + line);
}

int read_stream(struct host *h, uint64_t stream, uint64_t from, char **joined)
{
	size_t len = 0;
	char *mine = NULL;
	FILE *to = open_memstream(joined ? joined : &mine, &len);
	uint64_t end = mark_of(h, stream, FIRN_MARK_VISIBLE);
	int rc = 0;
	while (!rc && from < end) {
		const struct firn_fetched *got = NULL;
		struct firn_error err = FIRN_ERROR_INIT;
		rc = firn_stream_read(h->volume, stream, from, 0, 60000, &got, &err);
		const struct firn_part *p = rc || !got->n_part ? NULL : &got->part[0];
		for (uint32_t i = 0; p && i < p->n_iov; i++)
			(void)fwrite(p->iov[i].iov_base, 1, p->iov[i].iov_len, to);
		if (!rc && (!p || p->next_offset <= from))
			rc = FIRN_ETIMEDOUT;
		from = p ? p->next_offset : from;
		firn_release(got);
	}
	(void)fclose(to);
	free(mine);
	return rc;
}

void expect_sound(const struct site *s, const char *when)
{
	char *told = site_ask(s,
	                      "$FIRN_BIN_DIR/firn verify -s '%s' -v v --json | jq -c "
	                      "'[.ok, .volumes[0].unreferenced, .problems]'",
	                      s->uri);
	cr_expect_str_eq(told, "[true,0,[]]\n", "%s: %s", when, told);
	free(told);
}
