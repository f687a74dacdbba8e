/* One part of a run: the page shows what is written, every flipped bit is named, runs that are not whole are refused. (P6) */
#include "engine/base/mem.h"
#include "engine/layer/format.h"
#include "engine/os/env.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(layer_object, .timeout = 60);

enum { N_ROWS = 9 };

struct sample {
	struct layer_row row[N_ROWS];
	struct producer_batch batch;
	uint8_t volume_id[16];
};

static void sample_init(struct sample *s)
{
	const uint64_t stream = (UINT64_C(3) << 40) + 1;
	struct layer_row *r = s->row;
	memset(s, 0, sizeof *s);
	for (int i = 0; i < 16; i++)
		s->volume_id[i] = (uint8_t)(0xa0 + i);
	r[0].kind = LAYER_LOST;
	r[0].u.lost = (struct lost_entry){ .rev_stored = 4,
		                           .rev_skip = UINT64_C(1) << 36,
		                           .at_ms = 1690000000000 };
	memset(r[0].u.lost.nonce, 0x50, 16);
	r[1].kind = LAYER_KV;
	r[1].u.kv = (struct kv_change){ .rev = 44,
		                        .key_len = 7,
		                        .value_len = 2,
		                        .key = (const uint8_t *)"group/a",
		                        .value = (const uint8_t *)"12" };
	r[2].kind = LAYER_STREAM;
	r[2].u.stream = (struct stream_state){ .stream = stream,
		                               .flags = STREAM_CREATED | STREAM_CONFIG,
		                               .name = "rooms/1",
		                               .name_len = 7,
		                               .start = 10,
		                               .next = 12,
		                               .rev_created = 2,
		                               .rev_last = 42,
		                               .first_append_ms = 1700000000541,
		                               .last_append_ms = 1700000000542,
		                               .max_timestamp_ms = 1700000000042,
		                               .bytes = 8 };
	r[3].kind = LAYER_EXTENT;
	r[3].u.extent = (struct layer_extent){ { 3, 9 },
		                               { .stream = stream,
		                                 .base = 10,
		                                 .next = 12,
		                                 .frame_pos = 64,
		                                 .frame_len = 435,
		                                 .frame_raw_len = 435,
		                                 .block_len = 272,
		                                 .frame_sum = 0x79fe4ebdc94d2ee4,
		                                 .block_sum = 0x2c240bcac0cb57f7,
		                                 .n_batch = 2,
		                                 .min_timestamp_ms = 1700000000041,
		                                 .max_timestamp_ms = 1700000000042,
		                                 .min_append_ms = 1700000000541,
		                                 .max_append_ms = 1700000000542,
		                                 .payload_bytes = 8 } };
	r[4].kind = LAYER_GAP;
	r[4].u.gap = (struct gap_entry){ .stream = stream, .from = 4, .to = 11, .kind = 1 };
	r[5].kind = LAYER_PRODUCER;
	s->batch = (struct producer_batch){
		.seq = 5, .offset = 10, .rev = 41, .n_offsets = 1, .n_seq = 1
	};
	r[5].u.producer = (struct producer_change){ .stream = stream,
		                                    .producer_id = 77,
		                                    .producer_epoch = 1,
		                                    .n_batch = 1,
		                                    .seq_next = 6,
		                                    .last_ms = 1700000000541,
		                                    .batch = &s->batch };
	r[6].kind = LAYER_KEY;
	r[6].u.key = (struct key_entry){ .stream = stream,
		                         .offset = 11,
		                         .rev = 42,
		                         .n_offsets = 1,
		                         .key_len = 7,
		                         .append_ms = 1700000000542,
		                         .key = (const uint8_t *)"order-9" };
	r[7].kind = LAYER_STREAM;
	r[7].u.stream = (struct stream_state){ .stream = stream + 1, .flags = STREAM_DELETED };
	r[8].kind = LAYER_SEGMENT;
	r[8].u.segment = (struct manifest_segment){ .id = { 3, 9 },
		                                    .bytes = 2000,
		                                    .footer_pos = 499,
		                                    .footer_sum = 0x0123456789abcdef,
		                                    .rev_from = 41,
		                                    .rev_to = 45,
		                                    .min_append_ms = 1700000000541,
		                                    .max_append_ms = 1700000000543,
		                                    .n_parts = 1,
		                                    .n_block = 2 };
}

