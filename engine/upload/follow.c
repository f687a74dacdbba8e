/* Is there a later cut? One look: the manifest is asked for, and if it is a later one the volume is brought there.
 *
 * How often: a look costs one request, the least there is (STAT), or a GET right away while every look brings news.
 * The wait is what lay between the last commits, at most upload_interval_ms of the attach and half of the grace time. Three
 * looks in vain double it. So a volume that nobody writes to costs a request each upload_interval_ms, 1 440 a day by
 * default, whatever its size.
 *
 * What can fail: the store, away: again as the circuit lets us, what is shown stays. The manifest has gone backwards, is
 * another volume's or of a newer format, or it names what is not there: nothing is followed any more
 * (FIRN_STATE_STOPPED), what is shown stays. Lock: volume.lock for short moments. */
#include "engine/upload/follow.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/upload/attach.h"
#include <string.h>

enum { LOOKS = 3, QUIET_LOOKS = 3, LEAST_MS = 1000 };
#define MS_NS UINT64_C(1000000)

static uint64_t now_ns(const struct volume *v)
{
	return v->engine->env->mono_ns(v->engine->env->ctx);
}

static uint64_t most_ms(const struct volume *v)
{
	uint64_t ms = v->upload_interval_ms, half = v->engine->options.delete_grace_ms / 2;
	ms = ms < half ? ms : half;
	return ms ? ms : 1;
}

static uint64_t within(const struct volume *v, uint64_t ms)
{
	ms = ms < LEAST_MS ? LEAST_MS : ms;
	return ms < most_ms(v) ? ms : most_ms(v);
}

/* Many who were started together do not ask together for ever. */
static void wait_from_now(struct volume *v)
{
	struct follow *f = v->follow;
	uint64_t chance;
	v->engine->env->random(v->engine->env->ctx, &chance, sizeof chance);
	uint64_t ns = f->wait_ms * MS_NS;
	f->at_ns = now_ns(v) + ns - chance % (ns / 8 + 1);
}

int follow_open(struct volume *v, struct firn_error *err)
{
	struct follow *f = mem_zalloc(v->engine->env, sizeof *f);
	if (!f)
		return fail(err, FIRN_ENOMEM, 0, "attach", "no memory");
	pthread_cond_init(&f->ended, NULL);
	buf_init(&f->turn.kv, v->engine->env);
	f->turn.number = v->index_no;
	f->turn.n_lost = v->manifest.n_lost;
	f->wait_ms = within(v, 0);
	f->news_ns = now_ns(v);
	v->follow = f;
	wait_from_now(v);
	return 0;
}

void follow_close(struct volume *v)
{
	struct follow *f = v->follow;
	if (!f)
		return;
	if (f->turn.kept) /* detached on the way: nobody shows it any more */
		(void)index_fill_drop(v->engine->index, f->turn.kept, NULL);
	mem_free(v->engine->env, f->turn.stream);
	mem_free(v->engine->env, f->turn.producing);
	buf_fini(&f->turn.kv);
	pthread_cond_destroy(&f->ended);
	mem_free(v->engine->env, f);
	v->follow = NULL;
}

/* ---- who looks, and when ---- */

bool follow_due(const struct volume *v, uint64_t now)
{
	const struct follow *f = v->follow;
	return !v->following && !volume_ends(v) && (now >= f->at_ns || v->look < f->asked) &&
	       !(v->retry_n && now < v->retry_at_ns);
}

void follow_claim(struct volume *v)
{
	v->following = true;
	v->follow->n_begun++;
}

uint64_t follow_ask(struct volume *v)
{
	return v->follow->asked = v->follow->n_begun + 1;
}

/* ---- the manifest ---- */

static bool same_version(const struct store_version *a, const struct store_version *b)
{
	return a->len && a->len == b->len && !memcmp(a->text, b->text, a->len);
}

static int gone(const char *key, const struct volume *v, struct firn_error *err)
{
	return fail(err, FIRN_ECORRUPT, 0, "follow",
	            "%s: the store went backwards: version %llu is gone", key,
	            (unsigned long long)v->manifest.seq);
}

/* Is it one that may follow what was seen before? */
static int judge(const struct volume *v, const struct manifest *m, struct firn_error *err)
{
	const struct manifest *was = &v->manifest;
	if (memcmp(m->volume_id, was->volume_id, 16) != 0)
		return fail(err, FIRN_ECORRUPT, 0, "follow",
		            "%s: the store has another volume of this name now", v->name);
	if (m->seq < was->seq || m->epoch < was->epoch || m->rev_stored < was->rev_stored ||
	    (m->seq == was->seq && memcmp(m->nonce, was->nonce, 16) != 0))
		return fail(
		        err, FIRN_ECORRUPT, 0, "follow",
		        "%s: the store went backwards: its manifest is version %llu of writer %llu, version "
		        "%llu of writer %llu was seen",
		        v->name, (unsigned long long)m->seq, (unsigned long long)m->epoch,
		        (unsigned long long)was->seq, (unsigned long long)was->epoch);
	if (m->state == MANIFEST_DESTROYED)
		return fail(err, FIRN_ECORRUPT, 0, "follow", "%s was destroyed", v->name);
	return 0;
}

/* *n: versions that came since, 0: none. *wrong: what was read cannot be followed. */
static int take(struct volume *v, const struct buf *b, uint64_t *n, bool *wrong,
                struct firn_error *err)
{
	struct manifest next, old;
	manifest_init(&next);
	int rc = manifest_decode(v->engine->env, b->data, b->len, &next, err);
	*wrong = rc == FIRN_EUNSUPPORTED; /* damaged bytes are asked for again */
	if (rc)
		return fail_context(err, rc, "the manifest of %s", v->name);
	rc = judge(v, &next, err);
	*wrong = rc != 0;
	*n = rc ? 0 : next.seq - v->manifest.seq;
	if (rc || !*n) {
		manifest_fini(&next, v->engine->env);
		return rc;
	}
	pthread_mutex_lock(&v->lock);
	old = v->manifest;
	v->manifest = next;
	pthread_mutex_unlock(&v->lock);
	manifest_fini(&old, v->engine->env);
	return 0;
}

