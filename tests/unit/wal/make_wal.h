/* WAL files made by hand, for tests: seeded operations, groups, files, directories. */
#ifndef TESTS_MAKE_WAL_H
#define TESTS_MAKE_WAL_H
#include "engine/wal/record.h"
#include <stdbool.h>

/* splitmix64 */
struct walmake_chance {
	uint64_t state;
};
uint64_t walmake_random(struct walmake_chance *c);
uint32_t walmake_below(struct walmake_chance *c, uint32_t n);

/* A random op of any kind; its bytes come from `bytes` (64 KiB of anything). */
void walmake_op(struct walmake_chance *c, const uint8_t *bytes, uint64_t stream,
                uint32_t payload_max, struct wal_op *op);

enum { WALMAKE_FILE = 64 * 4096, WALMAKE_VOLUMES = 4 };

/* One file under construction; the volumes' state goes on from file to file. */
struct walmake {
	uint8_t *file; /* WALMAKE_FILE bytes, page aligned */
	uint64_t no, run, pos, prev_sum;
	uint8_t *group;
	uint32_t used, n_records;
	struct wal_volume_row row[WALMAKE_VOLUMES];
	uint32_t n_row;
	uint64_t end_lsn;
	uint8_t bytes[65536];
	struct walmake_chance chance;
};

struct walmake *walmake_new(uint32_t n_row);
void walmake_free(struct walmake *m);
/* Clears the file (stale bytes behind: keep = true) and writes its header and first group. */
void walmake_file_begin(struct walmake *m, uint64_t no, uint64_t run,
                        const struct wal_seal_body *seal, bool keep);
/* A write of n ops by volume_no, with the next rev; ops NULL: random ones. */
void walmake_write(struct walmake *m, uint32_t volume_no, struct wal_op *op, uint16_t n);
void walmake_control(struct walmake *m, uint16_t type, const struct wal_volume_row *row);
/* A record of any type with any meta. */
void walmake_raw(struct walmake *m, uint16_t type, const void *meta, uint32_t len);
/* Ends the group; returns its position in the file. */
uint64_t walmake_group_end(struct walmake *m, uint32_t flags);

/* A new directory; walmake_dir_remove deletes it with its files. */
void walmake_dir(char out[256]);
void walmake_dir_remove(const char *dir);
void walmake_save(const struct walmake *m, const char *dir);
/* XORs one byte of a file on disk. */
void walmake_flip(const char *dir, uint64_t no, uint64_t pos, uint8_t mask);
#endif
