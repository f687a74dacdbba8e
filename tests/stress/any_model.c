#include "tests/stress/any_model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char any_story[2000];

void must(bool holds, const char *what, const char *file, int line, const struct firn_error *err)
{
	if (holds)
		return;
	fprintf(stderr, "%s:%d: %s\n%s%s%s%s\n", file, line, what,
	        err ? firn_code_name(err->code) : "", err ? ": " : "", err ? err->text : "",
	        any_story);
	abort();
}

uint64_t draw(struct chance *c)
{
	uint64_t z = (c->x += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t below(struct chance *c, uint64_t n)
{
	return draw(c) % n;
}

uint64_t between(struct chance *c, uint64_t a, uint64_t b)
{
	uint64_t most = b - a + 1, bits = 1;
	while (bits < 63 && UINT64_C(1) << bits < most)
		bits++;
	uint64_t top = UINT64_C(1) << below(c, bits + 1);
	return a + below(c, top < most ? top : most);
}

bool one_in(struct chance *c, uint32_t n)
{
	return below(c, n) == 0;
}

/* Half of them compress well. */
static void fill(uint8_t *p, uint32_t len, uint64_t seed)
{
	struct chance c = { seed };
	for (uint32_t i = 0; i < len; i += 8) {
		uint64_t x = seed & 1 ? draw(&c) : seed;
		memcpy(p + i, &x, len - i < 8 ? len - i : 8);
	}
}

static bool same(const void *data, uint32_t len, uint64_t seed)
{
	struct chance c = { seed };
	for (uint32_t i = 0; i < len; i += 8) {
		uint64_t x = seed & 1 ? draw(&c) : seed;
		if (memcmp((const uint8_t *)data + i, &x, len - i < 8 ? len - i : 8))
			return false;
	}
	return true;
}

void guest_init(struct guest *g, uint32_t no, uint64_t seed)
{
	*g = (struct guest){ .no = no, .chance.x = seed, .buf = malloc(BUF) };
	MUST(g->buf);
}

void guest_fini(struct guest *g)
{
	for (uint32_t i = 0; i < sizeof g->room / sizeof g->room[0]; i++)
		free(g->room[i].said);
	free(g->buf);
}

/* ---- writing ---- */

static int write_ops(struct guest *g, struct firn_op *op, uint32_t n, struct firn_event *ev,
                     struct firn_error *err)
{
	struct firn_write w = FIRN_WRITE_INIT;
	w.volume = g->volume;
	w.op = op;
	w.n_op = n;
	w.ack = one_in(&g->chance, 40) ? FIRN_ACK_STORED : FIRN_ACK_DURABLE;
	return firn_engine_call(g->engine, &w.req, ev, err);
}

static void wrote(struct guest *g, struct firn_op *op, uint32_t n)
{
	struct firn_event ev = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	WELL(write_ops(g, op, n, &ev, &err), &err);
	firn_release(ev.result);
}

static void remember(struct room *r, uint64_t offset, uint32_t n_offsets, uint32_t len,
                     uint64_t seed)
{
	if (r->n == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 64;
		r->said = realloc(r->said, r->cap * sizeof *r->said);
		MUST(r->said);
	}
	r->said[r->n++] = (struct said){ offset, seed, n_offsets, len };
	r->end = offset + n_offsets;
}

static uint32_t length(struct guest *g)
{
	return (uint32_t)(one_in(&g->chance, 60)  ? between(&g->chance, 0, BUF)
	                  : one_in(&g->chance, 8) ? between(&g->chance, 0, 100000)
	                                          : below(&g->chance, 3000));
}

/* What is too big is told how much would fit; a little less than that does. */
static void append(struct guest *g, struct room *r)
{
	uint64_t seed = draw(&g->chance);
	uint32_t n_offsets = (uint32_t)between(&g->chance, 1, 100), len = length(g);
	uint64_t skip = one_in(&g->chance, 20) ? between(&g->chance, 0, 1000) : 0;
	struct iovec iov[2];
	struct firn_event ev = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_op op = { .kind = FIRN_OP_APPEND,
		              .flags = skip ? FIRN_APPEND_AT : FIRN_APPEND_EXPECT,
		              .stream = r->id };
	for (int again = 0;; again++) {
		uint32_t cut = (uint32_t)below(&g->chance, len + UINT64_C(1));
		fill(g->buf, len, seed);
		iov[0] = (struct iovec){ g->buf, cut };
		iov[1] = (struct iovec){ g->buf + cut, len - cut };
		op.u.append = (struct firn_op_append){ .iov = iov,
			                               .n_iov = 2,
			                               .n_offsets = n_offsets,
			                               .expect = r->end + skip,
			                               .attr = "attr",
			                               .attr_len = seed & 4 };
		int rc = write_ops(g, &op, 1, &ev, &err);
		firn_release(ev.result);
		if (rc != FIRN_ETOOBIG) {
			WELL(rc, &err);
			break;
		}
		MUST(!again && ev.offset > 4096 && ev.offset < len + UINT64_C(4096));
		len = (uint32_t)ev.offset - 4096;
	}
	MUST(ev.offset == r->end + skip && ev.end == ev.offset + n_offsets);
	remember(r, ev.offset, n_offsets, len, seed);
}

static void trim(struct guest *g, struct room *r)
{
	struct firn_op op = { .kind = FIRN_OP_TRIM, .stream = r->id };
	uint64_t to = r->start + below(&g->chance, r->end - r->start + 1);
	if (!one_in(&g->chance, 4) && to - r->start > (r->end - r->start) / 2)
		return;
	op.u.range.from = to;
	wrote(g, &op, 1);
	r->start = to;
}

static void several(struct guest *g, struct room *r)
{
	enum { MOST = 40 };
	struct firn_op op[MOST] = { 0 };
	struct iovec iov[MOST];
	uint64_t seed[MOST];
	uint32_t n = (uint32_t)between(&g->chance, 1, MOST), at = 0;
	struct firn_event ev = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t len = (uint32_t)between(&g->chance, 0, 2000);
		seed[i] = draw(&g->chance);
		fill(g->buf + at, len, seed[i]);
		iov[i] = (struct iovec){ g->buf + at, len };
		at += len;
		op[i].kind = FIRN_OP_APPEND;
		op[i].stream = r->id;
		op[i].u.append.iov = &iov[i];
		op[i].u.append.n_iov = 1;
	}
	WELL(write_ops(g, op, n, &ev, &err), &err);
	const struct firn_written *w = ev.result;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t offset = r->end;
		MUST(n == 1 ? ev.offset == offset : w->op[i].offset == offset);
		remember(r, offset, 1, (uint32_t)iov[i].iov_len, seed[i]);
	}
	firn_release(ev.result);
}

