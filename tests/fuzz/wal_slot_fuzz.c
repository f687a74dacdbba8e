/* A slot of hostile bytes whose checksum is right: judged, and when accepted written again, which must give the same
 * bytes; what it calls its group is inside. The input's last byte says what is made credible: 1 sum, 2 magic,
 * format and kind, 4 the length of the group. */
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/os/env.h"
#include "engine/wal/inspect.h"
#include "engine/wal/slots_format.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(int ok)
{
	if (!ok)
		abort();
}

static void make_credible(uint8_t *slot, size_t len, uint8_t what)
{
	size_t n = le32_get(slot + 48), rows = n * SLOTS_ROW;
	bool inside = n <= (len - SLOTS_HEAD) / SLOTS_ROW;
	if (what & 2) {
		le64_put(slot, SLOTS_MAGIC);
		le32_put(slot + 8, SLOTS_FORMAT);
		le32_put(slot + 12, 1 + (le32_get(slot + 12) & 1));
		le64_put(slot + 72, 0);
	}
	if (what & 4 && inside)
		le64_put(slot + 56, len - SLOTS_HEAD - rows);
	if (what & 1 && inside)
		le64_put(slot + 88, sum64_seed(slot + SLOTS_HEAD, rows, sum64(slot, 88)));
}

static void write_again(const uint8_t *slot, size_t len, const struct slots_head *h,
                        const uint8_t *group)
{
	struct slots_row *row = malloc((h->n_volume + 1) * sizeof *row);
	struct buf b;
	require(row != NULL);
	for (uint32_t i = 0; i < h->n_volume; i++)
		slots_row_get(slot, i, &row[i]);
	buf_init(&b, env_default());
	slots_encode(h, row, &b);
	require(!b.failed && b.len == (size_t)(group - slot));
	require(b.len + h->group_len == len && !memcmp(b.data, slot, b.len));
	buf_fini(&b);
	free(row);
}

static void ignore(void *arg, const char *text)
{
	(void)arg, (void)text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct slots_head h;
	const uint8_t *group;
	if (len < 1 || len > (1u << 20))
		return 0;
	uint8_t what = data[--len];
	uint8_t *slot = malloc(len + 1);
	require(slot != NULL);
	memcpy(slot, data, len);
	if (len >= SLOTS_HEAD)
		make_credible(slot, len, what);
	if (!slots_decode(slot, len, &h, &group, NULL))
		write_again(slot, len, &h, group);
	wal_dump_slot(slot, len, ignore, NULL);
	free(slot);
	return 0;
}
