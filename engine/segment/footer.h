/* An opened footer: a copy of its bytes and where the sections lie in it. Internal to this
 * folder. */
#ifndef SEGMENT_FOOTER_H
#define SEGMENT_FOOTER_H
#include "engine/segment/format.h"
#include "engine/segment/row.h"

struct section {
	const uint8_t *at;
	size_t len;
	uint32_t count;
};

struct segment_footer {
	const struct firn_env *env;
	struct segment_meta meta;
	uint64_t pos, sum; /* of the footer in the object */
	uint8_t *bytes;    /* 16-aligned, so that rows, at multiples of 8, can be read in place */
	size_t len;
	struct section section[SECTION_KINDS];
};

/* Where row i of a section begins; *len is what is left of the section from there. */
const uint8_t *segment_footer_row(const struct segment_footer *f, enum section_kind kind,
                                  uint32_t i, size_t *len);
#endif
