/* Opening, stepping and closing an engine. */
#include "engine/api/engine.h"
#include "engine/api/cq.h"
#include "engine/api/handle.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/newer.h"
#include "engine/base/wait.h"
#include "engine/os/env.h"
#include "engine/upload/upload.h"
#include "engine/wal/slots.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void *wal_thread(void *arg)
{
	struct engine *e = arg;
	for (;;) {
		wal_wait(&e->wal);
		if (e->linger_us && !e->wal.in_flight && !e->wal.stopping && !e->wal.slots)
			(void)usleep(e->linger_us);
		if (!wal_step(&e->wal) && e->wal.stopping)
			return NULL;
	}
}

/* Until someone kicks or 50 ms are over: ages and retries are looked at this often. True: the end. */
static bool upload_wait(struct engine *e, bool *kicked)
{
	struct timespec t = mono_after(50 * 1000 * 1000);
	pthread_mutex_lock(&e->kick_lock);
	if (!(kicked && *kicked) && !e->stopping)
		(void)pthread_cond_timedwait(&e->upload_work, &e->kick_lock, &t);
	if (kicked)
		*kicked = false;
	bool stop = e->stopping;
	pthread_mutex_unlock(&e->kick_lock);
	return stop;
}

static void *upload_thread(void *arg)
{
	struct engine *e = arg;
	do
		while (upload_step(e))
			;
	while (!upload_wait(e, &e->upload_kicked));
	return NULL;
}

/* WAL files ahead of need, and lists that grew too long: a thread of its own, since zeroing a file takes long. */
static void *spare_thread(void *arg)
{
	struct engine *e = arg;
	do
		while (wal_prepare(&e->wal) | places_step(e) | aside_step(e))
			engine_room(e);
	while (!upload_wait(e, NULL));
	return NULL;
}

static void *read_thread(void *arg)
{
	struct engine *e = arg;
	for (;;) {
		while (read_step(e))
			;
		pthread_mutex_lock(&e->kick_lock);
		bool stop = e->stopping;
		pthread_mutex_unlock(&e->kick_lock);
		if (stop)
			return NULL;
		read_wait(e);
	}
}

