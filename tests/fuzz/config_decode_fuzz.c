/* A stream's configuration as it lies in the WAL and in footers. What decodes encodes to the same
 * bytes; the first byte of the input says whether the version is made right. */
#include "engine/admit/volume.h"
#include "engine/base/le.h"
#include "engine/os/env.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct firn_stream_config c;
	struct buf b;
	if (size < 1 || size > 4096)
		return 0;
	uint8_t *copy = malloc(size);
	size_t len = size - 1;
	if (!copy)
		return 0;
	memcpy(copy, data + 1, len);
	if (data[0] & 1 && len >= 4)
		le32_put(copy, 1);
	buf_init(&b, env_default());
	if (config_decode(copy, (uint32_t)len, &c) == 0) {
		config_encode(&c, &b);
		if (b.failed || b.len != len || memcmp(b.data, copy, len) != 0)
			abort();
	}
	buf_fini(&b);
	free(copy);
	return 0;
}
