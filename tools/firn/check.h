/* Checks behind `firn verify` and `firn doctor`: what is wrong is collected as lines of text. */
#ifndef TOOL_CHECK_H
#define TOOL_CHECK_H
#include "engine/wal/inspect.h"
#include "tools/firn/json.h"
#include "tools/firn/offline.h"

struct findings {
	const struct common *common;
	unsigned n, cap;
	char **text;
};

/* In text mode it is also printed at once: "DAMAGED: ...". */
void finding(struct findings *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void findings_json(const struct findings *f, struct json *j);
void findings_fini(struct findings *f);

/* The WAL of a held directory. DONE even with findings; TROUBLE if it cannot be read. The report is
 * for wal_report_fini() in every case. */
int check_wal(const struct held_dir *h, struct wal_report *out, struct findings *f);

int check_index(const struct held_dir *h, struct index_stats *out, struct findings *f);

struct volume_check {
	uint64_t n_segments, n_stray, bytes, stray_bytes, rev_stored, seq;
	const char *state;
	uint32_t n_log; /* in stores, and writes that are in them only */
	uint64_t n_unstored, unstored_bytes;
};
/* Manifest, layers and every segment that they name, byte by byte; what no manifest names is only counted. */
int check_volume(const char *uri, const char *name, struct volume_check *out, struct findings *f);
#endif
