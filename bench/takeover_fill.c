/* The two processes of a takeover: who leaves something, and who takes it over. */
#include "bench/host.h"
#include "bench/takeover.h"
#include "engine/os/env.h"
#include "engine/store/meter.h"
#include "engine/store/store.h"
#include <stdlib.h>
#include <string.h>

enum { BATCH = 500, RECORD = 100, LARGE = 64 << 10, SIDE = 16, N_LARGE = 64 };
enum { TAIL_WRITES = 10, TAIL_EACH = 100 };

struct side {
	struct firn_engine *engine;
	struct firn_volume *volume;
	uint8_t *
	        noise; /* N_LARGE records, so that neighbours differ: they are not to be compressed away */
	unsigned turn;
};

static int open_engine(struct side *s, const char *dir, const struct takeover *t,
                       const struct takeover_place *p)
{
	struct firn_error err = FIRN_ERROR_INIT;
	const char *options[] = { t->kind == TAKE_SLOTS ? p->wal : NULL, NULL };
	struct firn_engine_opts o = { .struct_size = sizeof o, .dir = dir, .options = options };
	int rc = firn_engine_open(&o, &s->engine, &err);
	return rc ? host_fail("open", rc, &err) : 0;
}

static int attach(struct side *s, const struct takeover_place *p)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev = { 0 };
	struct firn_attach a = FIRN_ATTACH_INIT;
	a.req.timeout_ms = FIRN_FOREVER;
	a.store = p->store;
	a.name = "bench";
	a.attach_flags = FIRN_ATTACH_CREATE;
	a.upload_interval_ms = 3600 * 1000;
	int rc = firn_engine_call(s->engine, &a.req, &ev, &err);
	if (!rc)
		s->volume = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
	return rc ? host_fail("attach", rc, &err) : 0;
}

/* ---- who leaves something ---- */

static const char *stream_name(unsigned i, char name[16])
{
	(void)snprintf(name, 16, "s%06u", i);
	return name;
}

/* Streams [from, from + n), one record in each, in one write. */
static int make_streams(struct side *s, unsigned from, unsigned n)
{
	static struct firn_op op[2 * BATCH];
	static char name[BATCH][16];
	struct iovec iov = { s->noise, RECORD };
	for (unsigned i = 0; i < n; i++) {
		op[2 * i] = (struct firn_op){ .kind = FIRN_OP_CREATE };
		op[2 * i].u.stream.name = stream_name(from + i, name[i]);
		op[2 * i].u.stream.name_len = (uint32_t)strlen(name[i]);
		op[2 * i + 1] = host_append_op(FIRN_STREAM_NEW, &iov);
	}
	return host_write(s->engine, s->volume, op, 2 * n);
}

static int append_each(struct side *s, unsigned n_stream, unsigned n, size_t len)
{
	struct firn_op op[TAIL_EACH];
	struct iovec iov[TAIL_EACH];
	char name[16];
	for (unsigned i = 0; i < n; i++) {
		iov[i] = (struct iovec){ s->noise + (size_t)(s->turn++ % N_LARGE) * LARGE, len };
		uint64_t id;
		int rc = firn_stream_find(s->volume, stream_name(i % n_stream, name), 7, &id);
		if (rc)
			return host_fail("find", rc, NULL);
		op[i] = host_append_op(id, &iov[i]);
	}
	return host_write(s->engine, s->volume, op, n);
}

/* A record more in each stream, which becomes an extent of its own. */
static int append_all(struct side *s, unsigned n_stream)
{
	static struct firn_op op[BATCH];
	struct iovec iov = { s->noise, RECORD };
	char name[16];
	int rc = 0;
	for (unsigned i = 0, n = 0; !rc && i < n_stream; i++) {
		uint64_t id;
		rc = firn_stream_find(s->volume, stream_name(i, name), 7, &id);
		if (rc)
			return host_fail("find", rc, NULL);
		op[n++] = host_append_op(id, &iov);
		if (n == BATCH || i + 1 == n_stream) {
			rc = host_write(s->engine, s->volume, op, n);
			n = 0;
		}
	}
	return rc ? rc : host_flush(s->engine, s->volume);
}