/* The object, malloc'ed. */
static uint8_t *sample_write(int zstd_level, bool last, size_t *len, struct manifest_layer *row)
{
	struct sample s;
	struct layer_writer *w;
	const uint8_t *data;
	sample_init(&s);
	struct layer_meta m = { .id = { 3, 12 },
		                .rev_from = 41,
		                .rev_to = 45,
		                .level = 1,
		                .created_ms = 1700000061234 };
	memcpy(m.volume_id, s.volume_id, 16);
	cr_assert_eq(layer_writer_open(env_default(), &m, zstd_level, &w), 0);
	for (int i = 0; i < N_ROWS; i++)
		cr_assert_eq(layer_writer_row(w, &s.row[i]), 0, "row %d", i);
	cr_assert_eq(layer_writer_row(w, &s.row[3]), FIRN_EINVAL, "a row below the last");
	cr_assert_eq(layer_writer_finish(w, last, &data, len, row), 0);
	uint8_t *copy = malloc(*len);
	memcpy(copy, data, *len);
	layer_writer_close(w);
	return copy;
}

struct text {
	char data[1 << 16];
	size_t len;
};

static void text_line(void *arg, const char *line)
{
	struct text *t = arg;
	t->len += (size_t)snprintf(t->data + t->len, sizeof t->data - t->len, "%s\n", line);
	cr_assert_lt(t->len, sizeof t->data);
}

static char *page_read(char *path, size_t cap)
{
	const char *dir = getenv("FIRN_SOURCE_DIR");
	(void)snprintf(path, cap, "%s/engine/layer/FORMAT.md", dir ? dir : ".");
	FILE *f = fopen(path, "r");
	cr_assert_not_null(f, "%s (FIRN_SOURCE_DIR?)", path);
	char *text = calloc(1, 1 << 18);
	(void)!fread(text, 1, (1 << 18) - 1, f);
	(void)fclose(f);
	return text;
}

/* FIRN_RENEW=1 writes the page anew. */
Test(layer_object, format_page_shows_what_the_code_writes)
{
	static struct text t;
	struct firn_error err = FIRN_ERROR_INIT;
	struct manifest_layer row;
	size_t len;
	char path[1024];
	static const char open[] = "<!-- dump: layer -->\n```\n", close[] = "```\n<!-- /dump -->";
	uint8_t *data = sample_write(0, true, &len, &row);
	cr_assert_eq(layer_dump(env_default(), data, len, text_line, &t, &err), 0, "%s", err.text);
	char *page = page_read(path, sizeof path), *from = strstr(page, open);
	cr_assert_not_null(from);
	from += strlen(open);
	char *to = strstr(from, close);
	cr_assert_not_null(to);
	if (getenv("FIRN_RENEW")) {
		FILE *f = fopen(path, "w");
		cr_assert_not_null(f);
		(void)fprintf(f, "%.*s%s%s", (int)(from - page), page, t.data, to);
		(void)fclose(f);
	} else {
		cr_assert_eq((size_t)(to - from), t.len, "FORMAT.md is not what the code writes");
		cr_assert_eq(strncmp(from, t.data, t.len), 0,
		             "FORMAT.md is not what the code writes");
	}
	free(page);
	free(data);
}

static void ignore(void *arg, const char *line)
{
	(void)arg;
	(void)line;
}

