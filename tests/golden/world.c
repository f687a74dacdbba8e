#include "tests/golden/world.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void streams(struct host *h, uint64_t s[3])
{
	struct firn_stream_config c = { .struct_size = sizeof c,
		                        .key_window_n = 50,
		                        .producer_window = 3,
		                        .retention_ms = 1ull << 40,
		                        .retention_bytes = 1ull << 41,
		                        .producer_expire_ms = 1ull << 39,
		                        .compression = FIRN_COMPRESSION_ZSTD,
		                        .account = 12 };
	const char *const name[] = { "plain", "configured", "begins at 500" };
	for (int i = 0; i < 3; i++) {
		struct firn_op op = op_create(name[i]);
		struct firn_event ev;
		op.u.stream.config = i == 1 ? &c : NULL;
		op.u.stream.at = i == 2 ? 500 : 0;
		wrote(h, &op, 1, &ev);
		s[i] = ev.stream;
	}
}

/* One write with every kind of operation; `n` makes it another each time. */
static void one_write(struct host *h, const uint64_t s[3], uint32_t n)
{
	char text[400], key[16], name[16];
	memset(text, 'a' + (int)(n % 26), sizeof text);
	(void)snprintf(key, sizeof key, "key-%u", n);
	(void)snprintf(name, sizeof name, "made-%u", n);
	struct iovec iov = { text, 50 + n * 37 % 300 };
	struct firn_op op[] = { op_append(s[0], &iov),
		                op_append(s[1], &iov),
		                op_append(s[2], &iov),
		                op_kv(FIRN_OP_KV_PUT, s[0], key, "of a stream"),
		                op_kv(FIRN_OP_KV_PUT, FIRN_STREAM_VOLUME, "last", key),
		                op_kv(FIRN_OP_KV_DELETE, s[0], "key-1", NULL),
		                op_trim(s[0], n / 2),
		                op_create(name) };
	op[0].u.append.n_offsets = 1 + n % 3;
	op[0].u.append.timestamp_ms = 1000 * n;
	op[0].u.append.tag = n;
	op[0].u.append.attr = "attribute";
	op[0].u.append.attr_len = 9;
	op[1].u.append.key = key;
	op[1].u.append.key_len = (uint8_t)strlen(key);
	op[2].flags = FIRN_APPEND_PRODUCER | FIRN_SEQ_RISING;
	op[2].u.append.producer_id = 5;
	op[2].u.append.producer_epoch = 1;
	op[2].u.append.producer_seq = n * 10;
	wrote(h, op, sizeof op / sizeof op[0], NULL);
}

static void gap_and_delete(struct host *h, const uint64_t s[3], const char *gone)
{
	uint64_t id;
	struct iovec iov = io_of("behind a gap");
	struct firn_op op = op_append(s[2], &iov);
	op.flags = FIRN_APPEND_AT;
	op.u.append.expect = 700 + mark_of(h, s[2], FIRN_MARK_DURABLE);
	wrote(h, &op, 1, NULL);
	cr_assert_eq(firn_stream_find(h->volume, gone, strlen(gone), &id), 0);
	wrote(h, (struct firn_op[]){ op_delete(id) }, 1, NULL);
}

/* Zeros fill a file of the WAL, and cost nothing in a pack. */
static void fill_a_file(struct host *h, uint64_t stream)
{
	void *zero = calloc(1, 400 << 10);
	struct iovec iov = { zero, 400 << 10 };
	struct firn_op op = op_append(stream, &iov);
	for (int i = 0; i < 3; i++)
		wrote(h, &op, 1, NULL);
	free(zero);
}

void golden_write(struct host *h)
{
	uint64_t s[3];
	struct firn_error err = FIRN_ERROR_INIT;
	host_attach(h, "drained");
	streams(h, s);
	one_write(h, s, 1);
	cr_assert_eq(host_detach(h, h->volume, FIRN_DETACH_DRAIN, &err), 0, "%s", err.text);
	host_attach(h, "kept");
	streams(h, s);
	for (uint32_t n = 1; n < 4; n++)
		one_write(h, s, n);
	gap_and_delete(h, s, "made-2");
	store_all(h);
	one_write(h, s, 4);
	fill_a_file(h, s[1]);
	one_write(h, s, 5);
	gap_and_delete(h, s, "made-3");
}

char *golden_text(struct host *h)
{
	static const char *const name[] = { "drained", "kept" };
	char *out = NULL;
	size_t len;
	FILE *to = open_memstream(&out, &len);
	for (int i = 0; i < 2; i++) {
		struct firn_error err = FIRN_ERROR_INIT;
		int rc = host_try_attach(h, name[i], 0, "moved", &h->volume, &err);
		cr_assert_eq(rc, 0, "%s: %s: %s", name[i], firn_code_name(rc), err.text);
		char *text = volume_text(h, h->volume);
		fprintf(to, "== %s\n%s", name[i], text);
		free(text);
		cr_assert_eq(host_detach(h, h->volume, FIRN_DETACH_ABORT, &err), 0);
	}
	(void)fclose(to);
	return out;
}
