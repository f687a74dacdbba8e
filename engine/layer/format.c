/* Heads, keys, and what writer and readers share. */
#include "engine/layer/format.h"
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include <inttypes.h>
#include <stdio.h>

void layer_head_put(uint8_t *at, const char *magic, const struct layer_meta *meta)
{
	memcpy(at + LAYER_HEAD_MAGIC, magic, 8);
	le32_put(at + LAYER_HEAD_VERSION, LAYER_VERSION);
	le32_put(at + LAYER_HEAD_COMPAT, 0);
	le32_put(at + LAYER_HEAD_INCOMPAT, 0);
	le32_put(at + LAYER_HEAD_ZERO, 0);
	memcpy(at + LAYER_HEAD_VOLUME, meta->volume_id, 16);
	le64_put(at + LAYER_HEAD_EPOCH, meta->id.epoch);
	le64_put(at + LAYER_HEAD_N, meta->id.n);
}

void layer_sign(uint8_t *at, size_t len)
{
	le64_put(at + len - 8, sum64(at, len - 8));
}

int layer_head_check(const uint8_t *at, size_t len, const char *magic, const char *what,
                     uint64_t pos, struct layer_meta *meta, struct firn_error *err)
{
	if (memcmp(at + LAYER_HEAD_MAGIC, magic, 8) != 0)
		return fail(err, FIRN_ECORRUPT, 0, "layer",
		            "%s at %" PRIu64 ": not a firn layer (magic is not %s)", what, pos,
		            magic);
	if (le64_get(at + len - 8) != sum64(at, len - 8))
		return fail(err, FIRN_ECORRUPT, 0, "layer", "%s at %" PRIu64 ": checksum mismatch",
		            what, pos);
	uint32_t version = le32_get(at + LAYER_HEAD_VERSION);
	uint32_t foreign = le32_get(at + LAYER_HEAD_INCOMPAT) & ~(uint32_t)LAYER_INCOMPAT_KNOWN;
	if (version == 0 || version > LAYER_VERSION)
		return fail(err, FIRN_EUNSUPPORTED, 0, "layer",
		            "%s at %" PRIu64 ": format version %" PRIu32
		            ", this build reads up to %d",
		            what, pos, version, LAYER_VERSION);
	if (foreign)
		return fail(err, FIRN_EUNSUPPORTED, 0, "layer",
		            "%s at %" PRIu64 ": incompatible features 0x%" PRIx32
		            " are not known to this build",
		            what, pos, foreign);
	if (le32_get(at + LAYER_HEAD_ZERO) != 0)
		return fail(err, FIRN_ECORRUPT, 0, "layer", "%s at %" PRIu64 ": reserved bytes set",
		            what, pos);
	memcpy(meta->volume_id, at + LAYER_HEAD_VOLUME, 16);
	meta->id.epoch = le64_get(at + LAYER_HEAD_EPOCH);
	meta->id.n = le64_get(at + LAYER_HEAD_N);
	return 0;
}

/* A segment's key with another first folder: the digits and the rules are the same. */
void layer_key(struct segment_id id, char *buf, size_t cap)
{
	char key[64];
	segment_key(id, key, sizeof key);
	(void)snprintf(buf, cap, "layer/%s", key + strlen("seg/"));
}

void layer_object_key(const char *volume, struct segment_id id, char key[OBJECT_KEY_MAX])
{
	char name[80];
	layer_key(id, name, sizeof name);
	(void)snprintf(key, OBJECT_KEY_MAX, "%s/%s", volume, name);
}

int layer_key_parse(const char *key, struct segment_id *out)
{
	char as_segment[64];
	if (strncmp(key, "layer/", 6) != 0 || strlen(key) > 50)
		return -1;
	(void)snprintf(as_segment, sizeof as_segment, "seg/%s", key + 6);
	return segment_key_parse(as_segment, out);
}

void layer_segment_of(const struct segment_footer *f, struct manifest_segment *out)
{
	const struct segment_meta *m = segment_footer_meta(f);
	*out = (struct manifest_segment){ .id = m->id,
		                          .bytes = segment_footer_object_len(f),
		                          .footer_pos = segment_footer_pos(f),
		                          .footer_sum = segment_footer_sum(f),
		                          .rev_from = m->rev_from,
		                          .rev_to = m->rev_to,
		                          .part = m->part,
		                          .n_parts = m->n_parts,
		                          .n_block = segment_n_blocks(f) };
	for (uint32_t i = 0; i < segment_n_blocks(f); i++) {
		struct block_entry e;
		segment_block_at(f, i, &e);
		if (i == 0 || e.min_append_ms < out->min_append_ms)
			out->min_append_ms = e.min_append_ms;
		if (i == 0 || e.max_append_ms > out->max_append_ms)
			out->max_append_ms = e.max_append_ms;
	}
}

uint32_t layer_run_parts(const struct manifest *m, uint32_t i)
{
	uint32_t n = 1;
	while (i + n < m->n_layer && m->layer[i + n].part)
		n++;
	return n;
}

bool layer_lost_between(const struct manifest *m, uint64_t rev_to, uint64_t rev_from)
{
	for (uint32_t i = 0; i < m->n_lost; i++)
		if (m->lost[i].rev_stored + 1 >= rev_to && m->lost[i].rev_stored < rev_from)
			return true;
	return false;
}

bool layer_run_of(const struct manifest *m, uint64_t rev_from, uint64_t rev_to, uint32_t *run)
{
	for (uint32_t i = 0; i < m->n_layer; i += layer_run_parts(m, i))
		if (m->layer[i].rev_from <= rev_from && rev_to <= m->layer[i].rev_to) {
			*run = i;
			return true;
		}
	return false;
}

struct segment_id layer_newest(const struct manifest *m)
{
	struct segment_id newest = { 0 };
	for (uint32_t i = 0; i < m->n_layer; i++)
		if (segment_id_compare(m->layer[i].id, newest) > 0)
			newest = m->layer[i].id;
	return newest;
}

bool layer_runs_due(const struct manifest *m, uint32_t *from, uint32_t *level)
{
	uint32_t n = 0, i = m->n_layer;
	while (i > 0) {
		uint32_t begin = i - 1;
		while (m->layer[begin].part)
			begin--;
		if (i < m->n_layer &&
		    (m->layer[begin].level > *level ||
		     layer_lost_between(m, m->layer[begin].rev_to, m->layer[i].rev_from)))
			break;
		if (i == m->n_layer)
			*level = m->layer[begin].level;
		*from = i = begin;
		n++;
	}
	if (n < LAYER_FANOUT)
		return false;
	++*level;
	return true;
}

uint64_t layer_covered(const struct manifest *m)
{
	return m->n_layer ? m->layer[m->n_layer - 1].rev_to : 0;
}

int layer_header_check(const uint8_t *at, struct layer_meta *out, struct firn_error *err)
{
	return layer_head_check(at, LAYER_HEADER_LEN, LAYER_HEADER_MAGIC, "header", 0, out, err);
}
