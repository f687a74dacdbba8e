/* All that an index answers about a volume, as text: two indexes that say the same are the same. */
#ifndef TEST_INDEX_TEXT_H
#define TEST_INDEX_TEXT_H
#include "engine/index/index.h"

/* The caller's to free; what is looked up by time is in it, too. NULL: the volume is not known, or an error is told. */
char *index_text(struct index *ix, const uint8_t volume_id[16], struct firn_error *err);
#endif
