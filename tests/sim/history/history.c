/* What the scripts are written with. */
#include "tests/sim/history/history.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- nodes */

void box_init(struct box *b, uint32_t number)
{
	*b = (struct box){ .node = node_new(number) };
	b->node->disk = disk_new(number, 256 << 20);
}

int try_power_on(struct box *b, struct firn_error *err)
{
	char interval[48], file_bytes[40], segment_bytes[40], layers[40], grace[40];
	char deadline[40];
	struct node *node = b->node;
	(void)snprintf(file_bytes, sizeof file_bytes, "wal_file_bytes=%uM",
	               b->file_mib ? b->file_mib : 1);
	(void)snprintf(interval, sizeof interval, "upload_interval_ms=%u",
	               b->upload_interval_ms ? b->upload_interval_ms : 3600 * SECOND);
	(void)snprintf(segment_bytes, sizeof segment_bytes, "segment_bytes=%uK", b->segment_kib);
	(void)snprintf(layers, sizeof layers, "layer_segments=%u",
	               b->layer_segments ? b->layer_segments : 256);
	(void)snprintf(grace, sizeof grace, "delete_grace_ms=%u",
	               b->grace_ms ? b->grace_ms : 3600 * SECOND);
	(void)snprintf(deadline, sizeof deadline, "delete_deadline_ms=%u",
	               b->deadline_ms ? b->deadline_ms : 7 * 24 * 3600 * SECOND);
	const char *options[10] = {
		"wal_io=pwrite", file_bytes, interval, layers, grace, deadline
	};
	uint32_t n = 6;
	if (b->segment_kib)
		options[n++] = segment_bytes;
	if (b->slots) {
		options[n++] = "wal=store:mem:log";
		options[n++] = "wal_slot_ms=0";
	}
	struct firn_engine_opts o = { .struct_size = sizeof o,
		                      .dir = node->dir,
		                      .wal_bytes = b->wal_bytes ? b->wal_bytes : NODE_WAL,
		                      .memory_bytes = NODE_MEMORY,
		                      .env = &node->env,
		                      .options = options };
	node_boot(node);
	sched_become(node->process);
	int rc = firn_engine_open(&o, &node->engine, err);
	if (!rc)
		return firn_cq_open(node->engine, NULL, &b->cq, err);
	sched_become(0);
	node_down(node);
	return rc;
}

void power_on(struct box *b)
{
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = try_power_on(b, &err);
	SIM_CHECK("script", rc == 0, "the engine does not open: %s: %s", firn_code_name(rc),
	          err.text);
}

void kill9(struct box *b)
{
	sched_become(0);
	node_kill(b->node, false);
}

void power_cut(struct box *b)
{
	sched_become(0);
	W.always[FAULT_DROPPED] = W.always[FAULT_NAMES_LOST] = true;
	node_kill(b->node, true);
	W.always[FAULT_DROPPED] = W.always[FAULT_NAMES_LOST] = false;
}

void shut_down(struct box *b, struct firn_volume *v, uint32_t mode)
{
	if (v)
		MUST(detach(b, v, mode));
	MUST(firn_cq_close(b->cq));
	MUST(firn_engine_close(b->node->engine));
	SIM_CHECK("P7", b->node->memory == 0, "%llu bytes are left behind by a closed engine",
	          (unsigned long long)b->node->memory);
	sched_become(0);
	node_down(b->node);
}

void wait_ms(uint64_t ms)
{
	sched_sleep(ms * 1000000u);
}

/* ---- volumes */

static int attach_how(struct box *b, const char *name, uint32_t flags, const char *takeover,
                      struct firn_volume **out, struct firn_error *err)
{
	struct firn_attach a = FIRN_ATTACH_INIT;
	struct firn_event ev = { 0 };
	char node[24];
	(void)snprintf(node, sizeof node, "node-%u", b->node->number);
	a.store = "mem:";
	a.name = name;
	a.node = node;
	a.attach_flags = flags;
	a.takeover = takeover;
	if (takeover && !strcmp(takeover, "abandon"))
		a.req.timeout_ms = FIRN_FOREVER;
	int rc = firn_engine_call(b->node->engine, &a.req, &ev, err);
	const struct firn_attached *got = rc ? NULL : ev.result;
	*out = got ? got->volume : NULL;
	firn_release(ev.result);
	return rc;
}

int try_attach(struct box *b, const char *name, uint32_t flags, struct firn_volume **out,
               struct firn_error *err)
{
	return attach_how(b, name, flags, NULL, out, err);
}

int try_takeover(struct box *b, const char *name, const char *takeover, struct firn_volume **out,
                 struct firn_error *err)
{
	return attach_how(b, name, 0, takeover, out, err);
}

static struct firn_volume *must_attach(struct box *b, const char *name, uint32_t flags)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume *v;
	int rc = try_attach(b, name, flags, &v, &err);
	SIM_CHECK("script", rc == 0, "%s does not attach: %s: %s", name, firn_code_name(rc),
	          err.text);
	return v;
}