static int fill(struct side *s, const struct takeover *t)
{
	int rc = 0;
	for (unsigned i = 0; !rc && i < t->n_stream; i += BATCH)
		rc = make_streams(s, i, t->n_stream - i < BATCH ? t->n_stream - i : BATCH);
	for (unsigned i = 0; !rc && i < t->mib; i++)
		rc = append_each(s, t->n_stream, SIDE, LARGE);
	for (unsigned i = 0; !rc && i < t->rounds; i++)
		rc = append_all(s, t->n_stream);
	rc = rc ? rc : host_flush(s->engine, s->volume);
	for (unsigned i = 0; !rc && i < TAIL_WRITES; i++)
		rc = append_each(s, t->n_stream, TAIL_EACH, RECORD);
	return rc;
}

int takeover_fill(const struct takeover *t, const struct takeover_place *p)
{
	struct side s = { .noise = scratch_noise((size_t)N_LARGE * LARGE) };
	int rc = s.noise ? open_engine(&s, p->fill, t, p) : bench_fail("memory");
	rc = rc ? rc : attach(&s, p);
	rc = rc ? rc : fill(&s, t);
	if (rc || t->kind != TAKE_CLEAN)
		return rc; /* the process ends, and that is all */
	struct firn_detach d = FIRN_DETACH_INIT;
	d.volume = s.volume;
	rc = host_call(s.engine, &d.req, "detach");
	return rc ? rc : firn_engine_close(s.engine);
}

/* ---- who takes it over ---- */

static double since(uint64_t begin)
{
	return (double)(now_ns() - begin) / 1e6;
}

/* The oldest record of the last stream, which is stored, and the newest of the first, which need not be. */
static int read_both(struct side *s, const struct takeover *t, uint64_t newest)
{
	struct firn_error err = FIRN_ERROR_INIT;
	const struct firn_fetched *got;
	const unsigned which[] = { t->n_stream - 1, 0 };
	const uint64_t offset[] = { 0, newest };
	char name[16];
	for (unsigned i = 0; i < 2; i++) {
		uint64_t id;
		int rc = firn_stream_find(s->volume, stream_name(which[i], name), 7, &id);
		rc = rc ? rc : firn_stream_read(s->volume, id, offset[i], 1, 30000, &got, &err);
		if (rc)
			return host_fail("read", rc, &err);
		uint32_t n = got->n_part ? got->part->n_batch : 0;
		firn_release(got);
		if (!n)
			return host_fail("read", FIRN_ENOENT, NULL);
	}
	return 0;
}

static int append_one(struct side *s, uint64_t *offset)
{
	struct firn_error err = FIRN_ERROR_INIT;
	char name[16];
	uint64_t id;
	int rc = firn_stream_find(s->volume, stream_name(0, name), 7, &id);
	rc = rc ? rc : firn_stream_append(s->volume, id, s->noise, RECORD, 1, 0, offset, &err);
	return rc ? host_fail("append", rc, &err) : 0;
}

/* What trying the conditions of a store takes, for each of its stores. */
static int count_probe(const struct takeover *t, const struct takeover_place *p, struct meter *out)
{
	struct firn_error err = FIRN_ERROR_INIT;
	const char *uri[] = { p->store, p->wal + strlen("wal=store:") };
	int rc = 0;
	for (int i = 0; !rc && i < (t->kind == TAKE_SLOTS ? 2 : 1); i++) {
		struct meter one;
		struct store *s;
		rc = store_open(env_default(), uri[i], &s, &err);
		if (rc)
			break;
		rc = store_probe(s, &err);
		store_meter(s, &one);
		meter_add(out, &one);
		store_close(s);
	}
	return rc ? host_fail("probe", rc, &err) : 0;
}

static double n_done(const struct meter *m, int op)
{
	const struct meter_op *o = &m->op[op];
	return (double)(o->n_done + o->n_refused + o->n_retry + o->n_throttled + o->n_ambiguous);
}

