/* Access to the rows of an opened footer. Open has decoded each of them: here nothing can fail,
 * and a row that does is a bug of ours. */
#include "engine/segment/footer.h"
#include "engine/base/le.h"
#include <assert.h>

const struct segment_meta *segment_footer_meta(const struct segment_footer *f)
{
	return &f->meta;
}

uint64_t segment_footer_pos(const struct segment_footer *f)
{
	return f->pos;
}

uint64_t segment_footer_sum(const struct segment_footer *f)
{
	return f->sum;
}

uint64_t segment_footer_object_len(const struct segment_footer *f)
{
	return f->pos + f->len + SEGMENT_TRAILER_LEN;
}

uint32_t segment_n_blocks(const struct segment_footer *f)
{
	return f->section[SECTION_BLOCKS].count;
}

uint32_t segment_n_streams(const struct segment_footer *f)
{
	return f->section[SECTION_STREAMS].count;
}

uint32_t segment_n_gaps(const struct segment_footer *f)
{
	return f->section[SECTION_GAPS].count;
}

uint32_t segment_n_kv(const struct segment_footer *f)
{
	return f->section[SECTION_KV].count;
}

uint32_t segment_n_producers(const struct segment_footer *f)
{
	return f->section[SECTION_PRODUCERS].count;
}

uint32_t segment_n_keys(const struct segment_footer *f)
{
	return f->section[SECTION_KEYS].count;
}

uint32_t segment_n_lost(const struct segment_footer *f)
{
	return f->section[SECTION_LOST].count;
}

const uint8_t *segment_footer_row(const struct segment_footer *f, enum section_kind kind,
                                  uint32_t i, size_t *len)
{
	const struct section *s = &f->section[kind];
	uint32_t fixed = segment_section_types[kind].fixed;
	assert(i < s->count);
	size_t at = fixed ? (size_t)i * fixed : le32_get(s->at + (size_t)i * 4);
	*len = s->len - at;
	return s->at + at;
}

void segment_block_at(const struct segment_footer *f, uint32_t i, struct block_entry *out)
{
	size_t len;
	const uint8_t *at = segment_footer_row(f, SECTION_BLOCKS, i, &len);
	len = segment_row_block_get(at, len, out);
	assert(len != 0);
}

void segment_stream_at(const struct segment_footer *f, uint32_t i, struct stream_state *out)
{
	size_t len;
	const uint8_t *at = segment_footer_row(f, SECTION_STREAMS, i, &len);
	len = segment_row_stream_get(at, len, out);
	assert(len != 0);
}

void segment_gap_at(const struct segment_footer *f, uint32_t i, struct gap_entry *out)
{
	size_t len;
	const uint8_t *at = segment_footer_row(f, SECTION_GAPS, i, &len);
	len = segment_row_gap_get(at, len, out);
	assert(len != 0);
}

void segment_kv_at(const struct segment_footer *f, uint32_t i, struct kv_change *out)
{
	size_t len;
	const uint8_t *at = segment_footer_row(f, SECTION_KV, i, &len);
	len = segment_row_kv_get(at, len, out);
	assert(len != 0);
}

void segment_producer_at(const struct segment_footer *f, uint32_t i, struct producer_change *out)
{
	size_t len;
	const uint8_t *at = segment_footer_row(f, SECTION_PRODUCERS, i, &len);
	len = segment_row_producer_get(at, len, out);
	assert(len != 0);
}

void segment_key_at(const struct segment_footer *f, uint32_t i, struct key_entry *out)
{
	size_t len;
	const uint8_t *at = segment_footer_row(f, SECTION_KEYS, i, &len);
	len = segment_row_key_get(at, len, out);
	assert(len != 0);
}

void segment_lost_at(const struct segment_footer *f, uint32_t i, struct lost_entry *out)
{
	size_t len;
	const uint8_t *at = segment_footer_row(f, SECTION_LOST, i, &len);
	len = segment_row_lost_get(at, len, out);
	assert(len != 0);
}
