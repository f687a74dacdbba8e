/* Many appends in flight: one thread keeps a window full and reaps what is durable. */
#include "bench/host.h"
#include <stdlib.h>
#include <string.h>

#define NOISE ((size_t)1 << 20)
enum { BURST = 256 };

struct flood {
	struct host *h;
	struct firn_cq *cq;
	size_t record;
	uint64_t sent, limit; /* records */
	unsigned depth, n_free;
	int full; /* refused: wait for FIRN_EV_WRITABLE */
	uint8_t *noise;
	uint32_t *free_slot;
	uint64_t *sent_at; /* by slot */
	struct sample *out;
};

static unsigned depth_for(size_t record)
{
	size_t n = ((size_t)16 << 20) / record;
	return n > 8192 ? 8192 : n < 256 ? 256 : (unsigned)n;
}

static int flood_init(struct flood *f)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_cq_opts o = { sizeof o, f->depth };
	f->noise = scratch_noise(NOISE + f->record);
	f->free_slot = calloc(f->depth, sizeof *f->free_slot);
	f->sent_at = calloc(f->depth, sizeof *f->sent_at);
	if (!f->noise || !f->free_slot || !f->sent_at)
		return bench_fail("flood");
	for (f->n_free = 0; f->n_free < f->depth; f->n_free++)
		f->free_slot[f->n_free] = f->n_free;
	int rc = firn_cq_open(f->h->engine, &o, &f->cq, &err);
	return rc ? host_fail("queue", rc, &err) : 0;
}

static void flood_fini(struct flood *f)
{
	if (f->cq)
		(void)firn_cq_close(f->cq);
	free(f->sent_at);
	free(f->free_slot);
	free(f->noise);
}

/* At most a burst, so that what is durable is not left waiting while we submit. */
static int fill(struct flood *f)
{
	uint64_t now = now_ns();
	f->full = 0;
	for (int i = 0; i < BURST && f->n_free && (!f->limit || f->sent < f->limit); i++) {
		unsigned s = (unsigned)(f->sent % f->h->n_stream);
		uint32_t slot = f->free_slot[f->n_free - 1];
		const uint8_t *data = f->noise + f->sent * 4096 % NOISE;
		int rc = firn_stream_append_async(f->h->volume[s % f->h->n_volume], f->h->stream[s],
		                                  data, f->record, 1, 0, f->cq, slot);
		if (rc == FIRN_EFULL || rc == FIRN_EAGAIN) {
			f->full = 1;
			return 0;
		}
		if (rc)
			return host_fail("append", rc, NULL);
		f->sent_at[slot] = now;
		f->n_free--;
		f->sent++;
	}
	return 0;
}

static int reap(struct flood *f, uint32_t timeout_ms)
{
	struct firn_event ev[BURST];
	int n = firn_cq_reap(f->cq, ev, sizeof ev[0], BURST, timeout_ms);
	uint64_t now = now_ns();
	for (int i = 0; i < n; i++) {
		firn_release(ev[i].result);
		if (ev[i].kind != FIRN_REQ_WRITE)
			continue;
		if (ev[i].code)
			return host_fail("append", ev[i].code, NULL);
		uint32_t slot = (uint32_t)ev[i].user_data;
		hist_add(&f->out->latency, now - f->sent_at[slot]);
		f->free_slot[f->n_free++] = slot;
		f->out->records++;
	}
	return n < 0 ? host_fail("reap", n, NULL) : 0;
}

static int flood_run(struct flood *f, double seconds)
{
	int rc = 0;
	double cpu = cpu_seconds();
	uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9);
	int more = 1;
	while (rc == 0 && (more || f->n_free < f->depth)) {
		if (more)
			rc = fill(f);
		more = (!f->limit || f->sent < f->limit) && (seconds <= 0 || now_ns() < end);
		if (rc == 0)
			rc = reap(f, !more || f->full || !f->n_free ? 100 : 0);
	}
	f->out->seconds = (double)(now_ns() - begin) / 1e9;
	f->out->cpu_s = cpu_seconds() - cpu;
	f->out->bytes = f->out->records * f->record;
	return rc;
}

int host_flood(struct host *h, size_t record, double seconds, uint64_t bytes, struct sample *out)
{
	struct flood f = { .h = h, .record = record, .out = out };
	f.limit = bytes / record;
	f.depth = depth_for(record);
	int rc = flood_init(&f);
	if (rc == 0)
		rc = flood_run(&f, seconds);
	flood_fini(&f);
	return rc;
}
