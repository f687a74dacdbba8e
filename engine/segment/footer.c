/* Opening a footer: everything a later row access relies on is checked here, once.
 *
 *   tail -> trailer (magic, checksum, version, bounds) -> footer bytes (one checksum)
 *        -> sections (back to back, one checksum each) -> rows -> block order and frame layout
 *
 * Allocates the footer's copy and nothing else, never more than the tail it was given. */
#include "engine/segment/footer.h"
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include "engine/base/sum.h"
#include <inttypes.h>

static int corrupt(struct firn_error *err, const char *what, uint64_t pos)
{
	return fail(err, FIRN_ECORRUPT, 0, "segment", "trailer at %" PRIu64 ": %s", pos, what);
}

/* The footer lies between the header and the trailer, and ends where the trailer begins. */
static const char *trailer_nonsense(const uint8_t *t, uint64_t object_len)
{
	uint64_t pos = le64_get(t + TRAILER_FOOTER_POS), len = le64_get(t + TRAILER_FOOTER_LEN);
	uint64_t end = object_len - SEGMENT_TRAILER_LEN;
	if (le64_get(t + TRAILER_OBJECT_LEN) != object_len)
		return "object length differs: bytes are missing or were added";
	if (pos < SEGMENT_HEADER_LEN || pos > end || len != end - pos)
		return "footer out of bounds";
	if (len > SEGMENT_FOOTER_MAX)
		return "footer too long";
	if (le64_get(t + TRAILER_REV_FROM) > le64_get(t + TRAILER_REV_TO))
		return "revs out of order";
	if (le32_get(t + TRAILER_PART) >= le32_get(t + TRAILER_N_PARTS))
		return "part out of range";
	if (le32_get(t + TRAILER_ZERO) != 0 ||
	    !segment_bytes_zero(t + TRAILER_RESERVED, TRAILER_SUM - TRAILER_RESERVED))
		return "reserved bytes set";
	/* A compatible feature may add sections, which this build carries over unread. */
	uint32_t n = le32_get(t + TRAILER_N_SECTIONS), compat = le32_get(t + HEAD_COMPAT);
	if (n < SECTION_KINDS || n > (compat ? SEGMENT_SECTION_SLOTS : SECTION_KINDS))
		return "number of sections out of range";
	if (!segment_bytes_zero(t + TRAILER_SECTIONS + n * SECTION_SLOT_LEN,
	                        (SEGMENT_SECTION_SLOTS - n) * SECTION_SLOT_LEN))
		return "unused section slot set";
	return NULL;
}

static int trailer_check(const uint8_t *t, uint64_t object_len, struct segment_meta *meta,
                         struct firn_error *err)
{
	uint64_t pos = object_len - SEGMENT_TRAILER_LEN;
	int rc = segment_head_check(t, SEGMENT_TRAILER_LEN, SEGMENT_TRAILER_MAGIC, "trailer", pos,
	                            meta, err);
	if (rc)
		return rc;
	const char *what = trailer_nonsense(t, object_len);
	if (what)
		return corrupt(err, what, pos);
	meta->rev_from = le64_get(t + TRAILER_REV_FROM);
	meta->rev_to = le64_get(t + TRAILER_REV_TO);
	meta->part = le32_get(t + TRAILER_PART);
	meta->n_parts = le32_get(t + TRAILER_N_PARTS);
	meta->created_ms = (int64_t)le64_get(t + TRAILER_CREATED_MS);
	return 0;
}

/* ---- sections ---- */

static int section_corrupt(const struct segment_footer *f, int kind, uint64_t at, const char *what,
                           struct firn_error *err)
{
	const char *name = kind < SECTION_KINDS ? segment_section_types[kind].name
	                                        : "added section";
	return fail(err, FIRN_ECORRUPT, 0, "segment", "footer: %s at %" PRIu64 ": %s", name,
	            f->pos + at, what);
}

/* Slot by slot: each section begins where the one before ended, the last ends the footer. */
static int sections_place(struct segment_footer *f, const uint8_t *t, struct firn_error *err)
{
	uint64_t at = 0;
	int n = (int)le32_get(t + TRAILER_N_SECTIONS);
	for (int kind = 0; kind < n; kind++) {
		const uint8_t *slot = t + TRAILER_SECTIONS + kind * SECTION_SLOT_LEN;
		uint64_t pos = le64_get(slot + SECTION_POS), len = le64_get(slot + SECTION_BYTES);
		if (pos != f->pos + at || len > f->len - at || len % 8 != 0 ||
		    le32_get(slot + SECTION_ZERO) != 0)
			return section_corrupt(f, kind, at, "out of bounds", err);
		if (le64_get(slot + SECTION_SUM) != sum64(f->bytes + at, (size_t)len))
			return section_corrupt(f, kind, at, "checksum mismatch", err);
		if (kind < SECTION_KINDS)
			f->section[kind] = (struct section){ f->bytes + at, (size_t)len,
				                             le32_get(slot + SECTION_COUNT) };
		at += len;
	}
	if (at != f->len)
		return fail(err, FIRN_ECORRUPT, 0, "segment",
		            "footer at %" PRIu64 ": sections end at %" PRIu64 " of %zu bytes",
		            f->pos, at, f->len);
	return 0;
}

