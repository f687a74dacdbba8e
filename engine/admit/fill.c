/* Admission of a batch that goes back into a lost range (salvage/): it has its offset, rev, epoch and times already, and
 * its stream went on above it, so nothing is judged here but whether the volume takes writes. Its write gets a rev of its
 * own, as any. That the offsets are free is the caller's to know. Never blocks. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include <string.h>

static int reserve(struct volume *v, const struct wal_op *op, uint32_t len, struct wal_slot *slot,
                   struct firn_error *err)
{
	const struct stream *s = volume_stream_live(v, op->stream);
	int rc = admit_may_write(v, err);
	if (rc)
		return rc;
	if (!s || s->deleting || op->batch.offset + op->batch.n_offsets > s->assigned)
		return fail(err, FIRN_ENOENT, 0, "admit", "%s: stream %llu has no such offsets",
		            v->name, (unsigned long long)op->stream);
	if (len > wal_record_max(&v->engine->wal, 1))
		return fail(err, FIRN_ETOOBIG, 0, "admit",
		            "%s: a batch of %u bytes does not fit this engine's WAL", v->name, len);
	bool refused = volume_refuses(v) || v->rev_assigned - v->rev_stored >= LOST_SKIP;
	rc = refused ? FIRN_EFULL
	             : wal_reserve(&v->engine->wal, len, 1, v, v->volume_no, v->rev_assigned + 1,
	                           slot);
	return rc ? fail(err, rc, 0, "admit", "%s: the WAL takes no more now", v->name) : 0;
}

int admit_fill(struct volume *v, const struct batch *b, struct firn_error *err)
{
	const struct firn_env *env = v->engine->env;
	struct wal_op op = { .kind = WAL_OP_FILL, .stream = b->stream, .batch = *b };
	struct wal_slot slot = { 0 };
	uint32_t meta = WAL_RECORD_HEADER + (uint32_t)wal_op_len(&op), len = meta + b->payload_len;
	pthread_mutex_lock(&v->lock);
	int rc = reserve(v, &op, len, &slot, err);
	uint64_t rev = rc ? 0 : ++v->rev_assigned;
	pthread_mutex_unlock(&v->lock);
	if (rc)
		return rc;
	uint8_t *group = slot.group->data;
	op.pos = slot.pos + WAL_RECORD_HEADER;
	wal_op_put(group, op.pos, &op, b->payload_len ? slot.pos + meta - op.pos : 0);
	if (b->payload_len)
		memcpy(group + slot.pos + meta, b->payload, b->payload_len);
	struct wal_record r = { .len = len,
		                .meta_len = meta,
		                .volume_no = v->volume_no,
		                .pos = slot.pos,
		                .type = WAL_WRITE,
		                .n_ops = 1,
		                .nonce = v->nonce64,
		                .rev = rev,
		                .epoch = v->epoch,
		                .append_ms = env->now_ms(env->ctx) };
	wal_record_put(group, &r);
	wal_filled(&v->engine->wal, &slot);
	return 0;
}