/* Threads of ours take no signals: those belong to the host. */
static int start_threads(struct engine *e, struct firn_error *err)
{
	void *(*const run[])(void *) = { wal_thread, upload_thread, read_thread, spare_thread,
		                         work_build_thread };
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int rc = work_start(e, err);
	rc = rc || !e->wal.slots ? rc : slots_start(&e->wal);
	for (uint32_t i = 0; i < sizeof run / sizeof run[0] && !rc; i++) {
		rc = pthread_create(&e->thread[i], NULL, run[i], e);
		e->n_thread += !rc;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc ? fail(err, FIRN_ENOMEM, rc, "engine", "cannot start a thread") : 0;
}

static void stop_threads(struct engine *e)
{
	if (e->wal_opened) { /* else it has no lock (any more) */
		pthread_mutex_lock(&e->wal.lock);
		e->wal.stopping = true;
		pthread_cond_broadcast(&e->wal.work);
		pthread_mutex_unlock(&e->wal.lock);
	}
	pthread_mutex_lock(&e->kick_lock);
	e->stopping = true;
	pthread_cond_broadcast(&e->upload_work);
	pthread_mutex_unlock(&e->kick_lock);
	if (e->reads)
		read_stop(e);
	pthread_mutex_lock(&e->uploads.lock); /* the builder sleeps on it */
	e->uploads.stopping = true;
	pthread_cond_broadcast(&e->uploads.build);
	pthread_mutex_unlock(&e->uploads.lock);
	for (uint32_t i = 0; i < e->n_thread; i++)
		pthread_join(e->thread[i], NULL);
	e->n_thread = 0;
	if (e->wal.slots) {
		slots_stop(&e->wal);
		slots_end(&e->wal);
	}
	work_stop(e); /* behind the thread that makes workers */
	e->wal.stopping = false;
}

int engine_step_once(struct engine *e)
{
	if (pthread_mutex_trylock(&e->step_lock))
		return 0;
	int did = wal_step(&e->wal);
	did |= upload_step(e);
	did |= read_step(e);
	pthread_mutex_unlock(&e->step_lock);
	return did;
}

int firn_engine_step(struct firn_engine *engine, uint32_t timeout_ms)
{
	struct engine *e = engine_of(engine);
	if (!e)
		return FIRN_EINVAL;
	if (!e->no_threads)
		return FIRN_EUNSUPPORTED;
	uint64_t until = e->env->mono_ns(e->env->ctx) + timeout_ms * UINT64_C(1000000);
	for (;;) {
		if (engine_step_once(e))
			return 1;
		if (timeout_ms != FIRN_FOREVER && e->env->mono_ns(e->env->ctx) >= until)
			return 0;
		(void)usleep(1000); /* stages have timers of their own; nothing wakes us */
	}
}

/* Who holds the directory: the lock file carries the process number. */
static int lock_dir(struct engine *e, struct firn_error *err)
{
	const struct firn_env *env = e->env;
	char path[4200], text[32] = { 0 };
	int rc = env->files->mkdir(env->ctx, e->dir);
	if (rc)
		return fail(err, code_of_errno(rc), -rc, "engine", "%s", e->dir);
	(void)snprintf(path, sizeof path, "%s/lock", e->dir);
	rc = env->files->open(env->ctx, path, FIRN_OPEN_CREATE, &e->lock_file);
	if (rc < 0) {
		e->lock_file = NULL;
		return fail(err, code_of_errno(rc), -rc, "engine", "%s", path);
	}
	rc = env->files->lock(env->ctx, e->lock_file);
	if (rc) {
		int64_t n = env->files->read(env->ctx, e->lock_file, text, sizeof text - 1, 0);
		text[n > 0 ? n : 0] = 0;
		text[strcspn(text, " \n")] = 0;
		return fail(err, rc == -EWOULDBLOCK ? FIRN_EBUSY : code_of_errno(rc), 0, "engine",
		            "%s is held by process %s", e->dir, text[0] ? text : "?");
	}
	(void)snprintf(text, sizeof text, "%-20ld\n", (long)getpid());
	int64_t n = env->files->write(env->ctx, e->lock_file, text, strlen(text), 0);
	return n < 0 ? fail(err, code_of_errno((int)n), (int)-n, "engine", "%s", path) : 0;
}

/* A damaged index is set aside: the volumes rebuild theirs from the store at attach. */
static int open_index(struct engine *e, struct firn_error *err)
{
	char path[4200], aside[4240];
	(void)snprintf(path, sizeof path, "%s/index", e->dir);
	int rc = index_open(e->env, path, &e->index, err);
	if (rc != FIRN_ECORRUPT)
		return rc;
	e->env->log(e->env->ctx, FIRN_LOG_ERROR, "index", err ? err->text : "the index is damaged");
	(void)snprintf(aside, sizeof aside, "%s.damaged-%llx", path,
	               (unsigned long long)e->env->now_ms(e->env->ctx));
	int moved = e->env->files->rename(e->env->ctx, path, aside);
	if (moved)
		return rc;
	e->env->log(e->env->ctx, FIRN_LOG_WARN, "index",
	            "set aside; it is rebuilt from the store at attach");
	return index_open(e->env, path, &e->index, err);
}

static struct engine *engine_new(const struct firn_engine_opts *opts, struct firn_error *err)
{
	struct firn_env env;
	bool pwrite_only = false;
	for (const char *const *o = opts->options; o && *o; o++)
		pwrite_only = !strcmp(*o, "wal_io=pwrite") ||
		              (pwrite_only && strncmp(*o, "wal_io=", 7) != 0);
	int rc = env_complete(opts->env, pwrite_only ? ENV_URING_NEVER : ENV_URING_AUTO, &env);
	if (rc) {
		(void)fail(err, rc == -EOPNOTSUPP ? FIRN_EUNSUPPORTED : FIRN_EINVAL, -rc, "engine",
		           "env");
		return NULL;
	}
	struct account *account = account_new(&env);
	struct engine *e = account ? mem_zalloc(&env, sizeof *e) : NULL;
	if (!e) {
		account_release(account);
		(void)fail(err, FIRN_ENOMEM, 0, "engine", "no memory");
		return NULL;
	}
	e->account = account;
	e->env = &account->env;
	pthread_condattr_t mono;
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_mutex_init(&e->lock, NULL);
	pthread_mutex_init(&e->kick_lock, NULL);
	pthread_mutex_init(&e->log_lock, NULL);
	pthread_mutex_init(&e->step_lock, NULL);
	(void)totals_init(&e->stores);
	pthread_rwlock_init(&e->volumes_lock, NULL);
	pthread_cond_init(&e->upload_work, &mono);
	pthread_cond_init(&e->room, &mono);
	pthread_condattr_destroy(&mono);
	work_init(e);
	return e;
}

static void engine_free(struct engine *e, bool clean)
{
	stop_threads(e);
	if (e->reads)
		read_close(e);
	if (e->index)
		index_close(e->index);
	if (e->wal_opened)
		wal_close(&e->wal, clean);
	wal_scan_fini(&e->scan, e->env);
	if (e->lock_file)
		(void)e->env->files->close(e->env->ctx, e->lock_file);
	while (e->handles) {
		struct firn_volume *h = e->handles;
		e->handles = h->next;
		mem_free(e->env, h);
	}
	mem_free(e->env, e->volume);
	(void)engine_log_send(e); /* to nobody: all queues are closed */
	pthread_mutex_destroy(&e->lock);
	pthread_mutex_destroy(&e->kick_lock);
	pthread_mutex_destroy(&e->log_lock);
	pthread_mutex_destroy(&e->step_lock);
	totals_fini(&e->stores);
	work_fini(e);
	pthread_rwlock_destroy(&e->volumes_lock);
	pthread_cond_destroy(&e->upload_work);
	pthread_cond_destroy(&e->room);
	struct account *account = e->account;
	mem_free(&account->env, e);
	account_release(account);
}

int firn_engine_open(const struct firn_engine_opts *opts, struct firn_engine **out,
                     struct firn_error *err)
{
	struct firn_error mine = { .struct_size = sizeof mine };
	err = err ? err : &mine;
	if (out)
		*out = NULL;
	if (!opts || !out || !opts->dir || opts->struct_size < sizeof *opts ||
	    strlen(opts->dir) > 4000)
		return fail(err, FIRN_EINVAL, 0, "engine",
		            "opts, opts.struct_size, opts.dir or out");
	if (newer_says_more(opts, sizeof *opts, opts->struct_size))
		return fail(err, FIRN_EUNSUPPORTED, 0, "engine",
		            "opts has a member of a newer release");
	struct engine *e = engine_new(opts, err);
	if (!e)
		return err->code;
	(void)snprintf(e->dir, sizeof e->dir, "%s", opts->dir);
	int rc = options_parse(e, opts, err);
	rc = rc ? rc : lock_dir(e, err);
	rc = rc ? rc : wal_mode_open(e, err);
	rc = rc ? rc : open_index(e, err);
	if (!rc && read_open(e))
		rc = fail(err, FIRN_ENOMEM, 0, "engine", "no memory for the read side");
	if (!rc && !e->no_threads)
		rc = start_threads(e, err);
	if (rc) {
		engine_free(e, false);
		return rc;
	}
	*out = (struct firn_engine *)(void *)e;
	return 0;
}

int firn_engine_close(struct firn_engine *engine)
{
	struct engine *e = engine_of(engine);
	if (!e)
		return 0;
	pthread_rwlock_rdlock(&e->volumes_lock);
	bool busy = e->n_volume != 0;
	pthread_rwlock_unlock(&e->volumes_lock);
	pthread_mutex_lock(&e->lock);
	busy = busy || e->n_cq || e->n_reader || e->job_first;
	pthread_mutex_unlock(&e->lock);
	if (busy)
		return FIRN_EBUSY;
	engine_free(e, true);
	return 0;
}

struct firn_volume *handle_new(struct volume *v)
{
	struct firn_volume *h = mem_zalloc(v->engine->env, sizeof *h);
	if (!h)
		return NULL;
	atomic_init(&h->v, v);
	h->engine = v->engine;
	pthread_mutex_lock(&v->engine->lock);
	h->next = v->engine->handles;
	v->engine->handles = h;
	pthread_mutex_unlock(&v->engine->lock);
	return h;
}

void handle_close(struct firn_volume *h)
{
	if (!h)
		return;
	atomic_store(&h->v, NULL);
	while (atomic_load(&h->n_inside))
		sched_yield();
}

struct volume *volume_enter(const struct firn_volume *handle)
{
	struct firn_volume *h = (struct firn_volume *)(uintptr_t)handle;
	if (!h)
		return NULL;
	atomic_fetch_add(&h->n_inside, 1);
	struct volume *v = atomic_load(&h->v);
	if (!v)
		atomic_fetch_sub(&h->n_inside, 1);
	return v;
}

void volume_leave(const struct firn_volume *handle)
{
	atomic_fetch_sub(&((struct firn_volume *)(uintptr_t)handle)->n_inside, 1);
}
