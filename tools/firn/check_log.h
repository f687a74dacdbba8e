/* The logs in stores that a manifest names, for `firn verify' and `firn doctor': every slot from the volume's position on,
 * read and verified as who takes the volume over would, and nothing sealed. */
#ifndef TOOL_CHECK_LOG_H
#define TOOL_CHECK_LOG_H
#include "tools/firn/check.h"

struct log_check {
	uint32_t n_log;
	/* writes of the volume above rev_stored, in all of its logs */
	uint64_t n_unstored, unstored_bytes, rev_first, rev_last;
	int64_t oldest_ms;
	char uri[1024]; /* of the newest log; "": its log is in files */
};

/* 0; FIRN_ECORRUPT: a slot, or a write that was acked, is missing or damaged; FIRN_ESTORE, FIRN_ENOENT: a log's store does not
 * answer or is not there. A writer that commits meanwhile is no damage: the manifest is read again then. */
int logs_check(const struct stored_volume *v, struct log_check *out, struct firn_error *err);
#endif