static void pair(struct guest *g, struct room *r)
{
	uint32_t i = (uint32_t)below(&g->chance, PAIRS);
	struct firn_op op = { .kind = FIRN_OP_KV_PUT, .stream = r->id };
	uint64_t seed = draw(&g->chance);
	uint32_t len = (uint32_t)between(&g->chance, 0, 65536);
	bool gone = one_in(&g->chance, 3);
	char key[4] = { 'k', (char)i, 0, (char)0xff };
	fill(g->buf, len, seed);
	op.u.kv.key = key;
	op.u.kv.key_len = sizeof key;
	if (gone)
		op.kind = FIRN_OP_KV_DELETE;
	else
		op.u.kv.value = g->buf, op.u.kv.value_len = len;
	wrote(g, &op, 1);
	r->pair[i].is = !gone;
	r->pair[i].seed = seed;
	r->pair[i].len = len;
}

static void make(struct guest *g, struct room *r)
{
	struct firn_stream_config c = { .struct_size = sizeof c };
	struct firn_op op = { .kind = FIRN_OP_CREATE };
	struct firn_event ev = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	struct chance *x = &g->chance;
	r->retains = one_in(x, 4);
	r->held = one_in(x, 6);
	c.flags = r->held ? FIRN_HOLD_VISIBLE : 0;
	c.retention_bytes = r->retains && one_in(x, 2) ? between(x, 1, 1 << 20) : 0;
	c.retention_ms = r->retains && !c.retention_bytes ? between(x, 1, 5000) : 0;
	c.producer_window = (uint32_t)below(x, 17);
	c.producer_seq_bits = (uint32_t)below(x, 65);
	c.producer_expire_ms = between(x, 0, INT64_MAX);
	c.key_window_ms = between(x, 0, UINT64_MAX - 1);
	c.key_window_n = (uint32_t)between(x, 0, UINT32_MAX);
	c.compression = (uint16_t)below(x, 3);
	c.cls = (uint16_t)below(x, 5);
	c.account = draw(x);
	r->start = r->end = one_in(x, 3) ? between(x, 0, UINT64_C(1) << 35) : 0;
	r->n = 0;
	memset(r->pair, 0, sizeof r->pair);
	(void)snprintf(r->name, sizeof r->name, "g%u-%u-%u", g->no, (unsigned)(r - g->room),
	               r->n_made++);
	op.u.stream.name = r->name;
	op.u.stream.name_len = (uint32_t)strlen(r->name);
	op.u.stream.config = one_in(x, 4) && !r->held && !r->retains ? NULL : &c;
	op.u.stream.at = r->start;
	WELL(write_ops(g, &op, 1, &ev, &err), &err);
	firn_release(ev.result);
	r->id = ev.stream;
}

