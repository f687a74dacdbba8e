/* Commits folded into rows, compared with a plain model. (P10) */
#include "engine/index/tx.h"
#include "engine/os/env.h"
#include "index_model.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

TestSuite(index_apply, .timeout = 60);

static struct index *must_open(const char *dir, size_t map)
{
	struct index *ix;
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = index_open_sized(env_default(), dir, map, &ix, &err);
	cr_assert_eq(rc, 0, "%s", err.text);
	return ix;
}

static void must_equal(struct model *m, struct index *ix)
{
	struct firn_error err = FIRN_ERROR_INIT;
	char why[256];
	int rc = model_compare(m, ix, why, &err);
	cr_assert_eq(rc, 0, "%d: %s", rc, why);
}

static void must_apply(struct model *m, struct index *ix, int times)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct model_commit mc;
	model_round(m, &mc);
	for (int i = 0; i < times; i++)
		cr_assert_eq(index_apply(ix, &mc.c, &err), 0, "%s", err.text);
	model_commit_fini(&mc);
}

static void must_verify(struct index *ix, struct index_stats *st)
{
	struct firn_error err = FIRN_ERROR_INIT;
	cr_assert_eq(index_verify(ix, st, &err), 0, "%s", err.text);
}

Test(index_apply, random_commits_give_what_the_model_gives)
{
	for (uint64_t seed = 1; seed <= 4; seed++) {
		char dir[128];
		struct model m[3];
		model_dir_make(dir);
		struct index *ix = must_open(dir, 0);
		for (uint64_t v = 0; v < 3; v++)
			model_init(&m[v], seed * 10 + v);
		for (int i = 0; i < 60; i++) {
			struct model *one = &m[model_random(&m[0], 3)];
			must_apply(one, ix, model_random(one, 4) ? 1 : 2);
			must_equal(one, ix);
			if (i % 20 == 19) {
				struct index_stats st;
				must_verify(ix, &st);
				index_close(ix);
				ix = must_open(dir, 0);
			}
		}
		for (int v = 0; v < 3; v++) {
			if (m[v].seq)
				must_equal(&m[v], ix);
			model_fini(&m[v]);
		}
		index_close(ix);
		model_dir_remove(dir);
	}
}

Test(index_apply, a_commit_applied_twice_changes_nothing)
{
	char dir[128];
	struct model m;
	model_dir_make(dir);
	struct index *ix = must_open(dir, 0);
	model_init(&m, 77);
	for (int i = 0; i < 20; i++) {
		must_apply(&m, ix, 3);
		must_equal(&m, ix);
	}
	model_fini(&m);
	index_close(ix);
	model_dir_remove(dir);
}

Test(index_apply, a_forgotten_volume_leaves_no_row_and_returns_under_a_new_number)
{
	char dir[128];
	struct model m, other;
	struct index_stats st;
	struct index_volume v, again;
	struct firn_error err = FIRN_ERROR_INIT;
	model_dir_make(dir);
	struct index *ix = must_open(dir, 0);
	model_init(&m, 5);
	model_init(&other, 6);
	for (int i = 0; i < 30; i++)
		must_apply(&m, ix, 1);
	must_apply(&other, ix, 1);
	cr_assert_eq(index_volume_get(ix, m.volume_id, &v, &err), 0);
	cr_assert_eq(index_forget(ix, m.volume_id, &err), 0, "%s", err.text);
	cr_assert_eq(index_forget(ix, m.volume_id, &err), 0, "%s", err.text);
	cr_assert_eq(index_volume_get(ix, m.volume_id, &again, &err), FIRN_ENOENT);
	must_equal(&other, ix);
	must_verify(ix, &st);
	cr_assert_eq(st.n_volumes, 1);
	cr_assert_eq(st.n_streams, other.stream.n);
	cr_assert_eq(st.n_extents, other.extent.n);
	cr_assert_eq(st.n_kv, other.kv.n);
	cr_assert_eq(st.n_producers, other.producer.n);
	cr_assert_eq(st.n_keys, other.key.n);
	cr_assert_eq(st.n_gaps, other.gap.n);
	must_apply(&m, ix, 1);
	cr_assert_eq(index_volume_get(ix, m.volume_id, &again, &err), 0);
	cr_assert_gt(again.number, v.number);
	model_fini(&m);
	model_fini(&other);
	index_close(ix);
	model_dir_remove(dir);
}

Test(index_apply, a_full_map_refuses_the_commit_and_keeps_the_state_before)
{
	char dir[128];
	struct model m;
	model_dir_make(dir);
	struct index *ix = must_open(dir, 64 * 4096);
	model_init(&m, 9);
	int rc = 0, n = 0;
	while (rc == 0 && n++ < 1000) {
		struct model_commit mc;
		struct firn_error err = FIRN_ERROR_INIT;
		struct index_volume before = { 0 }, after = { 0 };
		(void)index_volume_get(ix, m.volume_id, &before, &err);
		struct index_stats st_before, st_after;
		must_verify(ix, &st_before);
		model_round(&m, &mc);
		rc = index_apply(ix, &mc.c, &err);
		if (rc) {
			cr_assert_eq(rc, FIRN_ENOSPC, "%d: %s", rc, err.text);
			cr_assert_eq(index_apply(ix, &mc.c, &err), FIRN_ENOSPC);
			(void)index_volume_get(ix, m.volume_id, &after, &err);
			cr_assert_eq(memcmp(&before, &after, sizeof before), 0);
			must_verify(ix, &st_after);
			cr_assert_eq(memcmp(&st_before, &st_after, sizeof st_before), 0);
			index_close(ix); /* with more room the same commit goes in */
			ix = must_open(dir, 0);
			cr_assert_eq(index_apply(ix, &mc.c, &err), 0, "%s", err.text);
			must_equal(&m, ix);
		}
		model_commit_fini(&mc);
	}
	cr_assert_eq(rc, FIRN_ENOSPC);
	model_fini(&m);
	index_close(ix);
	model_dir_remove(dir);
}

