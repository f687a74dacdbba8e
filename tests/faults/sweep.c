#include "tests/faults/sweep.h"
#include "engine/os/env.h"
#include "tests/faults/syscalls.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
enum { SLOW = 1 };
#else
enum { SLOW = 0 };
#endif
enum { HANG_S = 60, PATIENCE_MS = 150, N_MAX = 20000 };

/* What is under way, for those who end it. */
static char now_running[200];
static long threads_at_rest; /* those of the test's own harness */

static const char *kind_name(enum sweep_kind kind)
{
	static const char *const name[] = { "system call", "file operation", "write",
		                            "name",        "allocation",     "thread" };
	return name[kind];
}

void sweep_die(const struct sweep *s, const char *fmt, ...)
{
	char text[4000];
	const char *first;
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	syscalls_disarm(); /* the harness wants to talk */
	(void)syscalls_failed(&first);
	cr_assert(0, "%s (%s): %s", now_running, first, text);
	(void)s;
	abort(); /* not reached: cr_assert() leaves the test */
}

/* Only what a signal handler may do. */
static void hangs(int sig)
{
	static const char text[] = "\nHANGS: ";
	(void)sig;
	syscalls_disarm();
	(void)!write(STDERR_FILENO, text, sizeof text - 1);
	(void)!write(STDERR_FILENO, now_running, strlen(now_running));
	(void)!write(STDERR_FILENO, "\n", 1);
	abort();
}

/* ---- verbs ---- */

static void expect_typed(const struct sweep *s, const char *what, int rc,
                         const struct firn_error *err)
{
	if (rc > 0 || rc < FIRN_ESHUTDOWN)
		sweep_die(s, "%s: %d is no code", what, rc);
	if (rc && err && (err->code != rc || !err->text[0]))
		sweep_die(s, "%s: %s, but the error says %s: %s", what, firn_code_name(rc),
		          firn_code_name(err->code), err->text);
}

bool sweep_open(struct sweep *s, struct host *h)
{
	struct firn_error err = FIRN_ERROR_INIT;
	s->h = h;
	s->life++;
	h->volume = NULL;
	h->cq = NULL;
	int rc = firn_engine_open(&h->opts, &h->engine, &err);
	expect_typed(s, "open", rc, &err);
	if (rc && h->engine)
		sweep_die(s, "a failed open leaves an engine");
	return rc == 0;
}

static void find_streams(struct sweep *s)
{
	char stream[8], key[8];
	for (uint32_t i = 0; i < SWEEP_STREAMS; i++) {
		sweep_names(i, stream, key);
		s->id[i] = 0;
		(void)firn_stream_find(s->h->volume, stream, strlen(stream), &s->id[i]);
	}
}

bool sweep_attach(struct sweep *s, struct host *h)
{
	struct firn_attach a = FIRN_ATTACH_INIT;
	struct firn_event ev = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	a.store = s->site.uri;
	a.name = "v";
	a.attach_flags = FIRN_ATTACH_CREATE;
	a.node = "node";
	a.req.timeout_ms = 5000;
	int rc = firn_engine_call(h->engine, &a.req, &ev, &err);
	expect_typed(s, "attach", rc, &err);
	h->volume = rc ? NULL : ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
	if (!rc)
		find_streams(s);
	return rc == 0;
}

bool sweep_start(struct sweep *s, struct host *h)
{
	return sweep_open(s, h) && sweep_attach(s, h);
}

/* True: the handle is dead. */
static bool try_detach(struct sweep *s, uint32_t mode, struct firn_error *err)
{
	struct firn_detach d = FIRN_DETACH_INIT;
	struct firn_event ev = { 0 };
	d.volume = s->h->volume;
	d.mode = mode;
	d.req.timeout_ms = PATIENCE_MS;
	int rc = firn_engine_call(s->h->engine, &d.req, &ev, err);
	firn_release(ev.result);
	expect_typed(s, "detach", rc, err);
	return rc == 0 || rc == FIRN_EFENCED || rc == FIRN_EIO;
}