static void make_anew(struct guest *g, struct room *r)
{
	struct firn_op op = { .kind = FIRN_OP_DELETE, .stream = r->id };
	uint64_t id;
	wrote(g, &op, 1);
	MUST(firn_stream_find(g->volume, r->name, strlen(r->name), &id) == FIRN_ENOENT);
	make(g, r);
}

/* ---- reading ---- */

static uint64_t mark(struct guest *g, const struct room *r, uint32_t which)
{
	uint64_t at = 0;
	MUST(!firn_stream_mark(g->volume, r->id, which, &at));
	return at;
}

static void show(struct guest *g, const struct room *r)
{
	if (r->held)
		MUST(!firn_stream_mark_set(g->volume, r->id, FIRN_MARK_VISIBLE, r->end));
}

static void look_at_start(struct guest *g, struct room *r)
{
	uint64_t start = mark(g, r, FIRN_MARK_START);
	MUST(r->retains ? start >= r->start && start <= r->end : start == r->start);
	r->start = start;
}

/* The first batch that ends above `at`. */
static uint32_t said_at(const struct room *r, uint64_t at)
{
	uint32_t a = 0, b = r->n;
	while (a < b) {
		uint32_t m = (a + b) / 2;
		if (r->said[m].offset + r->said[m].n_offsets > at)
			b = m;
		else
			a = m + 1;
	}
	return a;
}

/* One part from `at` on; where it ends. */
static uint64_t compare_part(const struct room *r, const struct firn_part *p, uint64_t at)
{
	uint32_t i = said_at(r, at);
	for (uint32_t k = 0; k < p->n_batch; k++, i++) {
		const struct firn_batch *b = (const void *)((const char *)p->batch +
		                                            (size_t)k * p->batch_size);
		const struct said *s = &r->said[i];
		MUST(i < r->n && b->offset == s->offset && b->n_offsets == s->n_offsets);
		MUST(b->len == s->len && same(b->data, s->len, s->seed));
		at = s->offset + s->n_offsets;
	}
	if (!p->n_batch && p->gap == FIRN_GAP_SKIPPED && p->gap_to > at)
		at = p->gap_to;
	MUST(p->next_offset >= at);
	return p->next_offset;
}

/* Reads from `at` up to the end, or once. */
static void read_from(struct guest *g, struct room *r, uint64_t at, bool once)
{
	show(g, r);
	for (int idle = 0; at < r->end;) {
		const struct firn_fetched *got = NULL;
		struct firn_error err = FIRN_ERROR_INIT;
		int rc = firn_stream_read(g->volume, r->id, at,
		                          (uint32_t)between(&g->chance, 0, UINT32_MAX), 5000, &got,
		                          &err);
		if (rc == FIRN_ERANGE && r->retains) {
			look_at_start(g, r);
			MUST(r->start > at);
			at = r->start;
			continue;
		}
		if (rc == FIRN_EAGAIN && idle++ < 6)
			continue;
		WELL(rc, &err);
		MUST(got->n_part <= 1);
		if (!got->n_part)
			MUST(idle++ < 6);
		else
			at = compare_part(r, &got->part[0], at);
		firn_release(got);
		if (once)
			return;
	}
}

static void read_some(struct guest *g, struct room *r)
{
	look_at_start(g, r);
	if (r->end > r->start)
		read_from(g, r, r->start + below(&g->chance, r->end - r->start), true);
}

