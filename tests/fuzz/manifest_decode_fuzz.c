/* manifest_decode() on hostile bytes. Each input is tried as it is, and again with both sums made
 * right, so that mutations get behind them. What decodes must encode to the same bytes, and the
 * dump must hold still for anything. */
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/manifest/layout.h"
#include "engine/os/env.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void no_line(void *arg, const char *text)
{
	*(size_t *)arg += strlen(text);
}

static void decode_one(const uint8_t *data, size_t size)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct manifest m;
	struct buf b;

	if (manifest_decode(env_default(), data, size, &m, &err) != FIRN_OK) {
		if (err.code != FIRN_ECORRUPT && err.code != FIRN_EUNSUPPORTED)
			abort();
		return;
	}
	buf_init(&b, env_default());
	if (manifest_encode(&m, &b) != FIRN_OK || b.len != size || memcmp(b.data, data, size))
		abort();
	buf_fini(&b);
	manifest_fini(&m, env_default());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n_text = 0;
	uint8_t *copy;

	decode_one(data, size);
	manifest_dump(data, size, no_line, &n_text);
	size &= ~(size_t)7;
	if (size < MANIFEST_LEAST_LEN)
		return 0;
	copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	memcpy(copy, MANIFEST_MAGIC, 8);
	le64_put(copy + 40, size);
	le64_put(copy + MANIFEST_HEADER_SUM_AT, sum64(copy, MANIFEST_HEADER_SUM_AT));
	le64_put(copy + size - 8, sum64(copy, size - 8));
	decode_one(copy, size);
	free(copy);
	return 0;
}
