/* layer_fuzz: any bytes as a whole layer. First as they are; then made to look like one and signed, so that mutations
 * get past the checksums to the checks behind. */
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/layer/format.h"
#include "engine/os/env.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void line_read(void *arg, const char *text)
{
	volatile size_t *n = arg;
	*n += strlen(text);
}

static void object_read(const uint8_t *object, size_t len)
{
	struct firn_error err = FIRN_ERROR_INIT;
	volatile size_t sink = 0;
	bool sound = layer_verify(env_default(), object, len, &err) == 0;
	bool told = layer_dump(env_default(), object, len, line_read, (void *)(uintptr_t)&sink,
	                       &err) == 0;
	if (sound && !told)
		abort();
}

/* One raw block of all that lies between header and footer. */
static void object_shape(uint8_t *object, size_t len)
{
	struct layer_meta m = { .rev_from = 1, .rev_to = 2 };
	uint8_t *t = object + len - LAYER_TRAILER_LEN, *row = t - LAYER_INDEX_ROW_LEN;
	size_t n = (size_t)(row - object) - LAYER_HEADER_LEN;
	struct layer_row first;
	uint64_t rows = 0;
	for (size_t at = 0, k; at < n; at += k, rows++)
		if (!(k = layer_row_get(object + LAYER_HEADER_LEN + at, n - at, &first)))
			break;
	layer_head_put(object, LAYER_HEADER_MAGIC, &m);
	layer_sign(object, LAYER_HEADER_LEN);
	memset(t, 0, LAYER_TRAILER_LEN);
	layer_head_put(t, LAYER_TRAILER_MAGIC, &m);
	memset(row, 0, LAYER_INDEX_ROW_LEN);
	le64_put(row, LAYER_HEADER_LEN);
	le32_put(row + 8, (uint32_t)n);
	le32_put(row + 12, (uint32_t)n);
	le64_put(row + 16, sum64(object + LAYER_HEADER_LEN, n));
	le32_put(row + 24, (uint32_t)(rows ? rows : 1));
	if (layer_row_get(object + LAYER_HEADER_LEN, n, &first))
		le64_put(row + 32, layer_row_stream(&first));
	le64_put(t + LAYER_AT_REV_FROM, 1);
	le64_put(t + LAYER_AT_REV_TO, 2);
	le32_put(t + LAYER_AT_LAST, 1);
	le32_put(t + LAYER_AT_N_BLOCK, 1);
	le64_put(t + LAYER_AT_FOOTER_POS, (uint64_t)(row - object));
	le64_put(t + LAYER_AT_FOOTER_LEN, LAYER_INDEX_ROW_LEN);
	le64_put(t + LAYER_AT_FOOTER_SUM, sum64(row, LAYER_INDEX_ROW_LEN));
	le64_put(t + LAYER_AT_OBJECT_LEN, len);
	le64_put(t + LAYER_AT_N_ROW, rows ? rows : 1);
	layer_sign(t, LAYER_TRAILER_LEN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	object_read(data, size);
	if (size <= LAYER_HEADER_LEN + LAYER_INDEX_ROW_LEN + LAYER_TRAILER_LEN)
		return 0;
	uint8_t *object = malloc(size);
	memcpy(object, data, size);
	object_shape(object, size);
	object_read(object, size);
	free(object);
	return 0;
}