/* All rooms in one fetch. */
static void fetch(struct guest *g)
{
	enum { N = sizeof g->room / sizeof g->room[0] };
	struct firn_item it[N] = { 0 };
	struct firn_fetch f = FIRN_FETCH_INIT;
	struct firn_event ev = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	for (uint32_t i = 0; i < N; i++) {
		struct room *r = &g->room[i];
		look_at_start(g, r);
		show(g, r);
		it[i] = (struct firn_item){ .slot = i,
			                    .volume = g->volume,
			                    .stream = r->id,
			                    .offset = r->start +
			                              below(&g->chance, r->end - r->start + 1) };
		it[i].max_bytes = (uint32_t)between(&g->chance, 0, UINT32_MAX);
	}
	WELL(firn_reader_set(g->reader, it, sizeof it[0], N), NULL);
	f.reader = g->reader;
	f.min_bytes = (uint32_t)between(&g->chance, 0, 100000);
	f.max_bytes = (uint32_t)between(&g->chance, 0, UINT32_MAX);
	f.max_wait_ms = (uint32_t)below(&g->chance, 20);
	f.max_parts = (uint32_t)below(&g->chance, 3);
	int rc = firn_engine_call(g->engine, &f.req, &ev, &err);
	const struct firn_fetched *got = rc ? NULL : ev.result;
	MUST(rc == 0 || rc == FIRN_EAGAIN);
	for (uint32_t i = 0; got && i < got->n_part; i++) {
		const struct firn_part *p = &got->part[i];
		MUST(p->code == 0 || (p->code == FIRN_ERANGE && g->room[p->slot].retains));
		if (!p->code)
			(void)compare_part(&g->room[p->slot], p, it[p->slot].offset);
	}
	firn_release(ev.result);
}

static void compare_pairs(struct guest *g, struct room *r)
{
	for (uint32_t i = 0; i < PAIRS; i++) {
		char key[4] = { 'k', (char)i, 0, (char)0xff };
		size_t len = 0;
		int rc = firn_kv_get(g->volume, r->id, key, sizeof key, g->buf, 65536, &len, NULL);
		MUST(rc == (r->pair[i].is ? 0 : FIRN_ENOENT));
		MUST(rc ||
		     (len == r->pair[i].len && same(g->buf, r->pair[i].len, r->pair[i].seed)));
	}
}

static void look(struct guest *g, struct room *r)
{
	struct firn_lookup l = FIRN_LOOKUP_INIT;
	struct firn_event ev = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	l.volume = g->volume;
	l.stream = r->id;
	l.by = (uint32_t)below(&g->chance, 3);
	l.value = (int64_t)between(&g->chance, 0, INT64_MAX);
	int rc = firn_engine_call(g->engine, &l.req, &ev, &err);
	firn_release(ev.result);
	if (rc != FIRN_ENOENT)
		WELL(rc, &err);
}

static void flush(struct guest *g)
{
	struct firn_flush f = FIRN_FLUSH_INIT;
	struct firn_event ev = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	f.volume = g->volume;
	f.mark = one_in(&g->chance, 2) ? FIRN_MARK_STORED : FIRN_MARK_DURABLE;
	WELL(firn_engine_call(g->engine, &f.req, &ev, &err), &err);
	firn_release(ev.result);
}

static void compare(struct guest *g)
{
	for (uint32_t i = 0; i < sizeof g->room / sizeof g->room[0]; i++) {
		struct room *r = &g->room[i];
		look_at_start(g, r);
		MUST(mark(g, r, FIRN_MARK_DURABLE) == r->end);
		read_from(g, r, r->start, false);
		compare_pairs(g, r);
	}
}

void guest_arrives(struct guest *g, struct firn_engine *engine, struct firn_volume *volume)
{
	g->engine = engine;
	g->volume = volume;
	if (g->room[0].id)
		compare(g);
	for (uint32_t i = 0; i < sizeof g->room / sizeof g->room[0]; i++)
		if (!g->room[i].id)
			make(g, &g->room[i]);
}

void *guest_main(void *arg)
{
	struct guest *g = arg;
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_reader_opts o = { .struct_size = sizeof o };
	o.cls = (uint32_t)below(&g->chance, 5);
	o.readahead_max_bytes = between(&g->chance, 0, UINT64_MAX - 1);
	o.pin_max_bytes = between(&g->chance, 0, UINT64_MAX - 1);
	WELL(firn_reader_open(g->engine, &o, &g->reader, &err), &err);
	for (uint32_t i = 0; i < g->n_steps; i++) {
		struct room *r = &g->room[below(&g->chance, sizeof g->room / sizeof g->room[0])];
		uint64_t what = below(&g->chance, 100);
		if (what < 50)
			append(g, r);
		else if (what < 60)
			several(g, r);
		else if (what < 74)
			read_some(g, r);
		else if (what < 80)
			fetch(g);
		else if (what < 86)
			trim(g, r);
		else if (what < 93)
			pair(g, r);
		else if (what < 96)
			look(g, r);
		else if (what < 98)
			flush(g);
		else
			make_anew(g, r);
	}
	compare(g);
	WELL(firn_reader_close(g->reader), NULL);
	return NULL;
}
