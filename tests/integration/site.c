#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void site_in_memory(void)
{
	if (!access("/dev/shm", W_OK | X_OK))
		(void)setenv("TMPDIR", "/dev/shm", 1);
}

static void make(struct site *s, bool on_files)
{
	const char *tmp = getenv("TMPDIR");
	memset(s, 0, sizeof *s);
	s->on_files = on_files;
	(void)snprintf(s->dir, sizeof s->dir, "%s/firn-site-XXXXXX",
	               tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	cr_assert_not_null(mkdtemp(s->dir));
	/* A store may be older than this machine's scratch directory. */
	(void)snprintf(s->prefix, sizeof s->prefix, "%.20s-%llx", strrchr(s->dir, '/') + 1,
	               (unsigned long long)time(NULL));
	site_uri(s, "store", s->uri, sizeof s->uri);
}

void site_make(struct site *s)
{
	make(s, !getenv("FIRN_TEST_STORE"));
}

void site_make_on_files(struct site *s)
{
	make(s, true);
}

char *site_ask(const struct site *s, const char *fmt, ...)
{
	char command[1024], *out = NULL;
	size_t len = 0, n;
	int at = snprintf(command, sizeof command, "cd %s && ", s->dir);
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(command + at, sizeof command - (size_t)at, fmt, ap);
	va_end(ap);
	FILE *p = popen(command, "r"), *to = open_memstream(&out, &len);
	cr_assert(p && to);
	char buf[4096];
	while ((n = fread(buf, 1, sizeof buf, p)) > 0)
		(void)fwrite(buf, 1, n, to);
	cr_assert_eq(pclose(p), 0, "%s", command);
	(void)fclose(to);
	return out;
}

void site_run(const struct site *s, const char *fmt, ...)
{
	char command[900];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(command, sizeof command, fmt, ap);
	va_end(ap);
	free(site_ask(s, "%s", command));
}

void site_remove(struct site *s)
{
	site_store_remove(s);
	site_run(s, "chmod -R u+w . && rm -rf %s", s->dir);
}

void host_init(struct host *h, const struct site *s, const char *name)
{
	memset(h, 0, sizeof *h);
	h->site = s;
	(void)snprintf(h->dir, sizeof h->dir, "%s/%s", s->dir, name);
	h->opts.struct_size = sizeof h->opts;
	h->opts.dir = h->dir;
	h->opts.wal_bytes = 32 << 20;
	h->opts.memory_bytes = 32 << 20;
}

int host_try_open(struct host *h, struct firn_error *err)
{
	int rc = firn_engine_open(&h->opts, &h->engine, err);
	if (rc)
		return rc;
	cr_assert_eq(firn_cq_open(h->engine, NULL, &h->cq, err), 0, "%s", err->text);
	return 0;
}

void host_open(struct host *h)
{
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = host_try_open(h, &err);
	cr_assert_eq(rc, 0, "%s: %s", firn_code_name(rc), err.text);
}

int host_try_attach(struct host *h, const char *name, uint32_t flags, const char *takeover,
                    struct firn_volume **out, struct firn_error *err)
{
	struct firn_attach a = FIRN_ATTACH_INIT;
	struct firn_event ev = { 0 };
	a.store = h->site->uri;
	a.name = name;
	a.attach_flags = flags;
	a.takeover = takeover;
	a.node = strrchr(h->dir, '/') + 1;
	a.req.timeout_ms = FIRN_FOREVER;
	int rc = firn_engine_call(h->engine, &a.req, &ev, err);
	const struct firn_attached *r = rc ? NULL : ev.result;
	*out = r ? r->volume : NULL;
	firn_release(ev.result);
	return rc;
}

void host_attach(struct host *h, const char *name)
{
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = host_try_attach(h, name, FIRN_ATTACH_CREATE, NULL, &h->volume, &err);
	cr_assert_eq(rc, 0, "%s: %s", firn_code_name(rc), err.text);
}

int host_detach(struct host *h, struct firn_volume *v, uint32_t mode, struct firn_error *err)
{
	struct firn_detach d = FIRN_DETACH_INIT;
	struct firn_event ev = { 0 };
	d.volume = v;
	d.mode = mode;
	d.req.timeout_ms = FIRN_FOREVER;
	int rc = firn_engine_call(h->engine, &d.req, &ev, err);
	firn_release(ev.result);
	return rc;
}

void host_close(struct host *h)
{
	cr_assert_eq(firn_cq_close(h->cq), 0);
	cr_assert_eq(firn_engine_close(h->engine), 0);
	h->engine = NULL;
	h->volume = NULL;
	h->cq = NULL;
}

void host_start(struct host *h)
{
	host_open(h);
	host_attach(h, "v");
}

void host_stop(struct host *h, uint32_t mode)
{
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = host_detach(h, h->volume, mode, &err);
	cr_assert_eq(rc, 0, "%s: %s", firn_code_name(rc), err.text);
	host_close(h);
}

void host_way(struct host *h, enum way way)
{
	static const char *const uring[] = { "wal_io=uring", NULL };
	static const char *const pwrites[] = { "wal_io=pwrite", NULL };
	h->opts.options = way == WAY_PWRITE ? pwrites : uring;
	h->opts.flags = way == WAY_NO_THREADS ? FIRN_ENGINE_NO_THREADS : 0;
}

void each_way(enum way way, void (*truth)(struct host *h))
{
	struct site s;
	struct host h;
	site_make(&s);
	host_init(&h, &s, "a");
	host_way(&h, way);
	host_start(&h);
	truth(&h);
	host_stop(&h, FIRN_DETACH_KEEP_WAL);
	site_remove(&s);
}

void crash_after(void (*work)(void *arg), void *arg)
{
	int status;
	pid_t child = fork();
	cr_assert_geq(child, 0);
	if (!child) {
		(void)alarm(240); /* an assert that fails in here cannot report: it hangs */
		work(arg);
		_exit(77);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 77, "the child ended with %#x",
	          status);
}

struct iovec io_of(const char *text)
{
	return (struct iovec){ (void *)(uintptr_t)text, strlen(text) };
}

struct firn_op op_append(uint64_t stream, const struct iovec *iov)
{
	struct firn_op op = { .kind = FIRN_OP_APPEND, .stream = stream };
	op.u.append.iov = iov;
	op.u.append.n_iov = 1;
	return op;
}

struct firn_op op_create(const char *name)
{
	struct firn_op op = { .kind = FIRN_OP_CREATE };
	op.u.stream.name = name;
	op.u.stream.name_len = (uint32_t)strlen(name);
	return op;
}

struct firn_op op_delete(uint64_t stream)
{
	return (struct firn_op){ .kind = FIRN_OP_DELETE, .stream = stream };
}

struct firn_op op_trim(uint64_t stream, uint64_t from)
{
	struct firn_op op = { .kind = FIRN_OP_TRIM, .stream = stream };
	op.u.range.from = from;
	return op;
}

struct firn_op op_kv(uint16_t kind, uint64_t stream, const char *key, const char *value)
{
	struct firn_op op = { .kind = kind, .stream = stream };
	op.u.kv.key = key;
	op.u.kv.key_len = (uint32_t)strlen(key);
	op.u.kv.value = value;
	op.u.kv.value_len = value ? (uint32_t)strlen(value) : 0;
	return op;
}

int writes(struct host *h, const struct firn_op *op, uint32_t n, struct firn_event *ev)
{
	struct firn_event mine = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_write w = FIRN_WRITE_INIT;
	ev = ev ? ev : &mine;
	memset(ev, 0, sizeof *ev);
	w.volume = h->volume;
	w.op = op;
	w.n_op = n;
	w.req.timeout_ms = FIRN_FOREVER;
	int rc = firn_engine_call(h->engine, &w.req, ev, &err);
	cr_expect(rc == 0 || err.code == rc, "%s, but the error says %s: %s", firn_code_name(rc),
	          firn_code_name(err.code), err.text);
	firn_release(ev->result);
	ev->result = NULL;
	return rc;
}

int write_one(struct host *h, struct firn_op op, struct firn_event *ev)
{
	return writes(h, &op, 1, ev);
}

void wrote(struct host *h, const struct firn_op *op, uint32_t n, struct firn_event *ev)
{
	int rc = writes(h, op, n, ev);
	cr_assert_eq(rc, 0, "%s", firn_code_name(rc));
}

uint64_t new_stream(struct host *h, const char *name)
{
	struct firn_op op = op_create(name);
	struct firn_event ev;
	wrote(h, &op, 1, &ev);
	return ev.stream;
}

uint64_t say(struct host *h, uint64_t stream, const char *text)
{
	struct firn_event ev;
	struct iovec iov = io_of(text);
	struct firn_op op = op_append(stream, &iov);
	wrote(h, &op, 1, &ev);
	return ev.offset;
}

void store_all(struct host *h)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_flush f = FIRN_FLUSH_INIT;
	struct firn_event ev = { 0 };
	f.volume = h->volume;
	f.mark = FIRN_MARK_STORED;
	f.req.timeout_ms = FIRN_FOREVER;
	int rc = firn_engine_call(h->engine, &f.req, &ev, &err);
	cr_assert_eq(rc, 0, "%s: %s", firn_code_name(rc), err.text);
}

