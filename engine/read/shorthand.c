/* firn_stream_read: one stream, one reader that lives for the call. Blocks in firn_engine_call. */
#include "engine/read/read.h"
#include "engine/base/error.h"
#include <inttypes.h>

enum { STORE_MS = 30000 };

/* A part with a code becomes the code of the call. */
static int read_answer(const struct firn_fetched *got, uint64_t stream, uint64_t offset,
                       const struct firn_fetched **out, struct firn_error *err)
{
	int code = got->n_part ? got->part[0].code : 0;
	if (code == 0) {
		*out = got;
		return 0;
	}
	const struct firn_part *p = got->part;
	if (code == FIRN_ELOST)
		fail(err, code, 0, "read",
		     "stream %" PRIu64 ": offsets %" PRIu64 " to %" PRIu64
		     " were given up by a takeover",
		     stream, p->gap_from, p->gap_to - 1);
	else
		fail(err, code, 0, "read",
		     "stream %" PRIu64 ", offset %" PRIu64 ": start %" PRIu64 ", visible %" PRIu64,
		     stream, offset, p->start, p->visible);
	firn_release(got);
	return code;
}

static int read_once(struct engine *e, struct firn_reader *r, struct firn_fetch *f,
                     struct firn_event *ev, struct firn_error *err)
{
	f->reader = r;
	int rc = firn_engine_call(engine_handle(e), &f->req, ev, err);
	if (rc) {
		firn_release(ev->result);
		ev->result = NULL;
	}
	return rc;
}

int firn_stream_read(struct firn_volume *volume, uint64_t stream, uint64_t offset,
                     uint32_t max_bytes, uint32_t max_wait_ms, const struct firn_fetched **out,
                     struct firn_error *err)
{
	if (out)
		*out = NULL;
	if (!volume || !out)
		return fail(err, FIRN_EINVAL, 0, "read", "volume and out must be set");
	if (!volume_of(volume))
		return fail(err, FIRN_ESHUTDOWN, 0, "read", "the volume is detached");
	struct engine *e = volume->engine;
	struct firn_reader_opts opts = { .struct_size = sizeof opts };
	struct firn_reader *r;
	int rc = firn_reader_open(engine_handle(e), &opts, &r, err);
	if (rc)
		return rc;
	r->ahead_max = 0;
	struct firn_item item = { .volume = volume, .stream = stream, .offset = offset };
	struct firn_fetch f = FIRN_FETCH_INIT;
	struct firn_event ev = { 0 };
	f.max_bytes = max_bytes;
	f.max_wait_ms = max_wait_ms;
	f.req.timeout_ms = max_wait_ms < FIRN_FOREVER - STORE_MS ? max_wait_ms + STORE_MS
	                                                         : FIRN_FOREVER;
	rc = firn_reader_set(r, &item, sizeof item, 1);
	if (rc)
		fail(err, rc, 0, "read", "the reader refused stream %" PRIu64, stream);
	else
		rc = read_once(e, r, &f, &ev, err);
	if (rc == 0)
		rc = read_answer(ev.result, stream, offset, out, err);
	firn_reader_close(r);
	return rc;
}
