/* What the parts of the codec share and nobody else needs: the bounded readers behind record.h. */
#ifndef WAL_CODEC_H
#define WAL_CODEC_H
#include "engine/base/le.h"
#include "engine/wal/record.h"

/* Reads one operation out of hostile bytes. `meta` bytes may hold operations, `all` (>= meta) bytes
 * hold operations and payloads. Fills *out, payload pointer included. 0, FIRN_ECORRUPT or
 * FIRN_EUNSUPPORTED; then *why says what is wrong and *out holds nothing to use but `kind`. */
int wal_op_parse(const uint8_t *at, size_t meta, size_t all, struct wal_op *out, const char **why);

/* The body of a control record parses and fills its place. 0 or -1. */
int wal_control_check(uint16_t type, const uint8_t *body, size_t len);

uint64_t wal_meta_sum(const uint8_t *record, uint32_t meta_len);

static inline int all_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}
#endif
