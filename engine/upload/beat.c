/* The heartbeat: one small object per engine and store, renewed once a minute as long as a volume of the store is attached
 * here. So an idle volume costs no request, and who would give it up sees that its owner lives (S12).
 *
 *   .firn-beat/<WAL id in hex>     a line of text, for people; that it changes is all it says
 *
 * Others look at it, nobody trusts it: that it stands still proves nothing, and what an abandon makes safe does not rest
 * on it (abandon.c). So it is written without a condition, and a failure is not tried again before the next minute. */
#include "engine/api/engine.h"
#include "engine/base/sum.h"
#include "engine/upload/attach.h"
#include <inttypes.h>
#include <stdio.h>

#define PATIENCE_NS UINT64_C(5000000000)
enum { BEAT_MAX = 4096 };

static void beat_key(const uint8_t wal_id[16], char key[64])
{
	int n = snprintf(key, 64, ".firn-beat/");
	for (int i = 0; i < 16; i++)
		n += snprintf(key + n, 64 - (size_t)n, "%02x", wal_id[i]);
}

int beat_run(struct engine *e, struct upload_lane *lane)
{
	const struct firn_env *env = e->env;
	struct store *s;
	char key[64], text[200];
	if (!store_open(env, lane->uri, &s, NULL)) {
		totals_join(&e->stores, s);
		(void)store_patience(s, PATIENCE_NS);
		beat_key(e->wal.wal_id, key);
		int n = snprintf(text, sizeof text,
		                 "firn heartbeat %" PRIu64 " of run %" PRIu64 ", at %" PRId64
		                 " ms\n",
		                 ++lane->n_beat, e->wal.run, env->now_ms(env->ctx));
		struct iovec iov = { text, (size_t)n };
		(void)store_put(s, key, &iov, 1, STORE_ALWAYS, NULL, NULL, NULL);
		store_close(s);
	}
	atomic_store(&lane->beating, false);
	return 0;
}

int beat_look(struct volume *v, const uint8_t wal_id[16], uint64_t *sum, struct firn_error *err)
{
	struct buf b;
	char key[64];
	buf_init(&b, v->engine->env);
	beat_key(wal_id, key);
	int rc = store_get_all(v->store, key, BEAT_MAX, &b, NULL, err);
	*sum = rc ? 0 : sum64(b.data, b.len);
	buf_fini(&b);
	return rc == FIRN_ENOENT ? 0 : rc;
}