static void count(struct side *s, const struct meter *probe, struct taken *out)
{
	struct host h = { .engine = s->engine };
	out->n_get = (double)host_metric(&h, "firn_store_requests", "\"get\"");
	out->n_put = (double)host_metric(&h, "firn_store_requests", "\"put\"");
	out->n_other = (double)host_metric(&h, "firn_store_requests", "") - out->n_get - out->n_put;
	out->got_kib = (double)host_metric(&h, "firn_store_bytes", "\"get\"") / 1024;
	out->put_kib = (double)host_metric(&h, "firn_store_bytes", "\"put\"") / 1024;
	out->n_get -= n_done(probe, FIRN_STORE_GET);
	out->n_put -= n_done(probe, FIRN_STORE_PUT);
	for (int op = FIRN_STORE_STAT; op <= FIRN_STORE_DELETE; op++)
		out->n_other -= n_done(probe, op);
	out->got_kib -= (double)probe->op[FIRN_STORE_GET].bytes_in / 1024;
	out->put_kib -= (double)probe->op[FIRN_STORE_PUT].bytes_out / 1024;
}

static int take_bare(const struct takeover_place *p, struct taken *out)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct store *s;
	uint8_t kib[1024] = { 0 };
	struct iovec iov = { kib, sizeof kib };
	size_t got = 0;
	int rc = store_open(env_default(), p->store, &s, &err);
	if (rc)
		return host_fail("store", rc, &err);
	rc = store_put(s, "bare-0", &iov, 1, STORE_ALWAYS, NULL, NULL, &err);
	uint64_t begin = now_ns();
	rc = rc ? rc : store_get(s, "bare-0", 0, kib, sizeof kib, &got, &err);
	rc = rc ? rc : store_put(s, "bare-1", &iov, 1, STORE_ALWAYS, NULL, NULL, &err);
	out->attach_ms = since(begin);
	rc = rc ? rc : store_put(s, "bare-2", &iov, 1, STORE_ALWAYS, NULL, NULL, &err);
	out->ack_ms = out->read_ms = since(begin);
	store_close(s);
	return rc ? host_fail("bare", rc, &err) : 0;
}

/* From the engine's log: when it became the writer. Its clock is the wall's. */
static double cas_after(struct firn_cq *cq, int64_t began_ms)
{
	struct firn_event ev;
	double ms = 0;
	while (firn_cq_reap(cq, &ev, sizeof ev, 1, 0) == 1) {
		const struct firn_log *l = ev.result;
		if (ev.kind == FIRN_EV_LOG && !strncmp(l->text, "writer number", 13))
			ms = (double)(l->at_ms - began_ms);
		firn_release(ev.result);
	}
	return ms;
}

int takeover_take(const struct takeover *t, const struct takeover_place *p, struct taken *out)
{
	struct side s = { .noise = scratch_noise(4096) };
	struct meter probe = { 0 };
	struct firn_cq *cq = NULL;
	uint64_t newest = 0;
	if (t->kind == TAKE_BARE)
		return take_bare(p, out);
	if (count_probe(t, p, &probe))
		return -1;
	uint64_t begin = now_ns();
	int rc = open_engine(&s, t->kind == TAKE_KILLED ? p->fill : p->take, t, p);
	out->open_ms = since(begin);
	rc = rc ? rc : firn_cq_open(s.engine, NULL, &cq, NULL);
	rc = rc ? rc : firn_engine_notices(s.engine, cq, 1u << (FIRN_EV_LOG - 64), 0);
	begin = now_ns();
	int64_t began_ms = env_default()->now_ms(env_default()->ctx);
	rc = rc ? rc : attach(&s, p);
	out->attach_ms = since(begin);
	if (!rc)
		out->cas_ms = cas_after(cq, began_ms);
	rc = rc ? rc : append_one(&s, &newest);
	out->ack_ms = since(begin);
	rc = rc ? rc : read_both(&s, t, newest - (newest > 0));
	out->read_ms = since(begin);
	if (!rc)
		count(&s, &probe, out);
	return rc; /* the process ends */
}
