/* Comparing an attached volume with the model, through the public interface only. */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H
#include "tests/sim/model.h"
#include <firn/engine.h>
#include <firn/read.h>

/* Everything: streams, marks, batches, gaps, pairs, producers are the sum of the first k entries. The numbers of the
 * streams come back. False: it was fenced meanwhile, and the rest was not looked at. */
bool check_volume(struct firn_volume *volume, const struct m_volume *m, uint64_t k,
                  uint64_t id[M_STREAMS], const char *when);
/* A part of a fetch from a stream of the model, at `offset`: batches are those of the model. Returns the offset behind. */
uint64_t check_part(const struct m_stream *s, const struct firn_part *part, uint64_t offset,
                    const char *when);
/* What a stream is configured as. */
struct firn_stream_config config_make(uint32_t number);
uint32_t kv_key_make(uint32_t key, char out[16]);
uint32_t kv_value_make(uint32_t value, uint8_t out[64]);
#endif
