/* Logs without a seal, see open_logs.h. No lock. */
#include "engine/gc/open_logs.h"
#include "engine/base/error.h"
#include "engine/store/store.h"
#include "engine/wal/slots_format.h"
#include <firn/env.h>
#include <string.h>

void open_logs_begin(struct open_logs *o)
{
	memcpy(o->was, o->now, sizeof o->was);
	o->n_was = o->n_now;
	o->n_now = 0;
	o->n_seen = 0;
}

/* Of all that are seen each is as likely to be kept. */
static struct open_log *place(struct open_logs *o, const struct firn_env *env)
{
	uint64_t at = 0;
	o->n_seen++;
	if (o->n_now < OPEN_LOGS)
		return &o->now[o->n_now++];
	env->random(env->ctx, &at, sizeof at);
	at %= o->n_seen;
	return at < OPEN_LOGS ? &o->now[at] : NULL;
}

bool open_logs_look(struct open_logs *o, const struct firn_env *env, const uint8_t id[16],
                    uint64_t last)
{
	struct open_log *now = place(o, env);
	if (now) {
		memcpy(now->id, id, 16);
		now->last = last;
	}
	for (uint32_t i = 0; i < o->n_was; i++)
		if (!memcmp(o->was[i].id, id, 16))
			return o->was[i].last == last;
	return false;
}

int open_logs_seal(struct store *store, const struct firn_env *env, const uint8_t id[16],
                   uint64_t last, struct firn_error *err)
{
	char key[SLOTS_KEY_MAX];
	struct slots_head h = { .kind = SLOTS_SEAL, .slot = last + 1, .acked = last + 1 };
	struct buf b;
	memcpy(h.log_id, id, 16);
	slots_key(id, h.slot, key);
	buf_init(&b, env);
	slots_encode(&h, NULL, &b);
	struct iovec iov = { b.data, b.len };
	int rc = b.failed ? fail(err, FIRN_ENOMEM, 0, "gc", "no memory for a sweep")
	                  : store_put(store, key, &iov, 1, STORE_IF_ABSENT, NULL, NULL, err);
	buf_fini(&b);
	return rc;
}
