/* An index is filled from layers, many merged at once and others on top: it is the one that every commit was applied to.
 * Random histories, with trims, deletes and lost ranges; and power cuts, at every write that the filling makes. (P1, P5, P10) */
#include "engine/base/mem.h"
#include "engine/layer/layer.h"
#include "engine/os/env.h"
#include "index_model.h"
#include "index_text.h"
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(index_fill, .timeout = 120);

enum { ROUNDS = 24, LOST_MAX = 4, LOST = 1000 };

struct past {
	struct model model;
	struct model_commit commit[ROUNDS];
	struct lost_entry lost[LOST_MAX];
	uint32_t n, n_lost, pause; /* rows between two fetches */
	struct firn_error err;
};

/* What was not stored is given up, of every stream: the next write is far behind. */
static void abandon(struct past *p)
{
	struct model *m = &p->model;
	struct model_stream *s = (void *)m->stream.data;
	p->lost[p->n_lost++] = (struct lost_entry){ .rev_stored = m->rev, .rev_skip = LOST };
	m->rev += LOST;
	for (size_t i = 0; i < m->stream.n; i++)
		s[i].s.next += LOST;
}

static void past_make(struct past *p, uint64_t seed, uint32_t n, uint32_t n_lost)
{
	memset(p, 0, sizeof *p);
	p->err.struct_size = sizeof p->err;
	model_init(&p->model, seed);
	for (; p->n < n; p->n++) {
		if (p->n_lost < n_lost && (!p->n || model_random(&p->model, 5) == 0))
			abandon(p);
		model_round(&p->model, &p->commit[p->n]);
		p->commit[p->n].c.lost = p->lost;
		p->commit[p->n].c.n_lost = p->n_lost;
	}
	p->pause = 1 + (uint32_t)model_random(&p->model, 300);
}

static void past_end(struct past *p)
{
	for (uint32_t i = 0; i < p->n; i++)
		model_commit_fini(&p->commit[i]);
	model_fini(&p->model);
}

/* ---- runs: the footers of commits [from, to) ---- */

static struct layer_source *run_of(struct past *p, uint32_t from, uint32_t to,
                                   struct segment_footer **footer)
{
	struct layer_source *s;
	uint32_t n = 0;
	for (uint32_t i = from; i < to; i++)
		for (uint32_t k = 0; k < p->commit[i].c.n_footer; k++)
			footer[n++] = p->commit[i].footer[k];
	int rc = layer_source_footers(env_default(), footer, n, &s, &p->err);
	return rc ? NULL : s;
}

struct filling {
	struct past *p;
	struct index_fill *f;
	uint32_t n;
};

static int fetches(struct filling *g)
{
	return ++g->n % g->p->pause ? 0 : index_fill_pause(g->f, &g->p->err);
}

static int base_row(void *arg, const struct layer_row *row)
{
	struct filling *g = arg;
	int rc = index_fill_base(g->f, row, &g->p->err);
	return rc ? rc : fetches(g);
}

static int top_row(void *arg, const struct layer_row *row)
{
	struct filling *g = arg;
	int rc = index_fill_row(g->f, row, &g->p->err);
	return rc ? rc : fetches(g);
}

static bool lost_at(const struct past *p, uint32_t i)
{
	return i && i < p->n && p->commit[i].c.n_lost != p->commit[i - 1].c.n_lost;
}

static uint32_t random_end(struct past *p, uint32_t from, uint32_t to)
{
	uint32_t end = from + 1 + (uint32_t)model_random(&p->model, 4);
	for (uint32_t i = from + 1; i < end && i < to; i++)
		if (lost_at(p, i))
			return i;
	return end < to ? end : to;
}

/* Runs of some commits each, as many as a draw says, up to the first lost range. The next commit that is in none. */
static uint32_t fill_base(struct filling *g, uint32_t to)
{
	struct past *p = g->p;
	struct layer_source *source[ROUNDS];
	struct segment_footer *footer[ROUNDS][4 * ROUNDS];
	uint32_t n = 0, at = 0, most = 1 + (uint32_t)model_random(&p->model, ROUNDS);
	while (at < to && n < most && !lost_at(p, at)) {
		uint32_t end = random_end(p, at, to);
		source[n] = run_of(p, at, end, footer[n]);
		cr_assert_not_null(source[n]);
		at = end;
		n++;
	}
	cr_assert_eq(index_fill_lost(g->f, p->lost, p->n_lost,
	                             segment_footer_meta(footer[0][0])->rev_from, &p->err),
	             0);
	struct layer_merge m = { .env = env_default(),
		                 .source = source,
		                 .n_source = n,
		                 .base = true,
		                 .sink = base_row,
		                 .arg = g };
	cr_assert_eq(layer_merge(&m, &p->err), 0, "%s", p->err.text);
	while (n)
		layer_source_close(source[--n]);
	return at;
}

