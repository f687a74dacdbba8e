/* Admission of a batch that goes back into a lost range (salvage/): it has its offset, rev, epoch and times already, and
 * its stream went on above it, so nothing is judged here but whether the volume takes writes. Its write gets a rev of its
 * own, as any. That the offsets are free is the caller's to know. Never blocks. */
#include "engine/admit/put_back.h"
#include "engine/api/engine.h"
#include "engine/base/error.h"

static int reserve(struct volume *v, const struct wal_op *op, uint64_t len, struct wal_slot *slot,
                   struct firn_error *err)
{
	const struct stream *s = volume_stream_live(v, op->stream);
	int rc = admit_may_write(v, err);
	if (rc)
		return rc;
	if (!s || s->deleting || op->batch.offset + op->batch.n_offsets > s->assigned)
		return fail(err, FIRN_ENOENT, 0, "admit", "%s: stream %llu has no such offsets",
		            v->name, (unsigned long long)op->stream);
	return put_back_reserve(v, len, 1, slot, err);
}

int admit_fill(struct volume *v, const struct batch *b, struct firn_error *err)
{
	struct wal_op op = { .kind = WAL_OP_FILL, .stream = b->stream, .batch = *b };
	struct wal_slot slot = { 0 };
	uint64_t len = WAL_RECORD_HEADER + wal_op_len(&op) + b->payload_len;
	pthread_mutex_lock(&v->lock);
	int rc = reserve(v, &op, len, &slot, err);
	uint64_t rev = rc ? 0 : ++v->rev_assigned;
	pthread_mutex_unlock(&v->lock);
	if (rc)
		return rc;
	op.pos = slot.pos + WAL_RECORD_HEADER;
	put_back_write(v, rev, &op, 1, b, &slot);
	return 0;
}