static int ask(struct volume *v, uint64_t *n, bool *wrong, struct firn_error *err)
{
	struct follow *f = v->follow;
	struct store_version now = { 0 };
	struct buf b;
	char key[400];
	uint64_t size;
	int rc = 0;
	*n = 0;
	*wrong = false;
	(void)manifest_key(v->name, key, sizeof key);
	if (!f->news && v->version.len)
		rc = store_stat(v->store, key, &size, &now, err);
	if (!rc && same_version(&now, &v->version))
		return 0;
	buf_init(&b, v->engine->env);
	rc = rc ? rc : store_get_all(v->store, key, MANIFEST_MAX_BYTES, &b, &now, err);
	if (!rc && !same_version(&now, &v->version))
		rc = take(v, &b, n, wrong, err);
	if (!rc)
		v->version = now;
	if (rc == FIRN_ENOENT) {
		*wrong = true;
		rc = gone(key, v, err);
	}
	buf_fini(&b);
	f->behind = f->behind || *n;
	return rc;
}

/* ---- a look ---- */

/* The cut of the manifest. What it names may have gone meanwhile: then there is a later one (PROTOCOL 22). */
static int catch_up(struct volume *v, uint64_t *n, bool *wrong, struct firn_error *err)
{
	struct follow *f = v->follow;
	int rc = 0;
	for (uint32_t tries = 0; f->behind && !rc; tries++) {
		uint64_t more = 0;
		rc = index_catch_up(v, err);
		rc = rc ? rc : follow_show(v, err);
		if (!rc) {
			f->behind = false;
		} else if (rc == FIRN_ECORRUPT && tries < LOOKS) {
			struct firn_error was = *err;
			f->news = true;
			rc = ask(v, &more, wrong, err);
			*n += more;
			if (!rc && !more) {
				*err = was;
				*wrong = true;
				rc = FIRN_ECORRUPT;
			}
		}
	}
	return rc;
}

/* What took long, as an index filled anew, is not begun again at once. */
static void plan(struct volume *v, uint64_t n, uint64_t began_ns)
{
	struct follow *f = v->follow;
	uint64_t now = now_ns(v), rest_ms = 4 * (now - began_ns) / MS_NS;
	if (n) {
		f->wait_ms = within(v, (now - f->news_ns) / MS_NS / n);
		f->news_ns = now;
		f->n_quiet = 0;
	} else if (++f->n_quiet == QUIET_LOOKS) {
		f->wait_ms = within(v, 2 * f->wait_ms);
		f->n_quiet = 0;
	}
	f->news = n != 0;
	if (f->wait_ms < rest_ms)
		f->wait_ms = within(v, rest_ms);
	pthread_mutex_lock(&v->lock);
	v->retry_n = 0;
	wait_from_now(v);
	pthread_mutex_unlock(&v->lock);
}

/* Claimed; 0: it shows what the store says. */
static int look(struct volume *v, uint64_t *n)
{
	struct firn_error err = { .struct_size = sizeof err };
	uint64_t began_ns = now_ns(v);
	bool wrong;
	int rc = ask(v, n, &wrong, &err);
	if (!rc) /* it answers: before those who wait for more are told */
		volume_set_state(v, FIRN_STATE_READ_ONLY, NULL);
	rc = rc ? rc : catch_up(v, n, &wrong, &err);
	if (!rc) {
		plan(v, *n, began_ns);
	} else if (wrong) {
		volume_stop(v, &err);
	} else if (rc == FIRN_ESTORE) {
		volume_away(v, &err);
	} else {
		volume_retry(v, &err);
	}
	return rc;
}

static void ended(struct volume *v, uint64_t number, bool good)
{
	pthread_mutex_lock(&v->lock);
	v->follow->good = good;
	v->following = false; /* from here on a detach may free the volume */
	if (good) {
		v->look = number;
		publish_looked(v);
	}
	pthread_cond_broadcast(&v->follow->ended);
	pthread_mutex_unlock(&v->lock);
}

int follow_run(struct volume *v)
{
	uint64_t n = 0, number = v->follow->n_begun;
	int rc = look(v, &n);
	ended(v, number, !rc);
	return n != 0;
}

int follow_again(struct volume *v)
{
	struct engine *e = v->engine;
	struct follow *f = v->follow;
	pthread_mutex_lock(&v->lock);
	uint64_t want = f->n_begun + 1, n = 0;
	while (v->following && f->n_begun < want)
		pthread_cond_wait(&f->ended, &v->lock);
	bool ours = f->n_begun < want && !volume_ends(v);
	if (ours)
		follow_claim(v);
	while (!ours && v->following && f->n_begun == want)
		pthread_cond_wait(&f->ended, &v->lock);
	bool good = f->n_begun >= want && f->good;
	pthread_mutex_unlock(&v->lock);
	if (ours) {
		good = !look(v, &n);
		ended(v, want, good);
		upload_kick(e); /* a detach may wait for us */
	}
	return good ? FIRN_OK : FIRN_ESTORE;
}

bool follow_between(struct volume *v, uint64_t *cut)
{
	pthread_mutex_lock(&v->lock);
	while (v->turning && v->following)
		pthread_cond_wait(&v->follow->ended, &v->lock);
	bool between = v->turning;
	*cut = v->cut;
	pthread_mutex_unlock(&v->lock);
	return between;
}
