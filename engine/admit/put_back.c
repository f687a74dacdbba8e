#include "engine/admit/put_back.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include <string.h>

int put_back_reserve(struct volume *v, uint64_t len, uint32_t n_ops, struct wal_slot *slot,
                     struct firn_error *err)
{
	bool refused;
	if (len > wal_record_max(&v->engine->wal, n_ops))
		return fail(err, FIRN_ETOOBIG, 0, "admit",
		            "%s: a batch of %llu bytes does not fit this engine's WAL", v->name,
		            (unsigned long long)len);
	int rc = admit_room(v, (uint32_t)len, n_ops, slot, &refused);
	return rc ? fail(err, rc, 0, "admit", "%s: the WAL takes no more now", v->name) : 0;
}

void put_back_write(const struct volume *v, uint64_t rev, const struct wal_op *op, uint32_t n,
                    const struct batch *b, struct wal_slot *slot)
{
	const struct firn_env *env = v->engine->env;
	uint8_t *group = slot->group->data;
	uint32_t len = b ? b->payload_len : 0, meta = WAL_RECORD_HEADER, n_ops = 0;
	for (uint32_t i = 0; i < n; i++)
		meta += op[i].kind ? (uint32_t)wal_op_len(&op[i]) : 0;
	for (uint32_t i = 0; i < n; i++) {
		bool has = len && wal_op_has_batch(op[i].kind);
		if (!op[i].kind)
			continue;
		wal_op_put(group, op[i].pos, &op[i], has ? slot->pos + meta - op[i].pos : 0);
		n_ops++;
	}
	if (len)
		memcpy(group + slot->pos + meta, b->payload, len);
	struct wal_record r = { .len = meta + len,
		                .meta_len = meta,
		                .volume_no = v->volume_no,
		                .pos = slot->pos,
		                .type = WAL_WRITE,
		                .n_ops = (uint16_t)n_ops,
		                .nonce = v->nonce64,
		                .rev = rev,
		                .epoch = v->epoch,
		                .append_ms = env->now_ms(env->ctx) };
	wal_record_put(group, &r);
	wal_filled(&v->engine->wal, slot);
}
