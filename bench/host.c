#include "bench/host.h"
#include <string.h>
#include <sys/stat.h>

int host_fail(const char *what, int code, const struct firn_error *err)
{
	(void)fprintf(stderr, "firn-bench: %s: %s: %s\n", what, firn_code_name(code),
	              err ? err->text : "");
	return code;
}

void host_size(struct host *h, uint64_t bytes, size_t record)
{
	/* A record's descriptors and padding, then twice, so that it stays below half. */
	uint64_t need = bytes / record * (record + 256);
	h->wal_bytes = need * 2 + (64 << 20);
}

int host_make(struct host *h, const struct bench *b, const char *name)
{
	int rc = scratch_make(b->dir, name, h->dir, sizeof h->dir);
	h->foreign = b->store != NULL;
	(void)snprintf(h->store, sizeof h->store, "file://%s/store", h->dir);
	if (rc >= 0 && h->foreign)
		rc = store_place(b, name, h->store, sizeof h->store);
	return rc;
}

int host_start(struct host *h)
{
	char dir[4160];
	struct firn_error err = FIRN_ERROR_INIT;
	(void)snprintf(dir, sizeof dir, "%s/engine", h->dir);
	/* Files are there and zeroed, as after the WAL's first lap: what is measured is appending. */
	static const char *const options[] = { "wal_preallocate=true", NULL };
	struct firn_engine_opts o = { .struct_size = sizeof o, .dir = dir };
	o.options = options;
	o.wal_bytes = h->wal_bytes;
	o.memory_bytes = h->memory_bytes;
	int rc = firn_engine_open(&o, &h->engine, &err);
	return rc ? host_fail("open", rc, &err) : 0;
}

static int attach_one(struct host *h, unsigned i)
{
	char name[32];
	struct firn_event ev = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_attach a = FIRN_ATTACH_INIT;
	(void)snprintf(name, sizeof name, "bench-%02u", i);
	a.store = h->store;
	a.name = name;
	a.attach_flags = FIRN_ATTACH_CREATE;
	if (!h->uploads) {
		a.segment_bytes = UINT64_C(1) << 30;
		a.upload_interval_ms = 3600 * 1000;
	}
	int rc = firn_engine_call(h->engine, &a.req, &ev, &err);
	if (rc)
		(void)host_fail("attach", rc, &err);
	else
		h->volume[i] = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
	return rc;
}

int host_attach(struct host *h)
{
	char name[32];
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < h->n_volume; i++)
		rc = attach_one(h, i);
	for (unsigned i = 0; rc == 0 && i < h->n_stream; i++) {
		struct firn_error err = FIRN_ERROR_INIT;
		(void)snprintf(name, sizeof name, "stream-%04u", i);
		rc = firn_stream_open(h->volume[i % h->n_volume], name, &h->stream[i], &err);
		if (rc)
			(void)host_fail("stream", rc, &err);
	}
	return rc;
}

int host_open(struct host *h)
{
	int rc = host_start(h);
	return rc ? rc : host_attach(h);
}

static int detach_one(struct host *h, unsigned i, uint32_t mode)
{
	struct firn_detach d = FIRN_DETACH_INIT;
	d.volume = h->volume[i];
	d.mode = mode;
	h->volume[i] = NULL;
	return host_call(h->engine, &d.req, "detach");
}

int host_close(struct host *h, uint32_t detach_mode)
{
	int rc = 0;
	for (unsigned i = 0; i < h->n_volume; i++)
		if (h->volume[i]) {
			int one = detach_one(h, i, detach_mode);
			rc = rc ? rc : one;
		}
	int last = h->engine ? firn_engine_close(h->engine) : 0;
	h->engine = NULL;
	if (last)
		(void)host_fail("close", last, NULL);
	return rc ? rc : last;
}

void host_remove(struct host *h)
{
	if (h->engine)
		(void)host_close(h, FIRN_DETACH_ABORT);
	if (h->foreign)
		store_clear(h->store);
	scratch_remove(h->dir);
}

int host_call(struct firn_engine *engine, struct firn_req *req, const char *what)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev = { 0 };
	req->timeout_ms = FIRN_FOREVER;
	int rc = firn_engine_call(engine, req, &ev, &err);
	firn_release(ev.result);
	return rc ? host_fail(what, rc, &err) : 0;
}

int host_write(struct firn_engine *engine, struct firn_volume *volume, const struct firn_op *op,
               uint32_t n)
{
	struct firn_write w = FIRN_WRITE_INIT;
	w.volume = volume;
	w.op = op;
	w.n_op = n;
	return host_call(engine, &w.req, "write");
}

int host_flush(struct firn_engine *engine, struct firn_volume *volume)
{
	struct firn_flush f = FIRN_FLUSH_INIT;
	f.volume = volume;
	f.mark = FIRN_MARK_STORED;
	return host_call(engine, &f.req, "flush");
}

struct firn_op host_append_op(uint64_t stream, struct iovec *iov)
{
	struct firn_op op = { .kind = FIRN_OP_APPEND, .stream = stream };
	op.u.append.iov = iov;
	op.u.append.n_iov = 1;
	return op;
}

uint64_t host_metric(struct host *h, const char *name, const char *label)
{
	const struct firn_metrics *m;
	uint64_t value = 0;
	if (firn_engine_metrics(h->engine, &m))
		return 0;
	for (uint32_t i = 0; i < m->n; i++)
		if (strcmp(m->metric[i].name, name) == 0 && strstr(m->metric[i].labels, label))
			value += m->metric[i].value;
	firn_release(m);
	return value;
}