static int row_corrupt(const struct segment_footer *f, int kind, uint32_t i, const uint8_t *row,
                       struct firn_error *err)
{
	return fail(err, FIRN_ECORRUPT, 0, "segment",
	            "footer: %s row %" PRIu32 " at %" PRIu64 ": makes no sense",
	            segment_section_types[kind].name, i, f->pos + (uint64_t)(row - f->bytes));
}

/* Rows of one length: they fill the section, and each decodes. */
static int rows_fixed(const struct segment_footer *f, int kind, struct firn_error *err)
{
	const struct section *s = &f->section[kind];
	const struct section_type *type = &segment_section_types[kind];
	if (s->len != (uint64_t)s->count * type->fixed)
		return section_corrupt(f, kind, (uint64_t)(s->at - f->bytes),
		                       "length is not its rows'", err);
	for (uint32_t i = 0; i < s->count; i++) {
		const uint8_t *row = s->at + (size_t)i * type->fixed;
		if (!type->check(row, type->fixed))
			return row_corrupt(f, kind, i, row, err);
	}
	return 0;
}

/* Rows of their own lengths: each lies where the table says, right behind the one before. */
static int rows_variable(const struct segment_footer *f, int kind, struct firn_error *err)
{
	const struct section *s = &f->section[kind];
	uint64_t from = (uint64_t)(s->at - f->bytes), at = align_up((uint64_t)s->count * 4, 8);
	if (at > s->len)
		return section_corrupt(f, kind, from, "offset table out of bounds", err);
	if (s->count % 2 && le32_get(s->at + (size_t)s->count * 4) != 0)
		return section_corrupt(f, kind, from, "padding set", err);
	for (uint32_t i = 0; i < s->count; i++) {
		if (le32_get(s->at + (size_t)i * 4) != at)
			return section_corrupt(f, kind, from, "offset table does not fit its rows",
			                       err);
		size_t len = segment_section_types[kind].check(s->at + at, (size_t)(s->len - at));
		if (!len)
			return row_corrupt(f, kind, i, s->at + at, err);
		at += len;
	}
	if (at != s->len)
		return section_corrupt(f, kind, from, "bytes behind the last row", err);
	return 0;
}

/* ---- block index ---- */

/* Where the walk over the frames stands. */
struct frame_walk {
	struct block_entry first; /* of the frame's blocks */
	uint64_t end;             /* of the frame, in the object */
	uint64_t raw_at;          /* raw bytes that blocks have accounted for */
};

static int frame_corrupt(const struct block_entry *e, const char *what, struct firn_error *err)
{
	return fail(err, FIRN_ECORRUPT, 0, "segment", "footer: frame at %" PRIu64 ": %s",
	            e->frame_pos, what);
}

static bool frame_same(const struct block_entry *a, const struct block_entry *b)
{
	return a->frame_len == b->frame_len && a->frame_raw_len == b->frame_raw_len &&
	       a->frame_sum == b->frame_sum && a->codec == b->codec;
}

/* Frames lie back to back from the header to the footer, blocks back to back in their frame. */
static int frame_step(struct frame_walk *walk, const struct block_entry *e, uint64_t footer_pos,
                      struct firn_error *err)
{
	if (e->frame_pos != walk->first.frame_pos) {
		if (walk->raw_at != walk->first.frame_raw_len)
			return frame_corrupt(&walk->first, "its blocks do not fill it", err);
		if (e->frame_pos != walk->end)
			return frame_corrupt(e, "does not follow the frame before", err);
		if (e->frame_len > footer_pos - e->frame_pos)
			return frame_corrupt(e, "reaches into the footer", err);
		*walk = (struct frame_walk){ *e, e->frame_pos + e->frame_len, 0 };
	}
	if (!frame_same(e, &walk->first))
		return frame_corrupt(e, "its blocks disagree about it", err);
	if (e->block_pos != walk->raw_at)
		return frame_corrupt(e, "its blocks are not back to back", err);
	walk->raw_at += e->block_len;
	return 0;
}

