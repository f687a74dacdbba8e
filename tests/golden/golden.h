/* Golden files: what a release wrote, kept for all later ones to read.
 *
 *   NAME.pack      an engine directory's WAL and a store, one file
 *   NAME.expected  all that its volumes show, as text (tests/integration/site.h: volume_text)
 *
 * A pack is text around raw bytes; blocks of zeros are left out:
 *
 *   firn-golden 1
 *   file <path> <bytes>        in byte order of the paths
 *   at <position> <bytes>      followed by that many bytes and a newline
 *   end */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GOLDEN_BLOCK = 512, GOLDEN_FILES_MAX = 64, GOLDEN_PARTS_MAX = 4096 };

struct golden_file {
	char path[200];
	uint8_t *data;
	size_t len;
};

struct golden_part { /* bytes that the pack spells out */
	uint32_t file;
	uint64_t pos, len;
};

struct golden {
	struct golden_file file[GOLDEN_FILES_MAX];
	uint32_t n_file, n_part;
	struct golden_part part[GOLDEN_PARTS_MAX];
};

/* 0 or -1. Reads NAME.pack of tests/golden. */
int golden_load(struct golden *g, const char *name);
void golden_free(struct golden *g);
/* Writes a pack of everything below `dir` that is a WAL's or a store's; -1 if `to` is there already. */
int golden_pack(const char *dir, const char *to);
/* Makes the files below `dir`. */
int golden_unpack(const struct golden *g, const char *dir);
/* True: the files below `dir` are those of g, byte for byte. Others are not looked at. */
bool golden_same(const struct golden *g, const char *dir, char *differs, size_t cap);
/* tests/golden/<name><suffix> */
void golden_path(const char *name, const char *suffix, char *out, size_t cap);
bool golden_is_wal(const struct golden_file *f);
bool golden_is_segment(const struct golden_file *f);
bool golden_is_manifest(const struct golden_file *f);
#endif