static void fill_run(struct filling *g, uint32_t from, uint32_t to)
{
	struct past *p = g->p;
	struct segment_footer *footer[4 * ROUNDS];
	struct layer_source *s = run_of(p, from, to, footer);
	cr_assert_not_null(s);
	cr_assert_eq(index_fill_lost(g->f, p->lost, p->n_lost,
	                             segment_footer_meta(footer[0])->rev_from, &p->err),
	             0);
	struct layer_merge m = {
		.env = env_default(), .source = &s, .n_source = 1, .sink = top_row, .arg = g
	};
	cr_assert_eq(layer_merge(&m, &p->err), 0, "%s", p->err.text);
	layer_source_close(s);
}

/* Commits below `to`, in runs. */
static void fill(struct past *p, struct index *ix, uint32_t to)
{
	struct filling g = { .p = p };
	cr_assert_eq(index_fill_open(ix, &g.f, &p->err), 0, "%s", p->err.text);
	for (uint32_t at = fill_base(&g, to), end; at < to; at = end) {
		end = random_end(p, at, to);
		fill_run(&g, at, end);
	}
	cr_assert_eq(index_fill_end(g.f, &p->commit[to - 1].c, 0, &p->err), 0, "%s", p->err.text);
}

static void apply(struct past *p, struct index *ix, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		cr_assert_eq(index_apply(ix, &p->commit[i].c, &p->err), 0, "%s", p->err.text);
}

static struct index *open_at(struct past *p, const char *dir)
{
	struct index *ix = NULL;
	cr_assert_eq(index_open(env_default(), dir, &ix, &p->err), 0, "%s", p->err.text);
	return ix;
}

static char *text_of(struct past *p, struct index *ix)
{
	struct index_stats st;
	char *text = index_text(ix, p->model.volume_id, &p->err);
	cr_assert_not_null(text, "%s", p->err.text);
	cr_assert_eq(index_verify(ix, &st, &p->err), 0, "%s", p->err.text);
	return text;
}

/* Of commits [0, to), one after the other. */
static char *text_by_commits(struct past *p, uint32_t to)
{
	char dir[128];
	model_dir_make(dir);
	struct index *ix = open_at(p, dir);
	apply(p, ix, 0, to);
	char *text = text_of(p, ix);
	index_close(ix);
	model_dir_remove(dir);
	return text;
}

static void must_say(struct past *p, struct index *ix, const char *want)
{
	char *got = text_of(p, ix);
	size_t i = 0;
	while (got[i] && got[i] == want[i])
		i++;
	cr_assert(got[i] == want[i], "at %zu\n%.200s\nand not\n%.200s", i, got + i, want + i);
	free(got);
}

Test(index_fill, filled_from_runs_it_is_the_index_that_had_all_commits)
{
	static struct past p;
	char dir[128];
	for (uint64_t seed = 1; seed <= 12; seed++) {
		past_make(&p, seed, ROUNDS, (uint32_t)(seed % (LOST_MAX + 1)));
		uint32_t covered = 1 + (uint32_t)model_random(&p.model, ROUNDS);
		char *want = text_by_commits(&p, ROUNDS);
		model_dir_make(dir);
		struct index *ix = open_at(&p, dir);
		fill(&p, ix, covered);
		apply(&p, ix, covered, ROUNDS);
		must_say(&p, ix, want);
		fill(&p, ix, covered); /* beside rows of a number before */
		apply(&p, ix, covered, ROUNDS);
		must_say(&p, ix, want);
		index_close(ix);
		model_dir_remove(dir);
		free(want);
		past_end(&p);
	}
}

/* Its rows are then not the last of the file: they go where they belong. */
Test(index_fill, another_volume_may_come_while_it_is_filled)
{
	static struct past p, q;
	char dir[128];
	struct filling g = { .p = &p };
	past_make(&p, 31, 8, 0);
	past_make(&q, 32, 8, 0);
	p.pause = UINT32_MAX;
	model_dir_make(dir);
	struct index *ix = open_at(&p, dir);
	cr_assert_eq(index_fill_open(ix, &g.f, &p.err), 0);
	apply(&q, ix, 0, 8);
	(void)fill_base(&g, 1);
	cr_assert_eq(index_fill_end(g.f, &p.commit[0].c, 0, &p.err), 0);
	apply(&p, ix, 1, 8);
	char *mine = text_by_commits(&p, 8), *theirs = text_by_commits(&q, 8);
	must_say(&p, ix, mine);
	must_say(&q, ix, theirs);
	index_close(ix);
	model_dir_remove(dir);
	free(mine);
	free(theirs);
	past_end(&p);
	past_end(&q);
}

