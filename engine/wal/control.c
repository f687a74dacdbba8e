/* Control records: INTENT, DETACH, FENCE. Rare, and durable before the call returns. */
#include "engine/api/engine.h"
#include "engine/base/error.h"
#include "engine/wal/slots.h"
#include <string.h>

static int put(struct wal *w, uint16_t type, const struct wal_volume_row *row, struct buf *b,
               uint64_t *seq, struct firn_error *err)
{
	buf_zero(b, WAL_RECORD_HEADER);
	wal_row_encode(row, b);
	buf_align(b, 8);
	struct wal_slot slot;
	if (b->failed)
		return fail(err, FIRN_ENOMEM, 0, "wal", "no memory");
	int rc = wal_reserve(w, (uint32_t)b->len, 0, NULL, 0, 0, &slot);
	if (rc)
		return fail(err, rc, 0, "wal", "no room for a control record");
	memcpy(slot.group->data + slot.pos, b->data, b->len);
	struct wal_record r = { .len = (uint32_t)b->len,
		                .meta_len = (uint32_t)b->len,
		                .type = type,
		                .volume_no = row->volume_no,
		                .pos = slot.pos,
		                .rev = row->rev,
		                .epoch = row->epoch,
		                .append_ms = w->env->now_ms(w->env->ctx) };
	memcpy(&r.nonce, row->nonce, sizeof r.nonce);
	wal_record_put(slot.group->data, &r);
	*seq = slot.group->seq;
	wal_filled(w, &slot);
	return 0;
}

int wal_control(struct wal *w, uint16_t type, const struct wal_volume_row *row,
                struct firn_error *err)
{
	struct buf b;
	uint64_t seq = 0;
	if (w->slots) /* what a file must say for the next opening, a manifest says for everybody */
		return 0;
	buf_init(&b, w->env);
	int rc = put(w, type, row, &b, &seq, err);
	buf_fini(&b);
	if (rc)
		return rc;
	if (w->engine->no_threads)
		while (wal_step(w))
			;
	pthread_mutex_lock(&w->lock);
	while (w->durable_seq < seq && !w->poisoned)
		pthread_cond_wait(&w->done, &w->lock);
	rc = w->durable_seq < seq ? FIRN_EIO : 0;
	pthread_mutex_unlock(&w->lock);
	return rc ? fail(err, FIRN_EIO, 0, "wal", "the WAL failed: %s", w->poison_text) : 0;
}