struct firn_volume *attach(struct box *b, const char *name)
{
	return must_attach(b, name, FIRN_ATTACH_CREATE);
}

struct firn_volume *open_first(struct box *a, struct box *b, uint64_t *s)
{
	box_init(a, 0);
	box_init(b, 1);
	power_on(a);
	struct firn_volume *v = attach(a, "v");
	*s = stream(v, "room");
	return v;
}

struct firn_volume *look(struct box *b, const char *name)
{
	return must_attach(b, name, FIRN_ATTACH_READ_ONLY);
}

int detach(struct box *b, struct firn_volume *v, uint32_t mode)
{
	struct firn_detach d = FIRN_DETACH_INIT;
	struct firn_event ev = { 0 };
	d.volume = v;
	d.mode = mode;
	int rc = firn_engine_call(b->node->engine, &d.req, &ev, NULL);
	firn_release(ev.result);
	return rc;
}

void store_now(struct box *b, struct firn_volume *v)
{
	struct firn_flush f = FIRN_FLUSH_INIT;
	struct firn_event ev = { 0 };
	f.volume = v;
	f.mark = FIRN_MARK_STORED;
	f.req.timeout_ms = 600 * SECOND;
	MUST(firn_engine_call(b->node->engine, &f.req, &ev, NULL));
	firn_release(ev.result);
}

void begin_store(struct box *b, struct firn_volume *v, uint64_t user_data)
{
	struct firn_flush f = FIRN_FLUSH_INIT;
	const struct firn_req *r = &f.req;
	f.volume = v;
	f.mark = FIRN_MARK_STORED;
	f.req.cq = b->cq;
	f.req.user_data = user_data;
	EXPECT("script", firn_engine_submit(b->node->engine, &r, 1, NULL) == 1);
}

static struct firn_volume_info info_of(struct firn_volume *v)
{
	struct firn_volume_info i = { .struct_size = sizeof i };
	MUST(firn_volume_info(v, &i));
	return i;
}

uint64_t rev_durable(struct firn_volume *v)
{
	return info_of(v).rev_durable;
}

uint64_t rev_stored(struct firn_volume *v)
{
	return info_of(v).rev_stored;
}

/* ---- streams */

uint64_t stream(struct firn_volume *v, const char *name)
{
	uint64_t s = 0;
	MUST(firn_stream_open(v, name, &s, NULL));
	return s;
}

uint64_t find(struct firn_volume *v, const char *name)
{
	uint64_t s = 0;
	int rc = firn_stream_find(v, name, strlen(name), &s);
	EXPECT("script", rc == 0 || rc == FIRN_ENOENT);
	return rc ? 0 : s;
}

void say(struct firn_volume *v, uint64_t s, const char *word)
{
	for (; *word; word++)
		MUST(firn_stream_append(v, s, word, 1, 1, 0, NULL, NULL));
}

void store_each(struct box *b, struct firn_volume *v, uint64_t s, const char *word)
{
	for (; *word; word++) {
		say(v, s, (char[2]){ *word, 0 });
		store_now(b, v);
		wait_ms(SECOND); /* what it makes due is done */
	}
}

static void noise(uint8_t letter, uint8_t *bytes, size_t len)
{
	struct rng r = { letter }; /* does not compress */
	for (size_t i = 0; i < len; i++)
		bytes[i] = i ? (uint8_t)rng_next(&r) : letter;
}

void rot(struct box *b, uint8_t letter)
{
	uint8_t bytes[32];
	noise(letter, bytes, sizeof bytes);
	EXPECT("script", disk_rot_at(b->node->disk, bytes, sizeof bytes));
}

uint64_t store_objects_with(uint8_t letter)
{
	uint8_t bytes[32];
	noise(letter, bytes, sizeof bytes);
	return store_holders(bytes, sizeof bytes);
}

void lose(struct box *b, uint8_t letter)
{
	uint8_t bytes[32];
	noise(letter, bytes, sizeof bytes);
	EXPECT("script", disk_lose(b->node->disk, bytes, sizeof bytes));
}

void graft(struct box *b, const struct disk *copy, uint8_t letter, size_t len, bool whole)
{
	uint8_t *bytes = malloc(len);
	noise(letter, bytes, len);
	bool done = disk_graft(b->node->disk, copy, bytes, len, whole);
	free(bytes);
	EXPECT("script", done);
}

void say_bytes(struct firn_volume *v, uint64_t s, uint8_t letter, size_t len)
{
	uint8_t *bytes = malloc(len);
	noise(letter, bytes, len);
	int rc = firn_stream_append(v, s, bytes, len, 1, 0, NULL, NULL);
	free(bytes);
	MUST(rc);
}

uint64_t mark(struct firn_volume *v, uint64_t s, uint32_t which)
{
	uint64_t offset = 0;
	MUST(firn_stream_mark(v, s, which, &offset));
	return offset;
}

