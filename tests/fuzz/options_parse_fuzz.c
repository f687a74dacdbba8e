/* Options of an engine and of an attach, and names of volumes: lines of hostile text. What is accepted
 * lies within the limits that the header gives. Input: 40 bytes of numbers, then a line an option. */
#include "engine/api/engine.h"
#include "engine/base/le.h"
#include "engine/manifest/manifest.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NUMBERS = 48, LINES_MAX = 16 };

static void require(int ok)
{
	if (!ok)
		abort();
}

static void engine_options(const struct firn_engine_opts *opts)
{
	static struct engine e;
	struct firn_error err = FIRN_ERROR_INIT;
	memset(&e, 0, sizeof e);
	int rc = options_parse(&e, opts, &err);
	if (rc) {
		require((rc == FIRN_EINVAL || rc == FIRN_EUNSUPPORTED) && err.code == rc &&
		        err.text[0]);
		return;
	}
	const struct engine_options *o = &e.options;
	require(o->wal_file_bytes >= 1u << 20 && o->wal_file_bytes <= 1u << 30);
	require(o->wal_file_bytes % 4096 == 0 && e.wal_bytes / 4 >= o->wal_file_bytes);
	require(o->segment_bytes >= 4096 && o->segment_bytes <= 1u << 30 && o->zstd_level <= 19);
	require(o->upload_interval_ms <= INT32_MAX && e.memory_bytes >= 16u << 20);
	require(e.tail_bytes <= e.memory_bytes && e.cache_bytes <= e.memory_bytes &&
	        e.pin_bytes <= e.memory_bytes &&
	        e.tail_bytes + e.cache_bytes + e.pin_bytes <= e.memory_bytes);
}

static void volume_name(const char *name)
{
	struct firn_error err = FIRN_ERROR_INIT;
	char key[256];
	if (manifest_name_check(name, &err))
		return;
	require(strlen(name) >= 1 && strlen(name) <= 200 && name[0] != '/');
	require(!strstr(name, "/../") && strncmp(name, "../", 3) && strcmp(name, ".."));
	require(manifest_key(name, key, sizeof key) == 0);
	require(!strncmp(key, name, strlen(name)) && !strcmp(key + strlen(name), "/manifest"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *line[LINES_MAX + 1] = { NULL };
	struct firn_error err = FIRN_ERROR_INIT;
	uint64_t number[NUMBERS / 8] = { 0 };
	if (size < NUMBERS || size > 4096)
		return 0;
	char *text = malloc(size - NUMBERS + 1), *save = NULL;
	require(text != NULL);
	memcpy(text, data + NUMBERS, size - NUMBERS);
	text[size - NUMBERS] = 0;
	size_t n = 0;
	for (char *at = strtok_r(text, "\n", &save); at && n < LINES_MAX;
	     at = strtok_r(NULL, "\n", &save)) {
		line[n++] = at;
		volume_name(at);
	}
	for (size_t i = 0; i < NUMBERS / 8; i++)
		number[i] = le64_get(data + 8 * i);
	struct firn_engine_opts opts = { .struct_size = sizeof opts,
		                         .flags = (uint32_t)number[5],
		                         .linger_us = (uint32_t)(number[5] >> 32),
		                         .wal_bytes = number[0],
		                         .memory_bytes = number[1],
		                         .tail_bytes = number[2],
		                         .cache_bytes = number[3],
		                         .pin_bytes = number[4],
		                         .options = line };
	engine_options(&opts);
	require((attach_options_check(line, &err) == 0) == (n == 0));
	free(text);
	return 0;
}
