/* What can be said of a write without looking at the volume: bounds, flags, pointers. */
#include "engine/api/engine.h"
#include "engine/admit/plan.h"
#include "engine/base/error.h"
#include "engine/base/newer.h"
#include <string.h>

static int bad(struct firn_error *err, uint32_t i, int code, const char *what)
{
	return fail(err, code, 0, "admit", "operation %u: %s", i + 1, what);
}

static int check_append(const struct firn_op *op, uint32_t i, struct firn_error *err)
{
	const struct firn_op_append *a = &op->u.append;
	const uint16_t known = FIRN_APPEND_EXPECT | FIRN_APPEND_AT | FIRN_APPEND_STAMP |
	                       FIRN_APPEND_PRODUCER | FIRN_SEQ_RISING | FIRN_SEQ_NONE;
	if (op->flags & ~known)
		return bad(err, i, FIRN_EUNSUPPORTED, "unknown flag");
	if (a->n_iov > 1024 || (a->n_iov && !a->iov) || a->_pad)
		return bad(err, i, FIRN_EINVAL, "iov");
	if ((op->flags & FIRN_APPEND_EXPECT && op->flags & FIRN_APPEND_AT) ||
	    (op->flags & (FIRN_SEQ_RISING | FIRN_SEQ_NONE) &&
	     !(op->flags & FIRN_APPEND_PRODUCER)) ||
	    (op->flags & FIRN_SEQ_RISING && op->flags & FIRN_SEQ_NONE))
		return bad(err, i, FIRN_EINVAL, "flags that exclude each other");
	if (a->key_len > BATCH_KEY_MAX || (a->key_len && !a->key) || (a->attr_len && !a->attr))
		return bad(err, i, FIRN_EINVAL, "key or attr");
	if (op->flags & FIRN_APPEND_PRODUCER && a->producer_id == UINT64_MAX)
		return bad(err, i, FIRN_EINVAL, "producer_id 2^64 - 1 is not one");
	uint64_t len = 0;
	for (uint32_t k = 0; k < a->n_iov; k++) {
		if (a->iov[k].iov_len && !a->iov[k].iov_base)
			return bad(err, i, FIRN_EINVAL, "iov with a NULL base");
		len += a->iov[k].iov_len < SIZE_MAX / 2048 ? a->iov[k].iov_len : SIZE_MAX / 2048;
	}
	if (op->flags & FIRN_APPEND_STAMP && (len < 8 || a->stamp_pos > len - 8))
		return bad(err, i, FIRN_EINVAL, "stamp_pos outside the payload");
	return 0;
}

/* Too long for any record: told by event, as a content refusal. */
static bool too_big(const struct firn_op *op)
{
	uint64_t len = 0;
	for (uint32_t k = 0; op->kind == FIRN_OP_APPEND && k < op->u.append.n_iov; k++) {
		if (op->u.append.iov[k].iov_len >
		    BATCH_PAYLOAD_MAX - len) /* lengths may add up to 2^64 */
			return true;
		len += op->u.append.iov[k].iov_len;
	}
	return false;
}

static int check_kv(const struct firn_op *op, uint32_t i, struct firn_error *err)
{
	const struct firn_op_kv *k = &op->u.kv;
	bool put = op->kind == FIRN_OP_KV_PUT;
	uint16_t known = FIRN_KV_IF_ABSENT | FIRN_KV_IF_REV;
	known |= put ? FIRN_KV_STAMP_KEY | FIRN_KV_STAMP_VALUE : 0;
	if (op->flags & ~known)
		return bad(err, i, FIRN_EUNSUPPORTED, "unknown flag");
	if (!k->key || k->key_len < 1 || k->key_len > 255 ||
	    (k->key_to && op->kind != FIRN_OP_KV_DELETE) ||
	    (k->key_to && (k->key_to_len < 1 || k->key_to_len > 255)))
		return bad(err, i, FIRN_EINVAL, "a key is 1 to 255 bytes");
	if (k->value_len > 65536 || (k->value_len && !k->value))
		return bad(err, i, FIRN_EINVAL, "a value is at most 65536 bytes");
	if ((op->flags & FIRN_KV_IF_ABSENT && op->flags & FIRN_KV_IF_REV) ||
	    (op->flags & FIRN_KV_STAMP_KEY && op->flags & FIRN_KV_STAMP_VALUE) ||
	    (op->flags & known && k->key_to))
		return bad(err, i, FIRN_EINVAL, "flags that exclude each other");
	uint32_t room = op->flags & FIRN_KV_STAMP_KEY ? k->key_len : k->value_len;
	if (op->flags & (FIRN_KV_STAMP_KEY | FIRN_KV_STAMP_VALUE) &&
	    (room < 8 || k->stamp_pos > room - 8))
		return bad(err, i, FIRN_EINVAL, "stamp_pos outside key or value");
	return 0;
}