/* A request takes memory, so that where there is none for good even ABORT waits until there is. */
void sweep_detach(struct sweep *s, uint32_t mode)
{
	struct firn_error err = FIRN_ERROR_INIT;
	if (s->h->volume && !try_detach(s, mode, &err) && !try_detach(s, FIRN_DETACH_ABORT, &err)) {
		s->faulty.kinds &= ~(uint32_t)FAULT_ALLOC;
		if (!try_detach(s, FIRN_DETACH_ABORT, &err))
			sweep_die(s, "ABORT does not detach: %s: %s", firn_code_name(err.code),
			          err.text);
	}
	s->h->volume = NULL;
	memset(s->id, 0, sizeof s->id);
}

void sweep_close(struct sweep *s)
{
	struct host *h = s->h;
	if (!h || !h->engine)
		return;
	sweep_detach(s, FIRN_DETACH_KEEP_WAL);
	int rc = firn_cq_close(h->cq);
	if (rc)
		sweep_die(s, "the queue does not close: %s", firn_code_name(rc));
	h->cq = NULL;
	rc = firn_engine_close(h->engine); /* FIRN_EIO: a poisoned WAL says so once more */
	expect_typed(s, "close", rc, NULL);
	h->engine = NULL;
}

static struct firn_op op_of(const struct sweep *s, struct sweep_op *op, uint32_t no, char *names,
                            struct iovec *iov)
{
	static char text[65536];
	char *stream = names, *key = names + 8, *value = names + 16;
	sweep_names(op->which, stream, key);
	(void)snprintf(value, 8, "#%u", no);
	switch (op->verb) {
	case SWEEP_CREATE:
		return op_create(stream);
	case SWEEP_DELETE:
		return op_delete(s->id[op->which]);
	case SWEEP_SAY:
		*iov = (struct iovec){ text, sweep_payload(no, op->value, text) };
		return op_append(s->id[op->which], iov);
	case SWEEP_TRIM:
		return op_trim(s->id[op->which], op->value);
	case SWEEP_PUT:
		return op_kv(FIRN_OP_KV_PUT, FIRN_STREAM_VOLUME, key, value);
	case SWEEP_DROP:
		return op_kv(FIRN_OP_KV_DELETE, FIRN_STREAM_VOLUME, key, NULL);
	}
	abort();
}

static struct sweep_op *new_op(struct sweep *s, enum sweep_verb verb, uint32_t which,
                               uint64_t value)
{
	bool of_stream = verb == SWEEP_DELETE || verb == SWEEP_SAY || verb == SWEEP_TRIM;
	if (!s->h->volume || (of_stream && !s->id[which]))
		return NULL; /* an earlier verb failed, and with it what this one needs */
	cr_assert_lt(s->n_op, SWEEP_OPS_MAX);
	struct sweep_op *op = &s->op[s->n_op++];
	*op = (struct sweep_op){ verb, which, s->life, FIRN_EAGAIN, value, 0 };
	return op;
}

bool sweep_do(struct sweep *s, enum sweep_verb verb, uint32_t which, uint64_t value)
{
	struct sweep_op *mine = new_op(s, verb, which, value);
	char names[24];
	struct iovec iov;
	if (!mine)
		return false;
	struct firn_op op = op_of(s, mine, s->n_op - 1, names, &iov);
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_write w = FIRN_WRITE_INIT;
	struct firn_event ev = { 0 };
	w.volume = s->h->volume;
	w.op = &op;
	w.n_op = 1;
	w.req.timeout_ms = 2000;
	mine->code = firn_engine_call(s->h->engine, &w.req, &ev, &err);
	firn_release(ev.result);
	expect_typed(s, "write", mine->code, &err);
	mine->offset = ev.offset;
	if (!mine->code && verb == SWEEP_CREATE)
		s->id[which] = ev.stream;
	if (!mine->code && verb == SWEEP_DELETE)
		s->id[which] = 0;
	return mine->code == 0;
}

