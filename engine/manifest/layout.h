/* Where things are in a manifest object; FORMAT.md is the text to this. */
#ifndef MANIFEST_LAYOUT_H
#define MANIFEST_LAYOUT_H
#include "engine/manifest/manifest.h"

#define MANIFEST_MAGIC "firnMANI"

enum {
	MANIFEST_FORMAT = 1,
	/* Feature bits that this release understands. */
	MANIFEST_KNOWN_RO_COMPAT = 0,
	MANIFEST_KNOWN_INCOMPAT = 0,

	MANIFEST_HEADER_LEN = 64, /* the same in every format, so that any release can name it */
	MANIFEST_HEADER_SUM_AT = 56,
	MANIFEST_FIXED_LEN = 144, /* and both names, padded to 8 */
	MANIFEST_SUM_LEN = 8,
	MANIFEST_LOG_LEN = 32, /* and the URI, padded to 8 */
	MANIFEST_LAYER_LEN = 80,
	MANIFEST_SEGMENT_LEN = 88,
	MANIFEST_LOST_LEN = 56,
	MANIFEST_DEAD_LEN = 32,
	MANIFEST_LEAST_LEN = MANIFEST_HEADER_LEN + MANIFEST_FIXED_LEN + MANIFEST_SUM_LEN,
};

#define MANIFEST_EPOCH_MAX ((UINT64_C(1) << 24) - 1)

/* Places that an array of n has been allocated with: what add and decode agree on, so that no
 * capacity is kept beside each array. */
static inline size_t manifest_room(size_t n)
{
	size_t room = 8;

	if (n == 0)
		return 0;
	while (room < n)
		room *= 2;
	return room;
}
#endif