static int check_config(const struct firn_stream_config *c, uint32_t i, struct firn_error *err)
{
	if (!c)
		return 0;
	if (c->struct_size < sizeof *c)
		return bad(err, i, FIRN_EINVAL, "config.struct_size");
	if (c->dirty_percent || newer_says_more(c, sizeof *c, c->struct_size) ||
	    c->flags & ~(uint32_t)(FIRN_HOLD_VISIBLE | FIRN_HOLD_STABLE | FIRN_RETAIN_BY_TIMESTAMP))
		return bad(err, i, FIRN_EUNSUPPORTED,
		           "config asks for what this release does not have");
	if (c->producer_window > 16)
		return bad(err, i, FIRN_EINVAL, "config.producer_window is at most 16");
	if (c->producer_seq_bits > 64)
		return bad(err, i, FIRN_EINVAL, "config.producer_seq_bits is at most 64");
	if (c->compression > FIRN_COMPRESSION_ZSTD || c->cls > FIRN_CLASS_BULK || c->_pad)
		return bad(err, i, FIRN_EINVAL, "config.compression, cls or _pad");
	return 0;
}

static int check_stream(const struct firn_op *op, uint32_t i, struct firn_error *err)
{
	const struct firn_op_stream *s = &op->u.stream;
	if ((op->kind == FIRN_OP_CREATE || op->kind == FIRN_OP_CONFIG) && s->_pad)
		return bad(err, i, FIRN_EINVAL, "_pad");
	if (op->kind == FIRN_OP_TRIM)
		return op->flags || op->u.range.to ? bad(err, i, FIRN_EINVAL, "flags or range.to")
		                                   : 0;
	if (op->kind == FIRN_OP_DELETE)
		return op->flags ? bad(err, i, FIRN_EINVAL, "flags") : 0;
	if (op->flags & ~(op->kind == FIRN_OP_CREATE ? FIRN_CREATE_OPEN : 0))
		return bad(err, i, FIRN_EUNSUPPORTED, "unknown flag");
	if (op->kind == FIRN_OP_CREATE && (op->stream || !s->name || s->name_len < 1 ||
	                                   s->name_len > 255 || memchr(s->name, 0, s->name_len)))
		return bad(err, i, FIRN_EINVAL, "a stream name is 1 to 255 bytes without NUL");
	return check_config(s->config, i, err);
}

int admit_check_shape(const struct firn_write *w, uint32_t record_max, struct firn_error *err)
{
	if (!w->op || !w->n_op || w->op_size < sizeof(struct firn_op) || w->op_size % 8 ||
	    w->ack > FIRN_ACK_STORED || w->_pad)
		return fail(err, FIRN_EINVAL, 0, "admit", "op, n_op, op_size or ack");
	if (w->n_op > WAL_OPS_MAX)
		return fail(err, FIRN_ETOOBIG, 0, "admit", "%u operations, at most %u", w->n_op,
		            WAL_OPS_MAX);
	for (uint32_t i = 0; i < w->n_op; i++) {
		const struct firn_op *op = plan_src(w, i);
		int rc;
		if (newer_says_more(op, sizeof *op, w->op_size))
			return bad(err, i, FIRN_EUNSUPPORTED, "a member of a newer release is set");
		if (op->kind == FIRN_OP_APPEND)
			rc = check_append(op, i, err);
		else if (op->kind >= FIRN_OP_KV_PUT && op->kind <= FIRN_OP_KV_CHECK)
			rc = check_kv(op, i, err);
		else if (op->kind == FIRN_OP_TRIM ||
		         (op->kind >= FIRN_OP_CREATE && op->kind <= FIRN_OP_DELETE))
			rc = check_stream(op, i, err);
		else
			rc = bad(err, i, FIRN_EUNSUPPORTED, "unknown kind");
		if (!rc && too_big(op))
			rc = fail(err, FIRN_ETOOBIG, 0, "admit",
			          "operation %u: payload above %u bytes", i + 1, record_max);
		if (rc)
			return rc;
	}
	return 0;
}