void sweep_say_many(struct sweep *s, uint32_t which, uint32_t n, uint64_t len)
{
	uint32_t n_sent = 0;
	if (!s->h->volume || (!s->h->cq && firn_cq_open(s->h->engine, NULL, &s->h->cq, NULL)))
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct sweep_op *mine = new_op(s, SWEEP_SAY, which, len);
		char names[24];
		struct iovec iov;
		struct firn_error err = FIRN_ERROR_INIT;
		if (!mine)
			break;
		struct firn_op op = op_of(s, mine, s->n_op - 1, names, &iov);
		int rc = submit_ops(s->h, &op, 1, 0, 0, s->n_op - 1, &err);
		expect_typed(s, "submit", rc, &err);
		mine->code = rc ? rc : FIRN_EAGAIN;
		n_sent += !rc;
	}
	for (struct firn_event ev; n_sent;) {
		if (!reap_one(s->h, &ev, 20000))
			sweep_die(s, "the outcome of a write never came");
		if (ev.kind != FIRN_REQ_WRITE)
			continue; /* WRITABLE, after a refusal */
		n_sent--;
		struct sweep_op *op = &s->op[ev.user_data];
		if (op->code != FIRN_EAGAIN)
			sweep_die(s, "write #%u has two outcomes", (unsigned)ev.user_data);
		op->code = ev.code;
		op->offset = ev.offset;
		expect_typed(s, "write", ev.code, NULL);
	}
}

int sweep_store(struct sweep *s)
{
	struct firn_flush f = FIRN_FLUSH_INIT;
	struct firn_event ev = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	if (!s->h->volume)
		return FIRN_ESHUTDOWN;
	f.volume = s->h->volume;
	f.mark = FIRN_MARK_STORED;
	f.req.timeout_ms = PATIENCE_MS;
	int rc = firn_engine_call(s->h->engine, &f.req, &ev, &err);
	firn_release(ev.result);
	expect_typed(s, "flush", rc, &err);
	return rc;
}

int sweep_read(struct sweep *s, uint32_t which, uint64_t from)
{
	int rc = 0;
	uint64_t end = 0;
	if (!s->h->volume || !s->id[which] ||
	    firn_stream_mark(s->h->volume, s->id[which], FIRN_MARK_VISIBLE, &end))
		return FIRN_ESHUTDOWN;
	while (!rc && from < end) {
		const struct firn_fetched *got = NULL;
		struct firn_error err = FIRN_ERROR_INIT;
		rc = firn_stream_read(s->h->volume, s->id[which], from, 0, PATIENCE_MS, &got, &err);
		expect_typed(s, "read", rc, &err);
		const struct firn_part *p = rc || !got->n_part ? NULL : &got->part[0];
		for (uint32_t i = 0; p && i < p->n_batch; i++)
			(void)sweep_payload_op(s, p->batch[i].data, p->batch[i].len);
		if (p)
			rc = p->code ? p->code : p->next_offset <= from ? FIRN_ETIMEDOUT : 0;
		else if (!rc)
			rc = FIRN_ETIMEDOUT; /* nothing came */
		from = p ? p->next_offset : from;
		firn_release(got);
	}
	return rc;
}

/* ---- a life ---- */

