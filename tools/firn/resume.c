#include "tools/firn/resume.h"
#include "tools/firn/json.h"
#include "tools/firn/text.h"
#include <inttypes.h>
#include <string.h>

enum { READ_BYTES = 4 << 20, WAIT_MS = 1000 };

static void take(struct resume *r, const struct firn_part *part)
{
	const char *at = (const char *)part->batch;
	for (uint32_t i = 0; i < part->n_batch; i++, at += part->batch_size)
		r->n_records += ((const struct firn_batch *)(const void *)at)->n_offsets;
	if (part->n_batch && !r->first_ns)
		r->first_ns = mono_ns();
	r->end = part->next_offset;
}

int resume_read(const struct session *s, const char *stream, struct resume *out)
{
	struct firn_error err = FIRN_ERROR_INIT;
	const struct firn_fetched *got;
	uint64_t id, end;
	*out = (struct resume){ 0 };
	int rc = firn_stream_find(s->volume, stream, strlen(stream), &id);
	if (rc == FIRN_ENOENT)
		return DONE;
	rc = rc ? rc : firn_stream_mark(s->volume, id, FIRN_MARK_START, &out->end);
	rc = rc ? rc : firn_stream_mark(s->volume, id, FIRN_MARK_VISIBLE, &end);
	if (rc)
		return report_code(s->common, rc, stream);
	while (out->end < end) {
		if (firn_stream_read(s->volume, id, out->end, READ_BYTES, WAIT_MS, &got, &err))
			return report(s->common, &err);
		if (got->n_part)
			take(out, got->part);
		firn_release(got);
	}
	return DONE;
}

double since_attach(const struct session *s, uint64_t ns)
{
	return ns ? (double)(ns - s->began_ns) / 1e6 : 0;
}

void resume_tell(const struct session *s, const char *stream, const struct resume *r)
{
	double attached = since_attach(s, s->attached_ns), first = since_attach(s, r->first_ns);
	struct json j;
	if (!s->common->json) {
		(void)fprintf(stderr,
		              "%s: %s records, goes on at %" PRIu64 "; epoch %" PRIu64
		              ", attached after %.1f ms, first record read after %.1f ms\n",
		              stream, text_count(r->n_records).s, r->end, s->epoch, attached,
		              first);
		return;
	}
	json_init(&j, stdout);
	json_object(&j, NULL);
	json_u64(&j, "records", r->n_records);
	json_u64(&j, "end", r->end);
	json_u64(&j, "epoch", s->epoch);
	json_u64(&j, "replayed_bytes", s->replayed_bytes);
	json_double(&j, "attached_ms", attached);
	json_double(&j, "first_read_ms", first);
	json_end(&j);
	(void)fflush(stdout);
}
