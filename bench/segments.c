/* Objects as large as segments, read whole through firn's store layer: back end, limits, retries, meters. Nothing is decoded;
 * what comes is kept in one buffer of each thread's, as the bare loop that keeps what it gets does. */
#include "bench/bench.h"
#include "engine/os/env.h"
#include "engine/store/store.h"
#include <stdlib.h>

enum { CALLERS_MAX = 16, OBJECTS = 8, URI_MAX = 3072 };

struct segments {
	struct store *store;
	uint8_t *noise, *keep[CALLERS_MAX];
	size_t len;
};

static void name_of(uint64_t i, char out[24])
{
	(void)snprintf(out, 24, "segment-%u", (unsigned)(i % OBJECTS));
}

static int put_one(struct segments *s, uint64_t i)
{
	char key[24];
	struct firn_error err = FIRN_ERROR_INIT;
	struct iovec iov = { s->noise, s->len };
	name_of(i, key);
	return store_put(s->store, key, &iov, 1, STORE_ALWAYS, NULL, NULL, &err)
	               ? bench_fail(err.text)
	               : 0;
}

static int get_one(void *ctx, unsigned caller, uint64_t i)
{
	struct segments *s = ctx;
	char key[24];
	size_t got = 0;
	struct firn_error err = FIRN_ERROR_INIT;
	name_of(i + caller, key);
	if (store_get(s->store, key, 0, s->keep[caller], s->len, &got, &err))
		return bench_fail(err.text);
	return got == s->len ? 0 : bench_fail("segments: not all of it came");
}

static int run(const struct bench *b, const struct workload *w, struct segments *s,
               struct sample *out)
{
	struct callers get = { w->n, b->seconds, s->len, get_one, s };
	int rc = 0;
	for (unsigned i = 0; i < w->n; i++)
		if (!(s->keep[i] = scratch_noise(s->len)))
			return bench_fail(w->name);
	for (uint64_t i = 0; rc == 0 && i < OBJECTS; i++)
		rc = put_one(s, i);
	return rc ? rc : callers_run(&get, out);
}

int segments_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	char uri[URI_MAX];
	struct segments s = { .len = (b->small ? 2u : 64u) << 20 };
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = store_place(b, w->name, uri, sizeof uri);
	if (rc)
		return rc;
	s.noise = scratch_noise(s.len);
	rc = s.noise ? 0 : bench_fail(w->name);
	if (rc == 0 && store_open(env_default(), uri, &s.store, &err))
		rc = bench_fail(err.text);
	rc = rc ? rc : run(b, w, &s, out);
	if (s.store)
		store_close(s.store);
	for (unsigned i = 0; i < w->n; i++)
		free(s.keep[i]);
	free(s.noise);
	store_clear(uri);
	return rc;
}