Test(layer_object, each_flipped_bit_is_named)
{
	for (int zstd = 0; zstd < 2; zstd++) {
		struct firn_error err = FIRN_ERROR_INIT;
		struct manifest_layer row;
		size_t len;
		uint8_t *data = sample_write(zstd, true, &len, &row);
		cr_assert_eq(layer_verify(env_default(), data, len, &err), 0, "%s", err.text);
		for (size_t bit = 0; bit < len * 8; bit++) {
			data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			int rc = layer_verify(env_default(), data, len, &err);
			cr_assert(rc == FIRN_ECORRUPT || rc == FIRN_EUNSUPPORTED, "bit %zu: %d",
			          bit, rc);
			cr_assert(strchr(err.text, ' '), "bit %zu", bit);
			if (bit % 17 == 0)
				cr_assert_neq(layer_dump(env_default(), data, len, ignore, NULL,
				                         &err),
				              0);
			data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		for (size_t cut = 0; cut < len; cut++)
			cr_assert_eq(layer_verify(env_default(), data, cut, &err), FIRN_ECORRUPT);
		free(data);
	}
}

struct fetched {
	uint8_t *data;
	size_t len;
};

static int fetch(void *arg, const struct manifest_layer *part, struct buf *object,
                 struct firn_error *err)
{
	struct fetched *f = arg;
	(void)part;
	(void)err;
	buf_put(object, f->data, f->len);
	return 0;
}

static int read_run(struct fetched *f, const struct manifest_layer *part, uint32_t n)
{
	struct sample s;
	struct layer_source *src;
	const struct layer_row *row;
	struct firn_error err = FIRN_ERROR_INIT;
	sample_init(&s);
	cr_assert_eq(layer_source_run(env_default(), s.volume_id, part, n, fetch, f, &src, &err),
	             0);
	int rc, rows = 0;
	do {
		rc = layer_source_next(src, &row, &err);
		rows += row != NULL;
	} while (!rc && row);
	layer_source_close(src);
	return rc ? rc : rows;
}

Test(layer_object, a_run_is_read_only_as_the_manifest_means_it)
{
	struct manifest_layer row, two[2];
	struct fetched f;
	f.data = sample_write(1, true, &f.len, &row);
	cr_assert_eq(read_run(&f, &row, 1), N_ROWS);
	two[0] = two[1] = row;
	cr_assert_eq(read_run(&f, two, 2), FIRN_ECORRUPT, "a part after the last");
	for (int i = 0; i < 8; i++) {
		struct manifest_layer other = row;
		switch (i) {
		case 0:
			other.id.n++;
			break;
		case 1:
			other.level++;
			break;
		case 2:
			other.rev_to++;
			break;
		case 3:
			other.footer_sum ^= 1;
			break;
		case 4:
			other.bytes++;
			break;
		case 5:
			other.part++;
			break;
		case 6:
			other.n_segment++;
			break;
		default:
			other.segment_bytes++;
			break;
		}
		cr_assert_eq(read_run(&f, &other, 1), FIRN_ECORRUPT, "case %d", i);
	}
	free(f.data);
	f.data = sample_write(1, false, &f.len, &row);
	cr_assert_eq(read_run(&f, &row, 1), FIRN_ECORRUPT, "the last part is missing");
	free(f.data);
}

Test(layer_object, keys_are_those_of_segments_in_a_folder_of_their_own)
{
	char key[64];
	struct segment_id id = { 3, 12 }, back = { 0, 0 };
	layer_key(id, key, sizeof key);
	cr_assert_eq(strncmp(key, "layer/", 6), 0);
	cr_assert_eq(layer_key_parse(key, &back), 0);
	cr_assert(back.epoch == 3 && back.n == 12);
	cr_assert_eq(segment_key_parse(key, &back), -1);
	key[8] ^= 1;
	cr_assert_eq(layer_key_parse(key, &back), -1);
	cr_assert_eq(layer_key_parse("layer/", &back), -1);
}
