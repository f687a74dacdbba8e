#include "tests/integration/read_bed.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bed_make(struct bed *b)
{
	memset(b, 0, sizeof *b);
	site_make(&b->site);
	b->opts.struct_size = sizeof b->opts;
	b->opts.dir = b->site.dir;
	b->opts.wal_bytes = 64 << 20;
	b->opts.memory_bytes = 64 << 20;
}

void bed_open(struct bed *b)
{
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert_eq(firn_engine_open(&b->opts, &b->engine, &err), 0, "%s", err.text);
	cr_assert_eq(firn_volume_open(b->engine, b->site.uri, "v", &b->volume, &err), 0, "%s",
	             err.text);
	cr_assert_eq(firn_cq_open(b->engine, NULL, &b->cq, &err), 0, "%s", err.text);
}

void bed_close(struct bed *b, uint32_t mode)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_detach d = FIRN_DETACH_INIT;
	struct firn_event ev = { 0 };
	d.volume = b->volume;
	d.mode = mode;
	d.req.timeout_ms = FIRN_FOREVER;
	if (b->volume)
		cr_assert_eq(firn_engine_call(b->engine, &d.req, &ev, &err), 0, "%s", err.text);
	cr_assert_eq(firn_cq_close(b->cq), 0);
	cr_assert_eq(firn_engine_close(b->engine), 0);
	b->volume = NULL;
	b->engine = NULL;
	b->cq = NULL;
}

void bed_remove(struct bed *b)
{
	site_remove(&b->site);
}

static void write_op(struct bed *b, const struct firn_op *op, struct firn_event *ev)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_write w = FIRN_WRITE_INIT;
	w.volume = b->volume;
	w.op = op;
	w.n_op = 1;
	w.req.timeout_ms = FIRN_FOREVER;
	cr_assert_eq(firn_engine_call(b->engine, &w.req, ev, &err), 0, "%s", err.text);
}

uint64_t bed_stream_held(struct bed *b, const char *name, uint32_t flags)
{
	struct firn_event ev;
	struct firn_stream_config c = { .struct_size = sizeof c, .flags = flags };
	struct firn_op op = { .kind = FIRN_OP_CREATE };
	op.u.stream.name = name;
	op.u.stream.name_len = (uint32_t)strlen(name);
	op.u.stream.config = &c;
	write_op(b, &op, &ev);
	return ev.stream;
}

uint64_t bed_stream(struct bed *b, const char *name)
{
	return bed_stream_held(b, name, 0);
}

uint64_t bed_append(struct bed *b, uint64_t stream, const void *data, size_t len, uint32_t n,
                    int64_t ms)
{
	struct firn_error err = FIRN_ERROR_INIT;
	uint64_t base = 0;
	cr_assert_eq(firn_stream_append(b->volume, stream, data, len, n, ms, &base, &err), 0, "%s",
	             err.text);
	return base;
}

uint64_t bed_append_at(struct bed *b, uint64_t stream, uint64_t at, const char *text)
{
	struct firn_event ev;
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };
	struct firn_op op = { .kind = FIRN_OP_APPEND, .flags = FIRN_APPEND_AT, .stream = stream };
	op.u.append.iov = &iov;
	op.u.append.n_iov = 1;
	op.u.append.expect = at;
	write_op(b, &op, &ev);
	return ev.offset;
}

void bed_trim(struct bed *b, uint64_t stream, uint64_t from)
{
	struct firn_event ev;
	struct firn_op op = { .kind = FIRN_OP_TRIM, .stream = stream };
	op.u.range.from = from;
	write_op(b, &op, &ev);
}

void bed_delete(struct bed *b, uint64_t stream)
{
	struct firn_event ev;
	struct firn_op op = { .kind = FIRN_OP_DELETE, .stream = stream };
	write_op(b, &op, &ev);
}

void bed_store(struct bed *b)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_flush f = FIRN_FLUSH_INIT;
	struct firn_event ev;
	f.volume = b->volume;
	f.mark = FIRN_MARK_STORED;
	f.req.timeout_ms = FIRN_FOREVER;
	cr_assert_eq(firn_engine_call(b->engine, &f.req, &ev, &err), 0, "%s", err.text);
}

struct firn_reader *bed_reader(struct bed *b, uint64_t pin_max)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_reader_opts o = { .struct_size = sizeof o, .pin_max_bytes = pin_max };
	struct firn_reader *r;
	cr_assert_eq(firn_reader_open(b->engine, &o, &r, &err), 0, "%s", err.text);
	return r;
}

int bed_set(struct bed *b, struct firn_reader *r, uint32_t slot, uint64_t stream, uint64_t offset,
            uint16_t up_to)
{
	struct firn_item it = { .slot = slot,
		                .volume = b->volume,
		                .stream = stream,
		                .offset = offset,
		                .up_to = up_to };
	return firn_reader_set(r, &it, sizeof it, 1);
}

struct firn_fetch bed_fetch_of(struct firn_reader *r, uint16_t flags, uint32_t wait_ms)
{
	struct firn_fetch f = FIRN_FETCH_INIT;
	f.reader = r;
	f.req.flags = flags;
	f.max_wait_ms = wait_ms;
	return f;
}

const struct firn_fetched *bed_fetch(struct bed *b, struct firn_fetch *f, int *code)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev = { 0 };
	int rc = firn_engine_call(b->engine, &f->req, &ev, &err);
	if (code)
		*code = rc;
	else
		cr_assert_eq(rc, 0, "%s: %s", firn_code_name(rc), err.text);
	if (rc) {
		firn_release(ev.result);
		return NULL;
	}
	return ev.result;
}

void bed_submit(struct bed *b, struct firn_fetch *f, uint64_t user_data)
{
	struct firn_error err = FIRN_ERROR_INIT;
	const struct firn_req *req = &f->req;
	f->req.cq = b->cq;
	f->req.user_data = user_data;
	cr_assert_eq(firn_engine_submit(b->engine, &req, 1, &err), 1, "%s", err.text);
}

int bed_event(struct bed *b, struct firn_event *ev, uint32_t wait_ms)
{
	return firn_cq_reap(b->cq, ev, sizeof *ev, 1, wait_ms);
}

int bed_lookup(struct bed *b, uint64_t stream, uint32_t by, int64_t value, struct firn_event *ev)
{
	struct firn_lookup l = FIRN_LOOKUP_INIT;
	struct firn_error err = FIRN_ERROR_INIT;
	l.volume = b->volume;
	l.stream = stream;
	l.by = by;
	l.value = value;
	l.req.timeout_ms = FIRN_FOREVER;
	int rc = firn_engine_call(b->engine, &l.req, ev, &err);
	firn_release(ev->result);
	ev->result = NULL;
	return rc;
}

const struct firn_batch *bed_batch(const struct firn_part *p, uint32_t i)
{
	return (const struct firn_batch *)(const void *)((const uint8_t *)p->batch +
	                                                 (size_t)i * p->batch_size);
}