static long entries(const char *dir)
{
	DIR *d = opendir(dir);
	long n = 0;
	cr_assert(d, "%s", dir);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

/* A thread that was joined may still be listed for a moment. */
static long threads_settled(void)
{
	long n = entries("/proc/self/task");
	for (int i = 0; i < 2000 && n > threads_at_rest; i++) {
		(void)usleep(500);
		n = entries("/proc/self/task");
	}
	return n;
}

static void arm(struct sweep *s, enum sweep_kind kind, long long n, bool lasting)
{
	syscalls_arm(0, 0, 0, false);
	s->faulty.lasting = lasting;
	s->faulty.torn = true;
	switch (kind) {
	case SWEEP_IO:
		syscalls_arm(SYSCALLS_IO, EIO, n, lasting);
		break;
	case SWEEP_THREADS:
		syscalls_arm(SYSCALLS_THREADS, EAGAIN, n, lasting);
		break;
	case SWEEP_ENV_IO:
		faulty_arm(&s->faulty, FAULT_WRITES | FAULT_READS, -EIO, n);
		break;
	case SWEEP_FULL:
		faulty_arm(&s->faulty, FAULT_WRITES, -ENOSPC, n);
		break;
	case SWEEP_NAMES:
		faulty_arm(&s->faulty, FAULT_NAMES, -EIO, n);
		break;
	case SWEEP_ALLOC:
		faulty_arm(&s->faulty, FAULT_ALLOC, -ENOMEM, n);
		break;
	}
}

static long long disarm(struct sweep *s)
{
	const char *first;
	syscalls_disarm();
	s->faulty.kinds = 0;
	return syscalls_failed(&first) + atomic_load(&s->faulty.n_failed);
}

static void start_sound(struct sweep *s, struct host *h)
{
	struct firn_error err = FIRN_ERROR_INIT;
	s->h = h;
	h->opts.env = NULL;
	int rc = host_try_open(h, &err);
	rc = rc ? rc : host_try_attach(h, "v", FIRN_ATTACH_CREATE, NULL, &h->volume, &err);
	if (rc)
		sweep_die(s, "reopened without faults: %s: %s", firn_code_name(rc), err.text);
}

/* Opens again as if nothing had happened; then drains and, in one life out of four, asks the store alone. */
static void recovers(struct sweep *s, long long n)
{
	struct host *h = s->h;
	uint64_t id = 0;
	start_sound(s, h);
	sweep_compare(s, "reopened");
	cr_assert_eq(firn_stream_open(h->volume, "after", &id, NULL), 0);
	(void)say(h, id, "goes on");
	host_stop(h, FIRN_DETACH_DRAIN);
	if (n % 4 != 1)
		return;
	start_sound(s, h == &s->a ? &s->b : &s->a);
	sweep_compare(s, "from the store");
	host_stop(s->h, FIRN_DETACH_KEEP_WAL);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void remove_all(const char *dir)
{
	cr_assert_eq(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0, "%s", dir);
}

static void life_begin(struct sweep *s, const struct scenario *sc, enum way way)
{
	memset(s, 0, sizeof *s);
	s->scenario = sc;
	site_make_on_files(&s->site);
	faulty_init(&s->faulty, way == WAY_URING ? env_default() : env_default_pwrite());
	struct host *both[] = { &s->a, &s->b };
	for (int i = 0; i < 2; i++) {
		struct host *h = both[i];
		host_init(h, &s->site, i ? "b" : "a");
		host_way(h, way);
		h->opts.wal_bytes = sc->wal_bytes ? sc->wal_bytes : 4 << 20;
		h->opts.memory_bytes = 16 << 20;
		if (sc->options)
			h->opts.options = sc->options;
		h->opts.env = &s->faulty.env;
	}
	s->h = &s->a;
}

/* How many calls failed: 0 when n was not reached. */
static long long life(struct sweep *s, const struct scenario *sc, enum way way,
                      enum sweep_kind kind, bool lasting, long long n)
{
	life_begin(s, sc, way);
	(void)snprintf(now_running, sizeof now_running, "%s, way %d: %s %lld%s", sc->name, way,
	               kind_name(kind), n, lasting ? " and all after it" : "");
	(void)alarm(HANG_S);
	long fds = entries("/proc/self/fd"), threads;
	if (sc->before)
		sc->before(s);
	arm(s, kind, n, lasting);
	sc->act(s);
	long long failed = disarm(s);
	if (s->a.engine || s->b.engine)
		sweep_die(s, "the scenario leaves an engine open");
	if (atomic_load(&s->faulty.live))
		sweep_die(s, "%lld pieces of memory leaked",
		          (long long)atomic_load(&s->faulty.live));
	if (entries("/proc/self/fd") != fds)
		sweep_die(s, "%ld open files leaked", entries("/proc/self/fd") - fds);
	if ((threads = threads_settled()) > threads_at_rest)
		sweep_die(s, "%ld threads leaked", threads - threads_at_rest);
	recovers(s, n);
	remove_all(s->site.dir);
	(void)alarm(0);
	return failed;
}

void sweep(const struct scenario *sc, enum way way, enum sweep_kind kind, bool lasting)
{
	static struct sweep s;
	bool exhaustive = way == WAY_NO_THREADS && !lasting && !SLOW && !sc->coarse;
	long long n = 1, n_lives = 0, failed = 1;
	(void)signal(SIGALRM, hangs);
	if (!threads_at_rest)
		threads_at_rest = entries("/proc/self/task");
	for (; failed; n_lives++) {
		failed = life(&s, sc, way, kind, lasting, n);
		n += exhaustive ? 1 : 1 + n / (lasting ? 4 : 8);
		cr_assert_lt(n, N_MAX);
	}
	fprintf(stderr, "%s, way %d: %s%s: %lld lives\n", sc->name, way, kind_name(kind),
	        lasting ? ", lasting" : "", n_lives);
}
