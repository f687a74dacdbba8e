/* Inside rebuild: the objects of a volume that are there. */
#ifndef SALVAGE_FOUND_H
#define SALVAGE_FOUND_H
#include "engine/layer/layer.h"
#include "engine/salvage/rebuild.h"
#include <stdbool.h>

struct found_layer {
	struct manifest_layer row;
	int64_t created_ms;
	bool last, used;
	/* of part 0, if the run is whole: revs end at `reach` if the chain takes it, and so many segments that it and what
	 * comes behind name are not there */
	bool whole;
	uint64_t reach, absent;
};
struct found_segment {
	struct manifest_segment row;
	int64_t created_ms;
	uint64_t reach; /* revs end there if the chain takes it */
	bool whole;     /* all parts of its round are there */
	bool used;
};
struct found {
	const struct rebuild_opts *opts;
	struct rebuild_report *report;
	struct firn_error *err;
	struct found_layer *layer;
	size_t n_layer, cap_layer;
	struct found_segment *segment; /* those that no chosen layer names */
	size_t n_segment, cap_segment;
	struct segment_id *there; /* keys of segments, sorted */
	size_t n_there, cap_there;
	struct segment_id *named; /* by chosen layers, sorted */
	size_t n_named, cap_named;
	size_t n_named_there;
	struct lost_entry *lost; /* all that is said, by rev_stored */
	size_t n_lost, cap_lost;
	uint64_t epoch, epoch_n; /* the highest, and the highest number of it */
};

void found_fini(struct found *f);
int found_layers(struct found *f); /* all readable ones, with the lost entries they repeat */
/* Which segments are there, whatever they hold. */
int found_keys(struct found *f);
/* Segments that a run names and that are not there. */
int found_absent(struct found *f, const struct manifest_layer *part, uint32_t n, uint64_t *absent);
/* The rows of a run that is used: which segments it names. part: its rows, in order. */
int found_names(struct found *f, const struct manifest_layer *part, uint32_t n);
int found_segments(struct found *f); /* those that are not named */
/* Behind these writes, and behind what was given up there. */
uint64_t found_next(const struct found *f, uint64_t rev_to);
#endif
