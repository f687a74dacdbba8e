/* Runs the checks one after another and cleans up behind them. */
#include "tests/conformance/run.h"
#include "engine/os/env.h"

extern const struct group put_group, get_group, range_group, stat_group, list_group, delete_group,
        multipart_group, condition_group, large_group, key_group, empty_group, many_group,
        concurrency_group, cancel_group, error_group, claim_group, durable_group;

const struct group *const all_groups[] = {
	&put_group,    &get_group,       &range_group,       &stat_group,   &list_group,
	&delete_group, &multipart_group, &condition_group,   &large_group,  &empty_group,
	&key_group,    &many_group,      &concurrency_group, &cancel_group, &error_group,
	&claim_group,  &durable_group,
};
const size_t n_all_groups = sizeof all_groups / sizeof all_groups[0];

/* ---- what is to be cleaned up ---- */

static void out_of_memory(void)
{
	(void)fputs("firn-conformance: no memory\n", stderr);
	exit(2);
}

static void *grown(void *array, size_t *cap, size_t n, size_t elem)
{
	if (n < *cap)
		return array;
	*cap = *cap ? *cap * 2 : 64;
	array = realloc(array, *cap * elem);
	if (!array)
		out_of_memory();
	return array;
}

static char *copied(const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		out_of_memory();
	return copy;
}

void run_note_key(struct run *run, const char *key)
{
	pthread_mutex_lock(&run->lock);
	/* Most keys are put again and again in a row. */
	if (!run->n_key || strcmp(run->key[run->n_key - 1], key)) {
		run->key = grown(run->key, &run->cap_key, run->n_key, sizeof *run->key);
		run->key[run->n_key++] = copied(key);
	}
	pthread_mutex_unlock(&run->lock);
}

void run_note_upload(struct run *run, const char *key, const char *upload)
{
	pthread_mutex_lock(&run->lock);
	run->upload = grown(run->upload, &run->cap_upload, run->n_upload, sizeof *run->upload);
	run->upload[run->n_upload].key = copied(key);
	run->upload[run->n_upload++].upload = copied(upload);
	pthread_mutex_unlock(&run->lock);
}

static void clean_uploads(struct run *run, struct trial *t)
{
	for (size_t i = 0; i < run->n_upload; i++) {
		struct left_upload *u = &run->upload[i];
		struct ask *a = ask_key(t, FIRN_STORE_MULTIPART_ABORT, u->key);

		a->req.upload = u->upload;
		(void)ask_do(t, a, false);
		host_ask_free(a);
		free(u->key);
		free(u->upload);
	}
	run->n_upload = 0;
}

static int key_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Many at once: ten thousand keys on a store far away. */
enum { CLEANERS = 16 };

struct cleaning {
	struct run *run;
	size_t n_failed;
};

static void clean_share(struct trial *t, unsigned i, void *arg)
{
	struct cleaning *c = arg;

	for (size_t k = i; k < c->run->n_key; k += CLEANERS) {
		if (k && !strcmp(c->run->key[k], c->run->key[k - 1]))
			continue;
		struct ask *a = ask_key(t, FIRN_STORE_DELETE, c->run->key[k]);
		int rc = ask_do(t, a, false);

		/* FIRN_EINVAL: its PUT was refused, too. */
		if (rc != FIRN_OK && rc != FIRN_EINVAL)
			__atomic_add_fetch(&c->n_failed, 1, __ATOMIC_RELAXED);
		host_ask_free(a);
	}
}

size_t run_clean(struct run *run)
{
	struct trial t = { .host = run->host, .run = run, .uri = run->uri };
	struct cleaning c = { .run = run };

	if (run->n_key)
		qsort(run->key, run->n_key, sizeof *run->key, key_order);
	if (!setjmp(t.end)) {
		clean_uploads(run, &t);
		crew(&t, CLEANERS, clean_share, &c);
	} else {
		c.n_failed++;
	}
	for (size_t i = 0; i < run->n_key; i++)
		free(run->key[i]);
	run->n_key = 0;
	trial_forget(&t);
	return c.n_failed;
}

/* ---- checks ---- */

static void run_one(struct run *run, const struct group *group, const struct check *check,
                    struct outcome *out)
{
	const struct firn_env *env = env_default();
	struct trial *t = calloc(1, sizeof *t);
	uint64_t begin = env->mono_ns(env->ctx);

	if (!t)
		out_of_memory();
	*out = (struct outcome){ .group = group, .check = check, .result = CHECK_NOT_ASKED };
	t->host = run->host;
	t->run = run;
	t->uri = run->uri;
	t->arg = check->arg;
	(void)snprintf(t->prefix, sizeof t->prefix, "%s%s-%zu/", run->prefix, group->name,
	               (size_t)(check - group->check));
	if ((run->host->info.caps & check->caps) == check->caps) {
		if (!setjmp(t->end))
			check->body(t);
		out->result = t->failed ? CHECK_FAILED : t->not_asked ? CHECK_NOT_ASKED : CHECK_OK;
		out->why = t->failed ? copied(t->why) : NULL;
	}
	out->ms = (uint32_t)((env->mono_ns(env->ctx) - begin) / 1000000u);
	if (!run->hung) /* else the memory is lent to the back end */
		trial_forget(t);
	free(t);
}

static bool is_wanted(const struct group *group, const char *only, const char *without)
{
	return (!only || !strcmp(only, group->name)) && (!without || strcmp(without, group->name));
}

bool run_checks(struct run *run, const char *only, const char *without, struct firn_error *err)
{
	uint64_t chance = 0;
	size_t n = 0;

	env_default()->random(NULL, &chance, sizeof chance);
	(void)snprintf(run->prefix, sizeof run->prefix, "firn-conformance/%016llx/",
	               (unsigned long long)chance);
	(void)pthread_mutex_init(&run->lock, NULL);
	run->host = host_open(run->uri, err);
	if (!run->host)
		return false;
	for (size_t g = 0; g < n_all_groups; g++)
		n += all_groups[g]->n;
	run->outcome = calloc(n, sizeof *run->outcome);
	if (!run->outcome)
		out_of_memory();
	for (size_t g = 0; g < n_all_groups; g++)
		for (size_t i = 0; i < all_groups[g]->n && !run->hung; i++)
			if (is_wanted(all_groups[g], only, without))
				run_one(run, all_groups[g], &all_groups[g]->check[i],
				        &run->outcome[run->n_outcome++]);
	return true;
}

void run_free(struct run *run)
{
	for (size_t i = 0; i < run->n_outcome; i++)
		free(run->outcome[i].why);
	free(run->outcome);
	free(run->key);
	free(run->upload);
	if (!run->hung)
		host_close(run->host);
}
