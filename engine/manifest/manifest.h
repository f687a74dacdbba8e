/* The manifest: the shared truth of a volume, one object `<volume>/manifest`, replaced only by
 * compare-and-swap. This is its decoded form and its codec; the bytes are in FORMAT.md. */
#ifndef MANIFEST_MANIFEST_H
#define MANIFEST_MANIFEST_H
#include "engine/base/buf.h"
#include "engine/segment/segment.h"
#include <firn/error.h>

enum manifest_state { MANIFEST_CLEAN = 1, MANIFEST_DIRTY = 2, MANIFEST_DESTROYED = 3 };
enum manifest_log_kind { MANIFEST_LOG_LOCAL = 1, MANIFEST_LOG_STORE = 2 };
enum { MANIFEST_MAX_BYTES = 64 << 20, MANIFEST_TEXT_MAX = 1024 };

/* A log that may hold records of the volume above rev_stored. */
struct manifest_log {
	uint32_t kind, _pad;
	uint8_t id[16];    /* WAL id */
	uint64_t position; /* below it all of the volume's is stored (store logs); else 0 */
	char uri[MANIFEST_TEXT_MAX]; /* without credentials; "" for a local directory */
};

struct manifest_segment {
	struct segment_id id;
	uint64_t bytes, footer_pos, footer_sum, rev_from, rev_to;
	int64_t min_append_ms, max_append_ms; /* of the batches inside; 0, 0 when none */
	uint32_t part, n_parts;
	uint32_t n_block, _pad; /* blocks in it when it was written */
};

/* A part of a run of layers (engine/layer): an object with the index of segments that have no row of their own any
 * more. n_segment and segment_bytes are of those that it names. */
struct manifest_layer {
	struct segment_id id;
	uint32_t level, part; /* part of its run, counted from 0; the runs follow one another */
	uint64_t bytes, footer_pos, footer_sum, rev_from, rev_to;
	uint32_t n_segment, _pad;
	uint64_t segment_bytes;
};

/* An object that a settled commit removed; deleted after the grace time. */
enum manifest_dead_kind { MANIFEST_DEAD_SEGMENT = 1, MANIFEST_DEAD_LAYER = 2 };
struct manifest_dead {
	struct segment_id id;
	int64_t since_ms;
	uint32_t kind, _pad;
};

struct manifest {
	uint64_t compat, ro_compat, incompat; /* feature sets, ext4-style */
	uint8_t volume_id[16], nonce[16];     /* nonce: of the incarnation that wrote this */
	uint64_t seq, epoch;
	uint32_t state, n_log, n_layer, n_segment, n_lost, n_dead;
	uint64_t rev_stored,
	        rev_durable;   /* revs are numbered from 1; rev_stored = last stored, 0 = none */
	uint64_t next_stream;  /* counter of stream ids: next to give under this epoch */
	uint64_t next_segment; /* segment numbers below may be in use under this epoch */
	uint64_t ack_lease_ms; /* reserved, 0 */
	int64_t committed_ms;
	/* The last version that put rewritten segments into a run: an index that saw less than this names objects that are
	 * dead, and is filled anew from the layers. 0: none did. */
	uint64_t rewrite_seq;
	int64_t cleaned_ms; /* what was trimmed or deleted and stored by then has left the objects, gc/clean.h */
	char name[256], node[256];
	struct manifest_log *log;
	struct manifest_layer *layer;     /* in rev order, parts in theirs */
	struct manifest_segment *segment; /* in rev order, behind the layers */
	struct lost_entry *lost;
	struct manifest_dead *dead;
	/* What a later release added under a compat or ro_compat bit: kept as it is. Usually none. */
	uint8_t *ext;
	uint64_t ext_len;
};

void manifest_init(struct manifest *m);
void manifest_fini(struct manifest *m, const struct firn_env *env);
int manifest_copy(const struct manifest *from, struct manifest *to, const struct firn_env *env);
/* Replaces what is in out. FIRN_EINVAL: manifest_check() finds something; FIRN_ETOOBIG; FIRN_ENOMEM. */
int manifest_encode(const struct manifest *m, struct buf *out);
/* FIRN_ECORRUPT (flipped, truncated, position named), FIRN_EUNSUPPORTED (foreign or newer format, or an
 * unknown incompat bit, named). An unknown ro_compat bit decodes; manifest_writable() then refuses.
 * After a failure *out is empty. */
int manifest_decode(const struct firn_env *env, const uint8_t *data, size_t len,
                    struct manifest *out, struct firn_error *err);
int manifest_writable(const struct manifest *m,
                      struct firn_error *err); /* FIRN_EUNSUPPORTED naming the bits */
/* Appends to an array member (grows it); 0 or FIRN_ENOMEM. */
int manifest_add_segment(struct manifest *m, const struct firn_env *env,
                         const struct manifest_segment *s);
int manifest_add_log(struct manifest *m, const struct firn_env *env, const struct manifest_log *l);
int manifest_add_lost(struct manifest *m, const struct firn_env *env, const struct lost_entry *l);
int manifest_add_dead(struct manifest *m, const struct firn_env *env,
                      const struct manifest_dead *d);
int manifest_add_layer(struct manifest *m, const struct firn_env *env,
                       const struct manifest_layer *l);

/* A segment, or a layer, has a row of its own: those that layers name have none. */
bool manifest_has(const struct manifest *m, struct segment_id id, bool layer);
/* Its row in the dead list, or NULL. */
const struct manifest_dead *manifest_find_dead(const struct manifest *m, struct segment_id id,
                                               bool layer);

/* Segments of the volume and their bytes: those with a row, and those that the layers name. */
void manifest_totals(const struct manifest *m, uint64_t *n_segments, uint64_t *bytes);

/* check.c: what holds for every manifest. NULL, or what is wrong (static text); *row is the number of
 * the array's row it is wrong in. Asked before encoding and after decoding. */
const char *manifest_check(const struct manifest *m, uint32_t *row);

/* rules.c */
/* A volume's name: 1 to 200 bytes of A-Z a-z 0-9 . _ - in components separated by '/'. No component is
 * empty, "." or "..", is "seg", "layer" or "manifest" (they would lie inside another volume's keys) or begins
 * with ".firn". FIRN_EINVAL says which of it. */
int manifest_name_check(const char *volume_name, struct firn_error *err);
/* "<volume>/manifest". FIRN_EINVAL: no volume name; FIRN_ETOOBIG: buf is too small (210 always do). */
int manifest_key(const char *volume_name, char *buf, size_t cap);

/* dump.c: the bytes, annotated, one line per field; of damaged or foreign bytes as far as they make
 * sense; wrong sums are marked. Never fails, never reads beyond len, allocates nothing. */
void manifest_dump(const uint8_t *data, size_t len, void (*line)(void *arg, const char *text),
                   void *arg);
#endif
