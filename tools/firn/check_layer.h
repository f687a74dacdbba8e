/* The layers of a volume, for `firn verify`: every byte of them, and which segments still hold something by what
 * layers and later footers say together. */
#ifndef TOOL_CHECK_LAYER_H
#define TOOL_CHECK_LAYER_H
#include "engine/base/map.h"
#include "tools/firn/check.h"

/* What is known of a segment by name: `live` extents lie in it, one of them begins below its stream's start. */
struct named_segment {
	struct manifest_segment row;
	bool has_row;
	uint64_t live;
	bool cut;
};

struct named_segments {
	struct map map;
	bool whole; /* false: a layer or a footer is damaged, it cannot be said */
};

/* DONE even with findings. To be closed in every case. */
int named_segments_load(const struct stored_volume *v, struct named_segments *out,
                        struct findings *f);
void named_segments_close(struct named_segments *n);
struct named_segment *named_segment_find(const struct named_segments *n, struct segment_id id);
/* Damage is a finding; anything else means that it could not be looked at. */
int check_judge(struct findings *f, const char *what, int rc, const struct firn_error *err);
#endif
