/* A refused write in words: which operation, what it met, and which number it asked for. */
#include "engine/admit/plan.h"
#include "engine/base/error.h"
#include <inttypes.h>
#include <stdio.h>

static void conflict(const struct plan *p, const struct firn_op *op, char *text, size_t cap)
{
	if (p->mixed)
		(void)snprintf(text, cap, "a part of the write is a duplicate, another is new");
	else if (op->kind == FIRN_OP_APPEND)
		(void)snprintf(text, cap, "the stream ends at %" PRIu64 ", not at %" PRIu64,
		               p->real, op->u.append.expect);
	else if (!p->real)
		(void)snprintf(text, cap, "there is no such key");
	else if (op->flags & FIRN_KV_IF_ABSENT)
		(void)snprintf(text, cap, "the key is there, put by write %" PRIu64, p->real);
	else
		(void)snprintf(text, cap, "the key was changed by write %" PRIu64, p->real);
}

static void range(const struct plan *p, const struct firn_op *op, char *text, size_t cap)
{
	if (op->kind == FIRN_OP_TRIM)
		(void)snprintf(text, cap,
		               "a trim up to %" PRIu64 ", and the stream ends at %" PRIu64,
		               op->u.range.from, p->real);
	else
		(void)snprintf(text, cap,
		               "its offsets are too high, or too far above what is stored");
}

static void producer(const struct plan *p, const struct firn_op *op, char *text, size_t cap)
{
	const struct firn_op_append *a = &op->u.append;
	if (p->code == FIRN_EPRODUCER)
		(void)snprintf(text, cap,
		               "producer %" PRIu64 " has epoch %" PRIu64 " by now, not %" PRIu32,
		               a->producer_id, p->real, a->producer_epoch);
	else
		(void)snprintf(text, cap,
		               "producer %" PRIu64 " sent sequence %" PRIu64
		               ", the next is %" PRIu64,
		               a->producer_id, a->producer_seq, p->real);
}

int plan_refusal(const struct plan *p, struct firn_error *err)
{
	const struct firn_op *op = p->p[p->at_op - 1].src;
	char text[140];
	switch (p->code) {
	case FIRN_ECONFLICT:
		conflict(p, op, text, sizeof text);
		break;
	case FIRN_ERANGE:
		range(p, op, text, sizeof text);
		break;
	case FIRN_ESEQ:
	case FIRN_EPRODUCER:
		producer(p, op, text, sizeof text);
		break;
	case FIRN_ENOENT:
		if (op->stream == FIRN_STREAM_NEW)
			(void)snprintf(text, sizeof text,
			               "FIRN_STREAM_NEW without a CREATE before it");
		else
			(void)snprintf(text, sizeof text, "there is no stream %" PRIu64,
			               op->stream);
		break;
	case FIRN_EINVAL:
		(void)snprintf(
		        text, sizeof text,
		        "stamp_of names no APPEND before it, a key stands in the write twice, or "
		        "a sequence has too many bits");
		break;
	case FIRN_EEXIST:
		(void)snprintf(text, sizeof text, "the name is that of stream %" PRIu64, p->real);
		break;
	case FIRN_ETOOBIG:
		if (op->kind == FIRN_OP_KV_PUT) {
			(void)snprintf(text, sizeof text,
			               "the volume's pairs have room for %" PRIu64 " bytes",
			               p->real);
			break;
		}
		return fail(err, p->code, 0, "admit",
		            "%s: the write is too large: %" PRIu64 " bytes would fit", p->v->name,
		            p->real);
	default:
		(void)snprintf(text, sizeof text, "%s", firn_code_name(p->code));
	}
	return fail(err, p->code, 0, "admit", "%s: operation %" PRIu64 ": %s", p->v->name, p->at_op,
	            text);
}
