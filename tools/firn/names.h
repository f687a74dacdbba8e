/* Streams by name: looked up once, made when they are not there. */
#ifndef TOOL_NAMES_H
#define TOOL_NAMES_H
#include "engine/base/map.h"
#include <firn/firn.h>
#include <stdbool.h>

struct stream_name {
	uint64_t id;
	uint32_t len;
	char name[256]; /* NUL-terminated */
};

struct names {
	struct map map;
	struct firn_engine *engine;
	struct firn_volume *volume;
	const struct firn_stream_config *config; /* of streams made here; NULL = defaults */
};

void names_init(struct names *n, struct firn_engine *engine, struct firn_volume *volume,
                const struct firn_stream_config *config);
void names_fini(struct names *n);
/* [blocks when the stream is new] The result lives as long as the table. NULL: *err says why. */
const struct stream_name *names_get(struct names *n, const void *name, size_t len,
                                    struct firn_error *err);
/* Makes a stream; FIRN_EEXIST unless `open`, which is content with one that is there. */
int stream_make(struct firn_engine *engine, struct firn_volume *volume, const char *name,
                uint32_t len, bool open, uint64_t at, const struct firn_stream_config *config,
                uint64_t *id, struct firn_error *err);
/* Calls each() for all streams whose name begins with `prefix` (NULL = all), by name, until it
 * returns non-zero, which is returned. A negative code if they cannot be listed. */
int stream_each(const struct firn_volume *volume, const char *prefix,
                int (*each)(void *arg, const struct firn_stream_info *info), void *arg);
#endif
