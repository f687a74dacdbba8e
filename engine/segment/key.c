/* The name of a segment in its store: seg/<2 hex>/<epoch>-<n>, all lower-case hex of fixed width,
 * so that a listing is in order. The two digits spread keys over prefixes (S3 limits requests by
 * prefix) and make a mistyped or foreign key fail. Cannot fail otherwise. */
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/segment/segment.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_LEN = 40, KEY_EPOCH_AT = 7, KEY_N_AT = 24 };

static unsigned key_spread(struct segment_id id)
{
	uint8_t bytes[16];
	le64_put(bytes, id.epoch);
	le64_put(bytes + 8, id.n);
	return (unsigned)(sum64(bytes, sizeof bytes) & 0xff);
}

void segment_key(struct segment_id id, char *buf, size_t cap)
{
	(void)snprintf(buf, cap, "seg/%02x/%016" PRIx64 "-%016" PRIx64, key_spread(id), id.epoch,
	               id.n);
}

void segment_object_key(const char *volume, struct segment_id id, char key[OBJECT_KEY_MAX])
{
	char name[64];
	segment_key(id, name, sizeof name);
	(void)snprintf(key, OBJECT_KEY_MAX, "%s/%s", volume, name);
}

static uint64_t hex16(const char *at)
{
	uint64_t v = 0;
	for (int i = 0; i < 16; i++) {
		char c = at[i];
		unsigned digit = c >= 'a' ? (unsigned)(c - 'a') + 10 : (unsigned)(c - '0');
		v = v << 4 | (digit & 15);
	}
	return v;
}

/* Reads loosely, then writes the key again: only what segment_key() makes is equal. */
int segment_key_parse(const char *key, struct segment_id *out)
{
	if (strnlen(key, KEY_LEN + 1) != KEY_LEN)
		return -1;
	struct segment_id id = { hex16(key + KEY_EPOCH_AT), hex16(key + KEY_N_AT) };
	char again[64];
	segment_key(id, again, sizeof again);
	if (strcmp(key, again) != 0)
		return -1;
	*out = id;
	return 0;
}

int segment_id_compare(struct segment_id a, struct segment_id b)
{
	if (a.epoch != b.epoch)
		return a.epoch < b.epoch ? -1 : 1;
	return a.n < b.n ? -1 : a.n > b.n;
}

static int by_id(const void *a, const void *b)
{
	return segment_id_compare(*(const struct segment_id *)a, *(const struct segment_id *)b);
}

size_t segment_ids_sort(struct segment_id *id, size_t n)
{
	size_t kept = 0;
	if (n)
		qsort(id, n, sizeof *id, by_id);
	for (size_t i = 0; i < n; i++)
		if (!kept || !segment_id_equal(id[kept - 1], id[i]))
			id[kept++] = id[i];
	return kept;
}

bool segment_ids_have(const struct segment_id *ids, size_t n, struct segment_id id)
{
	return n && bsearch(&id, ids, n, sizeof id, by_id);
}