void hear(struct firn_volume *v, uint64_t s, char out[256])
{
	uint64_t at = mark(v, s, FIRN_MARK_START), end = mark(v, s, FIRN_MARK_DURABLE);
	uint32_t n = 0;
	while (at < end) {
		const struct firn_fetched *f = NULL;
		struct firn_error err = FIRN_ERROR_INIT;
		int rc = firn_stream_read(v, s, at, 1 << 20, 10 * SECOND, &f, &err);
		SIM_CHECK("P1", rc == 0, "offset %llu of [..., %llu): %s: %s",
		          (unsigned long long)at, (unsigned long long)end, firn_code_name(rc),
		          err.text);
		const struct firn_part *p = f->part;
		SIM_CHECK("P2", p->next_offset > at, "nothing at offset %llu, the end is %llu",
		          (unsigned long long)at, (unsigned long long)end);
		for (; p->gap && at < p->gap_to && n < 255; at++)
			out[n++] = '.';
		for (uint32_t i = 0; i < p->n_batch && n < 255; i++) {
			const struct firn_batch *b = (const void *)((const char *)p->batch +
			                                            (size_t)i * p->batch_size);
			out[n++] = b->len ? (char)b->data[0] : '-';
		}
		at = p->next_offset;
		firn_release(f);
	}
	out[n] = 0;
}

void expect_word(struct firn_volume *v, uint64_t s, const char *word, const char *when)
{
	char got[256];
	hear(v, s, got);
	SIM_CHECK("P1", !strcmp(got, word), "%s: the stream reads \"%s\", expected \"%s\"", when,
	          got, word);
}

void begin(struct box *b, struct firn_volume *v, const struct firn_op *op, uint32_t n,
           uint64_t user_data)
{
	struct firn_write w = FIRN_WRITE_INIT;
	const struct firn_req *r = &w.req;
	w.volume = v;
	w.op = op;
	w.n_op = n;
	w.req.cq = b->cq;
	w.req.user_data = user_data;
	EXPECT("script", firn_engine_submit(b->node->engine, &r, 1, NULL) == 1);
}

struct iovec bytes_of(const char *letter)
{
	return (struct iovec){ (void *)(uintptr_t)letter, 1 };
}

struct firn_op append_op(uint64_t s, const struct iovec *iov)
{
	struct firn_op op = { .kind = FIRN_OP_APPEND, .stream = s };
	op.u.append.iov = iov;
	op.u.append.n_iov = 1;
	return op;
}

void begin_say(struct box *b, struct firn_volume *v, uint64_t s, char letter, uint64_t user_data)
{
	struct iovec iov = bytes_of(&letter);
	struct firn_op op = append_op(s, &iov);
	begin(b, v, &op, 1, user_data);
}

struct firn_event outcome(struct box *b)
{
	struct firn_event ev = { 0 };
	int n = firn_cq_reap(b->cq, &ev, sizeof ev, 1, 600 * SECOND);
	SIM_CHECK("P8", n == 1, "no outcome in ten minutes");
	firn_release(ev.result);
	ev.result = NULL;
	return ev;
}

bool quiet(struct box *b, uint32_t ms)
{
	struct firn_event ev = { 0 };
	int n = firn_cq_reap(b->cq, &ev, sizeof ev, 1, ms);
	if (n == 1)
		firn_release(ev.result);
	return n == 0;
}

int write_ops(struct box *b, struct firn_volume *v, const struct firn_op *op, uint32_t n,
              struct firn_event *ev)
{
	struct firn_write w = FIRN_WRITE_INIT;
	struct firn_event mine = { 0 };
	w.volume = v;
	w.op = op;
	w.n_op = n;
	int rc = firn_engine_call(b->node->engine, &w.req, &mine, NULL);
	firn_release(mine.result);
	mine.result = NULL;
	if (ev)
		*ev = mine;
	return rc;
}

int trim(struct box *b, struct firn_volume *v, uint64_t s, uint64_t to)
{
	struct firn_op op = { .kind = FIRN_OP_TRIM, .stream = s };
	op.u.range.from = to;
	return write_ops(b, v, &op, 1, NULL);
}

static struct firn_op put_op(const char *key, const char *value)
{
	struct firn_op op = { .kind = FIRN_OP_KV_PUT, .stream = FIRN_STREAM_VOLUME };
	op.u.kv.key = key;
	op.u.kv.key_len = (uint32_t)strlen(key);
	op.u.kv.value = value;
	op.u.kv.value_len = (uint32_t)strlen(value);
	return op;
}

int put(struct box *b, struct firn_volume *v, const char *key, const char *value)
{
	struct firn_op op = put_op(key, value);
	return write_ops(b, v, &op, 1, NULL);
}

void expect_pair(struct firn_volume *v, const char *key, const char *value)
{
	char got[64] = { 0 };
	size_t len = 0;
	int rc = firn_kv_get(v, FIRN_STREAM_VOLUME, key, strlen(key), got, sizeof got - 1, &len,
	                     NULL);
	SIM_CHECK("P1", value ? rc == 0 && !strcmp(got, value) : rc == FIRN_ENOENT,
	          "key %s: %s \"%s\", expected \"%s\"", key, firn_code_name(rc), got,
	          value ? value : "(none)");
}
