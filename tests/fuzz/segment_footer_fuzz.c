/* segment_footer_fuzz: any bytes as a whole segment. First as they are; then signed; then made to
 * look like one (magic, version, lengths, sections back to back) and signed, so that mutations of
 * rows get past the checksums to the checks behind. Whatever opens is read row by row, verified
 * and dumped. */
#include "engine/os/env.h"
#include "tests/fuzz/segment_sign.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink; /* so that reads are not optimised away */

static void touch(const void *data, size_t len)
{
	const uint8_t *at = data;
	for (size_t i = 0; i < len; i++)
		sink += at[i];
}

static void rows_read(const struct segment_footer *f)
{
	struct block_entry block;
	struct stream_state stream;
	struct gap_entry gap;
	struct kv_change kv;
	struct producer_change producer;
	struct key_entry key;
	struct lost_entry lost;
	for (uint32_t i = 0; i < segment_n_blocks(f); i++)
		segment_block_at(f, i, &block);
	for (uint32_t i = 0; i < segment_n_streams(f); i++) {
		segment_stream_at(f, i, &stream);
		touch(stream.name, stream.name_len);
		touch(stream.config, stream.config_len);
	}
	for (uint32_t i = 0; i < segment_n_gaps(f); i++)
		segment_gap_at(f, i, &gap);
	for (uint32_t i = 0; i < segment_n_kv(f); i++) {
		segment_kv_at(f, i, &kv);
		touch(kv.key, kv.key_len);
		touch(kv.value, kv.value_len);
	}
	for (uint32_t i = 0; i < segment_n_producers(f); i++) {
		segment_producer_at(f, i, &producer);
		for (uint32_t k = 0; k < producer.n_batch; k++)
			sink += producer.batch[k].seq + producer.batch[k].n_seq;
	}
	for (uint32_t i = 0; i < segment_n_keys(f); i++) {
		segment_key_at(f, i, &key);
		touch(key.key, key.key_len);
	}
	for (uint32_t i = 0; i < segment_n_lost(f); i++)
		segment_lost_at(f, i, &lost);
}

static void line_read(void *arg, const char *text)
{
	(void)arg;
	touch(text, strlen(text));
}

/* Frames of many MiB are legal but slow: an input that claims them is only opened. */
static bool frames_are_small(const struct segment_footer *f)
{
	uint64_t total = 0, pos = 0;
	for (uint32_t i = 0; i < segment_n_blocks(f); i++) {
		struct block_entry e;
		segment_block_at(f, i, &e);
		total += e.frame_pos == pos ? 0 : e.frame_raw_len;
		pos = e.frame_pos;
	}
	return total < 4 << 20;
}

static void object_read(const uint8_t *object, size_t len)
{
	const struct firn_env *env = env_default();
	struct firn_error err = FIRN_ERROR_INIT;
	struct segment_footer *f;
	size_t need;
	int rc = segment_footer_open(env, object, len, len, &f, &need, &err);
	if (rc == FIRN_EAGAIN)
		abort(); /* all was given */
	if (rc == 0) {
		bool small = frames_are_small(f);
		rows_read(f);
		segment_footer_close(f);
		if (!small)
			return;
	}
	bool sound = segment_verify(env, object, len, &err) == 0;
	bool told = segment_dump(env, object, len, line_read, NULL, &err) == 0;
	if (sound && !told)
		abort();
}

/* Keeps what the input says of counts and lengths, as long as it can be made to fit. */
static void object_shape(uint8_t *object, size_t len)
{
	uint8_t *t = sign_trailer_of(object, len);
	uint64_t end = len - SEGMENT_TRAILER_LEN, pos = le64_get(t + TRAILER_FOOTER_POS);
	if (pos < SEGMENT_HEADER_LEN || pos > end)
		pos = SEGMENT_HEADER_LEN + pos % (end - SEGMENT_HEADER_LEN + 1);
	pos = end - (end - pos) / 8 * 8;
	memcpy(object, SEGMENT_HEADER_MAGIC, 8);
	memcpy(t, SEGMENT_TRAILER_MAGIC, 8);
	le32_put(t + HEAD_VERSION, SEGMENT_VERSION);
	le32_put(t + HEAD_INCOMPAT, 0);
	le32_put(t + HEAD_ZERO, 0);
	memcpy(object + 8, t + 8, HEAD_LEN - 8);
	le64_put(t + TRAILER_FOOTER_POS, pos);
	le64_put(t + TRAILER_FOOTER_LEN, end - pos);
	le64_put(t + TRAILER_OBJECT_LEN, len);
	le32_put(t + TRAILER_N_SECTIONS, SECTION_KINDS);
	for (int kind = 0; kind < SECTION_KINDS; kind++) {
		uint8_t *slot = t + TRAILER_SECTIONS + kind * SECTION_SLOT_LEN;
		uint64_t n = le64_get(slot + SECTION_BYTES) / 8 * 8;
		if (n > end - pos || kind == SECTION_KINDS - 1)
			n = end - pos;
		le64_put(slot + SECTION_POS, pos);
		le64_put(slot + SECTION_BYTES, n);
		le32_put(slot + SECTION_ZERO, 0);
		pos += n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	object_read(data, size);
	if (size < SEGMENT_HEADER_LEN + SEGMENT_TRAILER_LEN)
		return 0;
	uint8_t *object = malloc(size);
	memcpy(object, data, size);
	segment_sign_all(object, size); /* its own shape, only signed */
	object_read(object, size);
	memcpy(object, data, size);
	object_shape(object, size);
	segment_sign_all(object, size);
	object_read(object, size);
	free(object);
	return 0;
}