/* ---- power cuts ----
 * These stand before libc's for LMDB, too. Of what was written and not flushed any part may be missing afterwards: each
 * write of a file that was not opened with O_DSYNC is remembered with what was there before. */

struct unflushed {
	int fd;
	off_t at;
	size_t len, had;
	uint8_t *before;
};

static struct {
	long left; /* calls until the power goes; 0: it stays */
	uint64_t rng;
	struct unflushed w[4096];
	uint32_t n;
} power;

static ssize_t (*real_pwrite(void))(int, const void *, size_t, off_t)
{
	static ssize_t (*next)(int, const void *, size_t, off_t);
	void *found = next ? NULL : dlsym(RTLD_NEXT, "pwrite");
	if (found)
		memcpy(&next, &found, sizeof found);
	return next;
}

static void power_cut(void)
{
	struct model coin = { .rng = power.rng };
	for (uint32_t i = power.n; i-- > 0;) {
		const struct unflushed *u = &power.w[i];
		if (model_random(&coin, 2))
			continue;
		memset(u->before + u->had, 0, u->len - u->had);
		(void)real_pwrite()(u->fd, u->before, u->len, u->at);
	}
	_exit(0);
}

static bool cut_now(void)
{
	return power.left && --power.left == 0;
}

static void remember(int fd, size_t len, off_t at)
{
	if (!power.left || fcntl(fd, F_GETFL) & O_DSYNC)
		return;
	struct unflushed *u = &power.w[power.n++];
	*u = (struct unflushed){ .fd = fd, .at = at, .len = len, .before = malloc(len) };
	ssize_t had = u->before ? pread(fd, u->before, len, at) : -1;
	if (had < 0 || power.n == sizeof power.w / sizeof power.w[0])
		abort();
	u->had = (size_t)had;
}

static int flushed(int fd)
{
	if (cut_now())
		power_cut();
	while (power.n)
		free(power.w[--power.n].before);
	return (int)fcntl(fd, F_GETFD) < 0 ? -1 : 0;
}

#pragma GCC visibility push(default)
ssize_t pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t writev(int fd, const struct iovec *iov, int n);
int fdatasync(int fd);
int fsync(int fd);

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
	remember(fd, len, at);
	if (cut_now()) {
		(void)real_pwrite()(fd, data, len / 2, at);
		power_cut();
	}
	return real_pwrite()(fd, data, len, at);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
	off_t at = lseek(fd, 0, SEEK_CUR);
	ssize_t all = 0;
	for (int i = 0; i < n; i++) {
		ssize_t rc = pwrite(fd, iov[i].iov_base, iov[i].iov_len, at + all);
		if (rc < 0)
			return rc;
		all += rc;
	}
	return lseek(fd, at + all, SEEK_SET) < 0 ? -1 : all;
}

int fdatasync(int fd)
{
	return flushed(fd);
}

int fsync(int fd)
{
	return flushed(fd);
}
#pragma GCC visibility pop

/* An older index is filled anew, and the power goes at call n. True: it came to its end before. */
static bool fill_until(struct past *p, const char *dir, long n)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		struct index *ix = open_at(p, dir);
		power.left = n;
		power.rng = (uint64_t)n;
		fill(p, ix, p->n);
		_exit(7);
	}
	cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	cr_assert(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 7);
	return WEXITSTATUS(status) == 7;
}

Test(index_fill, a_power_cut_at_any_write_leaves_the_index_before_or_the_one_filled)
{
	enum { OLD = 4, NOW = 10 };
	static struct past p;
	char dir[128];
	uint32_t n_old = 0, n_new = 0;
	past_make(&p, 77, NOW, 2);
	p.pause = 40;
	char *old = text_by_commits(&p, OLD), *now = text_by_commits(&p, NOW);
	bool ended = false;
	for (long n = 1; !ended; n++) {
		struct index_volume v;
		model_dir_make(dir);
		struct index *ix = open_at(&p, dir);
		apply(&p, ix, 0, OLD);
		index_close(ix);
		ended = fill_until(&p, dir, n);
		ix = open_at(&p, dir);
		cr_assert_eq(index_volume_get(ix, p.model.volume_id, &v, &p.err), 0);
		bool is_old = v.rev_stored != p.commit[NOW - 1].c.rev_stored;
		must_say(&p, ix, is_old ? old : now);
		n_old += is_old;
		n_new += !is_old;
		fill(&p, ix, NOW); /* whatever it left */
		must_say(&p, ix, now);
		index_close(ix);
		model_dir_remove(dir);
	}
	cr_assert_gt(n_old, 20, "it wrote %u times", n_old);
	cr_assert_gt(n_new, 0);
	free(old);
	free(now);
	past_end(&p);
}