static int blocks_check(const struct segment_footer *f, struct firn_error *err)
{
	struct frame_walk walk = { .end = SEGMENT_HEADER_LEN };
	struct block_entry e, before = { 0 };
	for (uint32_t i = 0; i < f->section[SECTION_BLOCKS].count; i++, before = e) {
		segment_block_at(f, i, &e);
		int rc = block_entry_check(&e, err);
		if (rc == 0)
			rc = frame_step(&walk, &e, f->pos, err);
		if (rc)
			return rc;
		if (e.stream < before.stream || (e.stream == before.stream && e.base < before.next))
			return fail(err, FIRN_ECORRUPT, 0, "segment",
			            "footer: block index row %" PRIu32 ": stream %" PRIu64
			            " at offset %" PRIu64 " is out of order",
			            i, e.stream, e.base);
	}
	if (walk.raw_at != walk.first.frame_raw_len)
		return frame_corrupt(&walk.first, "its blocks do not fill it", err);
	if (walk.end != f->pos)
		return fail(err, FIRN_ECORRUPT, 0, "segment",
		            "footer: frames end at %" PRIu64 ", the footer begins at %" PRIu64,
		            walk.end, f->pos);
	return 0;
}

/* ---- open and close ---- */

static int footer_check(struct segment_footer *f, const uint8_t *trailer, struct firn_error *err)
{
	int rc = sections_place(f, trailer, err);
	if (rc)
		return rc;
	if (sum64(f->bytes, f->len) != f->sum)
		return fail(err, FIRN_ECORRUPT, 0, "segment",
		            "footer at %" PRIu64 ": checksum mismatch", f->pos);
	for (int kind = 0; kind < SECTION_KINDS && rc == 0; kind++)
		rc = segment_section_types[kind].fixed ? rows_fixed(f, kind, err)
		                                       : rows_variable(f, kind, err);
	return rc ? rc : blocks_check(f, err);
}

static int footer_make(const struct firn_env *env, const uint8_t *trailer,
                       const struct segment_meta *meta, struct segment_footer **out,
                       struct firn_error *err)
{
	size_t len = (size_t)le64_get(trailer + TRAILER_FOOTER_LEN);
	struct segment_footer *f = mem_zalloc(env, sizeof *f);
	if (!f)
		return fail(err, FIRN_ENOMEM, 0, "segment", "no memory for a footer");
	f->env = env;
	f->meta = *meta;
	f->pos = le64_get(trailer + TRAILER_FOOTER_POS);
	f->sum = le64_get(trailer + TRAILER_FOOTER_SUM);
	f->len = len;
	f->bytes = mem_dup(env, trailer - len, len);
	if (!f->bytes) {
		segment_footer_close(f);
		return fail(err, FIRN_ENOMEM, 0, "segment", "no memory for a footer of %zu bytes",
		            len);
	}
	*out = f;
	return 0;
}

int segment_footer_open(const struct firn_env *env, const uint8_t *tail, size_t tail_len,
                        uint64_t object_len, struct segment_footer **out, size_t *need,
                        struct firn_error *err)
{
	struct segment_meta meta = { 0 };
	*out = NULL;
	*need = 0;
	if (tail_len > object_len)
		return fail(err, FIRN_EINVAL, 0, "segment",
		            "tail of %zu bytes of an object of %" PRIu64, tail_len, object_len);
	if (object_len < SEGMENT_HEADER_LEN + SEGMENT_TRAILER_LEN)
		return fail(err, FIRN_ECORRUPT, 0, "segment",
		            "object of %" PRIu64 " bytes is too short for a segment", object_len);
	*need = SEGMENT_TRAILER_LEN;
	if (tail_len < *need)
		return fail(err, FIRN_EAGAIN, 0, "segment", "the trailer needs the last %zu bytes",
		            *need);
	const uint8_t *trailer = tail + tail_len - SEGMENT_TRAILER_LEN;
	*need = 0;
	int rc = trailer_check(trailer, object_len, &meta, err);
	if (rc)
		return rc;
	uint64_t reach = object_len - le64_get(trailer + TRAILER_FOOTER_POS);
	if (tail_len < reach) {
		*need = (size_t)reach;
		return fail(err, FIRN_EAGAIN, 0, "segment", "the footer needs the last %zu bytes",
		            *need);
	}
	struct segment_footer *f = NULL;
	rc = footer_make(env, trailer, &meta, &f, err);
	if (rc)
		return rc;
	rc = footer_check(f, trailer, err);
	if (rc) {
		segment_footer_close(f);
		return rc;
	}
	*out = f;
	return 0;
}

void segment_footer_close(struct segment_footer *f)
{
	if (!f)
		return;
	mem_free(f->env, f->bytes);
	mem_free(f->env, f);
}