Test(index_apply, footers_of_another_volume_are_refused)
{
	char dir[128];
	struct model m;
	struct model_commit mc;
	struct index_volume v;
	struct firn_error err = FIRN_ERROR_INIT;
	model_dir_make(dir);
	struct index *ix = must_open(dir, 0);
	model_init(&m, 3);
	model_round(&m, &mc);
	mc.c.volume_id[0] ^= 1;
	cr_assert_eq(index_apply(ix, &mc.c, &err), FIRN_EINVAL);
	cr_assert_eq(index_volume_get(ix, mc.c.volume_id, &v, &err), FIRN_ENOENT);
	model_commit_fini(&mc);
	model_fini(&m);
	index_close(ix);
	model_dir_remove(dir);
}

struct reader {
	pthread_t thread;
	struct index *ix;
	atomic_int stop;
	int rc;
	uint64_t n;
	struct firn_error err;
};

static int nothing(void *arg, const struct stream_state *s)
{
	struct index_extent x;
	struct reader *r = arg;
	int rc = index_extent_find(r->ix, 1, s->stream, s->start, &x,
	                           &r->err); /* a reader within a reader */
	r->n++;
	return rc == FIRN_ENOENT ? 0 : rc;
}

static void *read_on(void *arg)
{
	struct reader *r = arg;
	while (r->rc == 0 && !r->stop)
		r->rc = index_streams(r->ix, 1, nothing, r, &r->err);
	return NULL;
}

Test(index_apply, readers_read_on_while_commits_come_in)
{
	char dir[128];
	struct model m;
	struct reader r[4];
	memset(r, 0, sizeof r);
	model_dir_make(dir);
	struct index *ix = must_open(dir, 0);
	model_init(&m, 15);
	must_apply(&m, ix, 1);
	for (int i = 0; i < 4; i++) {
		r[i].ix = ix;
		cr_assert_eq(pthread_create(&r[i].thread, NULL, read_on, &r[i]), 0);
	}
	for (int i = 0; i < 100; i++) {
		struct index_stats st;
		must_apply(&m, ix, 1);
		if (i % 10 == 0)
			must_verify(ix, &st);
	}
	for (int i = 0; i < 4; i++) {
		r[i].stop = 1;
		pthread_join(r[i].thread, NULL);
		cr_assert_eq(r[i].rc, 0, "%s", r[i].err.text);
	}
	must_equal(&m, ix);
	model_fini(&m);
	index_close(ix);
	model_dir_remove(dir);
}

static int count_line(void *arg, const char *line)
{
	size_t *n = arg;
	cr_assert(strlen(line) > 4);
	++*n;
	return 0;
}

static int stop_at_once(void *arg, const struct stream_state *s)
{
	(void)arg;
	(void)s;
	return 42;
}

Test(index_apply, dump_prints_a_line_a_row_and_a_walk_stops_when_told)
{
	char dir[128];
	struct model m;
	struct index_stats st;
	struct index_volume v;
	struct firn_error err = FIRN_ERROR_INIT;
	size_t n = 0;
	model_dir_make(dir);
	struct index *ix = must_open(dir, 0);
	model_init(&m, 8);
	for (int i = 0; i < 10; i++)
		must_apply(&m, ix, 1);
	must_verify(ix, &st);
	cr_assert_eq(index_dump(ix, count_line, &n, &err), 0, "%s", err.text);
	cr_assert_eq(n, 1 + st.n_volumes + st.n_streams + st.n_extents + st.n_kv + st.n_producers +
	                        st.n_keys + st.n_gaps + st.n_segments + st.n_empties);
	cr_assert_eq(index_volume_get(ix, m.volume_id, &v, &err), 0);
	cr_assert_eq(index_streams(ix, v.number, stop_at_once, NULL, &err), 42);
	model_fini(&m);
	index_close(ix);
	model_dir_remove(dir);
}

static int old_producer(void *arg, const struct producer_change *p)
{
	return p->last_ms < *(const int64_t *)arg;
}

static int old_key(void *arg, const struct key_entry *k)
{
	return k->append_ms < *(const int64_t *)arg;
}

Test(index_apply, what_has_gone_stale_is_forgotten_and_the_rest_stays)
{
	char dir[128];
	struct model m;
	struct index_volume v;
	struct firn_error err = FIRN_ERROR_INIT;
	model_dir_make(dir);
	struct index *ix = must_open(dir, 0);
	model_init(&m, 12);
	for (int i = 0; i < 60; i++)
		must_apply(&m, ix, 1);
	cr_assert_eq(index_volume_get(ix, m.volume_id, &v, &err), 0);
	int64_t before = (int64_t)m.rev / 2;
	uint64_t n, want = model_forget_before(&m, before);
	struct index_judges judges = { old_producer, old_key, &before };
	cr_assert_gt(want, 0);
	cr_assert_eq(index_expire(ix, v.number, &judges, &n, &err), 0, "%s", err.text);
	cr_assert_eq(n, want);
	must_equal(&m, ix);
	cr_assert_eq(index_expire(ix, v.number, &judges, &n, &err), 0, "%s", err.text);
	cr_assert_eq(n, 0);
	model_fini(&m);
	index_close(ix);
	model_dir_remove(dir);
}