uint64_t mark_of(struct host *h, uint64_t stream, uint32_t mark)
{
	uint64_t at = UINT64_MAX;
	int rc = firn_stream_mark(h->volume, stream, mark, &at);
	cr_assert_eq(rc, 0, "mark %u: %s", mark, firn_code_name(rc));
	return at;
}

int submit_ops(struct host *h, const struct firn_op *op, uint32_t n, uint32_t ack, uint16_t flags,
               uint64_t user_data, struct firn_error *err)
{
	struct firn_write w = FIRN_WRITE_INIT;
	const struct firn_req *req = &w.req;
	w.volume = h->volume;
	w.op = op;
	w.n_op = n;
	w.ack = ack;
	w.req.flags = flags;
	w.req.cq = h->cq;
	w.req.user_data = user_data;
	int rc = firn_engine_submit(h->engine, &req, 1, err);
	return rc == 1 ? 0 : rc < 0 ? rc : err->code;
}

bool reap_one(struct host *h, struct firn_event *ev, uint32_t ms)
{
	if (firn_cq_reap(h->cq, ev, sizeof *ev, 1, ms) != 1)
		return false;
	firn_release(ev->result);
	ev->result = NULL;
	return true;
}

/* Tries are counted, not time: while this process stands still nobody makes room. */
int write_if_room(struct host *h, struct firn_op op)
{
	enum { TRIES = 75, PAUSE_MS = 20 };
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	int rc, tries = 0;
	while ((rc = submit_ops(h, &op, 1, 0, 0, 0, &err)) == FIRN_EFULL && tries++ < TRIES)
		(void)reap_one(h, &ev, PAUSE_MS);
	if (rc)
		return rc == FIRN_EFULL ? FIRN_ETIMEDOUT : rc;
	do
		cr_assert(reap_one(h, &ev, 120000), "the outcome of a write never came");
	while (ev.kind != FIRN_REQ_WRITE);
	return ev.code;
}

uint64_t metric_of(struct firn_engine *e, const char *name, const char *label)
{
	const struct firn_metrics *m = NULL;
	uint64_t sum = 0;
	bool found = false;
	cr_assert_eq(firn_engine_metrics(e, &m), 0);
	for (uint32_t i = 0; i < m->n; i++)
		if (!strcmp(m->metric[i].name, name) && strstr(m->metric[i].labels, label)) {
			sum += m->metric[i].value;
			found = true;
		}
	firn_release(m);
	cr_assert(found, "%s %s", name, label);
	return sum;
}
